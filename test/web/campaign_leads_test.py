"""The leads of a campaign, its forecast and what-if."""
import html
import re
import time

from client import Browser, Web, conninfo, run, sql

web = Web("--database", conninfo)
hostile = "<script>alert(1)</script>\u202e"


def logged_in(role="viewer", password="look"):
    browser = Browser(web)
    assert browser.log_in(role, password).status == 303
    return browser


def operator():
    return logged_in("operator <b>", "do")


def act(browser, path, name, /, **fields):
    return browser.post(path, {"csrf": browser.get(path).field("csrf"), "action": name, **fields})


def clean(page):
    assert page.status == 200, (page.status, page.text)
    assert "<script>alert" not in page.text and "{{" not in page.text, page.text
    return page.text


def scene():
    sql(f"SELECT mailer.mailbox_create('{hostile}lead box', 'localhost', from_address => 'sales@example.com', tls => 'none')")
    sql(f"SELECT mailer.mailbox_create('{hostile}second box', 'localhost', from_address => 'more@example.com', tls => 'none')")
    sql(f"SELECT mailer.template_set('{hostile}lead', 'Hello {{{{name}}}}', 'Dear {{{{name}}}} of {{{{company}}}}', '<script>alert(1)</script><p>{{{{name}}}}</p>')")
    campaign = sql(f"""SELECT mailer.campaign_create('{hostile}leads', '{hostile}lead', ARRAY['{hostile}lead box'], max_silence => NULL, gap => '1 hour', jitter => 0,
        timezone => 'UTC')""")
    sql(f"SELECT mailer.campaign_step_set({campaign}, 2, '{hostile}lead', '3 days')")
    sql(f"""SELECT mailer.campaign_add({campaign}, 'ada+x@example.org', jsonb_build_object('name', '{hostile}' || repeat('x', 300))),
        mailer.campaign_add({campaign}, 'bob@example.org', '{{"name": "Bob", "company": "Acme"}}')""")
    return campaign


campaign = scene()
path = f"/campaigns/{campaign}/leads"


def listed():
    "leads are listed, filtered by state and found by address or its beginning"
    viewer = logged_in()
    page = clean(viewer.get(path))
    assert 'href="/campaigns/%s/leads?address=ada%%2Bx%%40example.org"' % campaign in page and "bob@example.org" in page
    assert "bob@example.org" not in clean(viewer.get(path + "?address=ada"))
    assert "No lead" in clean(viewer.get(path + "?address=nobody"))
    assert "No lead of this campaign has" in clean(viewer.get(path + "?address=nobody%40example.org"))
    assert "No lead is in this state" in clean(viewer.get(path + "?state=replied"))
    one = clean(viewer.get(path + "?address=BOB%40Example.org"))
    assert "Acme" in one and 'value="stop"' not in one and "What it gets" not in one
    for bad, status in (("?state=x", 400), ("/x", 404)):
        assert viewer.get(path + bad).status == status, bad


def previewed():
    "an operator sees what a lead gets, what is missing, and the HTML shut in a sandbox"
    browser = operator()
    page = clean(browser.get(path + "?address=ada%2Bx%40example.org"))
    assert "Variables are missing: <bdi>company</bdi>" in page, page
    assert "Variables are missing" not in clean(browser.get(path + "?address=bob%40example.org&step=2"))
    frame = html.unescape(re.search(r'href="(/campaigns/\d+/preview[^"]*)"', page).group(1))
    answer = browser.get(frame)
    assert answer.status == 200 and answer.headers["Content-Security-Policy"].startswith("sandbox;"), answer.headers
    assert logged_in().get(frame).status == 403
    assert "has no step 9" in clean(browser.get(path + "?address=bob%40example.org&step=9"))
    assert browser.get(path + "?address=bob%40example.org&step=x").status == 400


def changed():
    "a lead is labelled, held, released, stopped and restored"
    browser = operator()
    state = lambda: sql(f"SELECT state FROM mailer.lead_status WHERE campaign_id = {campaign} AND address_key = 'bob@example.org'")  # noqa: E731
    for name, after, fields in (("hold", "held", {}), ("release", "waiting", {}), ("stop", "stopped", {"reason": hostile}), ("restore", "waiting", {}),
                                ("label", "waiting", {"label": hostile})):
        assert act(browser, path, name, address="bob@example.org", **fields).status == 303, name
        assert state() == after, (name, state())
        clean(browser.get(path + "?address=bob%40example.org"))
    assert act(browser, path, "hold", address="nobody@example.org").status == 404
    assert act(browser, path, "hold", address="").status == 400
    assert act(browser, path, "label", address="bob@example.org", label="x" * 600).status == 400


def what_if():
    "what-if shows when it would be done, changes nothing, and an operator puts it into force"
    forecast = f"/campaigns/{campaign}/forecast"
    viewer = logged_in()
    page = clean(viewer.get(forecast))
    assert page.count("<tr><td data-head=\"Place\">") == 4 and "if nobody answers" in page
    asked = forecast + "?gap=1+min&window_start=08%3A00&window_end=&max_per_day=1"
    page = clean(viewer.get(asked))
    assert "<strong>So</strong>" in page and "As it is" in page and 'value="apply"' not in page
    assert sql(f"SELECT gap FROM mailer.campaign_list WHERE campaign_id = {campaign}") == "01:00:00"
    csrf = viewer.get(forecast).field("csrf")
    assert viewer.post(forecast, {"csrf": csrf, "action": "apply", "gap": "1 min"}).status == 403
    browser = operator()
    assert 'value="apply"' in clean(browser.get(asked))
    assert act(browser, forecast, "apply", gap="2 min", mailbox=hostile + "second box").status == 303
    assert sql(f"SELECT gap, mailboxes[1] FROM mailer.campaign_list WHERE campaign_id = {campaign}") == f"00:02:00|{hostile}second box"
    for bad in ("?gap=x", "?max_per_day=x", "?max_per_day=0", "?window_start=25:00", "?after=x"):
        assert viewer.get(forecast + bad).status == 400, bad
    assert viewer.get(forecast + "?mailbox=none").status == 404
    assert viewer.get("/campaigns/999999/forecast").status == 404 and viewer.get("/campaigns/999999/leads").status == 404


def rights():
    "a viewer and a post without csrf get 403"
    viewer = logged_in()
    csrf = viewer.get(path).field("csrf")
    for name in ("hold", "release", "stop", "restore", "label"):
        assert viewer.post(path, {"csrf": csrf, "action": name, "address": "bob@example.org"}).status == 403, name
        assert operator().post(path, {"action": name, "address": "bob@example.org"}).status == 403, name


def busy():
    "among 30,000 leads the list is read by index, and its pages are forecast in time"
    sql(f"SELECT mailer.campaign_add_many({campaign}, ARRAY(SELECT 'lead' || lpad(i::text, 6, '0') || '@example.org' FROM generate_series(1, 30000) i))")
    sql("ANALYZE mailer.lead"), sql("ANALYZE mailer.message")
    plan = sql(f"EXPLAIN SELECT * FROM mailer.lead_status l WHERE l.campaign_id = {campaign} AND l.address_key > 'lead015000' ORDER BY l.address_key LIMIT 51")
    assert "using lead_" in plan and "Sort" not in plan and "Seq Scan on lead" not in plan, plan
    viewer = logged_in()
    for query in ("/leads", "/leads?address=lead02", "/leads?after=lead015000%40example.org", "/forecast", "/forecast?after=1000", "/forecast?all=1", ""):
        began = time.monotonic()
        clean(viewer.get(f"/campaigns/{campaign}{query}"))
        took = time.monotonic() - began
        print(f"# {query}: {took * 1000:.0f} ms", flush=True)
        assert took < 8, query
    page = clean(viewer.get(path + "?address=lead02"))
    following = html.unescape(re.search(r'href="(\?[^"]*after=[^"]*)"', page).group(1))
    assert "lead020050@" in clean(viewer.get(path + following))


run([listed, previewed, changed, what_if, rights, busy])

"""The pages of campaigns: list, and one campaign with its true schedule."""
import re
import time

from client import Browser, Web, conninfo, database, run, sql, until

web = Web("--database", conninfo)
hostile = "<script>alert(1)</script>\u202e"
every_day = "window_start => '00:00', window_end => '00:00', allowed_days => '{MON,TUE,WED,THU,FRI,SAT,SUN}'"


def logged_in(role="viewer", password="look"):
    browser = Browser(web)
    assert browser.log_in(role, password).status == 303
    return browser


def operator():
    return logged_in("operator <b>", "do")


def act(browser, path, name, /, **fields):
    return browser.post(path, {"csrf": browser.get(path).field("csrf"), "action": name, **fields})


def clean(page):
    """The page, once nothing of what the database said could act in it."""
    assert page.status == 200, (page.status, page.text)
    ours = re.sub(r'<ul class="alerts remarks".*?</ul>', "", page.text, flags=re.S)  # a hint of the database may speak of templates
    assert "<script>alert" not in page.text and "{{" not in ours, page.text
    return page.text


def scene():
    sql("SELECT mailer.campaign_cancel(campaign_id) FROM mailer.campaign_list WHERE state IN ('running', 'paused')")
    sql("SELECT mailer.campaign_delete(campaign_id) FROM mailer.campaign_list")  # what other files' tests left
    sql(f"SELECT mailer.mailbox_create('{hostile}box', 'localhost', from_address => 'sales@example.com', tls => 'none')")
    sql(f"SELECT mailer.template_set('{hostile}hello', 'Hello', 'Hello {{{{name}}}}')")


def make(name, count, settings="gap => '0.2 s', jitter => 0"):
    campaign = sql(f"SELECT mailer.campaign_create('{hostile}page {name}', '{hostile}hello', ARRAY['{hostile}box'], max_silence => NULL, {every_day}, {settings})")
    sql(f"SELECT mailer.campaign_add_many({campaign}, ARRAY(SELECT '{name}' || i || '@example.org' FROM generate_series(1, {count}) i))")
    return campaign


scene()


def empty():
    "without campaigns the list says so, and a viewer finds no form"
    page = clean(logged_in().get("/campaigns"))
    assert "No campaign is under way" in page and 'value="create"' not in page, page
    assert "No campaign is over yet" in clean(logged_in().get("/campaigns?which=over"))
    assert logged_in().get("/campaigns?which=x").status == 400


def created():
    "an operator makes a draft, sees its forecast, copies and cancels it"
    browser = operator()
    assert 'value="create"' in clean(browser.get("/campaigns"))
    long = hostile + "n" * 170
    answer = act(browser, "/campaigns", "create", name=long, template=hostile + "hello", mailbox=hostile + "box", day="SUN", window_start="22:00", window_end="03:30", gap="7 s", list="offers")
    assert answer.status == 303 and re.fullmatch(r"/campaigns/\d+", answer.headers["Location"]), answer.headers
    assert sql(f"SELECT allowed_days, window_start, window_end, gap, list FROM mailer.campaign_list WHERE campaign_id = {answer.headers['Location'][11:]}") == "{SUN}|22:00:00|03:30:00|00:00:07|offers"
    for wrong in ({"day": "someday"}, {"gap": "-1 s"}, {"gap": "often"}, {"window_start": "25:00"}):
        assert act(browser, "/campaigns", "create", name="wrong", template=hostile + "hello", **wrong).status == 400, wrong
    assert act(browser, "/campaigns", "create", name=long, template=hostile + "hello").status in (400, 409)
    assert act(browser, "/campaigns", "create", name="x" * 300, template=hostile + "hello").status == 400
    assert act(browser, "/campaigns", "create", name="other", template="none").status == 404
    campaign = sql("SELECT max(campaign_id) FROM mailer.campaign_list")
    path = f"/campaigns/{campaign}"
    page = clean(browser.get(path))
    assert "It has no leads yet" in page and "draft" in page and f"{path}/import" in page
    sql(f"SELECT mailer.campaign_add_many({campaign}, '{{one@example.org,two@example.org}}')")
    page = clean(browser.get(path))
    assert page.count('class="coming"') == 2 and "one@example.org" in page and "waits" in page
    assert act(browser, path, "copy", name="the copy").headers["Location"] == "/campaigns"
    assert "the copy" in clean(browser.get("/campaigns"))
    assert act(browser, path, "cancel", reason=hostile).status == 303
    assert hostile.replace("<", "&lt;").replace(">", "&gt;") in clean(browser.get(path))
    assert act(browser, path, "cancel").status == 409
    assert clean(browser.get("/campaigns?which=over")).count("cancelled") > 0


def came_true():
    "the schedule shows the forecast, and when the mails have gone, that it came true"
    campaign = make("true", 5)
    path, browser = f"/campaigns/{campaign}", operator()
    assert clean(browser.get(path)).count('class="coming"') == 5
    sql(f"ALTER DATABASE {database} SET mailer.delivery = 'capture'")
    assert act(browser, path, "start").headers["Location"] == path
    until(60, lambda: sql(f"SELECT state FROM mailer.campaign_list WHERE campaign_id = {campaign}") == "completed", "the campaign completes")
    sql(f"ALTER DATABASE {database} RESET mailer.delivery")
    page = clean(browser.get(path))
    assert page.count('class="sent"') == 5 and 'class="coming"' not in page and "nothing waits" in page, page
    assert len(re.findall(r'data-head="Foretold"><time>[^<]+</time> <small>[+-]\d+\.\d s</small>', page)) == 5, page
    assert "5 had been foretold" in page
    times = re.findall(r'class="sent"><td data-head="When"><time>([^<]+)', page)
    assert times == sorted(times)
    assert act(browser, path, "start").status == 409


def warned():
    "what the database warns of at an action is on the page that follows, once, and can do nothing there"
    name = "x<script>alert(1)</script>"
    sql(f"SELECT mailer.template_set('{hostile}gaps', 'Hello {{{{{name}}}}}', 'Hello {{{{company}}}}')")
    campaign = sql(f"SELECT mailer.campaign_create('{hostile}page gaps', '{hostile}gaps', ARRAY['{hostile}box'], gap => '1 hour')")
    sql(f"SELECT mailer.campaign_add_many({campaign}, '{{a@example.org,b@example.org,c@example.org}}', ARRAY['{{}}', '{{}}', '{{\"company\": \"C\", \"{name}\": 1}}']::jsonb[])")
    path, browser = f"/campaigns/{campaign}", operator()
    assert act(browser, path, "start").headers["Location"] == path
    assert "2 of 3" not in clean(browser.get(path, X_Refresh="1")), "a page that refreshes itself takes it away"
    page = clean(browser.get(path))
    warnings = re.search(r'<ul class="alerts remarks" role="status">(.*?)</ul>', page, re.S).group(1)
    assert warnings.count('<li class="warning">') == 2, warnings
    assert "2 of 3 leads lack variables" in warnings and "company, x&lt;script&gt;" in warnings, warnings
    assert "no way to unsubscribe" in warnings and "ALTER DATABASE" in warnings, warnings
    assert 'class="alerts remarks"' not in clean(browser.get(path)), "it is shown once"
    # A NOTICE is none of these, and what an earlier statement said isn't told of the next.
    sql(f"SELECT mailer.lead_hold({campaign}, 'a@example.org')")
    leads = path + "/leads"
    fields = {"csrf": browser.get(path).field("csrf"), "address": "a@example.org"}
    assert browser.post(leads, {**fields, "action": "hold"}).status == 303
    page = clean(browser.get(leads))
    assert "the lead is held already" in page and '<li class="warning">' not in page, page
    assert act(browser, path, "pause").status == 303 and 'class="alerts remarks"' not in clean(browser.get(path))
    assert act(browser, path, "cancel").status == 303


def missed():
    "slots that were missed stand in the line with their reason, and a pause with its own"
    campaign = make("missed", 3, "gap => '1 hour'")
    path, browser = f"/campaigns/{campaign}", operator()
    assert act(browser, path, "start").status == 303
    assert act(browser, path, "pause", reason="<b>holiday</b>").status == 303
    sql(f"INSERT INTO mailer.missed_slot_log VALUES ({campaign}, now() - interval '3 hours', now() - interval '1 hour', 2, 'campaign_running {hostile}')")
    page = clean(browser.get(path))
    assert "2 slots missed until" in page and "&lt;b&gt;holiday&lt;/b&gt;" in page and 'value="resume"' in page
    assert 'class="coming"' in page, "a paused campaign is foretold as if it went on now"
    assert act(browser, path, "resume").status == 303
    assert act(browser, path, "keep").status == 303 and "Kept the forecast of" in clean(browser.get(path))
    page = clean(browser.get(path))
    assert "campaign_gap" in page and "shut" in page
    assert act(browser, path, "cancel", reason="over").status == 303


def test_mail():
    "a test mail goes to an address of one's own"
    campaign = make("tested", 1)
    path, browser = f"/campaigns/{campaign}", operator()
    assert act(browser, path, "test", address="me@example.com").status == 303
    assert "is on its way" in clean(browser.get(path))
    assert sql("SELECT count(*) FROM mailer.sent_to('me@example.com')") == "1"
    for fields in ({"address": "nobody"}, {"address": ""}, {"address": "me@example.com", "step": "x"}):
        assert act(browser, path, "test", **fields).status == 400, fields
    assert act(browser, path, "test", address="me@example.com", step="7").status == 404


def rights():
    "a viewer sees no button, and a post without right or csrf gets 403"
    campaign = make("rights", 1)
    path = f"/campaigns/{campaign}"
    viewer = logged_in()
    page = clean(viewer.get(path))
    csrf = viewer.get(path).field("csrf")
    for name in ("start", "pause", "resume", "cancel", "copy", "keep", "retry_failed", "test"):
        assert f'value="{name}"' not in page, name
        assert viewer.post(path, {"csrf": csrf, "action": name, "name": "x", "address": "a@example.com"}).status == 403, name
        assert operator().post(path, {"action": name}).status == 403, name
    assert viewer.post("/campaigns", {"csrf": csrf, "action": "create", "name": "x"}).status == 403
    for path, status in (("/campaigns/999999", 404), ("/campaigns/x", 400), ("/campaigns/9" + "9" * 30, 404), ("/campaigns/-1", 404)):
        assert viewer.get(path).status == status, (path, viewer.get(path).status)


def busy():
    "a campaign of 30,000 and a list of 200 stay quick, and the past is paged"
    campaign = make("busy", 30000)
    sql(f"""WITH gone AS (DELETE FROM mailer.queue_entry q USING mailer.message m WHERE m.message_id = q.message_id AND m.campaign_id = {campaign} RETURNING q.message_id)
        INSERT INTO mailer.outcome (message_id, state, settled_at, mailbox_id, try_count, code, reply)
        SELECT message_id, 'S', now() - interval '1 day' + message_id * interval '1 ms', (SELECT mailbox_id FROM mailer.mailbox WHERE name = '{hostile}box'), 1, 250, 'taken' FROM gone""")
    sql(f"INSERT INTO mailer.tally_delta (campaign_id, queued, sent) VALUES ({campaign}, -30000, 30000)")
    sql(f"SELECT mailer.campaign_create('{hostile}many ' || i, '{hostile}hello') FROM generate_series(1, 200) i")
    sql("ANALYZE mailer.message"), sql("ANALYZE mailer.outcome"), sql("ANALYZE mailer.campaign")
    browser = logged_in()
    for path in ("/campaigns", f"/campaigns/{campaign}"):
        began = time.monotonic()
        clean(browser.get(path))
        took = time.monotonic() - began
        print(f"# {path}: {took * 1000:.0f} ms", flush=True)
        assert took < 5, path
    page = clean(browser.get(f"/campaigns/{campaign}"))
    assert page.count('class="sent"') == 25
    earlier = re.search(r'href="(\?after=\d+)">Earlier', page).group(1)
    page = clean(browser.get(f"/campaigns/{campaign}{earlier}"))
    assert page.count('class="sent"') == 25 and "Now." not in page and "Back to now" in page
    page = clean(browser.get("/campaigns"))
    assert page.count("<tr>") == 31
    following = re.search(r'href="(\?[^"]*after=\d+)"', page).group(1)
    assert clean(browser.get("/campaigns" + following)).count("<tr>") == 31


run([empty, created, came_true, warned, missed, test_mail, rights, busy])

"""The page of the log: who did what, and what became of messages."""
import urllib.parse

from client import Browser, Web, conninfo, run, sql, statistics_are_in, until

web = Web("--database", conninfo)
hostile = "<script>alert(6)</script>\u202e" + "v" * 150


def literal(text):
    return "'" + text.replace("'", "''") + "'"


def logged_in(role="viewer", password="look"):
    browser = Browser(web)
    assert browser.log_in(role, password).status == 303
    return browser


def query(**fields):
    return "/log?" + urllib.parse.urlencode(fields)


def next_of(page):
    return "/log" + page.text.split('rel="next"')[0].rsplit('href="', 1)[1].split('"')[0].replace("&amp;", "&")


def shown():
    "what a person did stands there with his name, and is found by kind, role, mailbox and campaign"
    sql(f"SELECT mailer.mailbox_create({literal(hostile)}, '127.0.0.1', from_address => 'a@example.com', tls => 'none')")
    operator = logged_in("operator <b>", "do")
    csrf = operator.get("/").field("csrf")
    assert operator.post("/mailboxes", {"action": "pause", "mailbox": hostile, "reason": hostile, "csrf": csrf}).status == 303
    campaign = sql("SELECT mailer.template_set('log', 'S', 'B'), mailer.campaign_create('logged', 'log')").split("|")[1]
    message = sql("SELECT mailer.enqueue('ann@example.com', 'S', 'B')")
    sql(f"SELECT mailer.cancel({message})")
    for browser in (logged_in(), operator):
        page = browser.get("/log")
        assert page.status == 200 and "mailbox_paused" in page.text and "operator &lt;b&gt;" in page.text and "campaign_created" in page.text
        assert "<script>alert" not in page.text and "&lt;script&gt;alert(6)" in page.text
        assert "<bdi>cancelled</bdi>" not in page.text and "<bdi>cancelled</bdi>" in browser.get(query(show="everything")).text
        assert f"/messages/{message}" in browser.get(query(show="people")).text
        for fields in ({"kind": "mailbox_paused"}, {"role": "operator <b>"}, {"mailbox": hostile}):
            page = browser.get(query(**fields))
            assert "mailbox_paused" in page.text and "campaign_created" not in page.text, fields
        page = browser.get(query(campaign=campaign))
        assert "campaign_created" in page.text and ">mailbox_paused<" not in page.text
        assert "Nothing is like that." in browser.get(query(kind="nothing")).text
        for fields in ({"show": "x"}, {"after": "x"}, {"campaign": "1;"}, {"after": "1" * 30}):
            assert browser.get(query(**fields)).status == 400, fields
        assert 'name="action"' not in page.text and browser.post("/log", {"action": "x", "csrf": page.field("csrf")}).status == 400
        assert browser.post("/log", {"action": "x"}).status == 403


def many():
    "behind thousands of sent mails a change is found step by step, and no table is read through"
    sql("SELECT mailer.template_set('gone', 'S', 'B'), mailer.template_delete('gone')")
    sql("""INSERT INTO mailer.message (tenant_id, principal_id, lane_id, addresses, roles, address_key, header_to, internet_message_id, subject)
        SELECT 1, 1, 1, ARRAY['many@example.com'], 't', 'many@example.com', 'many@example.com', 'l' || n, 'Logged' FROM generate_series(1, 40000) n""")
    sql("INSERT INTO mailer.outcome (message_id, state, settled_at) SELECT message_id, 'S', now() FROM mailer.message WHERE subject = 'Logged'")
    sql("ANALYZE mailer.message, mailer.outcome, mailer.event")
    tables = "schemaname = 'mailer' AND relname IN ('message', 'outcome', 'event')"
    read = lambda: int(sql(f"SELECT sum(seq_tup_read) FROM pg_stat_user_tables WHERE {tables}"))  # noqa: E731
    used = lambda: int(sql(f"SELECT sum(idx_scan) FROM pg_stat_user_tables WHERE {tables}"))  # noqa: E731
    statistics_are_in()
    before, used_before = read(), used()
    browser = logged_in()
    address, looks = query(kind="template_deleted"), 0
    while True:
        page = browser.get(address)
        assert page.status == 200
        looks += 1
        if 'data-head="What"' in page.text:
            break
        assert "Looked at everything since" in page.text and looks < 30
        address = next_of(page)
    assert looks > 2 and page.text.count("<bdi>template_deleted</bdi>") == 1
    page = browser.get(query(show="everything"))
    assert page.text.count('data-head="What"') == 50
    again = browser.get(next_of(page))
    links = lambda p: set(part.split('"')[0] for part in p.text.split('href="/messages/')[1:])  # noqa: E731
    assert len(links(page)) == len(links(again)) == 50 and not links(page) & links(again)
    until(30, lambda: used() > used_before, "the statistics arrive")
    # One plan may well read 40,000 rows through; a page that did so would at each of some twenty looks.
    assert looks > 15 and read() - before < 100_000, (looks, read() - before)


# Nothing that waits may be on its way to the scene's mail server, which isn't there.
sql("SELECT mailer.pause('a test')")
try:
    run([shown, many])
finally:
    sql("SELECT mailer.resume()")
    web.stop()

"""The page of contacts: a user's preferences and inbox, who gets no mail and why, forgetting a person."""
import urllib.parse

from client import Browser, Web, conninfo, run, sql, statistics_are_in, until

web = Web("--database", conninfo)
hostile = "<script>alert(4)</script>\u202e\u200f" + "w" * 140


def literal(text):
    return "'" + text.replace("'", "''") + "'"


def logged_in(role="viewer", password="look"):
    browser = Browser(web)
    assert browser.log_in(role, password).status == 303
    return browser


def operator():
    return logged_in("operator <b>", "do")


def query(**fields):
    return "/contacts?" + urllib.parse.urlencode(fields)


def next_of(page):
    return "/contacts" + page.text.split('rel="next"')[0].rsplit('href="', 1)[1].split('"')[0].replace("&amp;", "&")


def empty():
    "without contacts and suppressions the page says so"
    browser = logged_in()
    assert "No contact is like that." in browser.get("/contacts").text
    assert "Nothing keeps mail away." in browser.get("/contacts?list=suppressions").text


def user():
    "a user is found by id or address, with preferences, inbox and suppressions; the inbox is not for viewers"
    sql("SELECT mailer.template_set('news', 'Hello <i>{{name}}</i>', 'Text {{x}}')")
    sql(f"SELECT mailer.contact_set('17', 'Carol@Example.com', {literal(hostile)}, 'Europe/Warsaw', 'pl')")
    sql("SELECT mailer.category_set('talk <b>'), mailer.preference_set('17', 'talk <b>', email_enabled => false, digest => 'daily')")
    sql("SELECT mailer.notify('17', 'other', 'news', '{\"x\": \"<script>alert(5)</script>\"}')")
    sql("SELECT mailer.suppress('carol@example.com', 'asked <i>nicely</i>', now() + interval '3 days', 'bulk'), mailer.suppress('@example.com', 'all of it')")
    for browser, reads in ((logged_in(), False), (operator(), True)):
        page = browser.get(query(user="17"))
        assert page.status == 200 and "Carol@example.com" in page.text and "talk &lt;b&gt;" in page.text and "daily" in page.text
        assert ("Hello &lt;i&gt;" in page.text) == reads and ("may not read inboxes" in page.text) != reads
        assert "asked &lt;i&gt;nicely" in page.text and "*@example.com" in page.text and "Europe/Warsaw" in page.text
        assert "<script>alert" not in page.text and "<i>" not in page.text and "&lt;script&gt;alert(4)" in page.text
        page = browser.get(query(address="CAROL@example.com"))
        assert "user=17" in page.text and "asked &lt;i&gt;" in page.text
        page = browser.get(query(address="@example.com"))
        assert "all of it" in page.text and "user=17" not in page.text
    browser = operator()
    assert "No contact is like that." in browser.get(query(user="nobody")).text and "It is empty." in browser.get(query(user="nobody")).text
    assert browser.get(query(address="no address")).status == 400 and browser.get(query(user="x" * 300)).status == 400
    assert "No contact is like that." in logged_in().get(query(user="a\nb")).text


def suppressing():
    "an operator suppresses and lifts; a viewer has no button, and gets 403 when he posts"
    viewer, browser = logged_in(), operator()
    kept = lambda: sql("SELECT scope, reason, expires_at FROM mailer.suppression WHERE address_key = 'dora@example.com'")  # noqa: E731
    page = viewer.get("/contacts?list=suppressions")
    assert 'name="action"' not in page.text
    for action in ("suppress", "unsuppress", "forget"):
        fields = {"action": action, "address": "dora@example.com", "again": "dora@example.com", "scope": "all"}
        assert viewer.post("/contacts", {**fields, "csrf": page.field("csrf")}).status == 403
        assert browser.post("/contacts", fields).status == 403
    csrf = browser.get("/contacts").field("csrf")
    fields = {"action": "suppress", "address": "dora@example.com", "scope": "bulk", "reason": "<b>asked</b>", "expires_at": "2100-01-31 12:00+00", "csrf": csrf}
    assert kept() == ""
    for wrong in ({"address": "no address"}, {"scope": "nothing"}, {"expires_at": "whenever"}, {"address": ""}):
        assert browser.post("/contacts", {**fields, **wrong}).status == 400, wrong
    assert browser.post("/contacts", fields).status == 303
    assert kept().startswith("bulk|<b>asked</b>|2100-01-31")
    page = browser.get(query(address="dora@example.com"))
    assert "dora@example.com gets no mail from now on (bulk)" in page.text and "&lt;b&gt;asked" in page.text and 'value="unsuppress"' in page.text
    lift = {"action": "unsuppress", "address": "dora@example.com", "csrf": csrf}
    assert browser.post("/contacts", {**lift, "scope": "all"}).status == 303 and "There was no such suppression." in browser.get("/contacts").text
    assert browser.post("/contacts", {**lift, "scope": "bulk"}).status == 303 and kept() == ""


def forgetting():
    "a person is forgotten when the address was typed twice, and the page says what was erased and kept"
    browser = operator()
    sql("SELECT mailer.contact_set('18', 'gone@example.com', 'Gone'), mailer.enqueue('gone@example.com', 'S', 'B')")
    csrf = browser.get("/contacts").field("csrf")
    there = lambda: sql("SELECT count(*) FROM mailer.contact WHERE user_id = '18'")  # noqa: E731
    fields = {"action": "forget", "address": "gone@example.com", "csrf": csrf}
    for again in ("", "other@example.com"):
        assert browser.post("/contacts", {**fields, "again": again}).status == 400 and there() == "1"
    assert browser.post("/contacts", {**fields, "again": "gone@example.com"}).status == 303 and there() == "0"
    page = browser.get("/contacts")
    assert "Erased: 1 contacts" in page.text and "1 waiting mails cancelled" in page.text and "Kept: 1 lines of the ledger" in page.text, page.text


def many():
    "among thousands one is found by index, and the lists go on page by page without losing one"
    sql("""INSERT INTO mailer.contact (user_id, address, address_key) SELECT 'u' || n, 'u' || n || '@many.example', 'u' || n || '@many.example' FROM generate_series(1, 20000) n""")
    sql("INSERT INTO mailer.preference SELECT 'u' || n, 'c' || k, true, true, 'daily' FROM generate_series(1, 10000) n, generate_series(1, 2) k")
    sql("""INSERT INTO mailer.suppression (address_key, scope, address, created_by) SELECT 'u' || n || '@many.example', scope, 'u' || n || '@many.example', 'x'
        FROM generate_series(1, 10000) n, unnest(ARRAY['all', 'bulk', 'campaigns']) scope""")
    sql("ANALYZE mailer.contact, mailer.preference, mailer.suppression")
    tables = "schemaname = 'mailer' AND relname IN ('contact', 'preference', 'suppression', 'notification', 'notification_item')"
    read = lambda: int(sql(f"SELECT sum(seq_tup_read) FROM pg_stat_user_tables WHERE {tables}"))  # noqa: E731
    used = lambda: int(sql(f"SELECT sum(idx_scan) FROM pg_stat_user_tables WHERE {tables}"))  # noqa: E731

    def rows_read_for_all_pages():
        statistics_are_in()
        before, used_before = read(), used()
        browser = operator()
        assert browser.get(query(user="u777")).text.count('data-head="Category"') == 2
        assert browser.get(query(address="u777@many.example")).text.count('data-head="Gets no"') == 3
        seen, address = [], "/contacts?list=suppressions"
        for _ in range(4):
            page = browser.get(address)
            cells = [part.split("</td>")[0] for part in page.text.split('data-head="Address">')[1:]]
            scopes = [part.split("</td>")[0] for part in page.text.split('data-head="Gets no">')[1:]]
            seen += zip(cells, scopes)
            address = next_of(page)
        assert len(seen) == len(set(seen)) == 200
        expected = sql("SELECT string_agg(address || '|' || scope, ' ' ORDER BY address_key, scope) FROM (SELECT * FROM mailer.suppression ORDER BY address_key, scope LIMIT 200) s")
        assert " ".join(f"{a}|{s}" for a, s in seen).replace("<bdi>", "").replace("</bdi>", "") == expected
        page = browser.get("/contacts")
        assert page.text.count('data-head="User"') == 50 and browser.get(next_of(page)).text.count('data-head="User"') == 50
        until(30, lambda: used() > used_before, "the statistics arrive")
        return read() - before

    # The database's own upkeep may read a table meanwhile; a page that does so does it each time.
    counts = []
    while not counts or (counts[-1] >= 2000 and len(counts) < 3):
        counts.append(rows_read_for_all_pages())
    assert counts[-1] < 2000, counts


# Nothing that waits may be on its way to the scene's mail server, which isn't there.
sql("SELECT mailer.pause('a test')")
try:
    run([empty, user, suppressing, forgetting, many])
finally:
    sql("SELECT mailer.resume()")
    web.stop()

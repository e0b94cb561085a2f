"""The pages of messages: finding one among many, what became of it, and what a person may do about it."""
import base64
import os
import subprocess
import urllib.parse

from client import Browser, Web, conninfo, run, sql, statistics_are_in, until

web = Web("--database", conninfo)
hostile = "<script>alert(1)</script>\u202e\u200f" + "x" * 300


def literal(text):
    return "'" + text.replace("'", "''") + "'"


def logged_in(role="viewer", password="look"):
    browser = Browser(web)
    assert browser.log_in(role, password).status == 303
    return browser


def operator():
    return logged_in("operator <b>", "do")


def query(**fields):
    return "/messages?" + urllib.parse.urlencode(fields)


def enqueue(address="ann@example.com", subject="Hello", text="Text", **more):
    rest = "".join(f", {name} => {literal(value)}" for name, value in more.items())
    return sql(f"SELECT mailer.enqueue({literal(address)}, {literal(subject)}, {literal(text)}{rest})")


def settle(message, state, reason=None):
    """As the engine would, without a mail server."""
    sql(f"""WITH gone AS (DELETE FROM mailer.queue_entry WHERE message_id = {message} RETURNING message_id)
        INSERT INTO mailer.outcome (message_id, state, reason, settled_at, try_count, attempt_count, code, reply)
        SELECT message_id, '{state}', {literal(reason) if reason else 'NULL'}, now(), 1, 1, 550, '550 <b>no</b> such user' FROM gone""")
    sql(f"""INSERT INTO mailer.attempt (message_id, attempt, started_at, finished_at, stage, code, reply, outcome)
        VALUES ({message}, 1, now(), now(), 'rcpt', 550, '550 <b>no</b> such user', 'failed')""")


def empty():
    "before anything was queued the list says so"
    assert "Nothing was queued yet." in logged_in().get("/messages").text


def search():
    "a message is found by address, id, external id, state and time, and not by others'"
    browser = logged_in()
    one = enqueue("Ann@Example.com", external_id="order 17")
    other = enqueue("bob@example.com")
    settle(other, "f", "rejected")
    link = f'href="/messages/{one}"'
    for fields in ({"address": "ann@EXAMPLE.com"}, {"id": one}, {"external_id": "order 17"}, {"state": "pending"}, {"from": "2020-01-01"},
                   {"address": "ann@example.com", "state": "pending", "external_id": "order 17", "id": one, "to": "2100-01-01"}):
        page = browser.get(query(**fields))
        assert page.status == 200 and link in page.text, (fields, page.text)
    for fields in ({"address": "bob@example.com"}, {"id": other}, {"external_id": "order"}, {"state": "failed"}, {"state": "refused"}, {"to": "2020-01-01"},
                   {"from": "2100-01-01"}, {"address": "ann@example.com", "state": "failed"}, {"id": one, "external_id": "another"},
                   {"id": one, "from": "2100-01-01"}):
        page = browser.get(query(**fields))
        assert page.status == 200 and link not in page.text, fields
    assert f'href="/messages/{other}"' in browser.get(query(state="failed")).text
    assert "No message is like that." in browser.get(query(external_id="nothing")).text
    for fields in ({"id": "x"}, {"id": "1" * 30}, {"from": "yesterdayish"}, {"address": "no address"}, {"after": "1;2"}):
        assert browser.get(query(**fields)).status == 400, fields


def many():
    "among thousands every message is on one page, and the search for a state says how far it looked; no table is read through"
    sql("""INSERT INTO mailer.message (tenant_id, principal_id, lane_id, addresses, roles, address_key, header_to, internet_message_id, subject, created_at)
        SELECT 1, 1, 1, ARRAY['many@example.com'], 't', 'many@example.com', 'many@example.com', 'i' || n, 'One of many', now() - interval '1 day' + n * interval '1 s'
        FROM generate_series(1, 30000) n""")
    sql("""INSERT INTO mailer.outcome (message_id, state, reason, settled_at)
        SELECT message_id, CASE WHEN internet_message_id IN ('i5', 'i6') THEN 'u' ELSE 'S' END, CASE WHEN internet_message_id IN ('i5', 'i6') THEN 'reply_lost' END, now()
        FROM mailer.message WHERE subject = 'One of many'""")
    # VACUUM, not ANALYZE alone: what is left to summarize in a BRIN index autovacuum would read while we count.
    sql("VACUUM ANALYZE mailer.message, mailer.outcome, mailer.queue_entry")
    browser = logged_in()
    read = lambda: int(sql("SELECT sum(seq_tup_read) FROM pg_stat_user_tables WHERE schemaname = 'mailer' AND relname IN ('message', 'outcome', 'attempt')"))  # noqa: E731
    used = lambda: int(sql("SELECT idx_scan FROM pg_stat_user_indexes WHERE schemaname = 'mailer' AND indexrelname = 'message_pkey'"))  # noqa: E731
    lost = sql("SELECT message_id FROM mailer.message WHERE internet_message_id = 'i6'")
    middle = sql("SELECT created_at FROM mailer.message WHERE internet_message_id = 'i15000'")
    until(30, lambda: sql("SELECT count(*) FROM mailer.tally WHERE scope = 'a'") == "1", "the worker has counted, once, what was there before it came")
    statistics_are_in()
    before, used_before = read(), used()
    # The unconfirmed ones are the oldest: three times further back.
    address, looks = query(state="unconfirmed"), 0
    while True:
        page = browser.get(address)
        assert page.status == 200
        looks += 1
        if f'href="/messages/{lost}"' in page.text:
            break
        assert "Looked back to message" in page.text and looks < 25
        address = "/messages" + page.text.split('href="?')[1].split('"')[0].replace("&amp;", "&").join(["?", ""])
    assert looks > 2, looks
    assert browser.get(query(address="many@example.com")).text.count("One of many") == 50
    page = browser.get(query(to=middle))
    assert f'href="/messages/{int(lost) + 14993}"' in page.text and f'href="/messages/{int(lost) + 14994}"' not in page.text
    seen, address = [], query(**{"from": middle, "state": "sent"})
    for _ in range(3):
        page = browser.get(address)
        seen += [part.split('"')[0] for part in page.text.split('href="/messages/')[1:]]
        address = "/messages" + page.text.split('href="?')[1].split('"')[0].replace("&amp;", "&").join(["?", ""])
    assert len(seen) == len(set(seen)) == 150 and seen == sorted(seen, key=int, reverse=True)
    until(30, lambda: used() > used_before, "the statistics arrive")
    assert read() - before < 1000, read() - before


def one():
    "a message shows its attempts with the server's words, what came back, and why it waits"
    browser = operator()
    message = enqueue("dead@example.com", external_id="<i>x</i>")
    page = browser.get(f"/messages/{message}")
    assert page.status == 200 and "What it waits for" in page.text and "It was not tried yet." in page.text
    assert "&lt;i&gt;x&lt;/i&gt;" in page.text and "<i>x" not in page.text
    settle(message, "f", "rejected")
    sql(f"""INSERT INTO mailer.feedback (feedback_id, at, kind, is_hard, message_id, address, words, source, evidence, is_guess, is_counted, report_key)
        VALUES (nextval('mailer.event_id_seq'), now(), 'bounce', true, {message}, 'dead@example.com', {literal(hostile)}, 'imap', 'id', false, true, 'k')""")
    page = browser.get(f"/messages/{message}")
    assert "rejected" in page.text and "550 &lt;b&gt;no&lt;/b&gt; such user" in page.text and "hard bounce" in page.text
    assert "<script>alert" not in page.text and "<b>no" not in page.text and "What it waits for" not in page.text
    for path, status in (("/messages/999999999", 404), ("/messages/x", 400), ("/messages/99999999999999999999", 404), ("/messages/1x", 400),
                         ("/messages/999999999/html", 404), ("/messages/999999999/source", 404)):
        assert browser.get(path).status == status, path


def content():
    "content is text, a frame in which nothing runs, and source; not for viewers"
    attack = '<p onclick="alert(1)">Hi</p><script>alert(1)</script><img src="http://evil.example/x">'
    message = enqueue("ann@example.com", "Hi " + hostile[:200], "Text </pre><script>alert(2)</script>", body_html=attack)
    browser, viewer = operator(), logged_in()
    page = browser.get(f"/messages/{message}")
    assert "Text &lt;/pre&gt;&lt;script&gt;alert(2)" in page.text and f'src="/messages/{message}/html"' in page.text and 'sandbox=""' in page.text
    assert "<script>alert" not in page.text and "frame-src 'self'" in page.headers["Content-Security-Policy"]
    frame = browser.get(f"/messages/{message}/html")
    policy = frame.headers["Content-Security-Policy"]
    assert frame.status == 200 and "<script>alert(1)" in frame.text
    assert policy.startswith("sandbox;") and "default-src 'none'" in policy and "allow-" not in policy and "script-src" not in policy and "frame-ancestors 'self'" in policy
    source = browser.get(f"/messages/{message}/source")
    assert source.status == 200 and b"Subject:" in source.body and "attachment" in source.headers["Content-Disposition"]
    assert source.headers["Content-Type"] == "application/octet-stream"
    stored = subprocess.run(["psql", "-XqAt", "-c", f"SELECT encode(mailer.message_source({message}), 'base64')"], check=True, capture_output=True)
    fields = lambda raw: [line for line in raw.splitlines() if not line.startswith((b"Date:", b"\t", b" ")) and b"boundary" not in line and not line.startswith(b"--")]  # noqa: E731
    assert fields(source.body) == fields(base64.b64decode(stored.stdout))
    page = viewer.get(f"/messages/{message}")
    assert page.status == 200 and "may not read the content" in page.text and "Text &lt;" not in page.text and "iframe" not in page.text
    assert viewer.get(f"/messages/{message}/html").status == 403 and viewer.get(f"/messages/{message}/source").status == 403
    sql(f"UPDATE mailer.message SET purged_at = now(), body_text = NULL, body_html = NULL, subject = NULL WHERE message_id = {message}")
    sql(f"DELETE FROM mailer.queue_entry WHERE message_id = {message}")
    sql(f"INSERT INTO mailer.outcome (message_id, state, settled_at) VALUES ({message}, 'S', now())")
    page = browser.get(f"/messages/{message}")
    assert page.status == 200 and "purged" in page.text and browser.get(f"/messages/{message}/html").status == 409


def actions():
    "an operator cancels, retries and resolves; a viewer has no button, and gets 403 when he posts"
    viewer, browser = logged_in(), operator()
    waits, failed, lost = enqueue(), enqueue(), enqueue()
    settle(failed, "f", "rejected")
    settle(lost, "u", "reply_lost")
    for message, action in ((waits, "cancel"), (failed, "retry"), (lost, "resolve")):
        page = viewer.get(f"/messages/{message}")
        assert page.status == 200 and 'name="action"' not in page.text, message
        assert viewer.post(f"/messages/{message}", {"action": action, "outcome": "sent", "csrf": page.field("csrf")}).status == 403
        page = browser.get(f"/messages/{message}")
        assert page.text.count('name="action"') == page.text.count(f'value="{action}"') == (2 if action == "resolve" else 1), page.text
        assert browser.post(f"/messages/{message}", {"action": action, "outcome": "sent"}).status == 403
        assert browser.post(f"/messages/{message}", {"action": action, "outcome": "sent", "csrf": "x"}).status == 403
    state = lambda message: sql(f"SELECT state FROM mailer.message_status WHERE message_id = {message}")  # noqa: E731
    assert [state(m) for m in (waits, failed, lost)] == ["pending", "failed", "unconfirmed"]
    csrf = browser.get(f"/messages/{waits}").field("csrf")
    post = lambda message, **fields: browser.post(f"/messages/{message}", {"csrf": csrf, **fields}).status  # noqa: E731
    assert post(waits, action="cancel") == 303 and state(waits) == "cancelled" and "Cancelled." in browser.get(f"/messages/{waits}").text
    assert post(waits, action="cancel") == 303 and "Nothing was cancelled" in browser.get(f"/messages/{waits}").text
    assert post(failed, action="retry") == 303 and state(failed) == "pending"
    assert post(lost, action="resolve", outcome="maybe") == 400 and state(lost) == "unconfirmed"
    assert post(lost, action="resolve", outcome="resend") == 303 and state(lost) == "pending"
    assert post(lost, action="resolve", outcome="sent") == 409
    assert post("999999999", action="cancel") == 303 and post("999999999", action="resolve", outcome="sent") == 404


def hostile_names():
    "whatever stands in a name, it is text on the page"
    sql(f"SELECT mailer.template_set({literal(hostile[:150])}, 'S {hostile[:80]}', 'B')")
    message = enqueue("ann@example.com", subject=hostile, external_id=hostile, thread_key=hostile[:200], idempotency_key=hostile[:200])
    other = sql(f"SELECT mailer.enqueue('\"<script>\"@example.com', template => {literal(hostile[:150])})")
    browser = operator()
    for path in (f"/messages/{message}", f"/messages/{other}", "/messages", query(external_id=hostile), query(address='"<script>"@example.com')):
        page = browser.get(path)
        assert page.status == 200 and "<script>alert" not in page.text and "&lt;script&gt;" in page.text, (path, page.text)
        assert "<script>" not in page.text.replace('<script src="/static', ""), path


# Nothing that waits may be on its way to the scene's mail server, which isn't there.
sql("SELECT mailer.pause('a test')")
try:
    run([empty, search, many, one, content, actions, hostile_names])
finally:
    sql("SELECT mailer.resume()")
    web.stop()

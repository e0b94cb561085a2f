"""The pages of mailboxes: who sends, listens and is connected; pausing, testing, connecting."""
import socket
import threading
import urllib.parse

from client import Browser, Web, conninfo, run, sql, until

web = Web("--database", conninfo)
hostile = "<script>alert(2)</script>\u202e" + "y" * 150


def literal(text):
    return "'" + text.replace("'", "''") + "'"


def logged_in(role="viewer", password="look"):
    browser = Browser(web)
    assert browser.log_in(role, password).status == 303
    return browser


def operator():
    return logged_in("operator <b>", "do")


def create(name, host="127.0.0.1", port=25):
    return sql(f"SELECT mailer.mailbox_create({literal(name)}, {literal(host)}, port => {port}, from_address => 'a@example.com', tls => 'none')")


def listed():
    "the list counts who is connected, shows every mailbox, and puts what needs a person first"
    for n in range(120):
        sql(f"SELECT mailer.mailbox_create('box {n:03}', '127.0.0.1', from_address => 'box{n}@example.com', tls => 'none', daily_limit => 40, gap => '90 s')")
    sql("""SELECT mailer.oauth_set('box 007', '{"provider": "google", "client_id": "c", "client_secret": "s", "grant": "refresh_token",
        "redirect_uri": "http://127.0.0.1/oauth/callback", "login": "a@example.com"}')""")
    sql("SELECT mailer.mailbox_pause('box 011', 'a <b>reason</b>')")
    browser = logged_in()
    page = browser.get("/mailboxes")
    assert page.status == 200 and "0 of 1" in page.text and "0 of 40" in page.text and "00:01:30" in page.text
    assert "a &lt;b&gt;reason" in page.text and "<b>reason" not in page.text
    assert page.text.index("box 007") < page.text.index("box 011") < page.text.index("box 000"), "what needs a person doesn't come first"
    more = browser.get("/mailboxes" + page.text.split('href="?')[1].split('"')[0].replace("&amp;", "&").join(["?", ""]))
    assert "box 119" in more.text and "box 007" not in more.text
    assert "box 007" in browser.get("/mailboxes?show=not+connected").text and "box 000" not in browser.get("/mailboxes?show=not+connected").text
    assert "box 011" in browser.get("/mailboxes?show=paused").text
    assert "<script>alert" not in page.text


def shown():
    "one mailbox shows quota, pace, breakers, token, bounces and shield; an unknown one is 404"
    box = create(hostile)
    for browser in (logged_in(), operator()):
        page = browser.get(f"/mailboxes/{box}")
        assert page.status == 200 and "<script>alert" not in page.text and "&lt;script&gt;" in page.text
        for word in ("no limit", "a gap of", "Sending breaker", "Listening", "logs in with its password, or not at all", "it sent nothing in 30 days", "Shield"):
            assert word in page.text, word
        for path, status in (("/mailboxes/999999", 404), ("/mailboxes/x", 400), ("/mailboxes/99999999999999999999", 404)):
            assert browser.get(path).status == status, path


def actions():
    "an operator pauses and resumes from the list and the page; a viewer has no button, and gets 403 when he posts"
    name, viewer, browser = "Pause & <me>", logged_in(), operator()
    box = create(name)
    state = lambda: sql(f"SELECT state, reason FROM mailer.mailbox_status WHERE mailbox_id = {box}")  # noqa: E731
    for path in ("/mailboxes", f"/mailboxes/{box}"):
        page = viewer.get(path)
        assert 'name="action"' not in page.text
        for action in ("pause", "resume", "test", "connect"):
            assert viewer.post(path, {"action": action, "mailbox": name, "provider": "google", "csrf": page.field("csrf")}).status == 403, action
        csrf = browser.get(path).field("csrf")
        assert browser.post(path, {"action": "pause", "mailbox": name}).status == 403
        assert browser.post(path, {"action": "pause", "csrf": csrf}).status == 400
        assert browser.post(path, {"action": "pause", "mailbox": "nobody's", "csrf": csrf}).status == 404
        assert state() == "ready|"
        answer = browser.post(path, {"action": "pause", "mailbox": name, "reason": "<i>why</i>", "csrf": csrf})
        assert (answer.status, answer.headers["Location"]) == (303, path) and state() == "paused|<i>why</i>"
        page = browser.get(path)
        assert "Pause &amp; &lt;me&gt; is paused" in page.text and "<i>why" not in page.text and 'value="resume"' in page.text
        assert browser.post(path, {"action": "resume", "mailbox": name, "csrf": csrf}).status == 303 and state() == "ready|"


def added():
    "an operator adds a mailbox and changes its password, which no page and no log shows; a viewer can do neither"
    name, viewer, browser = "added <i>", logged_in(), operator()
    fields = {"action": "create", "name": name, "host": "localhost", "port": "2525", "tls": "none", "from_address": "added@example.com", "from_name": "Added & co", "username": "ann", "password": "first secret",
              "daily_limit": "40", "csrf": browser.get("/mailboxes").field("csrf")}
    assert "New mailbox" not in viewer.get("/mailboxes").text
    assert viewer.post("/mailboxes", {**fields, "csrf": viewer.get("/").field("csrf")}).status == 403
    assert browser.post("/mailboxes", {**fields, "csrf": "x"}).status == 403
    for wrong in ({"port": "x"}, {"port": "70000"}, {"host": ""}, {"from_address": "nobody"}, {"tls": "perhaps"}, {"provider": "hotmail", "host": ""}, {"daily_limit": "1e9"}):
        answer = browser.post("/mailboxes", {**fields, **wrong})
        assert answer.status == 400, (wrong, answer.status, answer.text)
    assert sql("SELECT count(*) FROM mailer.mailbox_status WHERE mailbox = 'added <i>'") == "0"
    answer = browser.post("/mailboxes", fields)
    box = sql("SELECT mailbox_id FROM mailer.mailbox_status WHERE mailbox = 'added <i>'")
    assert (answer.status, answer.headers["Location"]) == (303, f"/mailboxes/{box}"), answer.text
    assert sql(f"SELECT host, port, tls, from_address, from_name, username, has_password, daily_limit FROM mailer.mailbox_status WHERE mailbox_id = {box}") == \
        "localhost|2525|none|added@example.com|Added & co|ann|t|40"
    assert browser.post("/mailboxes", fields).status == 409, "the name is taken"
    path = f"/mailboxes/{box}"
    page = browser.get(path)
    assert "is there. Test its login" in page.text and "New password" in page.text and "New password" not in viewer.get(path).text
    change = {"action": "password", "mailbox": name, "password": "second secret", "csrf": page.field("csrf")}
    assert viewer.post(path, {**change, "csrf": viewer.get("/").field("csrf")}).status == 403
    assert browser.post(path, {**change, "password": ""}).status == 400
    assert browser.post(path, change).status == 303
    assert sql(f"SELECT password FROM mailer.mailbox_secret WHERE mailbox_id = {box}") == "second secret"
    for shown in (path, "/mailboxes", "/log"):
        assert "first secret" not in browser.get(shown).text and "second secret" not in browser.get(shown).text, shown
    google = browser.post("/mailboxes", {"action": "create", "name": "of google", "provider": "google", "username": "ann@example.com", "csrf": fields["csrf"]})
    assert google.status == 303 and sql("SELECT host FROM mailer.mailbox_status WHERE mailbox = 'of google'") == "smtp.gmail.com", google.text
    # An application that is stored is named alone.
    sql("""SELECT mailer.oauth_app_set('shared', '{"provider": "google", "client_id": "c", "client_secret": "s", "grant": "refresh_token", "redirect_uri": "https://mail.example.com/oauth/callback"}')""")
    path = google.headers["Location"] + "/connect"
    assert browser.post(path, {"action": "connect", "mailbox": "of google", "csrf": fields["csrf"]}).status == 400
    assert browser.post(path, {"action": "connect", "mailbox": "of google", "app": "shared", "csrf": fields["csrf"]}).status == 303
    assert "Go to the provider" in browser.get(path).text


def tested():
    "the steps of a test are shown while it still runs, and how it ended"
    server = socket.create_server(("127.0.0.1", 0))
    name, browser = "tested <b>", operator()
    box = create(name, port=server.getsockname()[1])
    go_on = threading.Event()

    def serve():
        with server.accept()[0] as one, one.makefile("rb") as lines:
            one.sendall(b"220 test ESMTP\r\n")
            lines.readline()
            go_on.wait(60)
            one.sendall(b"550 <b>go away</b>\r\n")
            for _ in range(2):
                lines.readline()
                try:
                    one.sendall(b"550 <b>go away</b>\r\n")
                except OSError:
                    break

    threading.Thread(target=serve, daemon=True).start()
    path = f"/mailboxes/{box}"
    csrf = browser.get(path).field("csrf")
    answers = []
    asks = threading.Thread(target=lambda: answers.append(browser.post(path, {"action": "test", "mailbox": name, "csrf": csrf})))
    asks.start()
    try:
        until(30, lambda: '<ol class="steps"><li>' in browser.get(path, X_Refresh="1").text, "the first step is shown")
        page = browser.get(path, X_Refresh="1")
        assert "It goes on" in page.text and "Failed." not in page.text, page.text
    finally:
        go_on.set()
        asks.join()
    assert answers[0].status == 303, answers[0].text
    page = browser.get(path)
    assert "The test failed" in page.text and "Failed." in page.text and "&lt;b&gt;go away" in page.text and "<b>go away" not in page.text
    assert "Failed." not in operator().get(path).text, "another session sees it"
    assert browser.get("/").status == 200


def connected():
    "a mailbox is connected to Google with a link to its page of consent, and without leaking the secret"
    name, viewer, browser = "to connect", logged_in(), operator()
    box = create(name)
    path = f"/mailboxes/{box}/connect"
    assert viewer.get(path).status == 403 and "/connect" not in viewer.get(f"/mailboxes/{box}").text
    page = browser.get(path)
    assert page.status == 200 and f"http://127.0.0.1:{web.port}/oauth/callback" in page.text and "Go to the provider" not in page.text
    fields = {"action": "connect", "mailbox": name, "provider": "google", "client_id": "id<b>", "client_secret": "very secret", "login": "ann@example.com",
              "redirect_uri": "https://mail.example.com/oauth/callback", "csrf": page.field("csrf")}
    assert browser.post(path, {**fields, "provider": "somebody"}).status == 400
    assert browser.post(path, {**fields, "app": "no such app"}).status == 404
    assert browser.post(path, {**fields, "csrf": "x"}).status == 403
    assert browser.post(path, fields).status == 303
    page = browser.get(path)
    assert page.status == 200 and "very secret" not in page.text and "id<b>" not in page.text
    url = page.text.split('<pre dir="ltr" tabindex="0">')[1].split("<")[0].replace("&amp;", "&")
    query = urllib.parse.parse_qs(urllib.parse.urlsplit(url).query)
    assert url.startswith("https://accounts.google.com/") and query["client_id"] == ["id<b>"] and query["redirect_uri"] == ["https://mail.example.com/oauth/callback"]
    assert "not given yet" in browser.get(f"/mailboxes/{box}").text and browser.get("/mailboxes/999999/connect").status == 404


try:
    run([listed, shown, actions, added, tested, connected])
finally:
    web.stop()

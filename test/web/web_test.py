"""mailer-web from outside: what it answers to whom."""
import base64
import json
import os
import socket
import subprocess
import threading
import time

from client import Browser, Web, certificate, conninfo, run, slow_person, sql, until, work

web = Web("--database", conninfo, "--gateway", conninfo + " user=gateway")


def logged_in(role="viewer", password="look"):
    browser = Browser(web)
    answer = browser.log_in(role, password)
    assert (answer.status, answer.headers["Location"]) == (303, "/"), (answer.status, answer.text)
    return browser


def login():
    "a viewer logs in, sees the overview, and logs out"
    browser = Browser(web)
    assert (browser.get("/").status, browser.get("/").headers["Location"]) == (303, "/login")
    answer = browser.log_in("viewer", "look")
    cookie = [c for c in answer.headers.get_all("Set-Cookie") if c.startswith("mailer_session=")][0]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and "Secure" not in cookie, cookie
    page = browser.get("/")
    assert page.status == 200 and "What needs a person" in page.text and "Next due" in page.text
    assert browser.ask("HEAD", "/").status == 200
    assert browser.post("/logout", {}).status == 403
    assert browser.post("/logout", {"csrf": page.field("csrf")}).headers["Location"] == "/login"
    assert browser.get("/").status == 303


def refused():
    "wrong passwords, unknown roles, superusers, senders and roles that the server trusts are refused"
    wrong, unknown = Browser(web).log_in("viewer", "no"), Browser(web).log_in("nobody", "no")
    assert wrong.status == unknown.status == 401
    strip = lambda a, name: a.text.replace(name, "").replace(a.field("csrf"), "")  # noqa: E731
    assert strip(wrong, "viewer") == strip(unknown, "nobody")
    assert Browser(web).log_in("boss", "boss").status == 403
    assert Browser(web).log_in("sender", "send").status == 403
    assert Browser(web).log_in("viewer", "").status == 401, "the password of pgpass was used"
    on_socket = Web("--database", f"host={os.environ['PGHOST']} port={os.environ['PGPORT']} dbname={os.environ['PGDATABASE']}")
    try:
        assert Browser(on_socket).log_in("trusted", "anything").status == 401
    finally:
        on_socket.stop()


def secure_cookie():
    "behind a proxy with TLS the cookie is Secure"
    answer = Browser(web, X_Forwarded_Proto="https", X_Forwarded_For="203.0.113.9").log_in("viewer", "look")
    assert any("mailer_session" in c and "Secure" in c for c in answer.headers.get_all("Set-Cookie"))


def csrf():
    "a POST without the csrf of its session is refused, also at the login"
    browser = logged_in("operator <b>", "do")
    other = logged_in("operator <b>", "do").get("/").field("csrf")
    for fields in ({"action": "pause"}, {"action": "pause", "csrf": "x"}, {"action": "pause", "csrf": other}):
        assert browser.post("/", fields).status == 403, fields
    assert Browser(web).post("/login", {"role": "viewer", "password": "look"}).status == 403
    assert sql("SELECT paused FROM mailer._metric_sending()") == "0"


def throttle():
    "who guesses passwords is slowed down, for that address and role alone"
    guesser = Browser(web, X_Forwarded_For="198.51.100.7")
    answers = [guesser.log_in("viewer", "guess").status for _ in range(7)]
    assert answers[0] == 401 and answers[-1] == 429, answers
    late = guesser.log_in("viewer", "look")
    assert late.status == 429 and int(late.headers["Retry-After"]) > 0
    assert guesser.log_in("operator <b>", "do").status == 303
    assert Browser(web, X_Forwarded_For="198.51.100.8").log_in("viewer", "look").status == 303


def rights():
    "an operator pauses and resumes, a viewer has no button and gets 403"
    viewer, operator = logged_in(), logged_in("operator <b>", "do")
    page = viewer.get("/")
    assert "Pause all sending" not in page.text
    assert viewer.post("/", {"action": "pause", "csrf": page.field("csrf")}).status == 403
    page = operator.get("/")
    assert "Pause all sending" in page.text and "operator &lt;b&gt;" in page.text
    answer = operator.post("/", {"action": "pause", "reason": "<i>audit</i>", "csrf": page.field("csrf")})
    assert (answer.status, answer.headers["Location"]) == (303, "/")
    assert sql("SELECT paused FROM mailer._metric_sending()") == "1"
    page = operator.get("/")
    assert "Sending is paused" in page.text and "&lt;i&gt;audit" in page.text and "<i>" not in page.text
    assert operator.get("/").text.count("Sending is paused.") == 0, "the notice is shown once"
    assert operator.post("/", {"action": "resume", "csrf": page.field("csrf")}).status == 303
    assert sql("SELECT paused FROM mailer._metric_sending()") == "0"
    assert operator.post("/", {"action": "nothing", "csrf": page.field("csrf")}).status == 400


def revoked():
    "a right that is taken back stops working within a minute, a password too"
    sql("CREATE ROLE short LOGIN PASSWORD 'short'")
    sql("SELECT mailer.grant_viewer('short')")
    browser = logged_in("short", "short")
    assert browser.get("/").status == 200
    sql("SELECT mailer.revoke('short')")
    assert browser.get("/").status == 403
    until(90, lambda: browser.get("/").status == 303, "the session ends")


def addresses():
    "unknown is 404, malformed 400, another method 405; a favicon, HEAD as GET, headers that protect"
    browser = logged_in()
    assert browser.get("/nothing").status == 404 and Browser(web).get("/nothing").status == 404
    for path in ("/%zz", "/?a=%", "/%ff", "/?x=%00"):
        assert browser.get(path).status == 400, path
    assert browser.ask("PUT", "/").status == 405
    assert Browser(web).get("/favicon.ico").status == 200
    page = browser.get("/")
    assert "default-src 'none'" in page.headers["Content-Security-Policy"] and page.headers["Cache-Control"] == "no-store"
    for part in ("style.css", "script.js"):
        assert browser.get("/static/" + part).status == 200
    assert browser.get("/static/layout.html").status == 404
    head = browser.ask("HEAD", "/login")
    assert head.status == 200 and head.body == b""


def unsubscribe():
    "/u/TOKEN asks on GET, unsubscribes on POST without cookie or csrf, again and again"
    token = sql("SELECT mailer._unsubscribe_token(0, 'ann@example.com', 'list:news')")
    anybody = Browser(web)
    page = anybody.get("/u/" + token)
    assert page.status == 200 and "ann@example.com" in page.text and "news" in page.text and not anybody.cookies
    assert anybody.ask("HEAD", "/u/" + token).status == 200
    stopped = lambda: sql("SELECT string_agg(scope, ' ' ORDER BY scope) FROM mailer.suppression WHERE address_key = 'ann@example.com'")  # noqa: E731
    assert stopped() == ""
    for _ in range(2):
        answer = anybody.post("/u/" + token, {"List-Unsubscribe": "One-Click"})
        assert answer.status == 200 and "ann@example.com" in answer.text and "Set-Cookie" not in answer.headers
    assert stopped() == "list:news"
    assert "already" in anybody.get("/u/" + token).text
    multipart = '--b\r\nContent-Disposition: form-data; name="choice"\r\n\r\neverything\r\n--b--\r\n'
    assert anybody.ask("POST", "/u/" + token, body=multipart, Content_Type="multipart/form-data; boundary=b").status == 200
    assert stopped() == "bulk list:news"
    for wrong in (token[:-1], token[:-1] + ("A" if token[-1] != "A" else "B"), "x", "%F0%9F%92%A9", token + "x"):
        assert anybody.get("/u/" + wrong).status == 404, wrong
        assert anybody.post("/u/" + wrong, {}).status == 404, wrong


def oauth():
    "/oauth/callback takes a code once, and says what a wrong state is"
    anybody = Browser(web)
    assert anybody.get("/oauth/callback").status == 400
    assert anybody.get("/oauth/callback?state=x&code=y").status == 400
    sql("""SELECT mailer.oauth_set('<script>alert(1)</script>', '{"token_url": "http://127.0.0.1:1/t", "auth_url": "http://127.0.0.1:1/a",
        "client_id": "c", "client_secret": "s", "grant": "refresh_token", "redirect_uri": "http://127.0.0.1/oauth/callback", "login": "a@example.com"}')""")
    state = lambda: sql("SELECT (regexp_match(mailer.oauth_url('<script>alert(1)</script>'), 'state=([^&]+)'))[1]")  # noqa: E731
    denied = anybody.get(f"/oauth/callback?error=access_denied&error_description=No&state={state()}")
    assert denied.status == 200 and "access_denied" in denied.text and "Nothing was connected" in denied.text, denied.text
    good = state()
    answer = anybody.get(f"/oauth/callback?state={good}&code=abc")
    assert answer.status == 303 and "abc" not in answer.headers["Location"], "the code stays in the address"
    answer = anybody.get(answer.headers["Location"])
    assert answer.status == 200 and "&lt;script&gt;" in answer.text and "<script>alert" not in answer.text
    assert anybody.get(f"/oauth/callback?state={good}&code=abc").status == 400
    for path in ("/oauth/connected", "/oauth/connected?state=x", f"/oauth/connected?state={good[:-1]}"):
        assert anybody.get(path).status == 400, path


def webhook():
    "/hook/PROVIDER wants a signature or the secret, and refuses providers without one"
    # What a 250 would have brought: the provider's name for a message.
    sql("INSERT INTO mailer.provider_message SELECT 'm1', mailer.enqueue('dead@example.com', 'Hi', 'Ho')")
    report = '{"RecordType": "Bounce", "Type": "HardBounce", "Email": "dead@example.com", "ID": 1, "MessageID": "m1"}'
    anybody = Browser(web)
    ask = lambda path, **headers: anybody.ask("POST", path, body=report, **headers)  # noqa: E731
    assert ask("/hook/nobody").status == 404 and ask("/hook/brevo").status == 403
    assert ask("/hook/postmark").status == 403 and ask("/hook/postmark/wrong").status == 403
    assert anybody.get("/hook/postmark/hook%20secret").status == 405
    answer = ask("/hook/postmark/hook%20secret")
    assert answer.status == 200 and '"taken": 1' in answer.text, answer.text
    assert ask("/hook/postmark", Authorization="Bearer hook secret").status == 200
    assert ask("/hook/mailgun").status == 403
    assert anybody.ask("POST", "/hook/postmark/hook%20secret", body="no json").status == 400
    sql("SELECT mailer.webhook_set_secret('postmark', 'rotated')")
    assert ask("/hook/postmark/hook%20secret").status == 403 and ask("/hook/postmark/rotated").status == 200


def sns():
    "SNS is confirmed only when it has signed, and no address but SNS's own is opened"
    cert, key = certificate()
    sql("SELECT mailer.webhook_set_secret('ses', $$" + open(cert).read() + "$$)")
    hits = []
    trap = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=lambda: hits.append(trap.accept()), daemon=True).start()
    port = trap.getsockname()[1]
    for host in (f"http://127.0.0.1:{port}/", f"https://127.0.0.1:{port}/", f"https://sns.eu-west-1.amazonaws.com:x@127.0.0.1:{port}/",
                 f"https://127.0.0.1:{port}/sns.eu-west-1.amazonaws.com/"):
        note = {"Type": "SubscriptionConfirmation", "MessageId": "1", "Token": "t", "TopicArn": "a", "Message": "m", "SubscribeURL": host, "Timestamp": "2026",
                "SignatureVersion": "2"}
        text = "".join(f"{name}\n{note[name]}\n" for name in ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"))
        signed = subprocess.run(["openssl", "dgst", "-sha256", "-sign", key], input=text.encode(), capture_output=True, check=True).stdout
        unsigned = Browser(web).ask("POST", "/hook/ses", body=json.dumps({**note, "Signature": "AAAA"}))
        assert unsigned.status == 403, unsigned.status
        answer = Browser(web).ask("POST", "/hook/ses", body=json.dumps({**note, "Signature": base64.b64encode(signed).decode()}))
        assert answer.status == 200, (answer.status, answer.text)
    assert not hits, "it opened an address that isn't SNS's"
    trap.close()


def tls_and_socket():
    "it speaks TLS with a certificate, and listens on a Unix socket"
    cert, key = certificate()
    secure = Web("--database", conninfo, "--tls-cert", cert, "--tls-key", key)
    try:
        browser = Browser(secure)
        answer = browser.log_in("viewer", "look")
        assert answer.status == 303 and "Secure" in answer.headers["Set-Cookie"] and browser.get("/").status == 200
    finally:
        secure.stop()
    path = os.path.join(work, "web.sock")
    for _ in range(2):
        on_socket = Web("--database", conninfo, listen="unix:" + path)
        with socket.socket(socket.AF_UNIX) as raw:
            raw.connect(path)
            raw.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert raw.recv(100).startswith(b"HTTP/1.1 200")
        on_socket.stop()
        assert not os.path.exists(path)


def public_only():
    "--public-only serves public URLs and nothing else, without --database"
    public = Web("--public-only", "--gateway", conninfo + " user=gateway")
    try:
        anybody = Browser(public)
        for path in ("/", "/login", "/logout", "/campaigns"):
            assert anybody.get(path).status == 404, path
        assert anybody.get("/healthz").status == 200 and anybody.get("/u/x").status == 404
        state = sql("SELECT (regexp_match(mailer.oauth_url('<script>alert(1)</script>'), 'state=([^&]+)'))[1]")
        denied = anybody.get(f"/oauth/callback?error=access_denied&state={state}")
        assert denied.status == 200 and "/mailboxes" not in denied.text, "it leads to a page that isn't served here"
    finally:
        public.stop()


def command_line():
    "another address, a password in an argument and half of TLS are refused at the start"
    start = lambda *options: subprocess.run([os.environ["MAILER_WEB"], *options], capture_output=True, text=True, timeout=60)  # noqa: E731
    for options, word in ((("--listen", "0.0.0.0:0", "--database", conninfo), "--i-have-no-proxy"),
                          (("--listen", "127.0.0.1:0", "--database", conninfo + " password=x"), "pgpass"),
                          (("--listen", "127.0.0.1:0", "--database", "postgresql://a:b@localhost/x"), "pgpass"),
                          (("--listen", "127.0.0.1:0"), "--database"), (("--database", conninfo), "--listen"),
                          (("--listen", "127.0.0.1:0", "--public-only"), "--gateway"),
                          (("--listen", "127.0.0.1:0", "--database", conninfo, "--tls-cert", "x"), "--tls-key"), (("--what",), "--what")):
        done = start(*options)
        assert done.returncode == 2 and word in done.stderr, (options, done.returncode, done.stderr)
    Web("--database", conninfo, "--i-have-no-proxy", listen="0.0.0.0:0").stop()


def slow_query():
    "a person whose queries are slow has two connections at most, and keeps nobody else waiting"
    slow, quick = logged_in(), logged_in("operator <b>", "do")
    assert slow.get("/").status == quick.get("/").status == 200

    def meanwhile():
        assert Browser(web).get("/healthz").status == 200 and Browser(web).get("/login").status == 200
        assert quick.get("/logout").status == 200
        assert sql("SELECT count(*) FROM pg_stat_activity WHERE usename = 'viewer' AND application_name = 'mailer-web'") == "2"

    slow_person("viewer", lambda: slow.get("/"), meanwhile)


def away():
    "while the database is away there is a page that says so, and it comes back by itself"
    browser, anybody = logged_in(), Browser(web)
    cluster = lambda verb: subprocess.run(["cluster", verb, work_cluster], check=True)  # noqa: E731
    work_cluster = os.path.join(os.environ["MAILER_WORK"], "cluster")
    token = sql("SELECT mailer._unsubscribe_token(0, 'bob@example.com', 'list:news')")
    cluster("stop")
    for answer in (browser.get("/"), anybody.get("/u/" + token), anybody.get("/healthz"), anybody.log_in("viewer", "look")):
        assert answer.status == 503, (answer.status, answer.text)
    assert {anybody.log_in("operator <b>", "do").status for _ in range(7)} == {503}, "tries that nobody judged were counted"
    cluster("start")
    until(30, lambda: browser.get("/").status == 200, "the page comes back")
    assert anybody.get("/healthz").status == 200 and anybody.post("/u/" + token, {}).status == 200


def limits():
    "heads, bodies and connections have limits, and memory stays bounded"
    before = web.memory()
    anybody = Browser(web)
    assert anybody.get("/login", X_Long="x" * 40000).status in (400, 431)
    assert anybody.ask("POST", "/login", body="x" * 100_000, Content_Type="application/x-www-form-urlencoded").status == 413
    # Announced and never sent, and in chunks without end: the connection ends.
    with socket.create_connection(("127.0.0.1", web.port), 30) as raw:
        raw.sendall(b"POST /u/x HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n")
        assert raw.recv(100).startswith(b"HTTP/1.1 413")
    with socket.create_connection(("127.0.0.1", web.port), 30) as raw:
        raw.sendall(b"POST /u/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        sent = 0
        try:
            while sent < 64 << 20:
                raw.sendall(b"4000\r\n" + b"x" * 0x4000 + b"\r\n")
                sent += 0x4000
        except OSError:
            pass
        assert sent < 16 << 20, sent
    idle = [socket.create_connection(("127.0.0.1", web.port), 30) for _ in range(1000)]
    assert anybody.get("/login").status == 200 and logged_in().get("/").status == 200
    idle[0].settimeout(60)
    assert idle[0].recv(1) == b"", "an idle connection is closed"
    for one in idle:
        one.close()
    assert web.memory() - before < 150, (before, web.memory())


def slow_client():
    "a head that trickles in is cut off after half a minute in all"
    with socket.create_connection(("127.0.0.1", web.port), 60) as raw:
        raw.sendall(b"GET /login HTTP/1.1\r\n")
        began = time.monotonic()
        raw.settimeout(2)

        def is_over():
            try:
                raw.sendall(b"X-Slow: 1\r\n")
                return raw.recv(100) == b""
            except TimeoutError:
                return False
            except OSError:
                return True
        until(90, is_over, "the connection ends")
        assert time.monotonic() - began > 15, "it was cut too early to have been the limit on time in all"


try:
    run([command_line, login, refused, secure_cookie, csrf, rights, addresses, unsubscribe, oauth, webhook, sns, tls_and_socket, public_only, throttle, slow_query, limits,
         slow_client, revoked, away])
finally:
    web.stop()

"""mailer-web under attack, while its database sends: whatever comes, there is no 500, memory stays bounded, and mail goes
on. The seed of what is drawn at random is printed; MAILER_SEED repeats it.
"""
import html
import http.client
import json
import os
import random
import re
import socket
import subprocess
import threading
import time
import urllib.parse

from client import Browser, Web, conninfo, run, sql, until, work

top = os.environ["MAILER_TOP"]
seed = int(os.environ.get("MAILER_SEED") or random.SystemRandom().randrange(1 << 31))
print(f"# MAILER_SEED={seed}")
dice = random.Random(seed)


def attacked(statement):
    return subprocess.run(["psql", "-XqAtd", "attacked", "-v", "ON_ERROR_STOP=1", "-c", statement], check=True, capture_output=True, text=True).stdout.strip()


def began():
    """A database that sends all the time, to a server that takes everything."""
    folder = os.path.join(work, "attacked")
    server = subprocess.Popen([os.path.join(top, "test/servers/catchall.py"), folder])
    until(30, lambda: os.path.exists(os.path.join(folder, "port")), "the mail server starts")
    port = int(open(os.path.join(folder, "port")).read())
    subprocess.run(["psql", "-Xq", "-c", "CREATE DATABASE attacked"], check=True)
    attacked(f"""SET client_min_messages = error; CREATE EXTENSION mailer;
        SELECT mailer.grant_viewer('viewer'), mailer.grant_operator('operator <b>'), mailer.grant_gateway('gateway');
        SELECT mailer.webhook_set_secret('postmark', 'hook secret'), mailer.webhook_set_secret('mailgun', 'signing key');
        SELECT mailer.mailbox_create('steady', 'localhost', {port}, from_address => 'steady@example.com', tls => 'none', gap => '0.1 s');
        SELECT mailer.enqueue_batch(array_agg(format('reader%s@example.com', n)), 'Steady', 'mail') FROM generate_series(1, 9000) n""")
    return server, os.path.join(folder, "log.jsonl")


mail_server, mail_log = began()
database = conninfo.replace("dbname=" + os.environ["PGDATABASE"], "dbname=attacked")
# What the sanitizer keeps back of freed memory isn't the program's.
os.environ["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=8"
os.environ["MAILER_WEB_LOG"] = os.path.join(work, "attacked.log")
web = Web("--database", database, "--gateway", database + " user=gateway")


class Attack:
    """Around an attack: mail goes on, memory is bounded, nothing went wrong inside."""

    def __enter__(self):
        self.memory, self.since = web.memory(), time.time()
        return self

    def __exit__(self, kind, error, trace):
        if kind:
            return
        until(60, lambda: self.sent(), "a mail goes out during the attack")
        now = web.memory()
        print(f"#   {time.time() - self.since:.0f} s, {len(self.sent())} mails went out, {self.memory:.0f} MB before, {now:.0f} MB now", flush=True)
        assert now - self.memory < 120, (self.memory, now)
        assert web.process.poll() is None, "it has ended"
        assert Browser(web).get("/healthz").status == 200
        with open(os.environ["MAILER_WEB_LOG"], errors="replace") as log:
            said = [line for line in log if re.search(r"mailer-web: (\w{5}|/[^ ]*): |Sanitizer|runtime error", line)]
        assert not said, said[:5]

    def sent(self):
        with open(mail_log) as log:
            return [line for line in log if line.endswith("\n") and json.loads(line)["at"] > self.since]


def connect(timeout=60):
    return socket.create_connection(("127.0.0.1", web.port), timeout)


def pour(head, part, most=64 << 20):
    """Sends a head, then a part again and again until the other side has enough. How much went in, and its answer."""
    with connect() as raw:
        sent, answer = 0, b""
        try:
            raw.sendall(head)
            while sent < most:
                raw.sendall(part)
                sent += len(part)
        except OSError:
            pass
        try:
            answer = raw.recv(1000)
        except OSError:
            pass
    assert sent < most, (head, sent)
    return sent, answer


def is_fine(answer):
    """No answer at all, or one that isn't the program's fault.

    A chunk's line that is longer than a head may be is answered by libmicrohttpd itself; 0.9.75 calls that a 500.
    """
    return not answer or b"libmicrohttpd" in answer or re.match(rb"HTTP/1\.[01] ([234]\d\d|50[135]) ", answer)


def heads():
    "heads, header lines and addresses without an end are cut off"
    with Attack():
        for head, part in ((b"GET /login HTTP/1.1\r\nHost: x\r\n", b"X-More: and more\r\n" * 50), (b"GET /login HTTP/1.1\r\nX-Long: ", b"x" * 1000),
                           (b"GET /", b"x" * 1000), (b"GET /?", b"a=b&" * 250), (b"", b"x" * 1000), (b"", b"\r\n" * 500), (b"", b"\0" * 1000),
                           (b"GET / HTTP/1.1\r\nCookie: ", b"mailer_session=x; " * 50), (b"POST /login HTTP/1.1\r\nTransfer-Encoding: chunked\r\n", b" folded: x\r\n" * 80)):
            sent, answer = pour(head, part)
            assert is_fine(answer), (head, answer)
            assert sent < 8 << 20, (head, sent)


def chunks():
    "chunks that lie about their size, have names without an end, or never end are cut off"
    with Attack():
        for path in (b"/login", b"/u/x", b"/hook/postmark", b"/hook/mailgun/x", b"/nothing", b"/oauth/callback"):
            head = b"POST " + path + b" HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            for begin, part in ((b"FFFFFFFFFFFFFFFF\r\n", b"x" * 0x4000), (b"7FFFFFFFFFFFFFFF\r\n", b"x" * 0x4000), (b"", b"4000\r\n" + b"x" * 0x4000 + b"\r\n"),
                                (b"", b"1\r\nx\r\n" * 500), (b"1;", b"name=value;" * 100), (b"-1\r\n", b"x" * 1000), (b"0x10\r\n", b"x" * 1000),
                                (b"00000000000000000000000000000000000000000000000000001\r\n", b"x" * 1000), (b"0\r\n", b"Trailer: x\r\n" * 80), (b"zz\r\n", b"x" * 1000)):
                sent, answer = pour(head + begin, part)
                assert is_fine(answer), (path, begin, answer)
                assert sent < 48 << 20, (path, begin, sent)  # 4 MB of a webhook, six octets for each


def bodies():
    "a body of 1 GB is refused before it comes, and many of the largest at once don't add up"
    with Attack() as attack:
        for path in (b"/login", b"/u/x", b"/hook/postmark", b"/hook/postmark/x", b"/nothing", b"/", b"/healthz"):
            for length in (b"1000000000", b"99999999999999999999999", b"9223372036854775807", b"-5", b"5, 5", b"0x50"):
                sent, answer = pour(b"POST " + path + b" HTTP/1.1\r\nHost: x\r\nContent-Length: " + length + b"\r\n\r\n", b"x" * 0x10000)
                assert is_fine(answer), (path, length, answer)
                assert sent < 16 << 20, (path, length, sent)
        # All but the last octet of 4 MB each.
        open_ones, most = [], 0
        for _ in range(60):
            raw = connect(5)
            try:
                raw.sendall(b"POST /hook/postmark HTTP/1.1\r\nHost: x\r\nContent-Length: 4194304\r\n\r\n" + b"x" * 4194303)
            except OSError:
                pass
            open_ones.append(raw)
            most = max(most, web.memory())
        assert most - attack.memory < 200, (attack.memory, most)
        assert Browser(web).get("/login").status == 200
        for raw in open_ones:
            raw.close()


def crowds():
    "1,000 idle connections and 200 that trickle keep nobody else waiting, and end by themselves"
    with Attack():
        idle = [connect() for _ in range(1000)]
        slow = [connect() for _ in range(200)]
        for raw in slow:
            raw.sendall(b"POST /u/x HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
        over = set()

        def trickle():
            for raw in slow:
                if raw not in over:
                    try:
                        raw.sendall(b"a")
                    except OSError:
                        over.add(raw)
            return len(over) == len(slow)
        browser = Browser(web)
        assert browser.log_in("viewer", "look").status == 303
        for _ in range(20):
            trickle()
            assert browser.get("/").status == 200 and Browser(web).get("/u/x").status == 404
        until(120, trickle, "all that trickle are cut off")
        for raw in idle:
            raw.settimeout(60)
            assert raw.recv(1) == b""
            raw.close()


def ask_all(requests, threads=8):
    """Many requests over connections that are kept; how often each status came."""
    requests, found, lock = list(requests), {}, threading.Lock()
    requests.reverse()

    def work_off():
        line = http.client.HTTPConnection("127.0.0.1", web.port, timeout=120)
        while True:
            with lock:
                if not requests:
                    break
                method, path, body = requests.pop()
            try:
                line.request(method, path, body, {"Content-Type": "application/x-www-form-urlencoded"} if body else {})
                answer = line.getresponse()
                answer.read()
                status = answer.status
            except (OSError, http.client.HTTPException):
                line.close()
                line = http.client.HTTPConnection("127.0.0.1", web.port, timeout=120)
                status = "cut"
            with lock:
                found[status] = found.get(status, 0) + 1
        line.close()
    workers = [threading.Thread(target=work_off) for _ in range(threads)]
    since = time.monotonic()
    for one in workers:
        one.start()
    for one in workers:
        one.join()
    print(f"#   {sum(found.values()) / (time.monotonic() - since):.0f} requests a second: {found}", flush=True)
    return found


def tokens():
    "tokens that are cut, forged, swapped or made up are 404 and stop nothing; one that is replayed by thousands stops one thing"
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~"
    mine, other = (attacked(f"SELECT mailer._unsubscribe_token(0, '{who}@example.com', 'list:news')") for who in ("mine", "other"))
    forged = [mine[:cut] for cut in range(1, len(mine))] + [mine[cut:] for cut in range(1, len(mine))] + [mine[:at] + other[at:] for at in range(1, len(mine))]
    while len(forged) < 3000:
        at = dice.randrange(len(mine))
        forged.append(dice.choice((mine[:at] + dice.choice(letters) + mine[at + 1:], "".join(dice.choices(letters, k=dice.randrange(1, 400))), mine + dice.choice(letters) * at,
                                   mine[:at] + mine[at:][::-1], urllib.parse.quote(bytes(dice.choices(range(1, 256), k=20))))))
    forged = [token for token in forged if token.strip(".") and token not in (mine, other)]
    with Attack():
        found = ask_all((dice.choice(("GET", "POST", "HEAD")), "/u/" + token, None) for token in forged)
        assert set(found) <= {404, 400}, found
        assert attacked("SELECT count(*) FROM mailer.suppression") == "0"
        found = ask_all([("POST", "/u/" + mine, "List-Unsubscribe=One-Click"), ("GET", "/u/" + mine, None)] * 1500)
        assert set(found) == {200}, found
        assert attacked("SELECT string_agg(address_key || ' ' || scope, ',') FROM mailer.suppression") == "mine@example.com list:news"
        found = ask_all([("GET", "/oauth/callback?" + urllib.parse.urlencode({"state": "".join(dice.choices(letters, k=dice.randrange(1, 300))), "code": "x"}), None) for _ in range(500)])
        assert set(found) == {400}, found


# What has broken a parser somewhere.
hostile = ["", "0", "-1", "1e400", "NaN", "9" * 400, "9223372036854775808", "-9223372036854775809", "2147483648", "'", "\"", "\\", "%", "%00", "_", "';--", "{{x}}", "{{{", "<script>alert(1)</script>",
           "../../etc/passwd", "\u202e", "\ufeff", "\U0001f4a9", "a" * 5000, "\r\nSet-Cookie: x=y", "null", "{}", "[]", "true", "infinity", "-infinity", "2026-13-45", "99999-01-01", "10000000 years",
           "{\"a\":", "{1,2}", "$1", ":limit", "a@b", "@", "a@" + "b" * 300, "list:", "\x01\x02", "\t", " ", "+", "%%%", "\u0130", "\u00df", "'||current_user||'"]  # what a parser would have to run to be caught


def mutated(request):
    """A request with some of its octets changed, doubled, cut out or replaced by what means something."""
    words = [b"\r\n", b"\r\n\r\n", b":", b"%", b"%00", b"\0", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"--b", b"--b--", b"HTTP/9.9", b"\xff\xfe", b"?", b"&", b"=", b"//", b"/../", b"; filename=\"",
             b"Expect: 100-continue\r\n", b"Upgrade: h2c\r\nConnection: Upgrade\r\n", b"Host: \r\n", b"Cookie: mailer_session=\r\n", b"X-Forwarded-For: ,,,\r\n"]
    for _ in range(dice.randrange(1, 6)):
        at, length = dice.randrange(len(request) + 1), dice.randrange(12)
        request = dice.choice((lambda: request[:at] + bytes(dice.choices(range(256), k=length)) + request[at + length:], lambda: request[:at] + request[at + length:],
                               lambda: request[:at] + dice.choice(words) + request[at:], lambda: request[:at] + request[at:at + length] * 3 + request[at + length:], lambda: request[:at]))()
    return request


go_on = b"HTTP/1.1 100 Continue\r\n\r\n"


def fuzz():
    "1,500 requests of a fuzzer: an answer that fits or none, and never a 500"
    token = attacked("SELECT mailer._unsubscribe_token(0, 'fuzz@example.com', 'list:news')").encode()
    report = b'{"RecordType": "Bounce", "Type": "HardBounce", "Email": "dead@example.com", "ID": 1, "MessageID": "m1"}'
    multipart = b'--b\r\nContent-Disposition: form-data; name="choice"\r\n\r\neverything\r\n--b\r\nContent-Disposition: form-data; name="f"; filename="x"\r\n\r\n\xff\r\n--b--\r\n'

    def post(path, body, kind=b"application/x-www-form-urlencoded"):
        return b"POST " + path + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: " + kind + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    models = [b"GET /login?a=b HTTP/1.1\r\nHost: x\r\nConnection: close\r\nCookie: mailer_session=abc; x=y\r\n\r\n", b"GET /u/" + token + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
              b"HEAD /static/style.css HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", b"GET /oauth/callback?state=a.b&code=c%20d HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
              post(b"/u/" + token, multipart, b"multipart/form-data; boundary=b"), post(b"/u/" + token, b"List-Unsubscribe=One-Click"), post(b"/login", b"role=a&password=b&csrf=c"),
              post(b"/hook/postmark/hook%20secret", report, b"application/json"), post(b"/hook/mailgun", b'{"signature": {"timestamp": "1", "token": "t", "signature": "s"}, "event-data": {"event": "failed"}}', b"application/json"),
              post(b"/hook/ses", b'{"Type": "Notification", "Message": "{}", "Signature": "AAAA", "SigningCertURL": "x"}', b"text/plain"), post(b"/hook/sendgrid", b"[{}]", b"application/json"),
              post(b"/hook/postmark/hook%20secret", json.dumps({"RecordType": "Bounce", "Email": hostile, "ID": {}, "MessageID": [1]}).encode(), b"application/json"),
              b"POST /u/" + token + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n5\r\na=b&c\r\n3;x=y\r\n=de\r\n0\r\n\r\n"]
    found = {}
    with Attack():
        # Drawn before they are sent, so that a seed means the same whichever thread is quicker.
        requests, wrong = [mutated(dice.choice(models)) for _ in range(1500)], []

        def work_off():
            while requests:
                try:
                    request, answer = requests.pop(), b""
                except IndexError:
                    break
                try:
                    with connect(2) as raw:
                        raw.sendall(request)
                        answer = raw.recv(2000)
                        while answer.startswith(go_on):
                            answer = answer[len(go_on):] or raw.recv(2000)
                except OSError:
                    pass  # it waits for more, or has hung up
                if not is_fine(answer):
                    wrong.append((request, answer))
                found[answer[9:12].decode()] = found.get(answer[9:12].decode(), 0) + 1
        workers = [threading.Thread(target=work_off) for _ in range(24)]
        for one in workers:
            one.start()
        for one in workers:
            one.join()
        assert not wrong, wrong[:3]
        print(f"#   {found}")
        assert len(found) > 4, "it hardly gets past the first check"


def fields():
    "every page takes hostile values in every field that it shows and every parameter that it links to, and never gives a 500"
    browser = Browser(web)
    assert browser.log_in("operator <b>", "do").status == 303
    menu = [html.unescape(path) for path in re.findall(r'<li><a href="([^"]+)"', browser.get("/").text)]
    assert "/" in menu, menu
    known, wrong, asked = {}, [], 0
    for path in menu:
        page = browser.get(path).text
        names = set(re.findall(r'<(?:input|select|textarea)\b[^>]* name="([^"]+)"', page)) - {"csrf", "action"}
        for query in re.findall(r'href="[^"]*\?([^"]+)"', page):
            names |= {name for name, _ in urllib.parse.parse_qsl(html.unescape(query), keep_blank_values=True)} - {"v"}
        known[path] = sorted(names | {"after", "id", "q"})
        actions = {found for found in re.findall(r'<button\b[^>]* value="([^"]*)"', page)}
        for further in set(re.findall(r'<a href="(' + re.escape(path.rstrip("/")) + r'/[^"?]+)"', page)):
            known.setdefault(html.unescape(further), []) if len(known) < 40 else None
        csrf = re.search(r'name="csrf" value="([^"]*)"', page)
        for name in known[path]:
            for value in dice.sample(hostile, 12):
                asked += 1
                answer = browser.get(path + "?" + urllib.parse.urlencode({name: value}))
                if answer.status == 500:
                    wrong.append((path, name, value, answer.text[-300:]))
        # Sending goes on for the other tests; whatever else is pressed here happens to a database of its own.
        for action in sorted(actions - ({"pause", "resume"} if path == "/" else set())):
            for _ in range(8):
                asked += 1
                values = {name: dice.choice(hostile) for name in known[path]}
                answer = browser.post(path, {**values, "action": action, "csrf": html.unescape(csrf.group(1))})
                if answer.status == 500:
                    wrong.append((path, action, values, answer.text[-300:]))
    for path in menu:
        for value in hostile:
            asked += 1
            answer = browser.get(path.rstrip("/") + "/" + urllib.parse.quote(value, safe=""))
            if answer.status == 500:
                wrong.append((path, value, answer.text[-300:]))
    print(f"#   {asked} requests to {' '.join(menu)}")
    assert not wrong, wrong[:5]


try:
    run([heads, chunks, bodies, crowds, tokens, fuzz, fields])
finally:
    web.stop()
    mail_server.terminate()
    mail_server.wait()
    sql("DROP DATABASE attacked WITH (FORCE)")

"""The examples for nginx and Caddy, run as they are but for names, ports and certificate."""
import http.server
import os
import re
import shutil
import socket
import subprocess
import threading

from client import Browser, Web, certificate, conninfo, run, sql, until, work

top = os.environ["MAILER_TOP"]
os.environ["PATH"] += ":/usr/sbin"
web = Web("--database", conninfo, "--gateway", conninfo + " user=gateway")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


class Proxy:
    """Behind this address is mailer-web; what a Browser needs of it."""

    def __init__(self, name, command, config):
        self.port, self.plain_port = free_port(), free_port()
        self.address = f"https://127.0.0.1:{self.port}"
        self.folder = os.path.join(work, name)
        os.makedirs(self.folder, exist_ok=True)
        path = os.path.join(self.folder, "config")
        with open(path, "w") as file:
            file.write(config(self))
        self.log = open(os.path.join(self.folder, "said"), "wb")
        self.process = subprocess.Popen([*command, path], stdout=self.log, stderr=self.log, cwd=self.folder,
                                        env={**os.environ, "HOME": self.folder, "XDG_DATA_HOME": self.folder, "XDG_CONFIG_HOME": self.folder})
        until(30, self.is_up, f"{name} listens: {open(self.log.name).read()[-500:]}")

    def is_up(self):
        assert self.process.poll() is None, open(self.log.name).read()
        try:
            socket.create_connection(("127.0.0.1", self.port), 5).close()
            return True
        except OSError:
            return False

    def stop(self):
        self.process.terminate()
        self.process.wait()


def example(name):
    return open(os.path.join(top, "web/etc", name)).read()


def replaced(text, *pairs):
    """Each must be there: the test is of the example as it is."""
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, new)
    return text


def nginx_config(proxy, text=None, behind=None):
    cert, key = certificate()
    site = replaced(text or example("nginx.conf"), ("127.0.0.1:8080", behind or f"127.0.0.1:{web.port}"), ("listen 443 ssl", f"listen 127.0.0.1:{proxy.port} ssl"),
                    ("    listen [::]:443 ssl http2;\n", ""), ("listen 80;", f"listen 127.0.0.1:{proxy.plain_port};"), ("    listen [::]:80;\n", ""), ("/var/log/nginx/error.log", f"{proxy.folder}/error.log"),
                    ("/etc/letsencrypt/live/mail.example.com/fullchain.pem", cert), ("/etc/letsencrypt/live/mail.example.com/privkey.pem", key))
    temporary = "".join(f"{kind}_temp_path {proxy.folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    return f"daemon off; user root; pid {proxy.folder}/pid; error_log {proxy.folder}/error.log;\n" \
           f"events {{ worker_connections 512; }}\nhttp {{ access_log {proxy.folder}/access.log; {temporary}\n{site}\n}}\n"


def caddy_config(proxy, text=None, behind=None):
    cert, key = certificate()
    site = replaced(text or example("Caddyfile"), ("mail.example.com {", f"https://127.0.0.1:{proxy.port} {{\n\ttls {cert} {key}"), ("127.0.0.1:8080", behind or f"127.0.0.1:{web.port}"))
    return f"{{\n\tadmin off\n\tauto_https off\n\tskip_install_trust\n\tdefault_sni localhost\n}}\n{site}"


def through(proxy, user):
    """What must work behind any proxy."""
    person = Browser(proxy, Host="mail.example.com" if user == "nginx" else f"127.0.0.1:{proxy.port}")
    assert person.get("/healthz").status == 200
    answer = person.log_in("viewer", "look")
    assert answer.status == 303 and "Secure" in answer.headers["Set-Cookie"], answer.headers
    page = person.get("/")
    assert page.status == 200 and page.headers["Strict-Transport-Security"] and "default-src 'none'" in page.headers["Content-Security-Policy"]
    token = sql(f"SELECT mailer._unsubscribe_token(0, '{user}@example.com', 'list:news')")
    assert person.post("/u/" + token, {"List-Unsubscribe": "One-Click"}).status == 200
    # In chunks, as some senders of webhooks do.
    assert person.ask("POST", "/u/" + token, body=iter([b"List-Unsubscribe=", b"One-Click"]), Content_Type="application/x-www-form-urlencoded").status == 200
    assert sql(f"SELECT scope FROM mailer.suppression WHERE address_key = '{user}@example.com'") == "list:news"
    # mailer-web refuses it by its head alone. Caddy may still be writing the body then, and calls that a 502.
    status = person.ask("POST", "/u/" + token, body="x" * (5 << 20)).status
    assert status == 413 or (user == "caddy" and status == 502), status
    # What a client says of itself doesn't make it another: tries are counted all the same.
    tries = [Browser(proxy, Host=person.headers["Host"], X_Forwarded_For=f"192.0.2.{n}").log_in("operator <b>", "wrong").status for n in range(8)]
    assert 429 in tries, tries


def behind_nginx():
    "behind the example for nginx people log in by TLS, links unsubscribe, tokens stay out of the log, floods are cut off"
    if not shutil.which("nginx"):
        return print("# skipped: nginx isn't installed")
    proxy = Proxy("nginx", ["nginx", "-e", os.path.join(work, "nginx.log"), "-p", work, "-c"], nginx_config)
    try:
        through(proxy, "nginx")
        away = subprocess.run(["curl", "-sI", "-H", "Host: mail.example.com", f"http://127.0.0.1:{proxy.plain_port}/u/x?y"], capture_output=True, text=True, check=True).stdout
        assert "301" in away and "https://mail.example.com/u/x?y" in away, away
        flood = subprocess.run(["curl", "-sk", "-o", "/dev/null", "-w", "%{http_code}\\n", "-H", "Host: mail.example.com", f"{proxy.address}/static/style.css?[1-200]"],
                               capture_output=True, text=True, check=True).stdout.split()
        assert set(flood) == {"200", "429"}, set(flood)
        public = subprocess.run(["curl", "-sk", "-o", "/dev/null", "-w", "%{http_code}\\n", "-H", "Host: mail.example.com", f"{proxy.address}/u/x?[1-900]"],
                                capture_output=True, text=True, check=True).stdout.split()
        assert set(public) <= {"404", "429"}, set(public)
        logged = open(os.path.join(proxy.folder, "access.log")).read() + open(os.path.join(proxy.folder, "error.log")).read()
        lines = [line for line in logged.splitlines() if "/u/" in line]
        assert "/healthz" in logged and not lines, lines[-3:]
    finally:
        proxy.stop()


def behind_caddy():
    "and behind the example for Caddy"
    if not shutil.which("caddy"):
        return print("# skipped: caddy isn't installed")
    proxy = Proxy("caddy", ["caddy", "run", "--adapter", "caddyfile", "--config"], caddy_config)
    try:
        through(proxy, "caddy")
    finally:
        proxy.stop()


class SignOn:
    """What oauth2-proxy is to a proxy: it knows people by their cookie, and says so with 202."""

    def __init__(self):
        people, asked = {"sso=of-viewer": "viewer", "sso=of-operator": "operator <b>", "sso=of-boss": "boss"}, []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                asked.append(self.path)
                person = people.get(self.headers["Cookie"])
                self.send_response(202 if person else 401)
                if person:
                    self.send_header("X-Auth-Request-User", person)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass
        self.asked = asked
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def signed_on(proxy, host, sign_on):
    """What single sign-on must keep behind any proxy: whatever a client says, it is who the sign-on says it is."""
    def ask(method, path, cookie=None, fields=None, **headers):
        browser = Browser(proxy, Host=host, **headers)
        browser.cookies = dict([cookie.split("=")]) if cookie else {}
        return browser.ask(method, path, fields)
    page = ask("GET", "/", "sso=of-viewer")
    assert page.status == 200 and "<bdi>viewer</bdi>" in page.text, (page.status, page.text)
    assert "<bdi>operator &lt;b&gt;</bdi>" in ask("GET", "/", "sso=of-operator").text
    assert ask("GET", "/", "sso=of-boss").status == 403 and ask("GET", "/").status == 401 and ask("GET", "/", "sso=made-up").status == 401
    # The client's own word, in every spelling: stripped, or overwritten.
    for name in ("X_Remote_User", "x_remote_user", "X_REMOTE_USER"):
        own = {name: "operator <b>"}
        assert "<bdi>viewer</bdi>" in ask("GET", "/", "sso=of-viewer", **own).text, name
        assert ask("GET", "/", **own).status == 401, name
        for path in ("/login", "/campaigns/../u/x", "/u/../campaigns", "/u/..%2fcampaigns", "/u/%2e%2e/", "//u/x", "/healthz", "/hook/../", "/oauth/..//messages", "/messages/..%2f..%2fu/x"):
            answer = ask("GET", path, **own)
            assert answer.status != 200 or answer.text == "ok\n", (path, answer.status, answer.text)
            assert "<bdi>operator" not in answer.text, path
    assert ask("GET", "/", "sso=of-viewer", Authorization="Basic Ym9zczpib3Nz", X_Auth_Request_User="operator <b>").text.count("<bdi>viewer</bdi>") == 1
    # A form needs its csrf, here as well.
    csrf = ask("GET", "/", "sso=of-operator").field("csrf")
    assert ask("POST", "/", "sso=of-operator", {"action": "pause"}).status == 403
    assert ask("POST", "/", "sso=of-viewer", {"action": "pause", "csrf": csrf}).status == 403
    assert ask("POST", "/", "sso=of-operator", {"action": "pause", "csrf": csrf}).status == 303 and sql("SELECT paused FROM mailer._metric_sending()") == "1"
    assert ask("POST", "/", "sso=of-operator", {"action": "resume", "csrf": csrf}).status == 303
    # Who unsubscribes signs on nowhere.
    before = len(sign_on.asked)
    token = sql("SELECT mailer._unsubscribe_token(0, 'signed.on@example.com', 'list:news')")
    assert ask("POST", "/u/" + token, None, {"List-Unsubscribe": "One-Click"}).status == 200 and ask("GET", "/healthz").status in (200, 401)
    assert not [path for path in sign_on.asked[before:] if token in path]


def uncommented(text, *firsts):
    """With the lines of single sign-on: from a line that begins with one of these to the end of its block."""
    out, depth = [], 0
    for line in text.splitlines():
        bare = re.sub(r"^(\s*)#", r"\1", line)
        if depth or (bare != line and bare.strip().startswith(firsts)):
            line, depth = bare, depth + bare.count("{") - bare.count("}")
        out.append(line)
    return "\n".join(out)


def sign_on_behind(name, command, config, host, firsts):
    socket_path = os.path.join(work, name + ".sock")
    behind = Web("--database", conninfo + " user=single_sign_on", "--gateway", conninfo + " user=gateway", "--trust-header", "X-Remote-User", listen="unix:" + socket_path)
    sign_on = SignOn()
    text = replaced(uncommented(example("nginx.conf" if name == "nginx" else "Caddyfile"), *firsts), ("127.0.0.1:4180", f"127.0.0.1:{sign_on.port}"))
    proxy = Proxy(name, command, lambda proxy: config(proxy, text, ("unix:" if name == "nginx" else "unix/") + socket_path))
    try:
        signed_on(proxy, host or f"127.0.0.1:{proxy.port}", sign_on)
    finally:
        proxy.stop()
        behind.stop()
        sign_on.server.shutdown()


def sign_on_nginx():
    "behind nginx people are whom the sign-on says they are, whatever header they send; unsubscribing needs none"
    if not shutil.which("nginx"):
        return print("# skipped: nginx isn't installed")
    sign_on_behind("nginx", ["nginx", "-e", os.path.join(work, "nginx.log"), "-p", work, "-c"], nginx_config, "mail.example.com", ("auth_request", "location = /auth"))


def sign_on_caddy():
    "and behind Caddy"
    if not shutil.which("caddy"):
        return print("# skipped: caddy isn't installed")
    sign_on_behind("caddy", ["caddy", "run", "--adapter", "caddyfile", "--config"], caddy_config, None, ("@people", "forward_auth"))


def unit():
    "systemd understands the unit, and finds it hardened"
    if not shutil.which("systemd-analyze"):
        return print("# skipped: systemd isn't installed")
    path = os.path.join(work, "mailer-web.service")
    with open(os.path.join(top, "debian/mailer-web.service")) as file:
        text = replaced(file.read(), ("/usr/bin/mailer-web", os.environ["MAILER_WEB"]))
    with open(path, "w") as file:
        file.write(text)
    said = subprocess.run(["systemd-analyze", "verify", "--man=no", path], capture_output=True, text=True)
    ours = [line for line in (said.stdout + said.stderr).splitlines() if "mailer-web" in line]
    assert not ours, ours
    security = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=25", path], capture_output=True, text=True)
    assert security.returncode == 0, security.stdout[-500:] + security.stderr


try:
    run([behind_nginx, behind_caddy, sign_on_nginx, sign_on_caddy, unit])
finally:
    web.stop()

"""What the tests of mailer-web need: the program, a browser without a screen, and the database."""
import atexit
import contextlib
import html
import http.client
import os
import re
import ssl
import subprocess
import sys
import threading
import urllib.parse

sys.path.insert(0, os.path.join(os.environ["MAILER_TOP"], "test"))
from waiting import until  # noqa: E402

work = os.environ["MAILER_WORK"]
database = os.environ["PGDATABASE"]
conninfo = f"host=127.0.0.1 port={os.environ['PGPORT']} dbname={database}"


def sql(statement):
    """As the superuser; rows as lines, columns apart by |."""
    return subprocess.run(["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-c", statement], check=True, capture_output=True, text=True).stdout.strip()


def statistics_are_in():
    """Waits until sessions of sql() that have ended counted what they read: they do so on their way out."""
    until(30, lambda: sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'psql'") == "1", "sessions of psql end")


@contextlib.contextmanager
def locked(table):
    """Another session holds the table's lock."""
    other = subprocess.Popen(["psql", "-XqAt"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        print(f"BEGIN; LOCK {table}; SELECT 'locked';", file=other.stdin, flush=True)
        assert other.stdout.readline().strip() == "locked"
        yield
    finally:
        other.stdin.close()
        other.wait()


def slow_person(role, ask, meanwhile):
    """Six requests at once of a person whose queries wait for a lock: two of them wait in the database, as `role`, while others are
    asked. All are answered once the lock is released."""
    waiting = f"SELECT count(*) FROM pg_stat_activity WHERE usename = '{role}' AND wait_event_type = 'Lock'"
    answers = []
    asks = [threading.Thread(target=lambda: answers.append(ask().status)) for _ in range(6)]
    with locked("mailer.mailbox"):
        for one in asks:
            one.start()
        until(20, lambda: sql(waiting) == "2", "two wait")
        meanwhile()
        assert sql(waiting) == "2"
    for one in asks:
        one.join()
    assert len(answers) == 6 and set(answers) <= {200, 503, 504}, answers


class Web:
    """A running mailer-web."""

    def __init__(self, *options, listen="127.0.0.1:0"):
        passes = os.path.join(work, "pgpass")
        with open(passes, "w") as file:
            file.write("*:*:*:gateway:gate\n*:*:*:viewer:look\n*:*:*:single_sign_on:proxy\n")
        os.chmod(passes, 0o600)
        self.errors = open(os.environ.get("MAILER_WEB_LOG") or os.path.join(work, "web.log"), "ab")
        self.process = subprocess.Popen([os.environ["MAILER_WEB"], "--listen", listen, *options], stdout=subprocess.PIPE, stderr=self.errors,
                                        env={**os.environ, "PGPASSFILE": passes})
        atexit.register(self.process.terminate)  # the next file's tests count connections
        said = self.process.stdout.readline().decode()
        assert "listening on " in said, f"it doesn't start: {said!r}"
        self.address = said.split("listening on ")[1].strip()
        self.port = int(self.address.rsplit(":", 1)[1]) if self.address.startswith("http") else 0

    def memory(self):
        """Resident, in MB."""
        with open(f"/proc/{self.process.pid}/status") as file:
            return int(re.search(r"VmRSS:\s+(\d+)", file.read()).group(1)) / 1024

    def stop(self):
        self.process.terminate()
        assert self.process.wait(30) == 0, "it doesn't end in order"


def certificate():
    """Files of a certificate for localhost and of its key."""
    cert, key = os.path.join(work, "cert.pem"), os.path.join(work, "key.pem")
    if not os.path.exists(cert):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-subj", "/CN=localhost"],
                       check=True, capture_output=True)
    return cert, key


class Answer:
    def __init__(self, response):
        self.status, self.headers, self.body = response.status, response.headers, response.read()
        self.text = self.body.decode("utf-8", "replace")

    def field(self, name):
        found = re.search(rf'name="{name}" value="([^"]*)"', self.text)
        return html.unescape(found.group(1)) if found else None


class Browser:
    """Keeps cookies and follows nothing."""

    def __init__(self, web, **headers):
        self.web, self.headers, self.cookies = web, {name.replace("_", "-"): value for name, value in headers.items()}, {}

    def ask(self, method, path, fields=None, body=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.web.port, timeout=60)
        if self.web.address.startswith("https"):
            connection = http.client.HTTPSConnection("127.0.0.1", self.web.port, timeout=60, context=ssl._create_unverified_context())
        every = {**self.headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
        if self.cookies:
            every["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        if fields is not None:
            body = urllib.parse.urlencode(fields)
            every["Content-Type"] = "application/x-www-form-urlencoded"
        try:
            connection.request(method, path, body, every)
        except (BrokenPipeError, ConnectionResetError, ssl.SSLEOFError):
            pass  # it was answered before all of the body was there
        answer = Answer(connection.getresponse())
        for cookie in answer.headers.get_all("Set-Cookie") or []:
            name, value = cookie.split(";")[0].split("=", 1)
            self.cookies[name] = value
        connection.close()
        return answer

    def get(self, path, **headers):
        return self.ask("GET", path, **headers)

    def post(self, path, fields, **headers):
        return self.ask("POST", path, fields, **headers)

    def log_in(self, role, password):
        csrf = self.get("/login").field("csrf")
        return self.post("/login", {"role": role, "password": password, "csrf": csrf})


def run(tests):
    """Each a function with a sentence as its docstring; those that are named on the command line, or all."""
    wanted, failed = sys.argv[1:], 0
    for test in tests:
        if wanted and test.__name__ not in wanted:
            continue
        try:
            test()
            print(f"ok - {test.__doc__}", flush=True)
        except Exception as error:  # noqa: BLE001
            failed += 1
            import traceback
            print(f"not ok - {test.__doc__}\n#   {type(error).__name__}: {error}", flush=True)
            print("".join(f"#   {line}\n" for line in traceback.format_exc().splitlines()[-10:]), end="", flush=True)
    sys.exit(1 if failed else 0)

"""Single sign-on: a proxy says in a header who it is."""
import http.client
import os
import re
import subprocess

from client import Answer, Browser, Web, conninfo, run, slow_person, sql, until, work

said = os.path.join(work, "sign_on.log")
os.environ["MAILER_WEB_LOG"] = said
path = os.path.join(work, "sign_on.sock")
through_role = conninfo + " user=single_sign_on"
web = Web("--database", through_role, "--trust-header", "X-Remote-User", "--gateway", conninfo + " user=gateway")


def as_person(name, **headers):
    """As the proxy asks for somebody."""
    return Browser(web, X_Remote_User=name, **headers)


def as_sent(*headers):
    """With these headers exactly."""
    line = http.client.HTTPConnection("127.0.0.1", web.port, timeout=60)
    line.putrequest("GET", "/")
    for header in headers:
        line.putheader(*header)
    line.endheaders()
    answer = Answer(line.getresponse())
    line.close()
    return answer


def signed_on():
    "whom the proxy names is in without a login, sees and does what the role may, and the log has the person's name"
    viewer, operator = as_person("viewer"), as_person("operator <b>")
    page = viewer.get("/")
    assert page.status == 200 and "What needs a person" in page.text and "<bdi>viewer</bdi>" in page.text, page.text
    assert not page.headers.get_all("Set-Cookie"), "the header is asked for with every request, no cookie stands for it"
    assert "Log out" not in page.text and "Pause all sending" not in page.text
    for asked in (viewer.get("/login"), viewer.post("/login", {"role": "operator <b>", "password": "do"})):
        assert (asked.status, asked.headers["Location"]) == (303, "/"), "there is no login by password beside it"
    assert viewer.post("/", {"action": "pause", "csrf": viewer.get("/").field("csrf")}).status == 403
    page = operator.get("/")
    assert "Pause all sending" in page.text
    assert operator.post("/", {"action": "pause", "reason": "by the proxy", "csrf": page.field("csrf")}).headers["Location"] == "/"
    assert operator.get("/").text.count("Sending is paused.") == 1 and operator.get("/").text.count("Sending is paused.") == 0
    assert sql("SELECT detail ->> 'reason' FROM mailer.event_log WHERE by_role = 'operator <b>' ORDER BY id DESC LIMIT 1") == "by the proxy"
    assert operator.post("/", {"action": "resume", "csrf": page.field("csrf")}).status == 303
    assert Browser(web).get("/healthz").status == 200 and Browser(web).get("/static/style.css").status == 200 and Browser(web).get("/u/x").status == 404


def any_name():
    "a role that can't log in and has blanks and backslashes in its name comes in; one that looks like an option is one name"
    name = r"odd \\ na\me -c role=boss"
    sql(f"""CREATE ROLE "{name}" NOLOGIN; SELECT mailer.grant_viewer('{name}'); GRANT "{name}" TO single_sign_on""")
    page = as_person(name).get("/")
    assert page.status == 200 and "role=boss</bdi>" in page.text, page.text
    for injected in ("viewer -c role=boss", "viewer\\ -c\\ role=boss", "-c", "'", '"viewer"', "VIEWER", "viewer,boss", "\u00e4".encode().decode("latin-1")):
        assert as_person(injected).get("/").status == 403, injected


def refused():
    "nobody, superusers, senders, roles that aren't there or weren't granted, the role of the proxy itself and none are refused"
    sql("CREATE ROLE stranger LOGIN PASSWORD 'x'; SELECT mailer.grant_operator('stranger')")
    for browser in (Browser(web), as_person(""), as_person("v" * 64)):
        answer = browser.get("/")
        assert answer.status == 403 and "say who you are" in answer.text, answer.text
    for name, words in (("boss", "Superusers"), ("sender", "grant_viewer"), ("nobody", "no role"), ("stranger", "no role"), ("single_sign_on", "no role"), ("none", "no role")):
        for method, address in (("GET", "/"), ("GET", "/campaigns"), ("POST", "/")):
            answer = as_person(name).ask(method, address)
            assert answer.status == 403 and words in answer.text, (name, answer.status, answer.text)
    strip = lambda name: as_person(name).get("/").text.replace(name, "")  # noqa: E731
    assert strip("nobody") == strip("stranger")
    assert sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'mailer-web' AND usename = 'boss'") == "0"
    # A cookie of the other kind of login, and other spellings of the header, say nothing.
    for header in (("Cookie", "mailer_session=viewer"), ("X_Remote_User", "viewer"), ("X-Remote_User", "viewer"), ("Remote-User", "viewer"), ("Authorization", "Basic dmlld2VyOmxvb2s=")):
        assert as_sent(header).status == 403, header


def said_twice():
    "a header that comes twice, the client's beside the proxy's, names nobody"
    for names in (("operator <b>", "viewer"), ("viewer", "operator <b>"), ("viewer", "viewer")):
        assert as_sent(("X-Remote-User", names[0]), ("x-remote-USER", names[1])).status == 403, names
    assert as_sent(("Accept", "a"), ("x-remote-USER", "viewer"), ("Accept", "b")).status == 200


def csrf():
    "a POST needs the csrf of its person: who makes a browser send one has the header, for the proxy adds it, but not that"
    operator = as_person("operator <b>")
    own, other = operator.get("/").field("csrf"), as_person("viewer").get("/").field("csrf")
    assert own != other and as_person("operator <b>").get("/").field("csrf") == own
    for fields in ({"action": "pause"}, {"action": "pause", "csrf": ""}, {"action": "pause", "csrf": other}):
        assert operator.post("/", fields).status == 403, fields
    assert sql("SELECT paused FROM mailer._metric_sending()") == "0"


def no_way_back():
    "code that runs in a person's statement and asks for RESET ROLE stays that person"
    sql("""CREATE FUNCTION public.whose() RETURNS text LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'RESET ROLE'; EXECUTE 'RESET ALL'; RETURN current_user; END $$;
        CREATE OR REPLACE FUNCTION mailer.health() RETURNS TABLE (severity text, subject text, problem text, since timestamptz, hint text)
        LANGUAGE plpgsql AS $$ BEGIN RETURN QUERY SELECT 'info', 'it is', public.whose(), now(), ''; END $$""")
    page = as_person("viewer").get("/")
    assert page.status == 200 and "<bdi>it is</bdi>: <bdi>viewer</bdi>" in page.text, page.text


def connections():
    "each person has two connections at most, and who is slow keeps nobody else waiting"
    slow, quick = as_person("viewer"), as_person("operator <b>")

    def meanwhile():
        assert quick.get("/logout").status == 200
        assert int(sql("SELECT count(*) FROM pg_stat_activity WHERE usename = 'single_sign_on'")) <= 4

    slow_person("single_sign_on", lambda: slow.get("/mailboxes"), meanwhile)


def revoked():
    "who is taken from the role of the proxy is out within a minute"
    sql("CREATE ROLE leaver NOLOGIN; SELECT mailer.grant_viewer('leaver'); GRANT leaver TO single_sign_on")
    leaver = as_person("leaver")
    assert leaver.get("/log").status == 200
    sql("REVOKE leaver FROM single_sign_on")
    until(90, lambda: leaver.get("/log").status == 403, "it ends", interval=0.5)
    assert "no role" in leaver.get("/log").text


def on_socket():
    "on a Unix socket, too"
    on = Web("--database", through_role, "--trust-header=x-remote-user", listen="unix:" + path)
    try:
        asked = subprocess.run(["curl", "-s", "--unix-socket", path, "-H", "X-Remote-User: viewer", "http://x/"], capture_output=True, text=True, check=True).stdout
        assert "What needs a person" in asked and "<bdi>viewer</bdi>" in asked, asked
    finally:
        on.stop()


def superuser():
    "a superuser for the role of the proxy lets nobody in, and says so"
    wrong = Web("--database", f"host={os.environ['PGHOST']} port={os.environ['PGPORT']} dbname={os.environ['PGDATABASE']} user=postgres", "--trust-header", "X-Remote-User")
    try:
        answer = Browser(wrong, X_Remote_User="viewer").get("/")
        assert answer.status == 403 and "Superusers" in answer.text, answer.text
    finally:
        wrong.stop()
    wrong = Web("--database", conninfo + " user=stranger", "--trust-header", "X-Remote-User")
    try:
        assert Browser(wrong, X_Remote_User="viewer").get("/").status == 503
        assert "refuses the role that --database names" in open(said).read()
    finally:
        wrong.stop()


def command_line():
    "without a role, without a proxy, with a name that is none it doesn't start; without --trust-header nobody is believed"
    start = lambda *options: subprocess.run([os.environ["MAILER_WEB"], "--listen", "127.0.0.1:0", *options], capture_output=True, text=True, timeout=60)  # noqa: E731
    for options, word in ((("--database", conninfo, "--trust-header", "X-Remote-User"), "names the role"), (("--database", through_role, "--trust-header", "X_User"), "hyphens"),
                          (("--database", through_role, "--trust-header", ""), "needs a name"), (("--database", through_role, "--trust-header", "X-User", "--i-have-no-proxy"), "--i-have-no-proxy"),
                          (("--gateway", conninfo, "--public-only", "--trust-header", "X-User"), "--public-only")):
        done = start(*options)
        assert done.returncode == 2 and word in done.stderr, (options, done.returncode, done.stderr)
    plain = Web("--database", conninfo)
    try:
        assert Browser(plain, X_Remote_User="viewer").get("/").headers["Location"] == "/login"
    finally:
        plain.stop()


def quiet():
    "what was refused is in the log with the server's words, and nothing else went wrong"
    lines = [re.sub(r"^mailer-web: ", "", line) for line in open(said).read().splitlines()]
    assert any("permission denied to set role" in line for line in lines), lines
    assert not [line for line in lines if re.match(r"(\w{5}|/\S*): |.*(Sanitizer|runtime error)", line)], lines


try:
    run([command_line, signed_on, any_name, refused, said_twice, csrf, on_socket, superuser, connections, revoked, no_way_back, quiet])
finally:
    web.stop()

"""A mailbox is connected with an OAuth2 provider, in a real browser: the form, the provider's own page, the way back, and a
mail through a server that takes tokens alone. The provider is another site (localhost, not 127.0.0.1), so a person who comes back
brings no session.
"""
import json
import os
import subprocess
import urllib.parse
import urllib.request

import chromium
import looks
from client import Web, conninfo, run, sql, until, work
from person import Person

top = os.environ["MAILER_TOP"]
if not chromium.program:
    print("skipped: chromium isn't installed")
    raise SystemExit(0)

here = os.path.join(work, "oauth")
servers = os.path.join(top, "test/servers")
os.makedirs(here, exist_ok=True)
started = []


def start(program, folder):
    started.append(subprocess.Popen([os.path.join(servers, program), os.path.join(here, folder)]))
    path = os.path.join(here, folder, "port")
    until(30, lambda: os.path.exists(path), f"{program} starts")
    return open(path).read().strip()


provider_port, relay_port = start("tokens.py", "tokens"), start("catchall.py", "mails")
dovecot = os.path.join(here, "dovecot")
has_dovecot = subprocess.run([os.path.join(servers, "dovecot"), "start", dovecot, provider_port, relay_port]).returncode == 0
settings = dict(line.rstrip("\n").replace("'", "").split("=", 1) for line in open(os.path.join(dovecot, "env"))) if has_dovecot else {}
web = Web("--database", conninfo, "--gateway", conninfo + " user=gateway")
tab = chromium.Chromium(work)
her = Person(tab)
axe = looks.axe_script()
pictures = os.path.join(top, "build/web-pages")
os.makedirs(pictures, exist_ok=True)
callback = web.address + "/oauth/callback"
operator = ("operator <b>", "do")
connect = "Connect it with Google, Microsoft or another provider"
authorization = "Address of the page where the owner allows it (authorization endpoint)"


def registered(signed_in_as, **redirects):
    """Clients of the provider, with the addresses that they may be led back to; the secret of each is its name and "-secret"."""
    how = {"signed_in_as": signed_in_as, "clients": {client: {"secret": client + "-secret", "redirect_uris": [address]} for client, address in redirects.items()}}
    with open(os.path.join(here, "tokens/behaviour.new"), "w") as file:
        json.dump(how, file)
    os.rename(os.path.join(here, "tokens/behaviour.new"), os.path.join(here, "tokens/behaviour"))


def box(name):
    """A mailbox as an administrator makes it, at the server that takes tokens; its id."""
    made = sql(f"SELECT mailer.mailbox_create('{name}', 'localhost', {settings.get('SUBMISSION_PORT', 1)}, '{name}@example.com', username => '{name}@example.com')")
    if has_dovecot:
        sql(f"""SELECT mailer.mailbox_alter('{name}', '{{"ca_file": "{settings["DOVECOT_CA"]}"}}')""")
    return made


def token_state(name):
    return sql(f"SELECT token_state FROM mailer.mailbox_status WHERE mailbox = '{name}'")


def link_of(name):
    """What the page shows to be sent to the owner of the account."""
    her.at(f"{web.address}/mailboxes/{boxes[name]}/connect")
    return tab.run("document.querySelector('pre').innerText")


def led_to():
    """Where the provider led a browser last."""
    with open(os.path.join(here, "tokens/log.jsonl")) as log:
        return [one["led_to"] for one in map(json.loads, log) if "led_to" in one][-1]


def allowed(link):
    """Somebody else's browser, which goes to the provider and allows it; the address that it would open next."""
    class Stays(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *arguments):
            return None

    page = urllib.request.urlopen(link).read().decode()
    form = urllib.parse.urlencode({"request": page.split('name="request" value="')[1].split('"')[0], "decision": "allow"})
    try:
        urllib.request.build_opener(Stays).open(urllib.parse.urljoin(link, "/authorize"), form.encode())
    except urllib.error.HTTPError as answer:
        assert answer.code == 303
        return answer.headers["Location"]


def parameter(address, name):
    return urllib.parse.parse_qs(urllib.parse.urlsplit(address).query)[name][0]


def fits(name, address=None, status=200):
    """The page that she is on, or one at another address, on a phone, too, and for a person who has it read out."""
    wrong = looks.faults(tab, address or tab.run("location.href"), os.path.join(pictures, "oauth-" + name), axe, status)
    assert not wrong, "\n#   ".join(["", *wrong])


def stored():
    "an operator says in the form what the provider knows mailer by, and is shown the link for the owner"
    her.at(web.address + "/")
    her.fills_in(Role=operator[0], Password=operator[1])
    her.presses("Log in")
    her.follows("Mailboxes")
    her.follows("desk")
    her.sees("It isn't connected: it logs in with its password, or not at all.")
    her.follows(connect)
    her.sees("A provider lets only those programs into a mailbox that are registered with it.")
    her.sees_not("authorization endpoint", "Tenant", "The owner allows it")
    fits("connect-empty")
    # What is registered there is what stands in the form.
    registered("desk@example.com", desk=tab.run("document.querySelector('[name=redirect_uri]').value"))
    her.fill("Microsoft 365", True)
    her.sees("Tenant")
    her.fill("Another", True)
    her.sees_not("Tenant")
    her.fill("Client id", "desk")
    her.fill("Client secret", "a-mistaken-one")
    assert tab.run("document.querySelector('[name=login]').value") == "desk@example.com"
    her.fill(authorization, f"http://localhost:{provider_port}/authorize")
    her.fill("Address where mailer gets its access (token endpoint)", f"http://127.0.0.1:{provider_port}/token")
    her.fill("What mailer asks to be allowed (scope)", "mail")
    her.presses("Store")
    her.sees("Stored.", "It isn't connected yet.", "The owner allows it", "as desk@example.com", "mailer never sees the password")
    her.sees_not("Address that the browser was led to")
    assert tab.run("document.querySelector('[name=token_url]').value").endswith("/token") and tab.run("document.querySelector('[name=auth_url]').value").endswith("/authorize")
    fits("connect")
    assert token_state("desk") == "consent_needed"


def denied():
    "who denies it reads that nothing was connected, and how to try again; the operator is led back without a new login"
    her.follows("Go to the provider")
    her.sees("desk wants to use the mailbox of desk@example.com (mail).")
    her.presses("Deny")
    assert her.path() == "/oauth/callback"
    her.sees("mailer was not allowed to use desk", "Nothing was connected, and nothing has changed.", "To try again, open the same link once more", "access_denied The user denied the request.")
    her.sees_not("OAuth", "consent", "state")
    fits("denied")
    assert token_state("desk") == "consent_needed"
    her.follows("back to the mailbox")
    her.sees("Go to the provider")


def refused():
    "an owner who allows it while the application's secret is wrong reads that it isn't his fault, and the operator reads the provider's words"
    her.follows("Go to the provider")
    her.presses("Allow")
    assert her.path() == "/oauth/connected" and "code=" not in tab.run("location.search")
    her.waits_to_see("You allowed it, but the provider refused to give mailer access to desk.")
    fits("refused")
    her.follows("back to the mailbox")
    her.sees("It isn't connected: the provider refused.", "invalid_client The client secret is wrong.")
    fits("connect-refused")
    her.fill("Client secret", "desk-secret")
    her.presses("Store")
    her.sees("It isn't connected yet.")
    her.sees_not("invalid_client")


def connected():
    "who allows it comes back and reads that the mailbox is connected; so do the pages and mailbox_status say"
    her.follows("Go to the provider")
    her.presses("Allow")
    her.waits_to_see("desk is connected: the provider lets mailer use it from now on. There is nothing more to do; you can close this page.")
    fits("connected")
    assert token_state("desk") == "valid"
    her.follows("back to the mailbox")
    her.sees_not("Allowed by another account")
    her.sees("It is connected.", "renews that by itself", "This was done.")
    her.follows("desk")
    her.sees("It is connected.", "Consent given")
    her.follows("Mailboxes")
    her.sees("connected 1 of 1", "desk desk@example.com ready")
    assert tab.run("[...document.querySelectorAll('tr')].find(row => row.innerText.includes('desk@example.com')).querySelector('[data-head=Connected]').innerText") == "connected"


def used():
    "the address that the provider led to says, when it is opened again, that its code was used"
    fits("used", led_to(), 400)
    her.sees("This page was opened before, and the code in its address is good only once.", "desk is connected; there is nothing more to do.")
    assert token_state("desk") == "valid" and sql("SELECT count(*) FROM mailer.event_log WHERE kind = 'oauth_consent'") == "2"


def sent():
    "with its token the mailbox logs in to a server that takes no password from it, and a mail arrives"
    if not has_dovecot:
        print("# skipped: Dovecot can't be started here")
        return
    her.at(f"{web.address}/mailboxes/{boxes['desk']}")
    her.presses("Test the login")
    her.waits_to_see("It works.")
    sql("SELECT mailer.enqueue('bob@example.org', 'With a token', 'Hello', mailbox => 'desk')")
    log = os.path.join(here, "mails/log.jsonl")
    until(60, lambda: os.path.exists(log) and '"bob@example.org"' in open(log).read(), "the mail arrives")
    said = open(settings["DOVECOT_LOG"]).read()
    assert "user=<desk@example.com>, method=XOAUTH2" in said or "user=<desk@example.com>, method=OAUTHBEARER" in said, said[-2000:]


def foreign():
    "a code that was got with another link is refused by the provider, a state of another mailer or a changed one by the page"
    sql(f"""SELECT mailer.oauth_set('sales', '{{"auth_url": "http://localhost:{provider_port}/authorize", "token_url": "http://127.0.0.1:{provider_port}/token",
        "client_id": "desk", "client_secret": "desk-secret", "scope": "mail", "redirect_uri": "{callback}"}}')""")
    mine, hers = link_of("desk"), link_of("sales")
    code = parameter(allowed(mine), "code")
    her.at(f"{callback}?{urllib.parse.urlencode({'state': parameter(hers, 'state'), 'code': code})}")
    her.waits_to_see("the provider refused to give mailer access to sales")
    assert sql("SELECT failure_words, has_refresh_token FROM mailer.oauth_status WHERE mailbox = 'sales'") == "The code_verifier is wrong.|f"
    subprocess.run(["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-c", "CREATE DATABASE elsewhere"], check=True)
    try:
        other = subprocess.run(["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", "elsewhere", "-c", "CREATE EXTENSION mailer; SELECT mailer.mailbox_create('desk', 'localhost', from_address => 'desk@example.com')",
            "-c", "SELECT mailer.oauth_set('desk', '{\"provider\": \"google\", \"client_id\": \"c\", \"client_secret\": \"s\"}')",
            "-c", "SELECT mailer.oauth_url('desk')"], check=True, capture_output=True, text=True).stdout.strip().splitlines()[-1]
    finally:
        sql("DROP DATABASE elsewhere WITH (FORCE)")
    state = parameter(mine, "state")
    for wrong in (parameter(other, "state"), state[:-1] + ("A" if state[-1] != "A" else "B")):
        assert tab.go(f"{callback}?{urllib.parse.urlencode({'state': wrong, 'code': code})}") == 400
        her.sees("it didn't come from a link of this mailer. Nothing was connected.")
    fits("foreign", f"{callback}?state=x&code=y", 400)
    assert token_state("desk") == "valid"


def pasted():
    "a shared application whose redirect address is nobody's is chosen by its name, and the address that the browser was led to is pasted"
    registered("Boss@example.com", desk=callback, shared="http://localhost:1/")
    sql(f"""SELECT mailer.oauth_app_set('the shared one', '{{"auth_url": "http://localhost:{provider_port}/authorize", "token_url": "http://127.0.0.1:{provider_port}/token",
        "client_id": "shared", "client_secret": "shared-secret", "scope": "mail", "redirect_uri": "http://localhost:1/"}}')""")
    her.at(f"{web.address}/mailboxes/{boxes['third']}")
    her.follows(connect)
    her.fill("Its name", "the shared one")
    her.presses("Use it")
    her.sees("It isn't connected yet.", "It uses the application the shared one")
    her.fill("Address that the browser was led to", allowed(tab.run("document.querySelector('pre').innerText")))
    fits("connect-pasted")
    her.fill("Address that the browser was led to", allowed(tab.run("document.querySelector('pre').innerText")))
    her.presses("Connect with this address")
    her.sees("Thank you. third is being connected.")
    her.waits_to_see("It is connected.")
    her.sees("Allowed by another account: boss@example.com.")
    fits("connect-other-account")
    # Back to one of its own, at Google: nothing of the other provider stays.
    her.fills_in(Google=True)
    her.fill("Client id", "c")
    her.presses("Store")
    assert sql("SELECT provider, app, token_url, scope FROM mailer.oauth_status WHERE mailbox = 'third'") == "google||https://oauth2.googleapis.com/token|https://mail.google.com/"


try:
    boxes = {name: box(name) for name in ("desk", "sales", "third")}
    run([stored, denied, refused, connected, used, sent, foreign, pasted])
finally:
    tab.stop()
    web.stop()
    if has_dovecot:
        subprocess.run([os.path.join(servers, "dovecot"), "stop", dovecot])
    for one in started:
        one.terminate()
        one.wait()

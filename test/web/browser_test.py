"""Every page that the menu shows, in a real browser, as a person meets it: bright and dark, on a phone and a desktop,
with the keyboard alone. The pages come from the menu, and of those that a page leads to one of each kind, so a new page
is looked at without a line here. Pictures of all of them stay in build/web-pages for eyes.
"""
import os
import re
import subprocess
import urllib.parse

import chromium
import looks
from client import Browser, Web, conninfo, run, sql, until, work

top = os.environ["MAILER_TOP"]
if not chromium.program:
    print("skipped: chromium isn't installed")
    raise SystemExit(0)

subprocess.run(["psql", "-Xq", "-c", "CREATE DATABASE busy"], check=True)
subprocess.run(["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", "busy", "-f", os.path.join(top, "test/web/busy.psql")], check=True, stdout=subprocess.DEVNULL)
busy = conninfo.replace("dbname=" + os.environ["PGDATABASE"], "dbname=busy")
web = Web("--database", busy, "--gateway", busy + " user=gateway")
tab = chromium.Chromium(work)
pictures = os.path.join(top, "build/web-pages")
os.makedirs(pictures, exist_ok=True)
for old in os.listdir(pictures):
    os.remove(os.path.join(pictures, old))

operator, viewer = ("operator <b>", "do"), ("viewer", "look")
here = []


def log_in(role, password, at=web):
    """By the keyboard: the field of the role has the focus."""
    tab.ask("Network.clearBrowserCookies")
    assert tab.go(at.address + "/login") == 200
    tab.wait_for_focus("role")
    tab.type(role)
    tab.key("Tab")
    tab.wait_for_focus("password")
    tab.type(password)
    tab.key("Enter", "\r")
    tab.loaded()
    assert tab.run("location.pathname") == "/", tab.run("document.body.innerText")


def kind_of(path):
    """Two messages are one kind of page."""
    return re.sub(r"/[^/]*(%|\d)[^/]*", "/ID", path.split("?")[0])


def links(selector):
    found = tab.run(f"[...document.querySelectorAll({selector!r})].map(link => link.href)")
    parts = [urllib.parse.urlsplit(address) for address in found if address.startswith(web.address)]
    return [part.path + ("?" + part.query if part.query else "") for part in parts if not part.path.startswith("/static/")]


def paths():
    """The menu's pages, then one of each kind that they lead to."""
    if here:
        return here
    log_in(*operator)
    asking = Browser(web)
    asking.log_in(*operator)
    here.extend(dict.fromkeys(links("nav a")))
    assert "/" in here, here
    kinds = {kind_of(path) for path in here}
    for path in here:
        tab.go(web.address + path)
        for further in links("main a"):
            if kind_of(further) not in kinds and len(here) < 60:
                kinds.add(kind_of(further))
                if 'class="skip"' in asking.get(further).text:  # not a file, nor what is shown in a frame
                    here.append(further)
    return here


def name_of(path):
    return re.sub(r"[^a-z0-9]+", "-", urllib.parse.unquote(kind_of(path)).lower()).strip("-") or "overview"


def check(path, status=200, name=None, axe=None):
    """What is wrong with one page, in all looks."""
    return looks.faults(tab, web.address + path, os.path.join(pictures, name or name_of(path)), axe, status)


def every_page():
    "every page fits phone and desktop, bright and dark, the browser complains of nothing, and axe finds nothing serious"
    axe, wrong = looks.axe_script(), []
    for path in paths():
        wrong += check(path, axe=axe)
    print(f"# {len(paths())} pages: {' '.join(kind_of(path) for path in paths())}")
    assert not wrong, "\n#   ".join(["", *wrong])


def open_pages():
    "login, errors and the public pages, too"
    axe = looks.axe_script()
    token = subprocess.run(["psql", "-XqAtd", "busy", "-c", f"SELECT mailer._unsubscribe_token(0, '{'reader' * 9}@{'mail' * 12}.example.com', 'list:{'news' * 12}')"],
                           check=True, capture_output=True, text=True).stdout.strip()
    wrong = check("/nothing", 404, "not-found", axe) + check("/u/" + token, 200, "unsubscribe", axe) + check("/u/x", 404, "unsubscribe-not-ours", axe)
    tab.ask("Network.clearBrowserCookies")
    wrong += check("/login", 200, "login", axe)
    here.clear()
    assert not wrong, "\n#   ".join(["", *wrong])


def keyboard():
    "with the keyboard alone one comes to every link, button and field, sees where one is, and skips the menu"
    log_in(*operator)
    wrong = []
    # A frame of mail lets no focus in: a link beside it opens the same. A refresh would put other elements in the place of those that were counted.
    hold = tab.ask("Page.addScriptToEvaluateOnNewDocument", source="window.setInterval = () => 0")["identifier"]
    for path in paths():
        assert tab.go(web.address + path) == 200, path
        tab.run("""window.seen = new Set(); window.unseen = [];
            window.wanted = () => [...document.querySelectorAll('a[href], button, input, select, textarea, summary, iframe, [tabindex="0"]')].filter(one =>
                !one.disabled && one.type !== 'hidden' && one.getClientRects().length && one.checkVisibility()
                && !(one.tagName === 'IFRAME' && [...document.links].some(link => link.href === one.src))
                && !(one.type === 'radio' && [...document.getElementsByName(one.name)].some(other => other.form === one.form && seen.has(other))) && !seen.has(one));
            document.addEventListener('focusin', event => {
                const one = event.target, style = getComputedStyle(one);
                seen.add(one);
                const box = one.getBoundingClientRect();
                if (one.tagName !== 'IFRAME' && (style.outlineStyle === 'none' || !parseFloat(style.outlineWidth) || box.right < 0)) unseen.push(one.outerHTML.slice(0, 80));
            }); 0""")
        # Each as often as there are things to reach, and some for frames and what a date field has within.
        for _ in range(tab.run("wanted().length") * 2 + 10):
            tab.key("Tab")
            if not tab.run("wanted().length"):
                break
        wrong += [f"{path}: not reached: {one}" for one in tab.run("wanted().map(one => one.outerHTML.slice(0, 80))")]
        wrong += [f"{path}: focus can't be seen: {one}" for one in tab.run("unseen")]
    tab.ask("Page.removeScriptToEvaluateOnNewDocument", identifier=hold)
    assert not wrong, "\n#   ".join(["", *wrong[:20]])
    tab.go(web.address + "/")
    tab.key("Tab")
    assert tab.run("document.activeElement.className") == "skip", tab.run("document.activeElement.outerHTML")
    tab.key("Enter", "\r")
    tab.key("Tab")
    assert tab.run("!document.activeElement.closest('header')"), "the way past the menu leads into it"
    for path in links("nav a"):
        tab.run(f"[...document.querySelectorAll('nav a')].find(one => one.pathname === {path!r}).focus()")
        tab.key("Enter", "\r")
        assert tab.loaded() == 200 and tab.run("location.pathname") == path, path
        assert tab.run("document.querySelector('nav a[aria-current=page]').pathname") == path


def without_script():
    "without scripts the same things are on every page, and actions work"
    log_in(*operator)
    tab.ask("Emulation.setScriptExecutionDisabled", value=True)
    try:
        for path in paths():
            assert tab.go(web.address + path) == 200, path
    finally:
        tab.ask("Emulation.setScriptExecutionDisabled", value=False)


def buttons():
    "a viewer sees no button that isn't for viewers, and gets 403 for each that an operator sees"
    script = "[...document.querySelectorAll('main button[name=action], main input[name=action]')].map(one => one.value)"
    log_in(*operator)
    shown = {}
    for path in paths():
        assert tab.go(web.address + path) == 200, path
        shown[path] = set(tab.run(script))
    assert any(shown.values()), "an operator has no button at all"
    log_in(*viewer)
    asking, wrong = Browser(web), []
    asking.log_in(*viewer)
    csrf = asking.get("/").field("csrf")
    for path, actions in shown.items():
        if tab.go(web.address + path) == 403:
            actions, own = actions, set()
        else:
            own = set(tab.run(script))
        for action in sorted(actions - own):
            status = asking.post(path, {"action": action, "csrf": csrf}).status
            if status != 403:
                wrong.append(f"{path}: {action} is answered with {status}")
        for action in sorted(own):
            print(f"# a viewer may {action} at {kind_of(path)}")
    assert not wrong, "\n#   ".join(["", *wrong])


def confirmed(button):
    """Clicks it and says yes to the question; the page that follows is there."""
    tab.events.clear()
    tab.send("Runtime.evaluate", expression=f"document.querySelector({button!r}).click()")
    tab.wait_for("Page.javascriptDialogOpening")
    tab.ask("Page.handleJavaScriptDialog", accept=True)
    assert tab.loaded() == 200


def follows():
    "an open overview shows by itself what changed in the database, and asks before it pauses"
    log_in(*operator)
    tab.go(web.address + "/")
    tab.run("window.kept = true")
    busy_sql = lambda text: subprocess.run(["psql", "-XqAtd", "busy", "-c", text], check=True, capture_output=True)  # noqa: E731
    before = tab.run("document.querySelector('.numbers').innerText")
    busy_sql("SELECT mailer.enqueue('fresh@example.com', 'Fresh', 'mail')")
    until(30, lambda: tab.run("document.querySelector('.numbers').innerText") != before, "the page follows")
    assert tab.run("window.kept"), "it was loaded again"
    # The question comes while the click is being handled, and the click ends when it is answered.
    tab.events.clear()
    tab.send("Runtime.evaluate", expression="document.querySelector('main form[data-confirm] button').click()")
    tab.wait_for("Page.javascriptDialogOpening")
    tab.ask("Page.handleJavaScriptDialog", accept=False)
    assert tab.run("location.pathname") == "/" and tab.run("window.kept"), "it was sent all the same"
    confirmed("main form[data-confirm] button")
    assert "kept" not in tab.run("Object.keys(window)")
    assert tab.run("document.querySelector('p.notice') !== null"), "it doesn't say what was done"
    busy_sql("SELECT mailer.pause('the audit')")


# What the schedule says now: how many mails are foretold and sent, and of how many sent ones the difference is shown.
on_schedule = """(() => {
    const rows = (kind) => [...document.querySelectorAll('table.schedule tr.' + kind)];
    const number = (name) => +[...document.querySelectorAll('.numbers dt')].find(one => one.textContent === name).nextSibling.textContent;
    return {coming: rows('coming').length, sent: rows('sent').length, waiting: number('waiting'), counted: number('sent'),
        leads: [...rows('sent'), ...rows('coming')].map(row => row.querySelector('[data-head=Lead]').textContent),
        differences: rows('sent').map(row => (row.querySelector('[data-head=Foretold] small') || {}).textContent), state: document.querySelector('h2 small').textContent};
})()"""


def follows_campaign():
    "who has a campaign's schedule open sees its mails turn from foretold to sent, one after the other to the end, without loading it again"
    count = 6
    sql(f"ALTER DATABASE {os.environ['PGDATABASE']} SET mailer.delivery = 'capture'")
    sql("SELECT mailer.mailbox_create('live', 'localhost', from_address => 'live@example.com', tls => 'none'), mailer.template_set('live', 'Hello {{name}}', 'Hi')")
    campaign = sql("SELECT mailer.campaign_create('Live', 'live', ARRAY['live'], gap => '4 s', jitter => 0, max_silence => NULL, window_start => '00:00', window_end => '00:00', "
                   "allowed_days => '{MON,TUE,WED,THU,FRI,SAT,SUN}')")
    sql(f"SELECT mailer.campaign_add_many({campaign}, ARRAY(SELECT 'lead' || i || '@example.org' FROM generate_series(1, {count}) i))")
    live = Web("--database", conninfo)
    try:
        log_in(*operator, at=live)
        tab.go(f"{live.address}/campaigns/{campaign}")
        before = tab.run(on_schedule)
        assert (before["coming"], before["sent"], before["state"]) == (count, 0, "draft"), before
        tab.complaints.clear()
        confirmed("button[value=start]")
        tab.run("window.kept = true")
        seen = [before]

        def is_over():
            now = tab.run(on_schedule)
            if now != seen[-1]:
                seen.append(now)
            return now["state"] == "completed"
        until(120, is_over, "the campaign is over on the page", interval=0.2)
        shown = [(one["sent"], one["coming"]) for one in seen]
        print(f"# the page showed (sent, foretold) {shown}")
        assert tab.run("window.kept"), "it was loaded again"
        last = seen[-1]
        assert (last["coming"], last["sent"], last["waiting"], last["counted"]) == (0, count, 0, count), last
        assert all(re.fullmatch(r"[+-]\d+\.\d s", one or "") for one in last["differences"]), last["differences"]
        assert len({sent for sent, _ in shown} - {0, count}) >= 2, "it didn't show them as they went"
        for earlier, later in zip(seen, seen[1:]):
            # One that is on its way is neither foretold nor sent for a moment.
            assert later["sent"] >= earlier["sent"] and len(set(before["leads"]) ^ set(later["leads"])) <= 1, (earlier, later)
        assert set(last["leads"]) == set(before["leads"]), last
        # The buttons follow, too: what is over can't be paused.
        until(20, lambda: tab.run("!document.querySelector('button[value=pause]')"), "the buttons of a campaign that runs go")
        assert tab.run("document.querySelector('tr.now').textContent").startswith("Now.") and not tab.complaints, tab.complaints
    finally:
        live.stop()
        sql(f"ALTER DATABASE {os.environ['PGDATABASE']} RESET mailer.delivery")


def left_alone():
    "what somebody fills in stays when the page refreshes itself"
    campaign = subprocess.run(["psql", "-XqAtd", "busy", "-c", "SELECT max(campaign_id) FROM mailer.campaign_list WHERE state = 'draft'"], check=True, capture_output=True, text=True).stdout.strip()
    log_in(*operator)
    tab.go(f"{web.address}/campaigns/{campaign}")
    tab.run("document.querySelector('#actions input[name=name]').value = 'half a na'; document.querySelector('#actions').kept = document.querySelector('#campaign').kept = true; 0")
    subprocess.run(["psql", "-XqAtd", "busy", "-c", f"SELECT mailer.campaign_start({campaign})"], check=True, capture_output=True)
    until(30, lambda: tab.run("!document.querySelector('#campaign').kept"), "the page follows")
    assert tab.run("document.querySelector('#actions').kept && document.querySelector('#actions input[name=name]').value") == "half a na"
    tab.run("document.querySelector('#actions input[name=name]').value = ''; 0")
    until(30, lambda: tab.run("document.querySelector('button[value=pause]') !== null"), "the buttons follow when the field is empty again")


try:
    run([every_page, open_pages, keyboard, without_script, buttons, follows, follows_campaign, left_alone])
finally:
    tab.stop()
    web.stop()
    sql("DROP DATABASE busy WITH (FORCE)")

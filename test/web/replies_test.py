"""The page of replies: what came back, and a person's word on guesses."""
import re
import time

from client import Browser, Web, conninfo, database, run, sql, until

web = Web("--database", conninfo)
hostile = "<script>alert(1)</script>\u202e" + "x" * 300


def logged_in(role="viewer", password="look"):
    browser = Browser(web)
    assert browser.log_in(role, password).status == 303
    return browser


def operator():
    return logged_in("operator <b>", "do")


def scene():
    """A campaign whose worker has sent the first mail to four leads, into the database itself; its id."""
    sql(f"ALTER DATABASE {database} SET mailer.delivery = 'capture'")
    sql("SELECT mailer.mailbox_create('replying', 'localhost', from_address => 'sales@example.com', tls => 'none')")
    sql("SELECT mailer.template_set('replying', 'Hello', 'Hello')")
    campaign = sql(f"""SELECT mailer.campaign_create('replying {hostile[:190]}', 'replying', '{{replying}}', max_silence => NULL, gap => '0', jitter => 0,
        window_start => '00:00', window_end => '00:00', allowed_days => '{{MON,TUE,WED,THU,FRI,SAT,SUN}}')""")
    sql(f"SELECT mailer.campaign_step_set({campaign}, 2, 'replying', '3 days')")
    sql(f"SELECT mailer.campaign_add_many({campaign}, '{{ada+x@replies.example,bob@replies.example,cyd@replies.example,dan@replies.example}}')")
    sql(f"SELECT mailer.campaign_start({campaign})")
    until(60, lambda: sql(f"SELECT count(*) FROM mailer.lead_status WHERE campaign_id = {campaign} AND step = 2") == "4", "step 1 goes out")
    sql(f"ALTER DATABASE {database} RESET mailer.delivery")
    return campaign


campaign = scene()


def answer(author, subject, words, extra=""):
    mail = f"From: {author}\nTo: sales@example.com\nSubject: {subject}\nMessage-ID: <{time.monotonic_ns()}@replies.example>\n{extra}\n{words}\n"
    return sql(f"SELECT id FROM mailer.ingest(convert_to($m${mail}$m$, 'UTF8'), 'replying')")


def message_of(address):
    return sql(f"SELECT internet_message_id FROM mailer.message_status WHERE campaign_id = {campaign} AND recipient = '{address}' ORDER BY message_id LIMIT 1")


def state_of(address):
    return sql(f"SELECT state FROM mailer.lead_status WHERE campaign_id = {campaign} AND address_key = '{address}'")


def nobody_yet():
    "without replies the page says where they will come from"
    page = logged_in().get("/replies")
    assert page.status == 200 and "Nobody yet" in page.text and "Is it so?" not in page.text, page.text


def shown():
    "replies, bounces and absences are shown with lead and campaign, whatever stands in them"
    answer("bob@replies.example", hostile, "I am interested", f"In-Reply-To: {message_of('bob@replies.example')}\n")
    answer("cyd@replies.example", "Out of office", "Back on Monday", f"In-Reply-To: {message_of('cyd@replies.example')}\nAuto-Submitted: auto-replied\n")
    page = logged_in().get("/replies")
    assert page.status == 200 and "<script>alert" not in page.text
    assert f"<bdi>{hostile.replace('<', '&lt;').replace('>', '&gt;')[:60]}" in page.text, page.text
    assert "answered" in page.text and "was away" in page.text and "lead?" not in page.text
    assert f'href="/campaigns/{campaign}/leads?address=bob%40replies.example"' in page.text, page.text
    only = logged_in().get("/replies?kind=auto_reply")
    assert "cyd@replies.example" in only.text and "bob@replies.example" not in only.text
    assert logged_in().get("/replies?kind=delivered").status == 400


def guesses():
    "a guess is confirmed or taken back by an operator, and what it did is undone"
    first = answer("ada+x@replies.example", "No thread", "Who are you?")
    second = answer("dan@replies.example", "No thread", "Hello")
    assert (state_of("ada+x@replies.example"), state_of("dan@replies.example")) == ("replied", "replied"), "a guess stops the sequence"
    page = logged_in().get("/replies")
    assert "Is it so?" in page.text and "address=ada%2Bx%40replies.example" in page.text and 'value="take_back"' not in page.text, page.text
    browser = operator()
    page = browser.get("/replies")
    assert page.text.count('value="take_back"') == 2
    csrf = page.field("csrf")
    done = browser.post("/replies", {"csrf": csrf, "action": "take_back", "id": first})
    assert (done.status, done.headers["Location"]) == (303, "/replies")
    assert state_of("ada+x@replies.example") == "active", state_of("ada+x@replies.example")
    assert browser.post("/replies", {"csrf": csrf, "action": "confirm", "id": second}).status == 303
    assert sql("SELECT string_agg(result, ',' ORDER BY message_id) FROM mailer.sent_to('dan@replies.example')") == "replied,cancelled"
    page = browser.get("/replies")
    assert "Is it so?" not in page.text and "confirmed by <bdi>operator &lt;b&gt;</bdi>" in page.text and "taken back by" in page.text, page.text
    assert browser.post("/replies", {"csrf": csrf, "action": "confirm", "id": second}).status == 409, "judged twice"
    assert browser.post("/replies", {"csrf": csrf, "action": "confirm", "id": "999999999"}).status == 404
    for bad in ("", "x", "-1", "9" * 30):
        assert browser.post("/replies", {"csrf": csrf, "action": "confirm", "id": bad}).status == 400, bad


def rights():
    "a viewer, and a post without csrf, get 403"
    viewer = logged_in()
    csrf = viewer.get("/replies").field("csrf")
    for name in ("confirm", "take_back"):
        assert viewer.post("/replies", {"csrf": csrf, "action": name, "id": "1"}).status == 403
        assert operator().post("/replies", {"action": name, "id": "1"}).status == 403


def busy():
    "among 50,000 reports the page reads by index, and pages lead to the oldest"
    sql(f"""INSERT INTO mailer.feedback (feedback_id, at, kind, is_hard, message_id, campaign_id, address, address_key, words, source, evidence, is_guess, is_counted, report_key)
        SELECT nextval('mailer.event_id_seq'), now(), (ARRAY['delivered', 'bounce', 'reply', 'delivered'])[1 + i % 4], i % 4 = 1, m.message_id, {campaign}, '{hostile}', m.address_key,
               '{hostile}', 'pipe', 'id', false, true, 'busy ' || i
        FROM generate_series(1, 50000) i, LATERAL (SELECT message_id, address_key FROM mailer.message WHERE campaign_id = {campaign} ORDER BY message_id LIMIT 1) m""")
    sql("ANALYZE mailer.feedback")
    browser = logged_in()
    plan = sql("EXPLAIN SELECT f.id FROM mailer.feedback_log f WHERE f.kind = 'complaint' ORDER BY f.id DESC LIMIT 51")
    assert "feedback_kind" in plan, plan
    began = time.monotonic()
    page = browser.get("/replies")
    assert time.monotonic() - began < 5 and page.status == 200
    assert page.text.count("<tr>") == 51 and "<script>alert" not in page.text
    following = re.search(r'href="(\?[^"]*after=[^"]*)"', page.text).group(1).replace("&amp;", "&")
    second = browser.get("/replies" + following)
    assert second.status == 200 and second.text.count("<tr>") == 51
    assert browser.get("/replies?kind=auto_reply").text.count("<tr>") == 2
    assert browser.get("/replies?after=x").status == 400


run([nobody_yet, shown, guesses, rights, busy])

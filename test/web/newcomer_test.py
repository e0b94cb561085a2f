"""A newcomer's first campaign, in a real browser, by nothing but what the pages show: from the login to somebody who
unsubscribes. The database is as an administrator hands it over: the extension, roles, two templates; sending is paused.
"""
import email
import email.policy
import json
import os
import re
import subprocess

import chromium
from client import Web, conninfo, run, sql, until, work
from person import Person

top = os.environ["MAILER_TOP"]
if not chromium.program:
    print("skipped: chromium isn't installed")
    raise SystemExit(0)

mails = os.path.join(work, "newcomer")
smtp = subprocess.Popen([os.path.join(top, "test/servers/catchall.py"), mails, "--login", "desk@example.com:the right one"])
until(30, lambda: os.path.exists(os.path.join(mails, "port")), "the mail server starts")
smtp_port = open(os.path.join(mails, "port")).read().strip()
database = os.environ["PGDATABASE"]
tab = chromium.Chromium(work)
web = Web("--database", conninfo, "--gateway", conninfo + " user=gateway")
her = Person(tab)
me = "newcomer@example.org"


def handed_over():
    sql("SELECT mailer.mailbox_delete(mailbox) FROM mailer.mailbox_status")
    sql(f"ALTER DATABASE {database} SET mailer.unsubscribe_url = '{web.address}/u/{{token}}'")
    sql("CREATE ROLE newcomer LOGIN PASSWORD 'first day'; SELECT mailer.grant_operator('newcomer')")
    sql(r"""SELECT mailer.template_set('spring offer', 'Something for {{company}}', E'Hello {{name}},\n\nspring is here at {{company}}.\n\nNo more of this: {{unsubscribe_url}}\n',
        '<p>Hello <b>{{name}}</b></p><p><a href="{{unsubscribe_url}}">No more of this</a></p>'), mailer.template_set('reminder', 'Still there?', 'Hello')""")
    sql("SELECT mailer.pause('until somebody has added a mailbox')")


def arrived():
    """Mails that the server took: recipient and message, in their order."""
    with open(os.path.join(mails, "log.jsonl")) as log:
        taken = [json.loads(line) for line in log if line.endswith("\n")]
    return [(one["recipients"][0], os.path.join(mails, one["file"])) for one in taken if one["event"] == "accepted"]


def mail_to(address):
    path = until(60, lambda: dict(arrived()).get(address), f"a mail to {address}")
    with open(path, "rb") as file:
        return email.message_from_binary_file(file, policy=email.policy.default)


def first_day():
    "a newcomer finds out why nothing is sent, and adds a mailbox whose first password is wrong"
    her.at(web.address + "/")
    her.sees("Log in", "The role and password are those of the database.")
    her.fills_in(Role="newcomer", Password="first day")
    her.presses("Log in")
    her.sees("sending is paused", "until somebody has added a mailbox", "There is no mailbox yet, so nothing can be sent.")
    her.sees_not("All is well")
    her.follows("Add one")
    her.sees("There is no mailbox yet.")
    her.fill("Name", "desk")
    her.fill("Sender's address", "desk@example.com")
    her.fill("Sender's name", "Help Desk")
    her.fills_in(Server="localhost", Port=smtp_port, Encryption="none", Login="desk@example.com", Password="a wrong one")
    her.presses("Add the mailbox")
    her.sees("Mailbox desk is there. Test its login, below.", "Help Desk desk@example.com")
    her.presses("Test the login")
    her.sees("Failed.", "The test failed: see its last step.", "535")
    her.fill("New password", "the right one")
    her.presses("Set the password")
    her.sees("The password of desk is changed.")
    her.presses("Test the login")
    her.sees("It works.")
    her.follows("Overview")
    her.sees_not("There is no mailbox yet")
    her.presses("Resume sending", agrees=True)
    her.sees("Sending goes on.", "There is no campaign yet.")
    her.sees_not("sending is paused")


def prepared():
    "she chooses a template, sees what it needs, makes a campaign, and imports 200 leads of a file with mistakes"
    her.follows("a template")
    her.sees("spring offer", "reminder")
    her.follows("spring offer")
    her.sees("Missing, and marked below", "company", "name")
    her.fill("Variables, as JSON", '{"name": "Ada", "company": "Acme"}')
    her.presses("Preview with these")
    her.sees("Something for Acme", "Hello Ada,")
    her.follows("Campaigns")
    her.sees("No campaign is under way.")
    her.fills_in(Name="Spring", Template="spring offer", Saturday=True, Sunday=True, to="00:00", desk=True)
    her.fill("Window from", "00:00")
    her.fill("Gap between two mails", "1 s")
    her.fill("Mailing list", "offers")
    her.presses("Make a draft")
    her.sees("The draft is there.", "Spring", "draft", "It has no leads yet.")
    her.follows("Import some from a file.")
    path = os.path.join(work, "leads.csv")
    with open(path, "w", encoding="utf-8") as file:
        file.write("E-Mail;Name;Company\n" + f"{me};New Comer;Ours\n" + "".join(f"lead{n}@example.org;Lead {n};{'' if n == 7 else f'Company {n}'}\n" for n in range(1, 200)) + "no address;Nobody;Nowhere\n")
    her.chooses_file("A CSV file, from Excel, LibreOffice or your CRM", path)
    her.presses("Look at it")
    her.sees("200 leads are new.", "1 lines will be left out.", "no address", "company: missing in 1 lines")
    her.presses("Import 200 leads")
    her.sees("200 leads are new", "1 lines were left out")


def went_out():
    "she looks at the forecast, starts, learns of the lead without a company, watches mails go out, pauses and goes on"
    her.follows("Forecast and what-if")
    her.follows("When will it be done?")
    her.sees("As it is 200")
    her.follows("Schedule")
    asked = her.presses("Start", agrees=True)
    assert "It sends from the first slot on" in asked, asked
    her.sees("Started.", "1 of 200 leads lack variables that the template names", "Missing: company")
    her.sees_not("no way to unsubscribe")
    her.waits_to_see(f"{me} 1 desk sent")
    her.fill("Reason for the pause", "a look at the first ones")
    her.presses("Pause", agrees=True)
    her.sees("Paused.", "a look at the first ones")
    before = len(arrived())
    assert 0 < before < 100, before
    her.presses("Resume", agrees=True)
    her.sees("It goes on.")
    until(60, lambda: len(arrived()) > before + 3, "mails go out again")


def answered():
    "she has the replies open, and an answer comes in"
    her.follows("Replies")
    her.sees("Nobody yet.")
    mail = mail_to("lead2@example.org")
    reply = f"From: Lead 2 <lead2@example.org>\nTo: desk@example.com\nSubject: Re: {mail['Subject']}\nMessage-ID: <answer@example.org>\nIn-Reply-To: {mail['Message-ID']}\n\nYes, please call me.\n"
    assert "reply" in sql(f"SELECT kind FROM mailer.ingest('\\x{reply.encode().hex()}', 'desk')")
    her.waits_to_see("lead2@example.org answered Re: Something for Company 2")
    her.follows("Spring")
    her.sees("lead2@example.org replied", "Hello Lead 2,")


def unsubscribed():
    "by the link in the mail she got herself she unsubscribes, and finds herself among the suppressions and the day in the log"
    mail = mail_to(me)
    assert "Something for Ours" == mail["Subject"] and "Hello New Comer," in mail.get_body(("plain",)).get_content()
    link = re.search(r"No more of this: (\S+)", mail.get_body(("plain",)).get_content()).group(1)
    her.at(link)
    her.sees(me, "offers", "Unsubscribe")
    her.presses("Unsubscribe")
    her.sees(f"{me} gets no more mail from")
    her.at(web.address + "/")
    her.follows("Replies")
    her.follows("Left alone")
    her.follows("the list of suppressions")
    her.sees(me, "list:offers", "unsubscribe")
    her.follows("Log")
    her.sees("unsubscribed gateway", "campaign_started newcomer", "mailbox_created newcomer")


try:
    handed_over()
    run([first_day, prepared, went_out, answered, unsubscribed])
finally:
    tab.stop()
    web.stop()
    smtp.terminate()
    smtp.wait()

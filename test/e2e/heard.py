#!/usr/bin/python3
"""The people whom test/e2e/heard.test writes to, and their own record of it.

    heard.py play MX-FOLDER SMTP-PORT RECORD        until SIGTERM: answers what arrives at the catch-all server, each as its address says, by SMTP
                                                    at SMTP-PORT, and then writes RECORD
    heard.py compare RECORD MX-FOLDER POSTFIX-LOG LEADS   asks the database (psql) for every number that it shows; exits 1 where one differs

reply…@ answers, holiday…@ has an automatic answer, complain…@ reports abuse; gone…@ and full…@ are refused by the catch-all server, so that Postfix
reports it, refused…@ by Postfix at once; who is called anything else says nothing.
"""
import collections
import email
import email.policy
import json
import os
import re
import signal
import smtplib
import subprocess
import sys
from email.message import EmailMessage

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from waiting import until  # noqa: E402


def lines(path):
    try:
        with open(path, encoding="utf-8") as file:
            return [json.loads(line) for line in file if line.endswith("\n")]
    except FileNotFoundError:
        return []


def role(address):
    return re.match("[a-z]+", address).group()


def answer(original, address):
    mail = EmailMessage()
    mail["From"] = address
    mail["To"] = original["From"]
    mail["Message-ID"] = f"<answer-{address}>"
    mail["In-Reply-To"] = mail["References"] = original["Message-ID"]
    if role(address) == "holiday":
        mail["Subject"] = "Automatic reply: " + original["Subject"]
        mail["Auto-Submitted"] = "auto-replied"
        mail.set_content("I am away until Monday.")
    else:
        mail["Subject"] = "Re: " + original["Subject"]
        mail.set_content("Yes, tell me more.")
    return bytes(mail)


def complaint(original, address):
    return f"""From: feedback@mx.example
To: {original["From"]}
Subject: abuse report
Message-ID: <abuse-{address}>
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary="b"

--b
Content-Type: text/plain

This is an abuse report.
--b
Content-Type: message/feedback-report

Feedback-Type: abuse
User-Agent: test/1
Version: 1
Original-Rcpt-To: {address}

--b
Content-Type: text/rfc822-headers

From: {original["From"]}
To: {address}
Subject: {original["Subject"]}
Message-ID: {original["Message-ID"]}

--b--
""".replace("\n", "\r\n").encode()


def play(folder, port, record):
    is_over = []
    signal.signal(signal.SIGTERM, lambda *_: is_over.append(1))
    said = collections.defaultdict(dict)  # what, by address: to which mailbox
    taken = 0
    while True:
        events = lines(os.path.join(folder, "log.jsonl"))
        for event in events[taken:]:
            if event["event"] != "accepted" or role(event["recipients"][0]) not in ("reply", "holiday", "complain"):
                continue
            address = event["recipients"][0]
            with open(os.path.join(folder, event["file"]), "rb") as file:
                original = email.message_from_binary_file(file, policy=email.policy.default)
            with smtplib.SMTP("127.0.0.1", port) as smtp:
                if role(address) == "complain":
                    smtp.sendmail("feedback@mx.example", event["sender"], complaint(original, address))
                else:
                    smtp.sendmail("" if role(address) == "holiday" else address, event["sender"], answer(original, address))
            said[role(address)][address] = event["sender"]
        taken = len(events)
        if is_over:
            break
        until(3600, lambda: is_over or len(lines(os.path.join(folder, "log.jsonl"))) > taken, "another mail is accepted", interval=0.2)
    with open(record, "w", encoding="utf-8") as file:
        json.dump(said, file)


def ask(query):
    out = subprocess.run(["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-c", f"SELECT to_jsonb(x) FROM ({query}) x"], check=True, capture_output=True, text=True)
    return [json.loads(line) for line in out.stdout.splitlines()]


def compare(record, folder, log, leads):
    with open(record, encoding="utf-8") as file:
        said = json.load(file)
    mx = lines(os.path.join(folder, "log.jsonl"))
    accepted = {e["recipients"][0]: e["sender"] for e in mx if e["event"] == "accepted"}
    refused = {e["recipient"]: e["sender"] for e in mx if e["event"] == "refused"}
    gone = {a: s for a, s in refused.items() if role(a) == "gone"}
    full = {a: s for a, s in refused.items() if role(a) == "full"}
    with open(log, encoding="utf-8") as file:
        at_once = dict(re.search(r"from=<([^>]*)> to=<([^>]*)>", line).groups()[::-1] for line in file if "reject: RCPT" in line and "to=<refused" in line)
    reply, holiday, complain = (said.get(what, {}) for what in ("reply", "holiday", "complain"))
    differ = []

    def same(what, expected, shown):
        if expected != shown:
            differ.append(f"{what}: the record says {expected}, the product {shown}")

    same("mails that reached somebody", leads, len(accepted) + len(refused) + len(at_once))
    same("copies", len(accepted), sum(e["event"] == "accepted" for e in mx))
    same("who was answered for", sum(role(a) in ("reply", "holiday", "complain") for a in accepted), len(reply) + len(holiday) + len(complain))

    [c] = ask("SELECT * FROM mailer.campaign_status('spring')")
    expected = {"total": leads, "pending": 0, "sending": 0, "sent": leads - len(at_once), "failed": len(at_once), "cancelled": 0, "unconfirmed": 0, "replied": len(reply),
                "bounced": len(gone), "complained": len(complain), "unsubscribed": 0, "sent_today": leads - len(at_once)}
    same("campaign_status", expected, {k: c[k] for k in expected})
    [p] = ask("SELECT progress, replied, bounced, complained FROM mailer.campaign_progress")
    same("campaign_progress", {"progress": c["progress"], "replied": len(reply), "bounced": len(gone), "complained": len(complain)}, p)
    for word in (f"{leads - len(at_once)} of {leads}", f"{len(at_once)} failed", f"{len(reply)} replied", f"{len(gone)} bounced", f"{len(complain)} complained"):
        same("progress has " + word, True, word in c["progress"])

    results = {**{a: "accepted" for a in accepted}, **{a: "refused" for a in at_once}, **{a: "bounced" for a in gone}, **{a: "accepted" for a in full},
               **{a: "replied" for a in reply}, **{a: "complained" for a in complain}}
    shown = {m["recipient"]: m for m in ask("SELECT recipient, result, mailbox, attempts FROM mailer.message_status")}
    same("message_status.result", results, {a: m["result"] for a, m in shown.items()})
    senders = {**accepted, **refused, **at_once}
    same("message_status.mailbox", senders, {a: m["mailbox"] + "@example.com" for a, m in shown.items()})
    same("tries", {1}, {m["attempts"] for m in shown.values()})
    kinds = {"bounce t": gone, "bounce f": full, "reply f": reply, "auto_reply f": holiday, "complaint f": complain}
    log_rows = ask("SELECT kind || ' ' || CASE WHEN is_hard THEN 't' ELSE 'f' END AS kind, address, mailbox, is_guess, source FROM mailer.feedback_log WHERE source = 'imap'")
    for kind, people in kinds.items():
        rows = [(r["address"], r["mailbox"] + "@example.com") for r in log_rows if r["kind"] == kind]
        same("feedback_log " + kind, sorted(people.items()), sorted(rows))
    same("guesses", 0, sum(r["is_guess"] for r in log_rows))
    same("feedback_log, all", sum(map(len, kinds.values())), len(log_rows))

    used = collections.Counter({**accepted, **refused}.values())  # what nobody took is no mail of the day
    bounced = collections.Counter(gone.values())
    for m in ask("SELECT mailbox, used_today, bounce_rate, listen_state, state FROM mailer.mailbox_status"):
        box = m["mailbox"] + "@example.com"
        same(box, (used[box], round(bounced[box] / used[box], 4), "listening", "ready"), (m["used_today"], float(m["bounce_rate"]), m["listen_state"], m["state"]))
    same("suppressed addresses", sorted({**gone, **at_once, **complain}), sorted({r["address"] for r in ask("SELECT address FROM mailer.suppression_list")}))

    # Once somebody who was refused or whose mail bounced is among the last 200 mails, the shield counts it, and nothing shut it.
    [shield] = ask("""SELECT s.counted, s.shut_reason, cardinality(s.messages) AS mails,
        ARRAY(SELECT m.addresses[1] FROM unnest(s.messages) x(id) JOIN mailer.message m ON m.message_id = x.id) AS people,
        ARRAY(SELECT m.addresses[1] FROM unnest(s.messages, s.faults) x(id, fault) JOIN mailer.message m ON m.message_id = x.id WHERE x.fault) AS faults
        FROM mailer.shield s JOIN mailer.campaign c ON s.scope = 'c' AND s.id = c.campaign_id WHERE c.shield = 0.05""")
    same("shield", (leads, None, min(leads, 200)), (shield["counted"], shield["shut_reason"], shield["mails"]))
    same("shield: faults", sorted({*gone, *at_once} & {*shield["people"]}), sorted(shield["faults"]))
    same("shield_shut", [], ask("SELECT detail FROM mailer.event_log WHERE kind = 'shield_shut'"))

    page = ask("SELECT mailer.metrics() AS text, mailer.report() AS report")[0]
    metrics = dict(line.rsplit(" ", 1) for line in page["text"].splitlines() if not line.startswith("#"))
    for name, count in {"replied": len(reply), "bounced": len(gone), "complained": len(complain)}.items():
        same("metrics: " + name, str(count), metrics[f'mailer_campaign_state_{name}{{campaign="spring"}}'])
    for kind, count in {"hard_bounce": len(gone), "soft_bounce": len(full), "reply": len(reply), "auto_reply": len(holiday), "complaint": len(complain)}.items():
        same("metrics: " + kind, str(count), metrics[f'mailer_feedback_recent{{kind="{kind}",window="1h"}}'])
    same("metrics: sent", str(leads - len(at_once)), metrics['mailer_messages{state="sent"}'])
    same("report() has the progress", True, c["progress"] in page["report"])
    same("invariants that are violated", 0, ask("SELECT sum(violations)::integer AS n FROM mailer.verify()")[0]["n"])
    same("critical alerts", [], ask("SELECT subject, problem FROM mailer.health() WHERE severity = 'critical'"))
    print(f"{leads} leads: {len(at_once)} refused at once, {len(gone)} bounced later, {len(full)} of full mailboxes, {len(reply)} replied, {len(holiday)} on holiday, "
          f"{len(complain)} complained")
    print("\n".join(differ))
    sys.exit(1 if differ else 0)


if sys.argv[1] == "play":
    play(sys.argv[2], int(sys.argv[3]), sys.argv[4])
else:
    compare(sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5]))

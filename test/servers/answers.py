#!/usr/bin/python3
"""What a person's mail program makes of an answer: answers.py PROGRAM ORIGINAL TEXT [--no-thread]

PROGRAM is gmail, outlook or apple, ORIGINAL the file of the mail that is answered. The answer, with the header fields, the parts and the way to quote
that the program has, goes to standard output. --no-thread: without In-Reply-To and References, as from somebody who began a new mail and pasted the old
one into it, or whose gateway drops them.
"""
import email
import email.policy
import hashlib
import html
import quopri
import sys

program, file, text = sys.argv[1:4]
is_thread = "--no-thread" not in sys.argv
with open(file, "rb") as original_file:
    original = email.message_from_binary_file(original_file, policy=email.policy.default)
me, you, subject, body = original["To"], original["From"], original["Subject"], original.get_body(("plain",)).get_content().strip()
key = hashlib.sha256((program + me + text).encode()).hexdigest()
quoted = "".join(f"> {line}\n" for line in body.splitlines())
thread = {"In-Reply-To": original["Message-ID"], "References": original["Message-ID"]} if is_thread else {}


def encoded(part):
    return quopri.encodestring(part.encode()).decode()


def alternative(boundary, plain, rich):
    parts = (("text/plain", plain), ("text/html", rich))
    return "".join(f'--{boundary}\nContent-Type: {kind}; charset="UTF-8"\nContent-Transfer-Encoding: quoted-printable\n\n{encoded(part)}\n'
                   for kind, part in parts) + f"--{boundary}--\n"


def gmail():
    boundary = "0000000000" + key[:18]
    wrote = f"On Mon, Nov 30, 2026 at 3:42\u202fPM Ada Lovelace <{you}> wrote:"  # a narrow space, as Gmail has it
    plain = f"{text}\n\n{wrote}\n\n{quoted}"
    rich = (f'<div dir="ltr">{text}</div><br><div class="gmail_quote gmail_quote_container"><div dir="ltr" class="gmail_attr">{html.escape(wrote)}<br></div>'
            f'<blockquote class="gmail_quote" style="margin:0px 0px 0px 0.8ex">{html.escape(body)}</blockquote></div>')
    return {"MIME-Version": "1.0", **thread, "From": me, "Date": "Mon, 30 Nov 2026 15:50:01 +0100",
            "X-Gm-Features": "AWmQ_bk" + key[:20], "Message-ID": f"<CAF{key[:40]}@mail.gmail.com>", "Subject": f"Re: {subject}", "To": you,
            "Content-Type": f'multipart/alternative; boundary="{boundary}"'}, alternative(boundary, plain, rich)


def outlook():
    boundary = f"_000_{key[:32].upper()}DB9PR01MB0001eurp_"
    head = f"From: Ada Lovelace <{you}>\nSent: Monday, November 30, 2026 3:42 PM\nTo: {me}\nSubject: {subject}\n"
    plain = f"{text}\n\n________________________________\n{head}\n{body}\n"
    rich = f'<html><body><div class="elementToProof">{text}</div><div id="divRplyFwdMsg">{html.escape(head)}</div><div>{html.escape(body)}</div></body></html>'
    return {"From": me, "To": you, "Subject": f"Re: {subject}", "Thread-Topic": subject, "Thread-Index": "AQHcYgAB" + key[:22],
            "Date": "Mon, 30 Nov 2026 14:50:01 +0000", "Message-ID": f"<{key[:32].upper()}@DB9PR01MB0001.eurprd01.prod.exchangelabs.com>", **thread,
            "Accept-Language": "en-US", "Content-Language": "en-US", "X-MS-Has-Attach": "", "X-MS-TNEF-Correlator": "",
            "Content-Type": f'multipart/alternative; boundary="{boundary}"', "MIME-Version": "1.0"}, alternative(boundary, plain, rich)


def apple():
    plain = f"{text}\n\n> On 30 Nov 2026, at 15:42, Ada Lovelace <{you}> wrote:\n> \n{quoted}\n"
    return {"Content-Type": "text/plain;\n\tcharset=utf-8", "Content-Transfer-Encoding": "quoted-printable",
            "Mime-Version": "1.0 (Mac OS X Mail 16.0 \\(3774.600.62\\))", "Subject": f"Re: {subject}", "From": me, **thread,
            "Date": "Mon, 30 Nov 2026 15:50:01 +0100", "Message-Id": f"<{key[:8].upper()}-{key[8:12].upper()}@example.org>", "To": you,
            "X-Mailer": "Apple Mail (2.3774.600.62)"}, encoded(plain)


fields, content = {"gmail": gmail, "outlook": outlook, "apple": apple}[program]()
sys.stdout.write(("".join(f"{name}: {value}\n" for name, value in fields.items()) + "\n" + content).replace("\n", "\r\n"))

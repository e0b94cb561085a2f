#!/usr/bin/python3
"""What mailer composes must parse back to what went in, by readers that other people wrote.

Composes a fixed set of awkward mails and a number of random ones (the seed is printed; the same seed, the same mails),
reads each with Python's email package and with GMime, and compares every address, field, part and octet with the input.
Also checks the bytes themselves: CRLF only, line lengths, 7-bit, dot-stuffing undone. Exits 1 on any difference.

Usage: check_readers.py COMPOSE_CLI GMIME_READER [--count N] [--seed N]
"""
import argparse
import datetime
import email
import email.header
import email.policy
import email.utils
import random
import re
import subprocess
import sys
import tempfile

SAMPLES = [
    "Hello", "Ticket 156: it's done", "مرحبا بالعالم، كيف حالك؟", "你好，世界！这是一个很长的标题，" * 6, "Größe geändert: Ärger",
    "Zażółć gęślą jaźń " * 9, "😀👩‍👩‍👧‍👦🇵🇱 party", "e\u0301a\u0308o\u0302 combining n\u0303" * 12, "नमस्ते दुनिया", "שלום עולם",
    "日本語のとても長い件名です" * 10, "x" * 300, "x" * 1200, "word " * 60, "a  two   blanks    x", "ü  ü   x  y", "x  ü  x",
    "=?utf-8?Q?looks_encoded?=", "a =? b ?= c", "\"quoted\" \\back\\slash", "(paren) <angle> [x]; y: z, w", "100% of 'it'",
    "ends in ü", "ü begins", "_under_ =equal= ?", "Ⅷ ﬁ ǆ", "\u200fRTL\u200e mark", "٠١٢٣", ".", "..", "-", "=", "?", "a" * 74 + " b",
    "ü" * 40 + " " + "a" * 74, "a" * 75 + "ü", "https://example.com/" + "p/" * 120, "é" * 500,
]
BODIES = [
    "", "Hi\n", "no line end", ".\n..\n...\n.x\n.", "\n\n\n", "a\rb\nc\r\nd", "\r", "x" * 5000, "x" * 998, "x" * 79 + "\n", "y" * 76 + "\n",
    "From me\nFrom you\n>From x\n", "trailing blank \ntab\t\n \n\t\n", "--=_boundary\n--=_boundary--\n", "Grüße aus Köln\n" * 50,
    "你好世界" * 400, "مرحبا\n" * 100, "😀" * 300 + "\n", "= == =3D =\n=", "<p>Hi &amp; <b>ü</b></p>", "\x01\x02\x7f control\n",
    "lone combining \u0301\n", "a" * 75 + "ü" * 3 + "\n", "mixed ü\r\nlines\rof\nall kinds\n\r", "\u0085 next line \u2028 x\n", "-- \nsig\n",
]
WORDS = ["Ada", "größe", "名前", "😀", "x" * 90, "مرحبا", "e\u0301", "a,b", "\"", "\\", "(c)", "=?", "_", "%", "'", ".", "ĳ", "…"]


def body_line_ends(text):
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return lines if lines == "" or lines.endswith("\n") else lines + "\n"


def spelled(name, address):
    if not name:
        return address
    return '"%s" <%s>' % (name.replace("\\", "\\\\").replace('"', '\\"'), address)


def mail(**fields):
    base = dict(sender=None, to=[("", "bob@example.org")], cc=[], reply_to=[], subject="Hello", text="Hi\n", html="",
                headers=[], attachments=[], message_id="<1.x@example.com>", date=1729927800, utc_offset=120)
    base["from"] = [("Ada", "ada@example.com")]
    base.update(fields)
    return base


def attachment(filename, content=b"content", content_type="", content_id=""):
    return dict(filename=filename, content=content, content_type=content_type, content_id=content_id)


def fixed_mails():
    for sample in SAMPLES:
        # A word longer than a line is refused; one that needs a line of its own keeps its blank in Python.
        text = " ".join(word[:980] for word in sample.split(" "))
        yield mail(subject=sample, headers=[("X-Text", text), ("X-Other", "1")])
        name = sample.strip()[:400]
        yield mail(to=[(name, "bob@example.org"), (name, "eve@example.org")], cc=[("Carol", "c@xn--bcher-kva.example")],
                   reply_to=[(name, "r@example.com")], **{"from": [(name, "ada@example.com")]})
        yield mail(attachments=[attachment(sample[:250] + ".pdf", bytes(range(256)) * 3)])
    for body in BODIES:
        yield mail(text=body)
        yield mail(text="", html=body)
        yield mail(text=body, html=body)
        yield mail(text=body, html=body, attachments=[attachment("a.bin", body.encode())])
        yield mail(text=body, attachments=[attachment("a.txt", body.encode(), "text/plain; charset=utf-8")])
        yield mail(text=body, attachments=[attachment("a.csv", body.encode("ascii", "replace"), "text/csv")])
    image = attachment("logo.png", b"\x89PNG\r\n\x1a\n" + bytes(1000), "", "logo@example.com")
    for text in ("", "text"):
        yield mail(text=text, html="<img src=cid:logo@example.com>", attachments=[image])
        yield mail(text=text, html="<img src=cid:logo@example.com>",
                   attachments=[image, attachment("a.pdf"), attachment("", b""), attachment("ü.zip", b"\0" * 57)])
    yield mail(text="x", attachments=[image])
    yield mail(attachments=[attachment("m.eml", b"From: a@example.com\nSubject: inner\n\n.\nbody\n")])
    yield mail(attachments=[attachment("m.eml", "Subject: ü\n\nx".encode())])
    yield mail(to=[], cc=[])
    yield mail(to=[("Jörg", "jörg@example.com"), ("", "用户@xn--bcher-kva.example")])
    yield mail(to=[("", '"two words"@example.com'), ("", '"a\\"b"@example.com'), ("", "a@[192.0.2.1]")])
    yield mail(to=[("Name %d" % i, "user%d@example.com" % i) for i in range(100)])
    yield mail(subject="", text="", utc_offset=-210)


def random_mails(count, seed):
    rng = random.Random(seed)

    def words(most):
        return " ".join(rng.choice(WORDS) for _ in range(rng.randint(1, most)))

    def people(least):
        return [(rng.choice(["", words(12)]), "u%d@example.com" % i) for i in range(rng.randint(least, 4))]

    def text():
        return "".join(rng.choice(WORDS + BODIES[:16] + ["\n", " ", "\r\n", "."]) for _ in range(rng.randint(0, 60)))

    for _ in range(count):
        html = rng.choice(["", text()])
        files = []
        for i in range(rng.choice([0, 0, 1, 3])):
            files.append(attachment(rng.choice(["", words(9)[:240] + ".dat"]), rng.randbytes(rng.randint(0, 300)), "",
                                    rng.choice(["", "part%d" % i])))
        yield mail(subject=words(30), text=text(), html=html, attachments=files, to=people(0), cc=people(0),
                   reply_to=people(0), headers=[("X-Random", words(20))], date=rng.randint(0, 4 * 10**9),
                   utc_offset=rng.randrange(-720, 841, 30), **{"from": people(1)[:1]})


def input_for_cli(m):
    lines = []

    def put(field, value):
        lines.append(field + " " + (value if isinstance(value, bytes) else str(value).encode()).hex())

    for field in ("from", "to", "cc", "reply_to"):
        if m[field]:
            put(field, ", ".join(spelled(*person) for person in m[field]))
    for field in ("subject", "text", "html", "message_id", "date", "utc_offset"):
        put(field, m[field])
    for name, value in m["headers"]:
        put("header_name", name)
        put("header_value", value)
    for part in m["attachments"]:
        put("attachment", part["filename"])
        for field in ("content_type", "content_id", "content"):
            put(field, part[field])
    return ("\n".join(lines) + "\n.\n").encode()


def one_blank(name):
    return re.sub(" +", " ", name)


def expected_parts(m):
    def leaf(part):
        kind = part["content_type"].split(";")[0]
        name = part["filename"]
        guessed = {"pdf": "application/pdf", "png": "image/png", "zip": "application/zip", "eml": "message/rfc822"}
        kind = kind or guessed.get(name.rsplit(".", 1)[-1] if "." in name else "", "application/octet-stream")
        content = part["content"]
        if kind == "message/rfc822" and any(octet > 127 for octet in content):
            kind = "application/octet-stream"
        if kind == "message/rfc822":
            content = content.decode()
        # A Content-ID is a msg-id (RFC 2045 7); one without a right-hand side gets the domain of the mail.
        content_id = part["content_id"]
        if content_id and "@" not in content_id:
            content_id += "@example.com"
        return (kind, name, content_id, "inline" if part["content_id"] else "attachment", content)

    text = ("text/plain", "", "", "", body_line_ends(m["text"]))
    html = ("text/html", "", "", "", body_line_ends(m["html"]))
    tree = html if m["html"] else text
    if m["text"] and m["html"]:
        tree = ("multipart/alternative", [text, html])
    shown = [leaf(part) for part in m["attachments"] if part["content_id"] and m["html"]]
    rest = [leaf(part) for part in m["attachments"] if not (part["content_id"] and m["html"])]
    if shown:
        tree = ("multipart/related", [tree] + shown)
    if rest:
        tree = ("multipart/mixed", [tree] + rest)
    return tree


def expected(m):
    # Python's reader takes several blanks of an encoded name for one, and so do people.
    facts = {field: [(one_blank(n), a) for n, a in m[field]] for field in ("from", "to", "cc", "reply_to")}
    if not m["to"]:
        facts["to"] = "undisclosed"
    facts["subject"] = m["subject"].strip(" ")
    facts["message_id"] = m["message_id"].strip("<>")
    facts["date"] = (m["date"], m["utc_offset"])
    facts["headers"] = [(name, value.strip(" ")) for name, value in m["headers"]]
    facts["tree"] = expected_parts(m)
    return facts


def named(header, raw):
    """Names and addresses. The header parser of Python before 3.13 shows the blank between two encoded words of a name,
    against RFC 2047 6.2; there, the older functions are asked for the names."""
    names = [address.display_name for address in header.addresses]
    if re.search(r"\?=\s+=\?", raw):
        pairs = email.utils.getaddresses([re.sub(r"\r?\n", "", raw)])
        names = [str(email.header.make_header(email.header.decode_header(name))) for name, _ in pairs]
    return [(one_blank(name), address.addr_spec) for name, address in zip(names, header.addresses, strict=True)]


def read_by_python(data, is_utf8):
    policy = email.policy.default
    # RFC 6532 headers: the parser of bytes takes them for undecodable, the one of text reads them.
    parsed = (email.message_from_string(data.decode().replace("\r\n", "\n"), policy=policy) if is_utf8
              else email.message_from_bytes(data, policy=policy))
    raw = email.message_from_bytes(data, policy=email.policy.compat32)
    facts = {}
    for field, name in (("from", "From"), ("to", "To"), ("cc", "Cc"), ("reply_to", "Reply-To")):
        value = parsed[name]
        facts[field] = named(value, str(raw[name])) if value is not None else []
        if value is not None and [g.display_name for g in value.groups] == ["undisclosed-recipients"]:
            facts[field] = "undisclosed"
    facts["subject"] = str(parsed["Subject"])
    facts["message_id"] = str(parsed["Message-ID"]).strip("<>")
    date = parsed["Date"].datetime
    facts["date"] = (int(date.timestamp()), int(date.utcoffset() / datetime.timedelta(minutes=1)))
    facts["headers"] = [(n, str(v)) for n, v in parsed.items() if n.startswith("X-")]
    defects = list(parsed.defects) + [d for v in parsed.values() for d in getattr(v, "defects", [])]

    def tree(part):
        defects.extend(part.defects)
        defects.extend(d for v in part.values() for d in getattr(v, "defects", []))
        kind = part.get_content_type()
        if kind == "message/rfc822":
            content = part.get_payload(0).as_bytes().decode()
        elif part.is_multipart():
            return (kind, [tree(child) for child in part.iter_parts()])
        else:
            content = part.get_payload(decode=True)
            if kind.startswith("text/") and not part.get_content_disposition():
                content = content.decode(part.get_content_charset("us-ascii")).replace("\r\n", "\n")
        return (kind, part.get_filename() or "", (part["Content-ID"] or "").strip("<>"),
                part.get_content_disposition() or "", content)

    facts["tree"] = tree(parsed)
    # A raw UTF-8 local part is what SMTPUTF8 is for; the email package calls it a defect.
    if not is_utf8 and defects:
        facts["defects"] = [repr(d) for d in defects]
    return facts


def read_by_gmime(reader, data):
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        output = subprocess.run([reader, file.name], check=True, capture_output=True).stdout.decode()
    facts = dict(subject=None, message_id=None, date=None, headers=[], warnings=[], reply_to=[], to=[], cc=[])
    facts["from"] = []
    names = {}
    parts = []
    for line in output.splitlines():
        key, _, value = line.partition(" ")
        raw = bytes.fromhex(value)
        text = raw.decode("utf-8", "replace") if key != "content" else ""
        if key.endswith("_name") and key != "x_name":
            names[key[:-5]] = text
            if text == "undisclosed-recipients":
                facts[key[:-5]] = "undisclosed"
        elif key in ("from", "to", "cc", "reply_to"):
            facts[key].append((one_blank(names[key]), text))
        elif key in ("subject", "message_id"):
            facts[key] = text
        elif key == "date":
            facts["date"] = tuple(int(n) for n in text.split())
        elif key == "x_name":
            facts["headers"].append((text, None))
        elif key == "x_value":
            facts["headers"][-1] = (facts["headers"][-1][0], text)
        elif key == "warning":
            facts["warnings"].append(text)
        elif key == "part":
            parts.append(dict(depth=int(text), charset="us-ascii"))
        elif key in ("content", "inner"):
            parts[-1][key] = raw
        elif parts:
            parts[-1][key] = text

    def tree(at):
        part = parts[at]
        if part["type"].startswith("multipart/"):
            children = []
            for i in range(at + 1, len(parts)):
                if parts[i]["depth"] <= part["depth"]:
                    break
                if parts[i]["depth"] == part["depth"] + 1:
                    children.append(tree(i))
            return (part["type"], children)
        content = part.get("content", b"")
        if "inner" in part:
            content = part["inner"].decode()
        elif part["type"].startswith("text/") and "disposition" not in part:
            content = content.decode(part["charset"]).replace("\r\n", "\n")
        return (part["type"], part.get("filename", ""), part.get("content_id", ""), part.get("disposition", ""), content)

    facts["tree"] = tree(0)
    if not facts["warnings"]:
        del facts["warnings"]
    return facts


def faults_of_bytes(data, stuffed, is_8bit):
    if not data.endswith(b"\r\n") or b"\n" in data.replace(b"\r\n", b"") or b"\r" in data.replace(b"\r\n", b""):
        yield "line ends are not CRLF"
    if b"\0" in data or (not is_8bit and any(octet > 127 for octet in data)):
        yield "octets beyond 7 bits"
    if max(len(line) for line in data.split(b"\r\n")) > 998:
        yield "a line is longer than 998"
    body = stuffed.removesuffix(b".\r\n")
    lines = [line[1:] if line.startswith(b".") else line for line in body.split(b"\r\n")]
    if not stuffed.endswith(b"\r\n.\r\n") or b"\r\n".join(lines) != data or b"\r\n.\r\n" in body:
        yield "dot-stuffing can't be undone"


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("compose_cli")
    arguments.add_argument("gmime_reader")
    arguments.add_argument("--count", type=int, default=300)
    arguments.add_argument("--seed", type=int, default=random.SystemRandom().randint(0, 10**9))
    arguments = arguments.parse_args()
    cli = subprocess.Popen([arguments.compose_cli], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    count = failures = 0

    def fail(m, reader, what):
        nonlocal failures
        failures += 1
        if failures <= 10:
            print("mail %d, %s: %s\n  input: %.600r" % (count, reader, what, m))

    for m in [*fixed_mails(), *random_mails(arguments.count, arguments.seed)]:
        count += 1
        cli.stdin.write(input_for_cli(m))
        cli.stdin.flush()
        answer = cli.stdout.readline().decode().split()
        if not answer or answer[0] != "ok":
            fail(m, "compose", " ".join(answer))
            continue
        data = cli.stdout.read(int(answer[1]))
        stuffed = cli.stdout.read(int(answer[2]))
        for fault in faults_of_bytes(data, stuffed, answer[3] == "1"):
            fail(m, "bytes", fault)
        wanted = expected(m)
        for reader, facts in (("Python", read_by_python(data, answer[4] == "1")),
                              ("GMime", read_by_gmime(arguments.gmime_reader, data))):
            for key in wanted.keys() | facts.keys():
                if wanted.get(key) != facts.get(key):
                    fail(m, reader, "%s\n  wanted: %.700r\n  read:   %.700r" % (key, wanted.get(key), facts.get(key)))
    cli.stdin.close()
    cli.wait()
    print("%d mails read back by Python's email and GMime, seed %d: %d differences" % (count, arguments.seed, failures))
    return 1 if failures or cli.returncode else 0


if __name__ == "__main__":
    sys.exit(main())

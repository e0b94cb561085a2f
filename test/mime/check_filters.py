#!/usr/bin/python3
"""Spam filters must find nothing wrong with how a mail is built: no symbol about its header, MIME or dates.

Composes mails such as people send, in several languages and structures, and has SpamAssassin judge them without network
(and rspamd, when MAILER_RSPAMD is set: it needs ten seconds to compile its rules). What they think of the *words* isn't
counted. Exits 1 when a symbol that speaks of the construction is hit.

Usage: check_filters.py COMPOSE_CLI WORK_FOLDER
"""
import json
import os
import pathlib
import re
import subprocess
import sys
import time
import urllib.request

from check_readers import attachment, input_for_cli, mail

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import waiting

# Symbols of either filter that speak of the construction; those that don't mean a fault follow.
FAULTS = re.compile(r"MIME|MISSING|INVALID|MALFORM|BROKEN|BAD_|FORGED|ILLEGAL|UNPARS|EXCESS|DATE_|MSGID|MID_|ENCOD|8BIT|"
                    r"HEADER|CTYPE|CHARSET|BOUNDARY|PARTS_DIFFER|R_SUSPICIOUS|EMPTY_")
# R_MIXED_CHARSET is about words that mix alphabets.
HARMLESS = re.compile(r"^(MIME_GOOD|MIME_TRACE|MIME_HTML_ONLY|MIME_BASE64_TEXT|MID_RHS_MATCH_\w+|HTML_MIME_NO_HTML_TAG|"
                      r"R_MIXED_CHARSET)$")

SUBJECTS = [("Ticket 156 was updated", "Ada Lovelace"), ("Größe und Maß geändert", "Jörg Müller"),
            ("Zażółć gęślą jaźń", "Łukasz Żółw"), ("مرحبا بالعالم", "أحمد علي"), ("你好，世界", "山田 太郎"),
            ("Your invoice 🎉", "Bob, B."), ("नमस्ते दुनिया", "राम")]
TEXT = "Hello %s,\n\nthe ticket was updated. You find it in the tracker.\n\nKind regards\n-- \nThe help desk\n"
HTML = ("<!DOCTYPE html>\n<html><head><title>x</title></head><body><p>Hello %s,</p>\n<p>the ticket was updated. You find it "
        "in the tracker.</p>\n<p>Kind regards<br>--<br>The help desk</p></body></html>\n")


def realistic_mails():
    now = int(time.time())
    n = 0
    for subject, name in SUBJECTS:
        text, html = TEXT % name, HTML % name
        for fields in (dict(text=text), dict(text=text, html=html),
                       dict(text=text, html=html.replace("<p>Kind", "<img alt=x src=\"cid:logo\"><p>Kind"),
                            attachments=[attachment("logo.png", b"\x89PNG\r\n\x1a\n" + bytes(500), "", "logo"),
                                         attachment(subject + ".pdf", b"%PDF-1.4 " + bytes(500)),
                                         attachment("table.csv", b"a;b\n1;2\n")])):
            n += 1
            yield mail(subject=subject, to=[(name, "bob@example.org")], date=now, utc_offset=60,
                       message_id="<%d.5e4f0c1d8a7b@mail.example.com>" % n, reply_to=[("Help desk", "help@example.com")],
                       **{"from": [(name, "ada@example.com")]}, **fields)


def compose_all(cli, folder):
    files = []
    mails = list(realistic_mails())
    process = subprocess.Popen([cli], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    for n, m in enumerate(mails):
        process.stdin.write(input_for_cli(m))
        process.stdin.flush()
        answer = process.stdout.readline().split()
        assert answer[0] == b"ok", answer
        files.append(folder / ("%02d.eml" % n))
        files[-1].write_bytes(process.stdout.read(int(answer[1])))
        process.stdout.read(int(answer[2]))
    process.stdin.close()
    process.wait()
    return files


SPAMASSASSIN = r"""
use Mail::SpamAssassin;
my $filter = Mail::SpamAssassin->new({local_tests_only => 1, dont_copy_prefs => 1, userprefs_filename => "/dev/null",
                                      home_dir_for_helpers => shift, require_rules => 1});
for my $file (@ARGV) {
    open my $in, "<:raw", $file or die; local $/;
    my $mail = $filter->parse(scalar <$in>, 0);
    my $status = $filter->check($mail);
    print "$file ", $status->get_names_of_tests_hit, "\n";
    $status->finish; $mail->finish;
}
"""


def by_spamassassin(files, folder):
    output = subprocess.run(["perl", "-e", SPAMASSASSIN, folder, *files], check=True, capture_output=True, text=True).stdout
    for line in output.splitlines():
        file, _, symbols = line.partition(" ")
        yield file, symbols.split(",")


RSPAMD = """
.include "$CONFDIR/common.conf"
options {
    .include "$CONFDIR/options.inc"
    pidfile = "%(folder)s/rspamd.pid"; control_socket = "%(folder)s/control.sock mode=0600"; rrd = "%(folder)s/rrd";
    dns { nameserver = ["127.0.0.1:9"]; timeout = 0.05s; retransmits = 1; }
    filters = "chartable,regexp";
}
logging { type = "file"; filename = "%(folder)s/rspamd.log"; level = "error"; }
worker "normal" { bind_socket = "127.0.0.1:%(port)d"; count = 1; }
"""


def by_rspamd(files, folder, port):
    (folder / "rspamd.conf").write_text(RSPAMD % dict(folder=folder, port=port))
    server = subprocess.Popen(["rspamd", "-f", "-i", "-u", "root", "-g", "root", "-c", folder / "rspamd.conf",
                               "--var=DBDIR=%s" % folder, "--var=RUNDIR=%s" % folder, "--var=LOGDIR=%s" % folder],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        url = "http://127.0.0.1:%d" % port

        def listens():
            assert server.poll() is None, "rspamd ended"
            try:
                return urllib.request.urlopen(url + "/ping", timeout=5).read()
            except OSError:
                return None
        waiting.until(60, listens, "rspamd listens")
        for file in files:
            answer = json.load(urllib.request.urlopen(url + "/checkv2", data=file.read_bytes(), timeout=30))
            yield file, list(answer["symbols"])
    finally:
        server.terminate()
        server.wait()


def main():
    folder = pathlib.Path(sys.argv[2])
    files = compose_all(sys.argv[1], folder)
    filters = [("SpamAssassin", by_spamassassin(files, folder))]
    if os.environ.get("MAILER_RSPAMD"):
        filters.append(("rspamd", by_rspamd(files, folder, int(os.environ.get("MAILER_RSPAMD_PORT", "28333")))))
    faults = 0
    for name, verdicts in filters:
        count = 0
        for file, symbols in verdicts:
            count += 1
            for symbol in symbols:
                if FAULTS.search(symbol) and not HARMLESS.match(symbol):
                    faults += 1
                    print("%s: %s in %s" % (name, symbol, file))
        if count != len(files):
            faults += 1
        print("%s judged %d mails" % (name, count))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())

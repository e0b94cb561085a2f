#!/usr/bin/env python3
"""The pages of mailer-web beside a large queue and a long history: the median time of each, as an operator asks for it.

    bench/pages.py [--pending 10000000] [--finished 10000000] [--feedback 1000000]

Fills the database as bench/history.py does, and adds bounces and replies to what was sent. Each page is asked for 11 times over one
connection; the median and the longest time count. The limit is 100 ms.
"""
import argparse, os, re, statistics, subprocess, sys, time
import http.client, urllib.parse

import history
from history import psql, top

ROLES = """CREATE ROLE operator LOGIN PASSWORD 'do'; SELECT mailer.grant_viewer('operator'), mailer.grant_operator('operator')"""


def fill_feedback(count):
    """Over 300 days and all mailboxes; one report in forty is a hard bounce."""
    psql(f"""INSERT INTO mailer.feedback (feedback_id, at, kind, is_hard, message_id, n, mailbox_id, address, address_key, words, source, evidence,
                 is_guess, is_counted, report_key)
             SELECT nextval('mailer.event_id_seq'), now() - i * interval '26 s', CASE i % 4 WHEN 0 THEN 'bounce' WHEN 1 THEN 'reply' WHEN 2 THEN 'auto_reply' ELSE 'delay' END,
                 i % 40 = 0, m.message_id, 1, 1 + i % 21, m.addresses[1], m.address_key, 'words of ' || i, 'imap', 'message_id', i % 1000 = 1, true, 'report ' || i
             FROM (SELECT message_id, row_number() OVER () AS i FROM mailer.outcome LIMIT {count}) o JOIN mailer.message m USING (message_id);
             INSERT INTO mailer.suppression (address_key, address, scope, reason, created_by, created_at)
             SELECT DISTINCT ON (address_key) address_key, address, 'all', 'hard_bounce', 'bench', now() FROM mailer.feedback WHERE is_hard ON CONFLICT DO NOTHING;
             VACUUM ANALYZE mailer.feedback, mailer.suppression""")


class Pages:
    def __init__(self, port):
        self.connection, self.cookies = http.client.HTTPConnection("127.0.0.1", port, timeout=120), {}
        page = self.ask("GET", "/login")[2]
        csrf = re.search(r'name="csrf" value="([^"]*)"', page).group(1)
        status, _, page = self.ask("POST", "/login", urllib.parse.urlencode({"role": "operator", "password": "do", "csrf": csrf}))
        if status != 303:
            sys.exit(f"no login: {status} {page}")

    def ask(self, method, path, body=None):
        headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        if body:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        began = time.monotonic()
        self.connection.request(method, path, body, headers)
        answer = self.connection.getresponse()
        text = answer.read().decode()
        for cookie in answer.headers.get_all("Set-Cookie") or []:
            name, value = cookie.split(";")[0].split("=", 1)
            self.cookies[name] = value
        return answer.status, time.monotonic() - began, text


def look(program):
    folder = os.environ["MAILER_CLUSTER"]
    with open(f"{folder}/data/pg_hba.conf", "w") as access:  # it refuses whom the server trusts
        access.write("local all operator scram-sha-256\nlocal all all trust\n")
    psql("SELECT pg_reload_conf()")
    port = open(f"{folder}/data/postmaster.pid").read().splitlines()[3]
    web = subprocess.Popen([program, "--listen", "127.0.0.1:0", "--database", f"host={os.environ['PGHOST']} port={port} dbname={os.environ['PGDATABASE']}"],
                           stdout=subprocess.PIPE, text=True)
    try:
        pages = Pages(int(web.stdout.readline().strip().rsplit(":", 1)[1].rstrip("/")))
        pending = psql("SELECT message_id FROM mailer.queue_entry ORDER BY message_id DESC LIMIT 1")
        sent = psql("SELECT message_id FROM mailer.outcome ORDER BY message_id LIMIT 1")
        campaign = psql("SELECT min(campaign_id) FROM mailer.campaign")
        for path in ["/", "/replies", "/replies?kind=bounce", "/campaigns", f"/campaigns/{campaign}", f"/campaigns/{campaign}/leads", f"/campaigns/{campaign}/forecast", "/messages", "/messages?address=w77@example.com",
                     "/messages?address=f77@example.com", "/messages?state=pending", "/messages?state=sent", "/messages?state=failed", "/messages?state=unconfirmed", f"/messages/{pending}", f"/messages/{sent}",
                     "/mailboxes", "/templates", "/contacts", "/contacts?address=f77@example.com", "/log"]:
            times = []
            for _ in range(11):
                status, seconds, text = pages.ask("GET", path)
                if status != 200:
                    sys.exit(f"{path}: {status} {text[:500]}")
                times.append(1000 * seconds)
            print(f"{statistics.median(times):9.1f} ms  {max(times):9.1f} ms  {len(text) // 1024:5} kB  {path}", flush=True)
    finally:
        web.terminate()
        web.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pending", type=int, default=10000000)
    parser.add_argument("--finished", type=int, default=10000000)
    parser.add_argument("--feedback", type=int, default=1000000)
    parser.add_argument("--filled", action="store_true", help="the cluster of $MAILER_CLUSTER is filled already")
    parser.add_argument("--program", default=f"{top}/build/sanitized/web/mailer-web", help="mailer-web")
    arguments = parser.parse_args()
    if "MAILER_CLUSTER" not in os.environ:
        os.execv(f"{top}/scripts/cluster", ["cluster", "run", "-o", "max_wal_size=8GB", "-o", "maintenance_work_mem=512MB",
                                            sys.executable, os.path.abspath(__file__), *sys.argv[1:]])
    if not arguments.filled:
        psql("CREATE EXTENSION mailer; SELECT mailer.mailbox_create('relay', '127.0.0.1', 9, from_address := 'bench@example.com', tls := 'none')")
        psql(ROLES)
        began = time.monotonic()
        history.fill(arguments.pending, arguments.finished, 9)
        fill_feedback(arguments.feedback)
        print(f"{arguments.pending} pending, {arguments.finished} finished, {arguments.feedback} reports; written in {time.monotonic() - began:.0f} s", flush=True)
    look(arguments.program)

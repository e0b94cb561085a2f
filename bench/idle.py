#!/usr/bin/env python3
"""What mailer does when there is nothing to do: statements, wake-ups and processor time of worker and launcher.

    bench/idle.py [--seconds 190] [--pending 100000]

The queue holds mails for next month and a running campaign that starts later; nothing is due. Statements
are counted by pg_stat_statements (every statement that the worker runs, those inside functions too), wake-ups are the
context switches that the kernel counts. The limit is one indexed query a minute. Private cluster.
"""
import argparse, os, re, sys, time
from history import psql  # beside this file

top = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def look(pid):
    fields = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()
    switches = re.search(r"^voluntary_ctxt_switches:\s+(\d+)", open(f"/proc/{pid}/status").read(), re.M)
    return (int(fields[11]) + int(fields[12])) * 1000 // os.sysconf("SC_CLK_TCK"), int(switches[1])


def measure(args):
    psql(f"""CREATE EXTENSION mailer; CREATE EXTENSION pg_stat_statements;
    SELECT mailer.mailbox_create('box', '127.0.0.1', 9, 'box@example.com', tls => 'none');
    SELECT mailer.template_set('news', 'Hello', 'News');
    SELECT mailer.enqueue_batch(ARRAY(SELECT 'u' || i || '@example.com' FROM generate_series(1, {args.pending}) i), 'Later', 'Body',
        send_at => now() + interval '30 days');
    SELECT mailer.campaign_create('shut', 'news', '{{box}}', starts_at => now() + interval '20 days');
    SELECT mailer.campaign_add_many(campaign_id, '{{a@example.com,b@example.com}}') FROM mailer.campaign_progress;
    SELECT mailer.campaign_start(campaign_id) FROM mailer.campaign_progress;""")
    pids = {"worker": psql("SELECT pid FROM mailer.worker_status"),
            "launcher": psql("SELECT pid FROM pg_stat_activity WHERE backend_type LIKE 'mailer launcher%'")}
    time.sleep(70)  # start-up and the first sweep are over
    psql("SELECT pg_stat_statements_reset()")
    before = {name: look(pid) for name, pid in pids.items()}
    time.sleep(args.seconds)
    for name, pid in pids.items():
        ms, switches = (b - a for a, b in zip(before[name], look(pid)))
        print(f"{name}: {ms} ms of processor time and {switches} wake-ups in {args.seconds} s")
    statements = psql("""SELECT calls, rows, shared_blks_hit + shared_blks_read, regexp_replace(query, '\\s+', ' ', 'g') FROM pg_stat_statements
                         WHERE query NOT LIKE '%pg_stat_statements%' AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
                         ORDER BY calls DESC""").splitlines()
    total = sum(int(row.split("\t")[0]) for row in statements)
    print(f"statements: {total} in {args.seconds} s, {total * 60 / args.seconds:.1f} a minute")
    for row in statements:
        calls, rows, blocks, query = row.split("\t")
        print(f"  {calls} × ({rows} rows, {blocks} blocks) {query[:150]}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=190)
    parser.add_argument("--pending", type=int, default=100000)
    arguments = parser.parse_args()
    if "MAILER_CLUSTER" not in os.environ:
        os.execv(f"{top}/scripts/cluster", ["cluster", "run", "-o", "shared_preload_libraries=mailer,pg_stat_statements",
                                            "-o", "pg_stat_statements.track=all", sys.executable, os.path.abspath(__file__), *sys.argv[1:]])
    measure(arguments)

#!/usr/bin/env python3
"""A large queue and a long history for the other benchmarks, and how long the questions take that people ask of them.

    bench/history.py [--pending 10000000] [--finished 10000000]

Most of what is pending waits for next month, in 20 lanes, a tenth of it as leads of ten campaigns whose window is shut. What is finished
was "sent" long ago: message, outcome and attempt rows as the worker writes them, but written by SQL. Then each view and function that
somebody watches is called 21 times; the median counts. The limit is 10 ms, and about a second for the forecast of 100,000 mails.
"""
import argparse, os, statistics, subprocess, sys, time

top = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
chunk = 500000


def psql(sql):
    out = subprocess.run(["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-F", "\t"], input=sql, capture_output=True, text=True)
    if out.returncode:
        sys.exit(out.stderr)
    return out.stdout.strip()


def fill_pending(count, port):
    """Nine tenths in the streams of 20 mailboxes, one tenth in ten campaigns; nothing of it is due."""
    for lane in range(20):
        psql(f"""SELECT mailer.mailbox_create('idle{lane}', '127.0.0.1', {port}, from_address := 'idle@example.com', tls := 'none',
                 is_default := false)""")
        rest = count * 9 // 10 // 20
        while rest > 0:
            psql(f"""SELECT mailer.enqueue_batch(array(SELECT 'w' || i || '@example.com' FROM generate_series(1, {min(rest, chunk)}) i),
                     'later', 'later', mailbox := 'idle{lane}', send_at := now() + interval '30 days')""")
            rest -= chunk
    for campaign in range(10):
        psql(f"""SELECT mailer.template_set('news', 'News', 'Dear {{{{name}}}}');
                 SELECT mailer.campaign_create('news{campaign}', 'news', '{{idle{campaign},idle{campaign + 10}}}', '00:00', '00:00', gap := '10 s',
                     timezone := 'UTC', starts_at := now() + interval '30 days');
                 SELECT mailer.campaign_add_many((SELECT campaign_id FROM mailer.campaign_progress WHERE name = 'news{campaign}'),
                     array(SELECT 'lead' || i || '@example.com' FROM generate_series(1, {count // 100}) i));
                 SELECT mailer.campaign_start(campaign_id) FROM mailer.campaign_progress WHERE name = 'news{campaign}'""")


def fill_finished(count):
    psql("SELECT mailer.pause('history')")
    rest = count
    while rest > 0:
        psql(f"""SELECT mailer.enqueue_batch(array(SELECT 'f' || i || '@example.com' FROM generate_series(1, {min(rest, chunk)}) i), 'old', 'old')""")
        psql("""WITH gone AS (DELETE FROM mailer.queue_entry WHERE lane_id = (SELECT lane_id FROM mailer.lane WHERE pool_key = 'default')
                              RETURNING message_id),
                     o AS (INSERT INTO mailer.outcome (message_id, state, settled_at, attempt_count, try_count)
                           SELECT message_id, 'S', now(), 1, 1 FROM gone)
                INSERT INTO mailer.attempt (message_id, attempt, started_at, finished_at, stage, outcome)
                SELECT message_id, 1, now(), now(), 'done', 'sent' FROM gone""")
        psql("VACUUM mailer.queue_entry")
        rest -= chunk
    # Once woken, the engine counts what was written behind its back.
    psql("DELETE FROM mailer.tally; SELECT mailer.resume(); SELECT mailer._wake(1, now())")
    while psql("SELECT count(*) FROM mailer.tally WHERE scope = 'a'") == "0":
        time.sleep(0.5)


def fill(pending, finished, port):
    if pending:
        fill_pending(pending, port)
    if finished:
        fill_finished(finished)
    if pending or finished:
        psql("VACUUM ANALYZE mailer.queue_entry, mailer.message, mailer.outcome, mailer.attempt")


def look():
    """Prints the median time of each question, in one session, as a console or a dashboard would ask it."""
    pending = psql("SELECT message_id FROM mailer.queue_entry ORDER BY message_id DESC LIMIT 1")
    sent = psql("SELECT message_id FROM mailer.outcome ORDER BY message_id LIMIT 1") or pending
    campaign = psql("SELECT campaign_id FROM mailer.campaign_progress LIMIT 1")
    batch = psql("SELECT batch_id FROM mailer.batch ORDER BY 1 LIMIT 1")
    questions = ["status()", f"status({pending})", f"status({sent})", f"explain({pending})", f"explain({sent})",
                 f"campaign_status({campaign})", f"campaign_explain({campaign})", f"batch_status({batch})", "health()",
                 f"campaign_forecast({campaign}, max_rows => 10)"]
    selects = [f"SELECT * FROM mailer.{question}" for question in questions]
    selects += ["SELECT * FROM mailer.worker_status", "SELECT * FROM mailer.mailbox_status", "SELECT * FROM mailer.campaign_progress",
                "SELECT * FROM mailer.message_status ORDER BY message_id DESC LIMIT 20", "SELECT * FROM mailer.metrics()",
                "SELECT * FROM mailer.event_log ORDER BY id DESC LIMIT 20"]
    for select in selects:
        print(f"{milliseconds(select, 21):9.1f} ms  {select.removeprefix('SELECT * FROM ')}", flush=True)
    print(f"{milliseconds(f'SELECT count(*) FROM mailer.campaign_forecast({campaign})', 3):9.1f} ms  forecast of "
          f"{psql(f'SELECT count(*) FROM mailer.campaign_forecast({campaign})')} mails")


def milliseconds(select, times):
    with subprocess.Popen(["psql", "-XAtq", "-v", "ON_ERROR_STOP=1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as session:
        out, _ = session.communicate("\\timing on\n" + f"{select} \\g /dev/null\n" * times)
    taken = [float(line.split()[1]) for line in out.splitlines() if line.startswith("Time:")]
    if len(taken) != times:
        sys.exit(f"failed: {select}")
    return statistics.median(taken)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pending", type=int, default=10000000)
    parser.add_argument("--finished", type=int, default=10000000)
    parser.add_argument("--filled", action="store_true", help="the cluster of $MAILER_CLUSTER is filled already")
    arguments = parser.parse_args()
    if "MAILER_CLUSTER" not in os.environ:
        os.execv(f"{top}/scripts/cluster", ["cluster", "run", "-o", "max_wal_size=8GB", "-o", "maintenance_work_mem=512MB",
                                            sys.executable, os.path.abspath(__file__), *sys.argv[1:]])
    if not arguments.filled:
        psql("""CREATE EXTENSION mailer;
                SELECT mailer.mailbox_create('relay', '127.0.0.1', 9, from_address := 'bench@example.com', tls := 'none')""")
        began = time.monotonic()
        fill(arguments.pending, arguments.finished, 9)
        print(f"{arguments.pending} pending, {arguments.finished} finished; written in {time.monotonic() - began:.0f} s", flush=True)
    look()

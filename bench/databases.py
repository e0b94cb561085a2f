#!/usr/bin/env python3
"""Many databases on one cluster, few workers: how late is a mail, and who holds a slot while nothing is due?

    MAILER_STAGE=… scripts/cluster run -o mailer.max_workers=8 -o max_worker_processes=32 -o max_connections=60 bench/databases.py [DATABASES]

Makes DATABASES (300) copies of a database with the extension and one mailbox, restarts, and measures: how long until every
database was visited; how many slots are held at rest; and how late each mail is accepted, when one is due somewhere every
200 ms (fewer than all workers are busy then), as scheduled long before and as queued right now. Prints figures, and fails
when a slot is held at rest or more than one mail in a hundred is over a second late.
"""
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

top = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(top / "test"))
from waiting import until

count = int(sys.argv[1]) if len(sys.argv) > 1 else 300
names = [f"tenant_{n}" for n in range(count)]


def sql(database, *commands):
    words = [w for c in commands for w in ("-c", c)]
    return subprocess.run(["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", database, *words], check=True, capture_output=True,
                          text=True).stdout.strip()


def workers():
    return int(sql("postgres", "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'mailer worker'"))


def arrivals():
    found = {}
    for line in (folder / "record.jsonl").read_text().splitlines():
        event = json.loads(line)
        if event["e"] == "dot":
            found.update({to: event["t"] for to in event["to"]})
    return found


def lateness(kind, due):
    """due: address -> when it was to go. How late each was accepted, in milliseconds."""
    until(120, lambda: due.keys() <= arrivals().keys(), "all mails are accepted")
    at = arrivals()
    late = sorted((at[to] - due[to]) * 1000 for to in due)
    p99 = late[int(len(late) * 0.99) - 1]
    print(f"{kind}: {len(late)} mails, accepted {statistics.median(late):.0f} ms after their time (median), {p99:.0f} ms (99 %), {late[-1]:.0f} ms (worst)")
    return p99


folder = Path(tempfile.mkdtemp(prefix="mailer-databases-"))
witness = subprocess.Popen([str(top / "test/crash/recorder.py"), str(folder), "0", "1"], stdin=subprocess.DEVNULL)
try:
    until(10, lambda: (folder / "port").exists(), "the mail server starts")
    port = (folder / "port").read_text().strip()
    sql("postgres", "CREATE DATABASE model")
    sql("model", "CREATE EXTENSION mailer", f"SELECT mailer.mailbox_create('desk', 'localhost', {port}, 'desk@example.com', tls => 'none')")
    began = time.monotonic()
    for name in names:
        # A worker may look into the model at the wrong moment.
        until(60, lambda name=name: subprocess.run(["psql", "-Xq", "-d", "postgres", "-c", f"CREATE DATABASE {name} TEMPLATE model"],
                                                   capture_output=True, check=False).returncode == 0, f"{name} is made")
        sql(name, "SELECT mailer.arm()")
    print(f"{count} databases made in {time.monotonic() - began:.0f} s")

    subprocess.run([str(top / "scripts/cluster"), "restart", os.environ["MAILER_CLUSTER"]], check=True, capture_output=True)
    began = time.monotonic()
    most = 0
    def is_at_rest():
        global most
        held = workers()
        most = max(most, held)
        return held == 0 and time.monotonic() - began > 2
    until(300, is_at_rest, "every database is visited, and nobody holds a slot")
    print(f"after a restart: all visited and every slot free after {time.monotonic() - began:.1f} s, at most {most} at once")
    state = sql("postgres", "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'mailer%'")
    print(f"processes of mailer at rest: {state} (the launcher)")

    rng = random.Random(1)
    # Scheduled: every database has one mail, 200 ms apart, from 20 s on (no worker is there any more by then).
    start, due = time.time() + 20 + count * 0.06, {}
    for n, name in enumerate(rng.sample(names, count)):
        to, at = f"scheduled.{name}@example.com", start + n * 0.2
        sql(name, f"SELECT mailer.enqueue('{to}', 's', 't', send_at => to_timestamp({at}))")
        due[to] = at
    until(60, lambda: workers() == 0 or time.time() > start, "the slots are free again")
    worst = lateness("scheduled", due)
    due = {}
    for name in rng.sample(names, min(count, 100)):
        to = f"now.{name}@example.com"
        sql(name, f"SELECT mailer.enqueue('{to}', 's', 't')")
        due[to] = time.time()
    worst = max(worst, lateness("queued now", due))
    began = time.monotonic()
    until(60, lambda: workers() == 0, "nobody holds a slot at rest")
    print(f"slots all free {time.monotonic() - began:.1f} s after the last mail")
    sys.exit(0 if worst < 1000 else 1)
finally:
    witness.terminate()

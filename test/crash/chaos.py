#!/usr/bin/env python3
"""Kills whatever can be killed while thousands of mails go out, and then counts.

Runs against a private server that nobody else needs: PGHOST and so on lead to it, MAILER_CLUSTER is its folder
(scripts/chaos and chaos.test see to both). Mails are queued all the while, each under a key of its own, so that a
statement that a kill cut off is simply repeated. At random moments something dies; then the server comes up again, with
no help but `cluster start`. In the end everything must be settled, and ledger.py sets the witness's record against the
database. All that is random comes from --seed, except what the operating system's scheduler adds.

Never run it against a server that is worth something.
"""
import argparse
import os
import random
import signal
import subprocess
import sys
import threading
import time

import ledger

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from waiting import moment, until

HERE = os.path.dirname(os.path.abspath(__file__))
SETUP = """
SELECT mailer.mailbox_create('box' || n, 'localhost', {port}, 'box' || n || '@example.com', tls => 'none',
    max_connections => {each}, is_default => true) FROM generate_series(1, 4) AS n;
SELECT mailer.mailbox_alter('box' || n, '{{"max_per_connection": 25}}') FROM generate_series(1, 2) AS n;
SELECT mailer.template_set('lead', 'Hello {{{{n}}}}', 'Dear {{{{n}}}}');
SELECT mailer.campaign_create('leads', 'lead', window_start => '00:00', window_end => '00:00',
    allowed_days => '{{MON,TUE,WED,THU,FRI,SAT,SUN}}', gap => '40 ms', jitter => 0.5);
CREATE FUNCTION slow_load(message_id bigint, variables jsonb) RETURNS jsonb LANGUAGE sql AS
    $$ SELECT variables || jsonb_build_object('n', message_id) FROM (SELECT count(*) FROM generate_series(1, 20000)) AS work $$;
CREATE FUNCTION says_no(message_id bigint, variables jsonb) RETURNS boolean LANGUAGE sql AS 'SELECT false';
"""
# A share of everything, each mail under a key of its own. An address says what the witness does with it (recorder.py).
SHARE = 58  # recipients
QUEUE = """
BEGIN;
SELECT mailer.enqueue(CASE n WHEN 1 THEN 'later' WHEN 2 THEN 'again' WHEN 3 THEN 'never' ELSE 'one' END || '.{k}.' || n || '@example.com',
    'one mail', 'text', idempotency_key => 'one.{k}.' || n, mailbox => CASE WHEN n % 5 = 0 THEN 'box1' END, priority => n % 3)
    FROM generate_series(1, 35) AS n;
SELECT mailer.enqueue('to.{k}.' || n || '@example.com, later.to.{k}.' || n || '@example.com', 'several', 'text',
    cc => 'cc.{k}.' || n || '@example.com', bcc => 'never.bcc.{k}.' || n || '@example.com', idempotency_key => 'several.{k}.' || n)
    FROM generate_series(1, 2) AS n;
SELECT mailer.enqueue_batch(array_agg('batch.{k}.' || n || '@example.com'), 'batch', 'text', idempotency_key => 'batch.{k}',
    gap => CASE WHEN {k} % 5 = 0 THEN interval '20 ms' ELSE '0' END) FROM generate_series(1, 8) AS n;
SELECT mailer.enqueue('loaded.{k}.' || n || '@example.com', template => 'lead', loader => 'public.slow_load', idempotency_key => 'loaded.{k}.' || n)
    FROM generate_series(1, 3) AS n;
SELECT mailer.enqueue('no-{k}@example.com', 'no', 'text', send_if => 'public.says_no', idempotency_key => 'no.{k}');
SELECT mailer.campaign_add_many(1, array_agg('lead.{k}.' || n || '@example.com'), array_agg('{{"n": 1}}'::jsonb)) FROM generate_series(1, 3) AS n;
COMMIT;
"""
STATES = """SELECT r.address, r.state, m.state, m.reason, m.internet_message_id
    FROM mailer.recipient_status r JOIN mailer.message_status m USING (message_id)"""
WORKER = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'mailer worker' AND datname = current_database()"
RUN = "CALL mailer.run(max_time => '1 h')"
SESSION = f"SELECT pid FROM pg_stat_activity WHERE query = $${RUN}$$ AND state = 'active'"
OTHERS = "SELECT pid FROM pg_stat_activity WHERE backend_type <> 'mailer worker' AND pid <> pg_backend_pid() AND query NOT LIKE 'CALL %'"


def sql(text, limit=60):
    """The rows' fields, or None when the server isn't there or goes away meanwhile."""
    try:
        done = subprocess.run(["psql", "-XqAt", "-F", "\t", "-v", "ON_ERROR_STOP=1"], input=text, text=True, capture_output=True, timeout=limit)
    except subprocess.TimeoutExpired:
        return None
    if done.returncode == 0:
        return [line.split("\t") for line in done.stdout.splitlines()]
    if done.returncode != 2 and not any(w in done.stderr for w in ("connection", "terminating", "shutting down", "starting up", "recovery")):
        raise SystemExit(f"chaos: {text.strip()[:200]} …: {done.stderr}")
    return None


class Feeder(threading.Thread):
    """Keeps enough mails waiting, through all kills; repeats what was cut off."""

    def __init__(self, backlog):
        super().__init__(daemon=True)
        self.backlog = backlog
        self.shares = 0
        self.leave = threading.Event()
        self.trouble = None

    def run(self):
        try:
            while not self.leave.wait(0.1):
                waiting = sql("SELECT pending FROM mailer.status()")
                while waiting and int(waiting[0][0]) + SHARE <= self.backlog and self.add():
                    waiting[0][0] = int(waiting[0][0]) + SHARE
        except SystemExit as trouble:
            self.trouble = trouble

    def add(self):
        if sql(QUEUE.format(k=self.shares + 1)) is None:
            return False
        self.shares += 1
        return True

    def check(self):
        if self.trouble:
            raise self.trouble

    def finish(self, total):
        self.leave.set()
        self.join()
        self.check()
        while self.shares * SHARE < total:
            self.add()


class Runner(threading.Thread):
    """A session that sends, and another one whenever it was ended: nobody but it does."""

    def __init__(self):
        super().__init__(daemon=True)
        self.leave = threading.Event()
        self.trouble = None

    def run(self):
        in_vain = 0
        while not self.leave.wait(0.05):
            done = subprocess.run(["psql", "-Xqc", RUN], capture_output=True, text=True)
            in_vain = in_vain + 1 if "sends nothing" in done.stderr else 0  # for a moment, until the last one is gone
            if in_vain > 100:
                self.trouble = SystemExit(f"chaos: the sender's place is taken, and nobody is there: {done.stderr}")

    def check(self):
        if self.trouble:
            raise self.trouble


class Chaos:
    KINDS = {"worker": 40, "backend": 12, "postmaster": 14, "immediate": 10, "fast": 8, "terminate": 16}

    def __init__(self, options):
        self.options = options
        self.sender = SESSION if options.session else WORKER
        if options.session:
            self.KINDS = {**self.KINDS, "cancel": 16}
        self.random = random.Random(options.seed)
        self.cluster = os.environ["MAILER_CLUSTER"]
        self.folder = os.path.join(self.cluster, "witness")
        self.kills = []

    def run(self):
        self.witness = subprocess.Popen([os.path.join(HERE, "recorder.py"), self.folder, str(self.options.delay), str(self.options.seed)])
        try:
            return self.play()
        finally:
            self.witness.send_signal(signal.SIGCONT)
            self.witness.terminate()
            self.witness.wait()

    def play(self):
        until(10, lambda: os.path.exists(os.path.join(self.folder, "port")), "the witness listens")
        port = int(open(os.path.join(self.folder, "port")).read())
        self.record = ledger.Record(os.path.join(self.folder, "record.jsonl"))
        sql("CREATE EXTENSION mailer")
        sql(SETUP.format(port=port, each=-(-self.options.connections // 4)))
        sql("SELECT mailer.campaign_start(1)")
        feeder = Feeder(self.options.backlog)
        feeder.start()
        runner = Runner()
        if self.options.session:
            runner.start()
        while len(self.kills) < self.options.kills:
            self.round()
            feeder.check()
            runner.check()
        feeder.finish(self.options.messages)
        if self.options.session:
            self.hand_over(runner)
        sql("SELECT mailer.campaign_add(1, 'one.last@example.com')")
        self.wait_for_settled()
        return self.count()

    def hand_over(self, runner):
        """The last session is killed while it sends, and what it leaves behind is a worker's."""
        until(60, lambda: sql("ALTER SYSTEM SET max_worker_processes = 16") is not None, "the setting is written")
        enough = self.record.read() + 20
        until(120, lambda: self.record.read() >= enough, "the last session sends")
        runner.leave.set()
        self.kills.append(ledger.Kill("worker", self.worker(), False))
        runner.join()
        self.kills.append(ledger.Kill("immediate", self.immediate(), False))
        until(60, lambda: self.control("start"), "the server starts again")
        self.sender = WORKER
        until(60, self.sender_pid, "there is a worker")

    def round(self):
        if self.random.random() < 0.85:  # else the next kill may hit the recovery from the last
            enough = self.record.read() + self.random.randint(1, 40)
            until(120, lambda: self.record.read() >= enough, "mails go out again")
        moment(self.random.uniform(0, 0.4))
        if not self.kills:  # each kind once, whatever the dice say
            self.first = self.random.sample(list(self.KINDS), len(self.KINDS))
        kind = self.first.pop() if self.first else self.random.choices(*zip(*self.KINDS.items()))[0]
        is_stopped = self.random.random() < 0.15
        if is_stopped:
            self.witness.send_signal(signal.SIGSTOP)
            moment(self.random.uniform(0, 0.4))
        self.kills.append(ledger.Kill(kind, getattr(self, kind)(), kind in ("fast", "terminate", "cancel"), is_stopped))
        if self.options.verbose:
            print(f"{len(self.kills)}: {kind}{' with the witness stopped' if is_stopped else ''}, {self.record.accepted} accepted", flush=True)
        if is_stopped:
            moment(self.random.uniform(0, 0.4))
            self.witness.send_signal(signal.SIGCONT)
        if kind in ("postmaster", "fast", "immediate"):
            until(60, lambda: self.control("start"), "the server starts again")

    def control(self, *verb):
        return subprocess.run([os.path.join(HERE, "../../scripts/cluster"), verb[0], self.cluster, *verb[1:]], capture_output=True).returncode == 0

    def strike(self, find):
        """SIGKILL to a process that `find` finds."""
        while True:
            pid = int(until(60, find, "there is somebody to kill"))
            began = time.time()
            try:
                os.kill(pid, signal.SIGKILL)
                return began
            except ProcessLookupError:
                continue

    def worker(self):
        return self.strike(self.sender_pid)

    def sender_pid(self):
        rows = sql(self.sender)
        return rows and rows[0][0]

    def backend(self):
        def somebody():
            rows = sql(OTHERS)
            return rows and self.random.choice(rows)[0]
        return self.strike(somebody)

    def postmaster(self):
        with open(os.path.join(self.cluster, "data/postmaster.pid")) as file:
            pid = int(file.readline())
        return self.strike(lambda: pid)

    def immediate(self):
        return self.timed(lambda: self.control("stop", "immediate"))

    def fast(self):
        return self.timed(lambda: self.control("stop", "fast"))

    def terminate(self):
        return self.ask_to_end("pg_terminate_backend", "")

    def cancel(self):
        return self.ask_to_end("pg_cancel_backend", "AND state = 'active'")

    def ask_to_end(self, function, still):
        pid = until(60, self.sender_pid, "there is a sender")
        def is_over():
            rows = sql(f"SELECT FROM pg_stat_activity WHERE pid = {pid} {still}")
            return rows is not None and not rows
        return self.timed(lambda: sql(f"SELECT {function}({pid})") and until(20, is_over, "the sender that was asked to end is gone"))

    @staticmethod
    def timed(action):
        began = time.time()
        action()
        return began

    def wait_for_settled(self):
        def is_settled():
            rows = sql("SELECT pending + sending FROM mailer.status()")
            self.record.read()
            return rows and rows[0][0] == "0"
        until(self.options.patience, is_settled, "every message is settled")
        until(10, lambda: self.record.read() and all(m.dot is None or m.reply or m.close for m in list(self.record.mails.values())), "the witness has answered")

    def count(self):
        rows = until(60, lambda: sql(STATES), "the states")
        figures, problems = ledger.judge(self.record, self.kills, self.options.connections, rows)
        for row in until(300, lambda: sql("SELECT invariant, violations, sample FROM mailer.verify()", 300), "the invariants"):
            if row[1] != "0":
                problems.append(f"verify(): {row}")
        for row in sql("SELECT message_id, reply FROM mailer.attempt_log WHERE stage = 'prepare' LIMIT 20"):
            problems.append(f"message {row[0]}: a try was spent on preparing it: {row[1]}")
        for row in sql("SELECT kind, count(*) FROM mailer.event_log WHERE kind = 'stale_claim' GROUP BY 1"):
            problems.append(f"{row[1]} events of kind {row[0]}")
        if figures["kills between dot and reply"] < self.options.hits:
            problems.append(f"only {figures['kills between dot and reply']} kills between dot and reply, {self.options.hits} are wanted")
        if figures["recipients"] < self.options.messages:
            problems.append("too few mails")
        by_kind = {kind: sum(k.kind == kind for k in self.kills) for kind in self.KINDS}
        print("measured: " + ", ".join(f"{name} {figures[name]}" for name in (
            "kills", "kills between dot and reply", "dots without a reply", "recipients", "accepted", "twice", "lost", "sent", "failed",
            "cancelled", "unconfirmed", "unconfirmed and accepted", "most unconfirmed by a kill", "quarantined")))
        print("measured: by kind: " + ", ".join(f"{kind} {n}" for kind, n in by_kind.items())
              + f"; with the witness stopped {sum(k.is_server_stopped for k in self.kills)}")
        for problem in problems[:50]:
            print(f"wrong: {problem}")
        if problems:
            print(f"{len(problems)} things are wrong")
        return 1 if problems else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--hits", type=int, default=20, help="fail unless so many kills fall between a dot and its reply")
    parser.add_argument("--messages", type=int, default=3000, help="at least")
    parser.add_argument("--connections", type=int, default=50)
    parser.add_argument("--backlog", type=int, default=400, help="mails that wait at any time")
    parser.add_argument("--delay", type=int, default=500, help="ms by which the final reply is late at most")
    parser.add_argument("--patience", type=int, default=300, help="seconds for the rest to go out after the last kill")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 31))
    parser.add_argument("--session", action="store_true", help="a session sends, not the worker")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    print(f"measured: seed {options.seed}", flush=True)
    return Chaos(options).run()


if __name__ == "__main__":
    sys.exit(main())

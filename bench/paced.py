#!/usr/bin/env python3
"""A thousand paced campaigns at once: how far from its slot each mail starts, and what the worker needs for it.

    bench/paced.py [--campaigns 1000] [--mailboxes 200] [--seconds 120] [--steps 1]

Every campaign has a gap of its own between 30 and 90 s, its own four of the mailboxes, and starts at its own moment, so
its slots are known beforehand: start + n × gap. With --steps 3 each lead gets two follow-ups, 45 s after one another; first
mails and follow-ups share the campaign's slots. A mail's lateness is counted to MAIL FROM at the server, so opening the
connection is part of it. The limit is 100 ms. Private cluster, fsync on; the worker's share of a core is its user and
system time while the slots of the measured seconds are sent.
"""
import argparse, asyncio, os, sys, threading, time
from history import psql  # beside this file

top = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class Sink(threading.Thread):
    """As much of a mail server as this needs: notes when each MAIL FROM came, under the recipient that follows."""

    def __init__(self):
        super().__init__(daemon=True)
        self.seen, self.port, self.ready = [], 0, threading.Event()

    def run(self):
        asyncio.run(self.listen())

    async def listen(self):
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0, backlog=1000)
        self.port = server.sockets[0].getsockname()[1]
        self.ready.set()
        await server.serve_forever()

    async def serve(self, reader, writer):
        writer.write(b"220 bench\r\n")
        mail_at = None
        while line := await reader.readline():
            verb = line[:4].upper()
            if verb == b"EHLO":
                writer.write(b"250-bench\r\n250 PIPELINING\r\n")
            elif verb == b"DATA":
                writer.write(b"354 go on\r\n")
                await reader.readuntil(b"\r\n.\r\n")
                writer.write(b"250 2.0.0 ok\r\n")
            elif verb == b"QUIT":
                writer.write(b"221 bye\r\n")
                break
            else:
                if verb == b"MAIL":
                    mail_at = time.time()
                elif verb == b"RCPT":
                    self.seen.append((line.partition(b"<")[2].partition(b".")[0].decode(), mail_at))
                writer.write(b"250 ok\r\n")
        writer.close()


def cpu_seconds(pid):
    fields = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def prepare(args, port):
    psql("CREATE EXTENSION mailer; SELECT mailer.template_set('bench', 'Hello {{name}}', 'Dear {{name}}, here is our news.')")
    for i in range(args.mailboxes):
        psql(f"SELECT mailer.mailbox_create('m{i}', '127.0.0.1', {port}, 'm{i}@example.com', tls => 'none')")
    leads = args.seconds // 30 + 3 + 2 * args.steps
    psql(f"""DO $$
    BEGIN
        FOR i IN 0..{args.campaigns - 1} LOOP
            PERFORM mailer.campaign_create('c' || i, 'bench', ARRAY(SELECT 'm' || (i * 7 + k * 53) % {args.mailboxes} FROM generate_series(0, 3) k),
                '00:00', '00:00', '{{MON,TUE,WED,THU,FRI,SAT,SUN}}', make_interval(secs => 30 + i * 61 % 601 / 10.0), 0, NULL, 'UTC', max_silence => NULL);
            PERFORM mailer.campaign_step_set('c' || i, place, 'bench', '45 s') FROM generate_series(2, {args.steps}) place;
        END LOOP;
    END $$;
    SELECT mailer.campaign_add_many(c.campaign_id, ARRAY(SELECT c.name || '.' || n || '@example.com' FROM generate_series(0, {leads - 1}) n))
    FROM mailer.campaign_progress c;
    SELECT mailer.campaign_alter(c.campaign_id, jsonb_build_object('starts_at',
        now() + make_interval(secs => 30 + (c.campaign_id * 7919 % 3000) / 100.0))) FROM mailer.campaign_progress c;
    SELECT mailer.campaign_start(c.campaign_id) FROM mailer.campaign_progress c;
    ANALYZE mailer.message, mailer.queue_entry""")


def slots():
    """First slot and gap of each campaign."""
    rows = psql("""SELECT c.name, extract(epoch FROM s.next_at), extract(epoch FROM c.gap)
                   FROM mailer.campaign c JOIN mailer.lane_state s USING (lane_id)""").splitlines()
    return {name: (float(first), float(gap)) for name, first, gap in (row.split("\t") for row in rows)}


def measure(args):
    sink = Sink()
    sink.start()
    sink.ready.wait()
    prepare(args, sink.port)
    plan = slots()
    begin = min(first for first, _ in plan.values()) + 60 * args.steps  # all have started, connections and plans are made
    print(f"{len(plan)} campaigns of {args.steps} steps over {args.mailboxes} mailboxes; "
          f"measuring for {args.seconds} s after {args.steps} minutes", flush=True)
    pid = psql("SELECT pid FROM mailer.worker_status")
    time.sleep(max(0, begin - time.time()))
    used = -cpu_seconds(pid)
    time.sleep(args.seconds)
    used += cpu_seconds(pid)
    end = begin + args.seconds
    due, late = 0, []
    for campaign, (first, gap) in plan.items():
        sent = [at for name, at in sink.seen if name == campaign]
        for n in range(int((begin - first) // gap) + 1, int((end - 1 - first) // gap) + 1):
            due += 1
            slot = first + n * gap
            late += [(min(at for at in sent if at > slot - 0.5) - slot) * 1000] if any(slot - 0.5 < at < slot + gap / 2 for at in sent) else []
    late.sort()
    at = lambda q: late[min(len(late) - 1, int(q * len(late)))]
    print(f"{due} slots, {due / args.seconds:.1f}/s; not sent: {due - len(late)}; "
          f"over 100 ms late: {sum(ms > 100 for ms in late)}; early: {sum(ms < 0 for ms in late)}")
    print(f"from slot to MAIL FROM: p50 {at(0.5):.1f} ms, p99 {at(0.99):.1f} ms, most {late[-1]:.1f} ms")
    print(f"worker: {100 * used / args.seconds:.1f} % of a core, {1000 * used / due:.2f} ms a mail")
    print(f"violations: {psql('SELECT sum(violations) FROM mailer.verify()')}, missed slots: {psql('SELECT count(*) FROM mailer.missed_slot')}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--campaigns", type=int, default=1000)
    parser.add_argument("--mailboxes", type=int, default=200)
    parser.add_argument("--seconds", type=int, default=120)
    parser.add_argument("--steps", type=int, default=1)
    arguments = parser.parse_args()
    if "MAILER_CLUSTER" not in os.environ:
        os.execv(f"{top}/scripts/cluster", ["cluster", "run", "--fsync", "-o", "mailer.unsubscribe_url=https://bench.example/u?token={token}",
                                            "-o", "mailer.max_connections=250", sys.executable, os.path.abspath(__file__), *sys.argv[1:]])
    measure(arguments)

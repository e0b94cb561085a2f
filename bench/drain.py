#!/usr/bin/env python3
"""Drains durable rows into a sink, in turn with smtp-source into the same sink, and prints medians and their ratio.

    bench/drain.py [--messages 20000] [--connections 50] [--rounds 5] [--delay-ms 0]
                   [--pending 0] [--finished 0] [--hold-snapshot] [--filled]

--delay-ms puts a proxy with that one-way delay before the sink; --pending and --finished fill the queue and the
history first; --hold-snapshot keeps an old transaction open all the while. The cluster is private, fsync and
synchronous_commit are on, the mails are 2 KB, rendered from a template. Rates are mails per second from the first
claim to the last reply.
"""
import argparse, os, re, shutil, socket, statistics, subprocess, sys, tempfile, time
import history  # beside this file
from history import psql

top = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
warm_up = 20000  # messages


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for_port(port):
    for _ in range(200):
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    sys.exit(f"nothing listens on port {port}")


def prepare(args, port):
    if not args.filled:
        psql(f"""CREATE EXTENSION IF NOT EXISTS mailer;
                 SELECT mailer.mailbox_create('relay', '127.0.0.1', {port}, from_address := 'bench@example.com', tls := 'none')""")
    psql(f"""SELECT mailer.mailbox_alter('relay', '{{"port": {port}, "max_connections": {args.connections},
                                                     "max_per_connection": 1000000}}');
             SELECT mailer.template_set('bench', 'Hello {{{{name}}}}',
                 repeat('The quick brown fox {{{{name}}}} jumps over the lazy dog and runs away again, ok' || E'\\n', 26));""")
    if not args.filled:
        history.fill(args.pending, args.finished, port)


def worker():
    return psql("SELECT pid FROM mailer.worker_status")


def processor_seconds(pid):
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def drain(messages):
    psql("SELECT mailer.pause('bench')")
    first = int(psql("SELECT last_value FROM mailer.message_id_seq"))
    psql(f"""SELECT mailer.enqueue_batch(array(SELECT 'u' || i || '@example.com' FROM generate_series(1, {messages}) i),
             template := 'bench', variables := '{{"name": "Ada"}}')""")
    psql("CHECKPOINT")
    psql("SELECT mailer.resume()")
    # By the indexes of what waits and of what is claimed: the look must not cost what is measured.
    while psql("""SET enable_seqscan = off;
                  SELECT EXISTS (SELECT FROM mailer.queue_entry WHERE lane_id = 1 AND state = 'p')
                      OR EXISTS (SELECT FROM mailer.queue_entry WHERE lane_id = 1 AND state = 's')""") == "t":
        time.sleep(0.1)
    others = psql(f"""SELECT string_agg(outcome || ' at ' || stage || ': ' || n, ', ') FROM (SELECT outcome, stage, count(*) AS n
                      FROM mailer.attempt WHERE message_id > {first} AND outcome <> 'sent' GROUP BY 1, 2) x""")
    if others:
        print(f"tries that did not send: {others}")
    return float(psql(f"""SELECT count(*) / extract(epoch FROM max(finished_at) - min(started_at)) FROM mailer.attempt
                          WHERE message_id > {first}"""))


def peer(args, port):
    began = time.monotonic()
    subprocess.run(["smtp-source", "-d", "-s", str(args.connections), "-l", "2048", "-m", str(args.messages),
                    "-f", "bench@example.com", "-t", "u@example.com", f"127.0.0.1:{port}"], check=True)
    return args.messages / (time.monotonic() - began)


def measure(args):
    port, children = free_port(), []
    sink_user = ["-u", "nobody"] if os.geteuid() == 0 else []
    try:
        children.append(subprocess.Popen(["smtp-sink", *sink_user, f"127.0.0.1:{port}", "1000"]))
        wait_for_port(port)
        if args.delay_ms:
            folder = tempfile.mkdtemp()
            subprocess.run(["g++", "-std=c++20", "-O2", "-o", f"{folder}/proxy", f"{top}/bench/delay_proxy.cpp"], check=True)
            front = free_port()
            children.append(subprocess.Popen([f"{folder}/proxy", str(front), str(port), str(args.delay_ms)]))
            wait_for_port(front)
            port = front
        prepare(args, port)
        if args.hold_snapshot:
            holder = subprocess.Popen(["psql", "-XAtq"], stdin=subprocess.PIPE, text=True)
            holder.stdin.write("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT txid_current();\n")
            holder.stdin.flush()
            children.append(holder)
        drain(min(args.messages, warm_up))  # connections are open and plans made
        ours, theirs, costs, pid = [], [], [], worker()
        for _ in range(args.rounds):
            before = processor_seconds(pid)
            ours.append(drain(args.messages))
            costs.append((processor_seconds(pid) - before) / args.messages * 1e6)
            theirs.append(peer(args, port))
            print(f"mailer {ours[-1]:9.0f}/s   smtp-source {theirs[-1]:9.0f}/s   ratio {ours[-1] / theirs[-1]:.2f}", flush=True)
        memory = re.search(r"RssAnon:\s+(\d+)", open(f"/proc/{pid}/status").read())
        print(f"median: mailer {statistics.median(ours):.0f}/s, smtp-source {statistics.median(theirs):.0f}/s, "
              f"ratio {statistics.median(a / b for a, b in zip(ours, theirs)):.2f}; worker's processor time "
              f"{statistics.median(costs):.1f} us a mail, own memory {int(memory[1]) // 1024} MB")
    finally:
        for child in reversed(children):
            child.terminate()
            child.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=20000)
    parser.add_argument("--connections", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--delay-ms", type=int, default=0)
    parser.add_argument("--pending", type=int, default=0)
    parser.add_argument("--finished", type=int, default=0)
    parser.add_argument("--hold-snapshot", action="store_true")
    parser.add_argument("--filled", action="store_true", help="the cluster of $MAILER_CLUSTER was filled by bench/history.py")
    args = parser.parse_args()
    if "MAILER_CLUSTER" not in os.environ:
        if not shutil.which("smtp-sink"):
            sys.exit("smtp-sink and smtp-source come with Debian's postfix: scripts/bootstrap installs it")
        os.execv(f"{top}/scripts/cluster", ["cluster", "run", "--fsync", "-o", f"mailer.max_connections={max(100, args.connections)}",
                                            "-o", "max_wal_size=8GB", sys.executable, os.path.abspath(__file__), *sys.argv[1:]])
    measure(args)


if __name__ == "__main__":
    main()

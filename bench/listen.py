#!/usr/bin/env python3
"""What listening costs: 200 mailboxes with IDLE at a real Dovecot, and a mailbox with 100,000 old mails.

    bench/listen.py [--mailboxes 200] [--seconds 120] [--old 100000] [--recent 300]

Of the listener's process: processor time as a share of one core while nothing comes in, memory that is its own (Private of
smaps_rollup: without what it shares with the postmaster's other children). Then how long it takes until a mailbox
with that many mails, all but `recent` of them older than 30 days, is listened to, and how many of them were read for it. Root (Dovecot). Private cluster.
"""
import argparse
import os
import re
import subprocess
import sys
import time
from history import psql  # beside this file

top = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
scratch = os.path.join(os.environ.get("MAILER_CLUSTER", ""), "scratch")


def wait_for(seconds, condition):
    began = time.time()
    while psql(f"SELECT {condition}") != "t":
        if time.time() - began > seconds:
            sys.exit(f"not within {seconds} s: {condition}\n" + psql("SELECT mailbox, listen_state, listen_error FROM mailer.mailbox_status WHERE listen_state <> 'listening' LIMIT 5"))
        time.sleep(0.05)
    return time.time() - began


def look(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    with open(f"/proc/{pid}/smaps_rollup") as file:
        private = sum(map(int, re.findall(r"^Private_\w+:\s+(\d+) kB", file.read(), re.M)))
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), private / 1024


def start_servers():
    os.makedirs(scratch, exist_ok=True)
    os.chmod(scratch, 0o755)
    started = [subprocess.Popen([f"{top}/test/servers/{name}", f"{scratch}/{folder}"]) for name, folder in (("tokens.py", "tokens"), ("catchall.py", "sink"))]
    for folder in ("tokens", "sink"):
        while not os.path.exists(f"{scratch}/{folder}/port"):
            time.sleep(0.05)
    ports = [open(f"{scratch}/{folder}/port").read() for folder in ("tokens", "sink")]
    dovecot = [f"{top}/test/servers/dovecot", "start", f"{scratch}/dovecot", *ports]
    subprocess.run(dovecot, check=True)
    subprocess.run([dovecot[0], "stop", dovecot[2]], check=True)
    with open(f"{scratch}/dovecot/dovecot.conf", "a") as file:  # by default a process a connection, and 100 of them
        file.write("service imap-login {\n  service_count = 0\n  client_limit = 2000\n}\nservice imap {\n  process_limit = 2000\n}\n"
                   "service auth {\n  client_limit = 5000\n}\nservice anvil {\n  client_limit = 5000\n}\n")
    subprocess.run(dovecot, check=True)
    with open(f"{scratch}/dovecot/env") as file:
        return started, ports[1], dict(line.rstrip("\n").replace("'", "").split("=", 1) for line in file)


def many(args, sink, env):
    psql(f"""CREATE EXTENSION mailer;
    SELECT mailer.mailbox_create('box' || i, 'localhost', {sink}, 'u' || i || '@example.com', username => 'u' || i || '@example.com', tls => 'none') FROM generate_series(1, {args.mailboxes}) i;
    SELECT mailer.mailbox_alter('box' || i, jsonb_build_object('ca_file', '{env["DOVECOT_CA"]}', 'imap_host', 'localhost', 'imap_port', {env["IMAPS_PORT"]})) FROM generate_series(1, {args.mailboxes}) i;
    SELECT mailer.mailbox_set_password('box' || i, '{env["DOVECOT_PASSWORD"]}') FROM generate_series(1, {args.mailboxes}) i;""")
    took = wait_for(300, f"(SELECT count(*) = {args.mailboxes} FROM mailer.mailbox_status WHERE listen_state = 'listening')")
    print(f"{args.mailboxes} mailboxes are listened to after {took:.1f} s")
    pid = psql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'mailer listener'")
    time.sleep(10)
    cpu, _ = look(pid)
    time.sleep(args.seconds)
    after, memory = look(pid)
    print(f"idle for {args.seconds} s: {100 * (after - cpu) / args.seconds:.2f} % of a core, {memory:.1f} MB of its own")


def old(args, env):
    home = f"{scratch}/dovecot/home/old@example.com/mail"
    for folder in ("cur", "new", "tmp"):
        os.makedirs(f"{home}/{folder}")
    now = int(time.time())
    for i in range(args.old):
        at = now - (86400 * 3 if i >= args.old - args.recent else 86400 * 90) - (args.old - i)
        path = f"{home}/cur/{at}.{i}.x:2,S"
        with open(path, "w") as file:
            file.write(f"From: p{i}@example.org\nTo: old@example.com\nSubject: S\nMessage-ID: <{i}@example.org>\n\nHello.\n")
        os.utime(path, (at, at))
    subprocess.run(["chown", "-R", "mail:mail", f"{scratch}/dovecot/home/old@example.com"], check=True)
    psql("SELECT mailer.mailbox_create('old', 'localhost', 25, 'old@example.com', username => 'old@example.com', tls => 'none')")
    # The first look goes back to our own oldest message, 30 days at most.
    psql("SELECT mailer.enqueue('p@example.org', 'S', 'B', mailbox => 'old', send_at => now() + interval '1 day')")
    psql("UPDATE mailer.message SET created_at = now() - interval '60 days'")
    pid = psql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'mailer listener'")
    cpu, _ = look(pid)
    psql(f"SELECT mailer.mailbox_alter('old', jsonb_build_object('ca_file', '{env['DOVECOT_CA']}', 'imap_host', 'localhost', 'imap_port', {env['IMAPS_PORT']})),"
         f" mailer.mailbox_set_password('old', '{env['DOVECOT_PASSWORD']}')")
    took = wait_for(600, "(SELECT listen_state = 'listening' FROM mailer.mailbox_status WHERE mailbox = 'old')")
    read = psql("SELECT l.read_count FROM mailer.mailbox_listen l JOIN mailer.mailbox b USING (mailbox_id) WHERE b.name = 'old'")
    print(f"a mailbox with {args.old} mails, {args.recent} of the last 30 days: listened to after {took:.1f} s, {read} read, {look(pid)[0] - cpu:.2f} s of processor time (all mailboxes)")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mailboxes", type=int, default=200)
    parser.add_argument("--seconds", type=int, default=120)
    parser.add_argument("--old", type=int, default=100000)
    parser.add_argument("--recent", type=int, default=300)
    arguments = parser.parse_args()
    if "MAILER_CLUSTER" not in os.environ:
        os.execv(f"{top}/scripts/cluster", ["cluster", "run", sys.executable, os.path.abspath(__file__), *sys.argv[1:]])
    servers, sink_port, environment = start_servers()
    try:
        many(arguments, sink_port, environment)
        old(arguments, environment)
    finally:
        subprocess.run([f"{top}/test/servers/dovecot", "stop", f"{scratch}/dovecot"], check=False)
        for server in servers:
            server.kill()

#!/usr/bin/env python3
"""Three nodes under the real Patroni and etcd, with examples/patroni/patroni.yml: whatever is killed, nothing goes twice.

    patroni.py [SCENARIO…]            the named ones, or the short list, each on the cluster as the last one left it
    patroni.py --random COUNT [SEED]  so many scenarios drawn at random, in asynchronous, synchronous and strict mode

All the while mail is queued on whoever leads, and the witness of the crash tests (test/crash/recorder.py) writes down what
it accepts. After each scenario everything is settled, and its record is compared with the leader's view: nothing accepted
twice, nothing sent that wasn't accepted. Each node has a network namespace of its own where that is allowed (root), so that its network
can be cut; elsewhere those scenarios are left out. Needs patroni, etcd and a staged extension (MAILER_STAGE). Times are Patroni's
smallest (ttl 20, loop_wait 1), promise_time fits them. The exit code is 77 where it can't run.
"""
import collections
import json
import os
import pwd
import random
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

top = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(top / "test"))
from failover.network import Network

NAMES = ("n1", "n2", "n3")
OWNER = pwd.getpwnam("postgres") if os.getuid() == 0 else pwd.getpwuid(os.getuid())


class Failure(Exception):
    pass


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_until(what, condition, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if condition():
                return
        except (subprocess.CalledProcessError, urllib.error.URLError, OSError, ValueError):
            pass
        time.sleep(0.1)  # nap: each look is a psql or an HTTP request to another process
    raise Failure(f"not within {seconds} s: {what}")


def as_owner():
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(OWNER.pw_gid)
        os.setuid(OWNER.pw_uid)
    os.setsid()


class Node:
    def __init__(self, cluster, name):
        self.cluster, self.name = cluster, name
        self.address = cluster.network.add(name) if cluster.network else "127.0.0.1"
        self.folder = cluster.folder / name
        self.folder.mkdir()
        self.port, self.rest = free_port(), free_port()
        text = (top / "examples/patroni/patroni.yml").read_text()
        text = text.replace("127.0.0.1:ETCD_PORT", f"{cluster.etcd_address}:ETCD_PORT").replace("127.0.0.1", self.address)
        for word, value in (("NAME", name), ("REST_PORT", self.rest), ("ETCD_PORT", cluster.etcd_port), ("PG_PORT", self.port),
                            ("FOLDER", self.folder), ("BIN_DIR", cluster.bindir)):
            text = re.sub(rf"\b{word}\b", str(value), text)
        text = text.replace("ttl: 30", "ttl: 20").replace("loop_wait: 10", "loop_wait: 1").replace("retry_timeout: 10", "retry_timeout: 4")
        text = text.replace("mailer.promise_time: 75s", "mailer.promise_time: 40s\n        mailer.sweep_interval: 500ms")
        text = text.replace("wal_level: replica", "wal_level: replica\n        fsync: \"off\"")
        (self.folder / "patroni.yml").write_text(text)
        for path in (self.folder, self.folder / "patroni.yml"):
            shutil.chown(path, OWNER.pw_uid, OWNER.pw_gid)
        self.process = None

    def start(self):
        log = open(self.folder / "patroni.log", "a")
        env = {**os.environ, "LC_ALL": "C.UTF-8", "PATH": f"{self.cluster.bindir}:{os.environ['PATH']}", "HOME": str(self.folder)}
        within = ["ip", "netns", "exec", self.cluster.network.names[self.name][0], "setpriv", "--reuid", str(OWNER.pw_uid), "--regid",
                  str(OWNER.pw_gid), "--clear-groups"] if self.cluster.network else []
        self.process = subprocess.Popen([*within, "patroni", str(self.folder / "patroni.yml")], stdin=subprocess.DEVNULL, stdout=log,
                                        stderr=log, preexec_fn=os.setsid if within else as_owner, cwd=self.folder, env=env)

    def postmaster(self):
        try:
            return int((self.folder / "data/postmaster.pid").read_text().split("\n")[0])
        except (OSError, ValueError):
            return None

    def backends(self):
        """The postmaster and its children."""
        pid = self.postmaster()
        if pid is None:
            return []
        out = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True).stdout
        return [pid] + [int(p) for p in out.split()]

    def signal_all(self, number):
        """Patroni and its server, as when the machine stops."""
        for pid in [self.process.pid, *self.backends()]:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def die(self):
        pids = self.backends()
        self.signal_all(signal.SIGKILL)
        self.process.wait()
        wait_until(f"{self.name}'s processes are gone", lambda: not any(Path(f"/proc/{p}").exists() for p in pids))
        self.process = None

    def psql(self, command):
        env = {**os.environ, "PGHOST": str(self.folder), "PGPORT": str(self.port), "PGUSER": "postgres", "PGDATABASE": "postgres",
               "PGCONNECT_TIMEOUT": "3", "PGOPTIONS": "-c statement_timeout=10s"}
        return subprocess.run(["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-c", command], capture_output=True, text=True, check=True,
                              env=env, timeout=15).stdout.strip()

    def is_leader(self):
        if self.process is None:
            return False
        try:
            with urllib.request.urlopen(f"http://{self.address}:{self.rest}/primary", timeout=2) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False

    def is_replica(self):
        if self.process is None:
            return False
        try:
            with urllib.request.urlopen(f"http://{self.address}:{self.rest}/replica", timeout=2) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False


class Cluster:
    def __init__(self, folder):
        self.folder = folder
        self.network = Network() if Network.is_possible() else None
        self.etcd_address, mail_address = (self.network.etcd, self.network.mail) if self.network else ("127.0.0.1", "127.0.0.1")
        pg_config = os.environ.get("PG_CONFIG", "pg_config")
        bindir = subprocess.run([pg_config, "--bindir"], capture_output=True, text=True, check=True).stdout.strip()
        self.bindir = os.environ["MAILER_STAGE"] + "/server" + bindir
        self.etcd_port = free_port()
        self.batch = 0
        peer = free_port()
        etcd = folder / "etcd"
        etcd.mkdir(mode=0o700)
        self.etcd = subprocess.Popen(
            ["etcd", "--enable-v2", "--data-dir", str(etcd), "--listen-client-urls", f"http://{self.etcd_address}:{self.etcd_port}",
             "--advertise-client-urls", f"http://{self.etcd_address}:{self.etcd_port}", "--listen-peer-urls", f"http://127.0.0.1:{peer}",
             "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}", "--initial-cluster", f"default=http://127.0.0.1:{peer}",
             "--unsafe-no-fsync"], stdin=subprocess.DEVNULL, stdout=open(folder / "etcd.log", "w"), stderr=subprocess.STDOUT)
        self.witness = subprocess.Popen([str(top / "test/crash/recorder.py"), str(folder / "witness"), "100", "1", mail_address], stdin=subprocess.DEVNULL)
        wait_until("the witness starts", lambda: (folder / "witness/port").stat().st_size > 0, 10)
        self.mail_address = mail_address
        self.nodes = [Node(self, name) for name in NAMES]

    def start(self):
        def is_etcd_up():
            return urllib.request.urlopen(f"http://{self.etcd_address}:{self.etcd_port}/version", timeout=1).status == 200
        wait_until("etcd answers", is_etcd_up, 20)
        self.nodes[0].start()
        wait_until("the first node leads", self.nodes[0].is_leader, 60)
        for node in self.nodes[1:]:
            node.start()
        wait_until("the others follow", lambda: all(n.is_replica() for n in self.nodes[1:]), 90)
        port = (self.folder / "witness/port").read_text().strip()
        leader = self.leader()
        leader.psql("CREATE EXTENSION mailer")
        leader.psql(f"SELECT mailer.mailbox_create('desk', '{self.mail_address}', {port}, 'desk@example.com', tls => 'none', max_connections => 5)")

    def leader(self):
        found = []
        wait_until("somebody leads", lambda: found.extend(n for n in self.nodes if n.is_leader()) or found, 120)
        return found[0]

    def replicas(self):
        return [n for n in self.nodes if n.process is not None and not n.is_leader()]

    def send(self, count, leader=None):
        self.batch += 1
        (leader or self.leader()).psql(f"SELECT mailer.enqueue('b{self.batch}.' || n || '@example.com', 's', 't') FROM generate_series(1, {count}) n")

    def wait_promised(self):
        leader = self.leader()
        def is_promised():  # while there is mail: promises are made for it
            if leader.psql("SELECT count(*) FROM mailer.promise WHERE NOT is_joining AND until > clock_timestamp()") == "2":
                return True
            self.send(10, leader)
            return False
        wait_until("both replicas are promised to be waited for", is_promised, 120)

    def accepted(self):
        counts = collections.Counter()
        for line in (self.folder / "witness/record.jsonl").read_text().splitlines():
            event = json.loads(line)
            if event["e"] == "dot" and event["code"] == 250:
                counts.update(event["to"])
        return counts

    def mode(self):
        """What Patroni's settings say: asynchronous, synchronous or strict."""
        with urllib.request.urlopen(f"http://{self.leader().address}:{self.leader().rest}/config", timeout=5) as answer:
            settings = json.load(answer)
        return "strict" if settings.get("synchronous_mode_strict") else "synchronous" if settings.get("synchronous_mode") else "asynchronous"

    def set_mode(self, mode):
        leader = self.leader()
        body = json.dumps({"synchronous_mode": mode != "asynchronous", "synchronous_mode_strict": mode == "strict"}).encode()
        request = urllib.request.Request(f"http://{leader.address}:{leader.rest}/config", body, {"Content-Type": "application/json"}, method="PATCH")
        urllib.request.urlopen(request, timeout=10).read()
        wait_until(f"replication is {mode}", lambda: (leader.psql("SHOW synchronous_standby_names") != "") == (mode != "asynchronous"), 40)

    def heal(self):
        for node in self.nodes:
            if self.network:
                self.network.mend(node.name)
            if node.process is None:
                node.start()
            else:
                node.signal_all(signal.SIGCONT)
        leader = self.leader()
        wait_until("all follow again", lambda: sum(n.is_replica() for n in self.nodes) == 2 and self.leader(), 150)
        return leader

    def judge(self, holds=0):
        leader = self.leader()
        def is_settled():
            state = leader.psql("SELECT pending + sending - (SELECT held FROM mailer.promotion_state()) FROM mailer.status()")
            return state == "0"
        wait_until("all that isn't held is settled", is_settled, 150)
        twice = {to: n for to, n in self.accepted().items() if n > 1}
        if twice:
            raise Failure(f"accepted twice: {twice}")
        sent = set(leader.psql("SELECT recipient FROM mailer.message_status WHERE state = 'sent'").split())
        missing = sent - set(self.accepted())
        if missing:
            raise Failure(f"sent, and never accepted: {sorted(missing)[:5]}")
        lost = set(leader.psql("SELECT recipient FROM mailer.message_status WHERE state NOT IN ('sent', 'unconfirmed', 'pending')").split())
        if lost:
            raise Failure(f"neither sent nor unconfirmed: {sorted(lost)[:5]}")
        held = int(leader.psql("SELECT held FROM mailer.promotion_state()"))
        if (held > 0) != (holds > 0):
            raise Failure(f"{held} are held; expected {'some' if holds else 'none'}")
        if held:
            leader.psql("SELECT mailer.resolve_held('sent')")
        bad = leader.psql("SELECT string_agg(invariant, ', ') FROM mailer.verify() WHERE violations > 0")
        if bad:
            raise Failure(f"verify(): {bad}")
        return leader.psql("SELECT sent || ' sent, ' || unconfirmed || ' unconfirmed' FROM mailer.status()")

    def end(self):
        for node in self.nodes:
            if node.process is not None:
                node.signal_all(signal.SIGCONT)
                node.die()
        for process in (self.etcd, self.witness):
            process.terminate()
            process.wait()
        if self.network:
            self.network.end()


# ── Scenarios: what happens; each returns whether something is to be held ─────────────────────────────────────────

TIMES = []  # (scenario, until somebody leads, from then until mail goes)


def measure(cluster, what, began, before, new):
    """From the moment of the accident: until another node leads is Patroni's time, from then until mail goes is ours."""
    leads_after = time.monotonic() - began
    cluster.send(5, new)
    wait_until("mail goes again", lambda: sum(cluster.accepted().values()) > before, 120)
    ours = time.monotonic() - began - leads_after
    TIMES.append((what, leads_after, ours))
    print(f"#   {what}: {leads_after:.1f} s until somebody leads, {ours:.1f} s more until mail goes")


def another_leader(cluster, old, seconds=90):
    found = []
    wait_until("another one leads", lambda: found.extend(n for n in cluster.nodes if n is not old and n.is_leader()) or found, seconds)
    return found[0]


def under_load(cluster):
    cluster.send(100)
    cluster.wait_promised()
    before = sum(cluster.accepted().values())
    wait_until("mail goes", lambda: sum(cluster.accepted().values()) > before or cluster.leader().psql("SELECT pending = 0 FROM mailer.status()") == "t", 120)


def machine_dead(cluster, rng):
    under_load(cluster)
    old = cluster.leader()
    old.die()
    began, before = time.monotonic(), sum(cluster.accepted().values())
    measure(cluster, "machine dead", began, before, cluster.leader())


def postmaster_killed(cluster, rng):
    under_load(cluster)
    os.kill(cluster.leader().postmaster(), signal.SIGKILL)


def frozen(cluster, rng):
    under_load(cluster)
    old = cluster.leader()
    old.signal_all(signal.SIGSTOP)
    began, before = time.monotonic(), sum(cluster.accepted().values())
    measure(cluster, "frozen", began, before, another_leader(cluster, old))
    time.sleep(rng.uniform(0, 3))  # nap: it thaws at a random moment
    old.signal_all(signal.SIGCONT)


def network_cut(cluster, rng):
    """The old leader lives, reaches the mail server, and neither etcd nor the others."""
    under_load(cluster)
    old = cluster.leader()
    cluster.send(200, old)
    cluster.network.cut(old.name)
    began, before = time.monotonic(), sum(cluster.accepted().values())
    new = another_leader(cluster, old)
    measure(cluster, "network cut", began, max(before, sum(cluster.accepted().values())), new)


def standby_lost(cluster, rng):
    """Mail stops for at most a promise_time: the one that is gone could be promoted."""
    under_load(cluster)
    rng.choice(cluster.replicas()).die()
    began, before = time.monotonic(), sum(cluster.accepted().values())
    cluster.send(5)
    wait_until("mail goes again", lambda: cluster.leader().psql("SELECT pending + sending = 0 FROM mailer.status()") == "t", 120)
    print(f"#   standby lost: {time.monotonic() - began:.1f} s until all is sent (mailer.promise_time is 40 s)")


def sent_while_alone(cluster, rng):
    """What a primary sent without any promised standby is held by the next one."""
    cluster.set_mode("asynchronous")  # strict mode would not let it commit alone
    under_load(cluster)
    old = cluster.leader()
    wait_until("all is sent", lambda: old.psql("SELECT pending + sending = 0 FROM mailer.status()") == "t", 60)
    old.psql("SELECT mailer.pause('the standbys must know it as waiting')")
    cluster.send(7, old)
    wait_until("the standbys know it", lambda: old.psql(
        "SELECT count(*) FROM pg_stat_replication WHERE replay_lsn >= pg_current_wal_lsn()") == "2", 30)
    others = cluster.replicas()
    for node in others:
        node.die()
    old.psql("SELECT mailer.resume()")
    wait_until("it sends alone", lambda: old.psql("SELECT pending + sending = 0 FROM mailer.status()") == "t", 120)
    old.die()
    for node in others:
        node.start()
    new = another_leader(cluster, old, 120)
    wait_until("it holds", lambda: new.psql("SELECT held FROM mailer.promotion_state()") == "7", 60)
    return 7


def switchover(cluster, rng):
    under_load(cluster)
    old = cluster.leader()
    candidates = cluster.replicas()
    if cluster.mode() != "asynchronous":  # Patroni refuses all others
        names = "SELECT application_name FROM pg_stat_replication WHERE sync_state = 'sync'"
        wait_until("there is a synchronous standby", lambda: old.psql(names) != "", 60)
        candidates = [n for n in candidates if n.name in old.psql(names).split()]
    candidate = rng.choice(candidates)
    body = json.dumps({"leader": old.name, "candidate": candidate.name}).encode()
    request = urllib.request.Request(f"http://{old.address}:{old.rest}/switchover", body, {"Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=60).read()
    wait_until("the candidate leads", candidate.is_leader, 60)


def second_failover(cluster, rng):
    machine_dead(cluster, rng)
    cluster.leader()
    time.sleep(rng.uniform(0, 2))  # nap: the second one dies at a random moment
    cluster.heal()
    cluster.send(20)
    cluster.leader().die()


SCENARIOS = {f.__name__: f for f in (machine_dead, postmaster_killed, frozen, switchover, second_failover, network_cut, standby_lost,
                                     sent_while_alone)}
SHORT = ("machine_dead", "postmaster_killed", "network_cut")
MODES = ("asynchronous", "synchronous", "strict")


def playable():
    return [name for name in sorted(SCENARIOS) if name != "network_cut" or Network.is_possible()]


def summarise(played, cluster):
    print("# " + ", ".join(f"{count} × {name}" for name, count in sorted(played.items())))
    for what in sorted({t[0] for t in TIMES}):
        patroni, ours = ([t[i] for t in TIMES if t[0] == what] for i in (1, 2))
        print(f"# {what}: until somebody leads {statistics.median(patroni):.1f} s (worst {max(patroni):.1f}), then until mail goes "
              f"{statistics.median(ours):.1f} s (worst {max(ours):.1f})")
    print(f"# {sum(cluster.accepted().values())} mails accepted")


def main():
    if not shutil.which("patroni") or not shutil.which("etcd"):
        print("skipped: patroni or etcd isn't installed")
        return 77
    rng = random.Random()
    arguments = sys.argv[1:]
    if arguments[:1] == ["--random"]:
        count = int(arguments[1]) if len(arguments) > 1 else 50
        seed = int(arguments[2]) if len(arguments) > 2 else random.randrange(10**6)
        print(f"# seed {seed}")
        rng = random.Random(seed)
        chosen = [rng.choice(playable()) for _ in range(count)]
    else:
        chosen = [name for name in arguments or SHORT if name in playable()]
    is_random = arguments[:1] == ["--random"]
    played = collections.Counter()
    folder = Path(tempfile.mkdtemp(prefix="mailer-patroni-"))
    folder.chmod(0o755)
    cluster = Cluster(folder)
    failed = 1  # until it has started
    try:
        cluster.start()
        failed = 0
        for i, name in enumerate(chosen):
            began = time.monotonic()
            try:
                if is_random and rng.random() < 0.3:
                    cluster.set_mode(rng.choice(MODES))
                mode = cluster.mode()
                holds = SCENARIOS[name](cluster, rng) or 0
                cluster.heal()
                verdict = cluster.judge(holds)
                played[f"{name} ({mode})"] += 1
                print(f"ok - patroni: {name}  # {mode}: {verdict}, {time.monotonic() - began:.0f} s", flush=True)
            except (Failure, subprocess.SubprocessError, OSError) as failure:
                failed += 1
                print(f"not ok - patroni: {name} ({i + 1}): {failure}", flush=True)
                if not is_random or os.environ.get("MAILER_KEEP"):
                    break
                cluster.heal()
                cluster.leader().psql("SELECT mailer.resolve_held('sent')")
    finally:
        if is_random:
            summarise(played, cluster)
        sys.stdout.flush()
        if failed and os.environ.get("MAILER_KEEP"):
            print(f"# everything is left running in {folder}; etcd {cluster.etcd.pid}")
        else:
            cluster.end()
            if not failed:
                shutil.rmtree(folder, ignore_errors=True)
            else:
                print(f"# logs are in {folder}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

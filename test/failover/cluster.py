"""Three nodes under the real Patroni and etcd, with HAProxy where it is installed, and the mail server that writes down what it
accepts: what patroni.py plays its scenarios on. The files are those of examples/patroni."""
import collections
import json
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

from failover.network import Network
from waiting import until

top = Path(__file__).resolve().parents[2]
NAMES = ("n1", "n2", "n3")
CONNECTIONS = 5
OWNER = pwd.getpwnam("postgres") if os.getuid() == 0 else pwd.getpwuid(os.getuid())


class Failure(Exception):
    pass


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_until(what, condition, seconds=60):
    def holds():
        try:
            return condition()
        except (subprocess.CalledProcessError, urllib.error.URLError, OSError, ValueError):
            return False  # a node that is on its way down or up
    try:
        until(seconds, holds, what, interval=0.1)
    except SystemExit as error:
        raise Failure(str(error)) from None


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

    def log_size(self):
        return (self.folder / "patroni.log").stat().st_size

    def log_since(self, size):
        with open(self.folder / "patroni.log", "rb") as log:
            log.seek(size)
            return log.read().decode(errors="replace")

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
            with urllib.request.urlopen(f"http://{self.address}:{self.rest}/primary", timeout=2) as answer:  # 200 also while it promotes
                return answer.status == 200 and self.psql("SELECT pg_is_in_recovery()") == "f"
        except (urllib.error.URLError, subprocess.SubprocessError, OSError):
            return False

    def is_replica(self):
        if self.process is None:
            return False
        try:
            with urllib.request.urlopen(f"http://{self.address}:{self.rest}/replica", timeout=2) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False


class Backup:
    """A base backup of a node, started as a server of its own that reaches the same mail server."""

    def __init__(self, node):
        self.folder, self.port = node.folder.parent / f"backup-{free_port()}", free_port()
        self.folder.mkdir()
        shutil.chown(self.folder, OWNER.pw_uid, OWNER.pw_gid)
        bindir = Path(node.cluster.bindir)
        env = {**os.environ, "PGHOST": node.address, "PGPORT": str(node.port), "PGUSER": "postgres", "LC_ALL": "C.UTF-8"}
        subprocess.run([bindir / "pg_basebackup", "-D", self.folder / "data", "-X", "stream", "-c", "fast"], env=env, check=True,
                       stdin=subprocess.DEVNULL, preexec_fn=as_owner, cwd=self.folder, timeout=120)
        self.process = subprocess.Popen([bindir / "postgres", "-D", self.folder / "data", "-k", self.folder, "-p", str(self.port), "-c", "listen_addresses="],
                                        stdin=subprocess.DEVNULL, stdout=open(self.folder / "log", "w"), stderr=subprocess.STDOUT,
                                        preexec_fn=as_owner, cwd=self.folder, env=env)

    psql = Node.psql

    def end(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(60)
        shutil.rmtree(self.folder)


class Cluster:
    def __init__(self, folder):
        self.folder = folder
        self.network = Network() if Network.is_possible() else None
        self.etcd_address, mail_address = (self.network.etcd, self.network.mail) if self.network else ("127.0.0.1", "127.0.0.1")
        pg_config = os.environ.get("PG_CONFIG", "pg_config")
        bindir = subprocess.run([pg_config, "--bindir"], capture_output=True, text=True, check=True).stdout.strip()
        self.bindir = os.environ["MAILER_STAGE"] + "/server" + bindir
        self.etcd_port = free_port()
        self.batch = self.unconfirmed = 0
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
        self.proxy = self.start_proxy() if shutil.which("haproxy", path=os.environ["PATH"] + ":/usr/sbin") else None

    def start_proxy(self):
        self.proxy_port = free_port()
        text = (top / "examples/patroni/haproxy.cfg").read_text().replace("HAPROXY_PORT", str(self.proxy_port))
        for node in self.nodes:
            for word, value in (("ADDRESS", node.address), ("PORT", node.port), ("REST", node.rest)):
                text = text.replace(f"{node.name.upper()}_{word}", str(value))
        (self.folder / "haproxy.cfg").write_text(text)
        log = open(self.folder / "haproxy.log", "w")
        return subprocess.Popen(["/usr/sbin/haproxy", "-db", "-f", str(self.folder / "haproxy.cfg")], stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def check_proxy(self):
        """What comes by HAProxy reaches the leader, and mail can be queued there."""
        def leads_to_leader():
            leader = self.leader()
            answer = subprocess.run(["psql", "-XqAt", "-h", "127.0.0.1", "-p", str(self.proxy_port), "-U", "postgres", "-d", "postgres", "-c",
                                     "SELECT current_setting('port') FROM mailer.enqueue('proxy.' || random() || '@example.com', 's', 't')"],
                                    capture_output=True, text=True, check=True, timeout=15)
            return answer.stdout.strip() == str(leader.port)
        if self.proxy:
            wait_until("HAProxy leads to the leader", leads_to_leader, 30)

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
        leader.psql(f"SELECT mailer.mailbox_create('desk', '{self.mail_address}', {port}, 'desk@example.com', tls => 'none', max_connections => {CONNECTIONS})")

    def leader(self):
        found = []
        wait_until("somebody leads", lambda: found.extend(n for n in self.nodes if n.is_leader()) or found, 120)
        return found[0]

    def replicas(self):
        return [n for n in self.nodes if n.process is not None and not n.is_leader()]

    def send(self, count, leader=None):
        self.batch += 1
        (leader or self.leader()).psql(f"SELECT mailer.enqueue('b{self.batch}.' || n || '@example.com', 's', 't') FROM generate_series(1, {count}) n")

    def wait_promised(self, count=2):
        leader = self.leader()
        def is_promised():  # while there is mail: promises are made for it
            if leader.psql("SELECT count(*) FROM mailer.promise WHERE NOT is_joining AND until > clock_timestamp()") == str(count):
                return True
            self.send(10, leader)
            return False
        wait_until("the replicas are promised to be waited for", is_promised, 120)

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

    def configure(self, settings):
        leader = self.leader()
        body = json.dumps(settings).encode()
        request = urllib.request.Request(f"http://{leader.address}:{leader.rest}/config", body, {"Content-Type": "application/json"}, method="PATCH")
        urllib.request.urlopen(request, timeout=10).read()
        return leader

    def set_parameter(self, name, value):
        leader = self.configure({"postgresql": {"parameters": {name: value}}})
        wait_until(f"{name} is {value}", lambda: leader.psql(f"SHOW {name}") == value, 40)

    def set_mode(self, mode):
        leader = self.configure({"synchronous_mode": mode != "asynchronous", "synchronous_mode_strict": mode == "strict"})
        wait_until(f"replication is {mode}", lambda: (leader.psql("SHOW synchronous_standby_names") != "") == (mode != "asynchronous"), 40)

    def synchronous_standbys(self):
        """The names that Patroni has confirmed in etcd, not only asked PostgreSQL for: a switchover to another one is refused."""
        leader = self.leader()
        with urllib.request.urlopen(f"http://{leader.address}:{leader.rest}/cluster", timeout=5) as answer:
            confirmed = {m["name"] for m in json.load(answer)["members"] if m["role"] in ("sync_standby", "quorum_standby")}
        return sorted(confirmed & set(leader.psql("SELECT application_name FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum')").split()))

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

    def judge(self, holds=0, kills=1):
        """Sets the record against the leader's view; `kills`: how many leaders were killed with mail on the wire."""
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
        unconfirmed = int(leader.psql("SELECT unconfirmed FROM mailer.status()"))
        if unconfirmed - self.unconfirmed > CONNECTIONS * kills:
            raise Failure(f"{unconfirmed - self.unconfirmed} became unconfirmed, and {CONNECTIONS * kills} can have been on the wire")
        self.unconfirmed = unconfirmed
        return leader.psql("SELECT sent || ' sent, ' || unconfirmed || ' unconfirmed' FROM mailer.status()")

    def end(self):
        for node in self.nodes:
            if node.process is not None:
                node.signal_all(signal.SIGCONT)
                node.die()
        for process in filter(None, (self.proxy, self.etcd, self.witness)):
            process.terminate()
            process.wait()
        if self.network:
            self.network.end()

#!/usr/bin/env python3
"""Three nodes under the real Patroni and etcd, with examples/patroni/patroni.yml: whatever is killed, nothing goes twice.

    patroni.py [SCENARIO…]            the named ones, or the short list, each on the cluster as the last one left it
    patroni.py --random COUNT [SEED]  so many scenarios drawn at random, in asynchronous, synchronous and strict mode

All the while mail is queued on the current leader, and the witness of the crash tests (test/crash/recorder.py) writes down what
it accepts. After each scenario everything is settled, and its record is compared with the leader's view: nothing accepted
twice, nothing sent that wasn't accepted. Each node has a network namespace of its own where that is allowed (root), so that its network
can be cut; elsewhere those scenarios are left out. Needs patroni, etcd and a staged extension (MAILER_STAGE). Times are Patroni's
smallest (ttl 20, loop_wait 1), promise_time fits them. The exit code is 77 where it can't run.
"""
import collections
import contextlib
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from failover.cluster import Backup, Cluster, Failure, wait_until
from failover.network import Network
from waiting import moment


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


def under_load(cluster, promised=2):
    cluster.send(100)
    cluster.wait_promised(promised)
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
    moment(rng.uniform(0, 3))  # it thaws
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
    seen = old.log_size()
    cluster.network.mend(old.name)
    wait_until("what the old leader wrote alone is rewound", lambda: "pg_rewind exit code=0" in old.log_since(seen), 120)


def standby_lost(cluster, rng):
    """Mail stops for at most a promise_time: the one that is gone could be promoted."""
    under_load(cluster)
    rng.choice(cluster.replicas()).die()
    began, before = time.monotonic(), sum(cluster.accepted().values())
    cluster.send(5)
    wait_until("mail goes again", lambda: cluster.leader().psql("SELECT pending + sending = 0 FROM mailer.status()") == "t", 120)
    print(f"#   standby lost: {time.monotonic() - began:.1f} s until all is sent (mailer.promise_time is 40 s)")


def seven_wait(cluster, promised=2):
    """Seven mails that are due and go nowhere, and that every standby knows."""
    under_load(cluster, promised)
    leader = cluster.leader()
    wait_until("all is sent", lambda: leader.psql("SELECT pending + sending = 0 FROM mailer.status()") == "t", 60)
    leader.psql("SELECT mailer.pause('the standbys must know it as waiting')")
    cluster.send(7, leader)
    wait_until("the standbys know it", lambda: leader.psql(
        "SELECT count(*) FROM pg_stat_replication WHERE replay_lsn >= pg_current_wal_lsn()") == "2", 30)
    return leader


def holds_seven(new):
    wait_until("it holds", lambda: new.psql("SELECT held FROM mailer.promotion_state()") == "7", 60)
    new.psql("SELECT mailer.resume()")  # the pause came along, not its end


def let_go(new):
    if new.psql("SELECT mailer.resolve_held('resend')") != "7":
        raise Failure("not all that is held is let go")


def fail_over_to(candidate):
    """A person says who is next: the leader is dead."""
    body = json.dumps({"candidate": candidate.name}).encode()
    request = urllib.request.Request(f"http://{candidate.address}:{candidate.rest}/failover", body, {"Content-Type": "application/json"})
    with contextlib.suppress(OSError):  # Patroni answers when it is over, or says that it took too long
        urllib.request.urlopen(request, timeout=60).read()
    wait_until("the candidate leads", candidate.is_leader, 90)


def send_alone(cluster, synchronous=()):
    """The standbys die, and the leader sends what they know as waiting. The synchronous one dies last: where the other one follows it within
    two seconds, Patroni 3.0.2 has just named that one, doesn't confirm it, and never takes its name out of the setting again."""
    old = seven_wait(cluster)
    others = sorted(cluster.replicas(), key=lambda node: node.name in synchronous)
    for node in others:
        node.die()
    wait_until("Patroni asks for no standby any more", lambda: old.psql("SHOW synchronous_standby_names") == "", 60)
    old.psql("SELECT mailer.resume()")
    wait_until("it sends alone", lambda: old.psql("SELECT pending + sending = 0 FROM mailer.status()") == "t", 120)
    return old, others


def sent_while_alone(cluster, rng):
    """What a primary sent without any promised standby is held by the next one."""
    cluster.set_mode("asynchronous")  # strict mode would not let it commit alone
    old, others = send_alone(cluster)
    old.die()
    for node in others:
        node.start()
    holds_seven(another_leader(cluster, old, 120))
    return 7


def sent_twice_once(cluster, rng):
    """Synchronous mode, whose setting Patroni empties when the standbys die; a manual failover to the standby that was synchronous; and
    the setting is there again as soon as the other one attaches. A server that decides by that setting sends all of it twice."""
    cluster.set_mode("synchronous")
    synchronous = []
    wait_until("there is a synchronous standby", lambda: synchronous.extend(cluster.synchronous_standbys()) or synchronous, 60)
    old, others = send_alone(cluster, synchronous)
    old.die()
    for node in others:
        node.start()
    wait_until("they are back", lambda: all(n.is_replica() for n in others), 90)
    new = next(n for n in others if n.name == synchronous[0])
    fail_over_to(new)
    holds_seven(new)
    wait_until("Patroni asks for a synchronous standby again", lambda: new.psql("SHOW synchronous_standby_names") != "", 90)
    before = sum(cluster.accepted().values())
    cluster.send(5, new)
    wait_until("new mail goes", lambda: sum(cluster.accepted().values()) >= before + 5, 120)
    return 7


def promise_ran_out(cluster, rng):
    """A standby that is promoted after its promise has ended holds what was due: who knows who else was there meanwhile."""
    cluster.set_mode("asynchronous")
    old = seven_wait(cluster)
    others = cluster.replicas()
    ends = float(old.psql("SELECT extract(epoch FROM max(until)) FROM mailer.promise"))
    for node in cluster.nodes:
        node.die()
    wait_until("the promise has ended", lambda: time.time() > ends, 60)
    new = rng.choice(others)
    new.start()
    wait_until("it leads", new.is_leader, 90)
    holds_seven(new)
    let_go(new)


def unpromised(cluster, rng):
    """A manual failover to a node that mailer.promise_to doesn't name."""
    cluster.set_mode("asynchronous")
    candidate = rng.choice(cluster.replicas())
    cluster.set_parameter("mailer.promise_to", ",".join(n.name for n in cluster.nodes if n is not candidate))
    try:
        wait_until("its promise has ended", lambda: cluster.leader().psql(
            f"SELECT count(*) FROM mailer.promise WHERE name = '{candidate.name}' AND until > clock_timestamp()") == "0", 60)
        old = seven_wait(cluster, promised=1)
        old.die()
        fail_over_to(candidate)
        holds_seven(candidate)
        let_go(candidate)
    finally:
        cluster.set_parameter("mailer.promise_to", "all")


def switch_over(old, candidate):
    body = json.dumps({"leader": old.name, "candidate": candidate.name}).encode()
    request = urllib.request.Request(f"http://{old.address}:{old.rest}/switchover", body, {"Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=60).read()
    wait_until("the candidate leads", candidate.is_leader, 60)


def failback(cluster, rng):
    """A switchover, and back again as soon as the first one is promised to be waited for."""
    cluster.set_mode("asynchronous")  # else only the synchronous one may lead
    under_load(cluster)
    first = cluster.leader()
    second = rng.choice(cluster.replicas())
    switch_over(first, second)
    wait_until("the first one follows", first.is_replica, 90)
    under_load(cluster)
    switch_over(second, first)


def switchover(cluster, rng):
    under_load(cluster)
    old = cluster.leader()
    candidates = cluster.replicas()
    if cluster.mode() != "asynchronous":  # Patroni refuses all others
        wait_until("there is a synchronous standby", cluster.synchronous_standbys, 60)
        candidates = [n for n in candidates if n.name in cluster.synchronous_standbys()]
    switch_over(old, rng.choice(candidates))


def manual_failover(cluster, rng):
    """The leader is dead, and a person says who is next."""
    under_load(cluster)
    cluster.set_mode("asynchronous")  # else the choice is Patroni's
    old = cluster.leader()
    candidate = rng.choice(cluster.replicas())
    old.die()
    began, before = time.monotonic(), sum(cluster.accepted().values())
    fail_over_to(candidate)
    measure(cluster, "manual failover", began, before, candidate)


def back_alone(cluster, rng):
    """All three die, and the leader comes back by itself: it goes on, once its promises have run out."""
    cluster.set_mode("asynchronous")  # strict mode would not let it commit alone
    under_load(cluster)
    old = cluster.leader()
    for node in cluster.nodes:
        node.die()
    began, before = time.monotonic(), sum(cluster.accepted().values())
    old.start()
    wait_until("it leads again", old.is_leader, 90)
    measure(cluster, "back alone", began, before, old)


def second_failover(cluster, rng):
    machine_dead(cluster, rng)
    cluster.leader()
    moment(rng.uniform(0, 2))  # the second one dies
    cluster.heal()
    cluster.send(20)
    cluster.leader().die()


def backup_started(cluster, rng):
    """A base backup of the leader, taken while mail goes and started as a server of its own: it has mail that is due, and sends none."""
    under_load(cluster)
    leader = cluster.leader()
    cluster.send(200, leader)
    backup = Backup(leader)
    try:
        wait_until("it says that it is a copy", lambda: backup.psql(
            "SELECT EXISTS (SELECT FROM mailer.health() WHERE subject = 'clone' AND severity = 'critical')") == "t", 60)
        backup.psql("SELECT mailer.enqueue('of.the.backup@example.com', 's', 't')")
        turns = int(backup.psql("SELECT COALESCE(max(tick_count), 0) FROM mailer.worker_status WHERE kind = 'worker'"))
        wait_until("its worker looks at the queue", lambda: int(backup.psql(
            "SELECT COALESCE(max(tick_count), 0) FROM mailer.worker_status WHERE kind = 'worker'")) > turns + 2, 60)
        if backup.psql("SELECT state FROM mailer.message_status WHERE recipient = 'of.the.backup@example.com'") != "pending":
            raise Failure("a base backup sends")
    finally:
        backup.end()


SCENARIOS = {f.__name__: f for f in (machine_dead, postmaster_killed, frozen, switchover, failback, second_failover, manual_failover,
                                     back_alone, network_cut, standby_lost, sent_while_alone, sent_twice_once, promise_ran_out, unpromised,
                                     backup_started)}
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
        unknown = [name for name in arguments if name not in SCENARIOS]
        if unknown:
            sys.exit(f"there is no scenario {' '.join(unknown)}; there are: {' '.join(sorted(SCENARIOS))}")
        chosen = [name for name in arguments or SHORT if name in playable()]
    is_random = arguments[:1] == ["--random"]
    played = collections.Counter()
    for number in (signal.SIGTERM, signal.SIGINT):  # a run that is ended leaves nothing behind, and says what it saw
        signal.signal(number, lambda *_: sys.exit(130))
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
                cluster.check_proxy()
                verdict = cluster.judge(holds, kills=2 if name == "second_failover" else 1)
                played[f"{name} ({mode})"] += 1
                print(f"ok - patroni: {name}  # {mode}: {verdict}, {time.monotonic() - began:.0f} s", flush=True)
            except (Failure, subprocess.SubprocessError, OSError) as failure:
                failed += 1
                print(f"not ok - patroni: {name} ({i + 1}): {failure}", flush=True)
                if not is_random or os.environ.get("MAILER_KEEP"):
                    break
                cluster.heal()  # what can't be healed ends the run
                cluster.leader().psql("SELECT mailer.resume(), mailer.resolve_held('sent')")  # it may have been left paused
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

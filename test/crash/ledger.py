#!/usr/bin/env python3
"""Sets the witness's record (recorder.py) against what the database says, and tells every disagreement.

What must hold whatever was killed, for each recipient (every address is used once in a run):
    accepted twice                never
    sent                          only what is in the record
    in the record                 sent or unconfirmed, never failed, cancelled or waiting
    unconfirmed                   only if its last 354 was given and the reply can't have been read: neither did the
                                  sender speak on after it nor did the connection outlive it
    unconfirmed by one kill       at most one message for each connection that it cut with a mail under way

The last two need the kills' times; `ledger.py RECORD STATES` does without them, STATES having the rows with tabs.
"""
import collections
import dataclasses
import json
import sys

# How long a sender that lives may take to read a reply that lies in its socket; beyond, it has read it.
READ_WITHIN = 2.0


@dataclasses.dataclass
class Mail:
    """One DATA of one connection, as the witness saw it."""
    c: int
    go: float
    to: list
    dot: float = None
    code: int = None
    id: str = None
    reply: float = None
    was_read: bool = False
    close: float = None

    def reply_was_read(self):
        if self.reply is None:
            return False
        return self.was_read or self.close is None or self.close > self.reply + READ_WITHIN

    def is_cut_after_dot(self):  # the connection went between the dot and its reply
        return self.dot is not None and self.close is not None and self.reply is None

    def is_cut(self):  # nobody read an answer to it
        return self.close is not None and not self.reply_was_read()


@dataclasses.dataclass
class Kill:
    kind: str
    at: float
    is_graceful: bool
    is_server_stopped: bool = False


class Record:
    """The witness's file, read as it grows."""

    def __init__(self, path):
        self.file = open(path, encoding="utf-8")
        self.rest = ""
        self.mails = {}
        self.open = collections.defaultdict(list)
        self.accepted = 0

    def read(self):
        lines = (self.rest + self.file.read()).split("\n")
        self.rest = lines.pop()
        for line in lines:
            self.add(json.loads(line))
        return self.accepted

    def add(self, line):
        event, c, t = line["e"], line["c"], line["t"]
        if event == "close":
            for mail in self.open.pop(c, ()):
                mail.close = t
            return
        key = c, line["m"]
        if event == "go":
            self.mails[key] = Mail(c, t, line["to"])
            self.open[c].append(self.mails[key])
        elif event == "dot":
            mail = self.mails[key]
            mail.dot, mail.code, mail.id = t, line["code"], line["id"]
            self.accepted += line["code"] == 250
        elif event == "reply":
            self.mails[key].reply = t
        elif event == "busy":
            self.mails[key].was_read = True


def kill_of(mail, kills):
    """Its connection went with its sender: the last kill before that."""
    before = [n for n, kill in enumerate(kills) if mail.close is not None and kill.at <= mail.close]
    return before[-1] if before else None


def judge(record, kills, limit, rows):
    """rows: (address, state, the message's state, reason and Message-ID) of every recipient. Gives figures and problems."""
    problems = []
    tries = collections.defaultdict(list)
    for mail in record.mails.values():
        for address in mail.to:
            tries[address].append(mail)
    figures = collections.Counter(recipients=len(rows), conversations=len(record.mails))
    unsure = collections.defaultdict(dict)  # kill → connection → address
    known = set()
    for address, state, message_state, reason, message_id in rows:
        known.add(address)
        mine = tries.get(address, [])
        accepted = [mail for mail in mine if mail.code == 250]
        figures[state] += 1
        figures["accepted"] += len(accepted)
        what = f"{address} ({state} {reason})"
        if len(accepted) > 1:
            figures["twice"] += 1
            problems.append(f"{what}: accepted {len(accepted)} times")
        if any(mail.id != message_id for mail in accepted):
            problems.append(f"{what}: accepted under another Message-ID")
        if state == "sent" and not accepted:
            figures["lost"] += 1
            problems.append(f"{what}: the witness never accepted it")
        if accepted and state not in ("sent", "unconfirmed"):
            figures["lost"] += 1
            problems.append(f"{what}: the witness accepted it")
        if not is_fair(address, state, message_state, reason):
            problems.append(f"{what}: not a state it can end in")
        if state == "unconfirmed":
            figures["unconfirmed and accepted"] += bool(accepted)
            problems += doubt(what, mine, kills, unsure) if kills else []
        figures["quarantined"] += reason == "quarantined"
    for address in tries.keys() - known:
        problems.append(f"{address}: the witness met it, the database doesn't know it")
    problems += count_by_kill(record, kills, unsure, limit, figures)
    return figures, problems


def is_fair(address, state, message_state, reason):
    if state in ("sent", "unconfirmed"):
        return not address.startswith(("never", "no-"))
    if state == "failed" and address.startswith("never"):
        return True
    if state == "failed" and address.startswith("later") and message_state == "unconfirmed":
        return True  # put off in the very conversation of which the end isn't known: there is no next try
    if address.startswith("no-") and (state, reason) == ("cancelled", "send_if"):
        return True
    # A sender killed twice just as it composes the same mail looks like that mail's fault.
    return (state, reason) == ("failed", "quarantined")


def doubt(what, tries, kills, unsure):
    if not tries:
        return [f"{what}: the witness never gave a 354 for it"]
    last = max(tries, key=lambda mail: mail.go)
    if last.reply_was_read():
        return [f"{what}: the witness's reply was read"]
    n = kill_of(last, kills)
    if n is None:
        return [f"{what}: nothing was killed before its connection went"]
    unsure[n][last.c] = what
    return []


def count_by_kill(record, kills, unsure, limit, figures):
    problems = []
    cut = collections.Counter(kill_of(mail, kills) for mail in record.mails.values() if mail.is_cut_after_dot())
    under_way = collections.defaultdict(set)
    for mail in record.mails.values():
        if mail.is_cut():
            under_way[kill_of(mail, kills)].add(mail.c)
    figures["kills"] = len(kills)
    figures["kills between dot and reply"] = sum(1 for n in cut if n is not None)
    figures["dots without a reply"] = sum(cut.values())
    for n, connections in unsure.items():
        if not connections.keys() <= under_way[n]:
            problems.append(f"kill {n + 1} ({kills[n].kind}): {len(connections)} unconfirmed, {len(under_way[n])} connections cut")
        if len(connections) > limit:
            problems.append(f"kill {n + 1} ({kills[n].kind}): {len(connections)} unconfirmed, yet there are {limit} connections")
        figures["most unconfirmed by a kill"] = max(figures["most unconfirmed by a kill"], len(connections))
        if kills[n].is_graceful and not kills[n].is_server_stopped:
            figures["unconfirmed by a graceful stop"] += len(connections)
            problems.append(f"kill {n + 1} ({kills[n].kind}) leaves time for replies, yet: {', '.join(connections.values())}")
    return problems


if __name__ == "__main__":
    seen = Record(sys.argv[1])
    seen.read()
    with open(sys.argv[2], encoding="utf-8") as states:
        totals, wrong = judge(seen, [], None, [line.rstrip("\n").split("\t") for line in states])
    print("\n".join(wrong))
    sys.exit(bool(wrong) or not totals["recipients"])

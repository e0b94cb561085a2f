#!/usr/bin/python3
"""Decides per recipient for the private Postfix of test/servers/postfix (Postfix's policy delegation protocol).

By local part: `refused…` gets a 550, `later…` a 450 the first time and is taken from then on, all others are taken.
spawn(8) starts it with the state folder as argument; each connection is a process, so what was seen is kept in files.
"""
import hashlib
import os
import sys

folder = sys.argv[1]


def decide(recipient):
    local = recipient.lower()
    if local.startswith("refused"):
        return f"550 5.1.1 <{recipient}>: nobody of that name here"
    if local.startswith("later"):
        mark = os.path.join(folder, hashlib.sha256(local.encode()).hexdigest())
        try:
            os.close(os.open(mark, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            return f"450 4.2.1 <{recipient}>: mailbox busy, try again later"
        except FileExistsError:
            pass
    return "DUNNO"


request = {}
for line in sys.stdin:
    line = line.rstrip("\n")
    if line:
        name, _, value = line.partition("=")
        request[name] = value
        continue
    print(f"action={decide(request.get('recipient', ''))}\n", flush=True)
    request = {}

#!/usr/bin/env python3
"""The witness of the crash tests: a mail server that writes down what it accepts before it says so.

It shares no code with the project and outlives every kill of the database. Each accepted mail is in the record, with
its Message-ID and recipients, before the reply to the final dot is due, and that reply comes 0 to --delay ms later: a
sender that dies meanwhile can't know, and one that sends again is caught. The record must never hold what was not
accepted, nor miss what was. It is flushed and not synced: nobody here crashes the operating system.

In the folder given it writes `port`, and `record.jsonl` with one object a line, `t` in seconds, `c` the connection:

    go     c, m, to          DATA was answered with 354: the m-th mail of this connection
    dot    c, m, id, to, code   the final dot came; code 250 is accepted
    reply  c, m              that answer was handed to the kernel
    busy   c, m              the sender spoke on after the reply: it must have read it
    close  c                 the connection is gone

An address says what becomes of it: `later…` is put off once (450), `never…` refused (550), and a mail to `again…` alone
is refused once after the dot (451).
"""
import asyncio
import json
import os
import random
import signal
import sys
import time


class Record:
    def __init__(self, folder, delay_ms, seed):
        self.file = open(os.path.join(folder, "record.jsonl"), "a", buffering=1, encoding="utf-8")
        self.delay = delay_ms / 1000
        self.random = random.Random(seed)
        self.connections = 0
        self.met = set()  # addresses that were put off already

    def note(self, event, **fields):
        self.file.write(json.dumps({"t": time.time(), "e": event, **fields}) + "\n")

    def is_first(self, address):
        is_new = address not in self.met
        self.met.add(address)
        return is_new


class Conversation(asyncio.Protocol):
    def __init__(self, record):
        self.record = record
        record.connections += 1
        self.c, self.m = record.connections, 0
        self.input = bytearray()
        self.to = []
        self.is_body = self.is_waiting = self.is_closed = self.was_answered = False

    def connection_made(self, transport):
        self.transport = transport
        self.say("220 recorder.example ESMTP")

    def connection_lost(self, error):
        self.is_closed = True
        self.record.note("close", c=self.c)

    def data_received(self, data):
        if self.was_answered:
            self.was_answered = False
            self.record.note("busy", c=self.c, m=self.m)
        self.input += data
        self.go_on()

    def say(self, *lines):
        if not self.is_closed:
            self.transport.write("".join(line + "\r\n" for line in lines).encode())

    # Whatever has come is dealt with in order; nothing while an answer to a dot is due.
    def go_on(self):
        while not self.is_waiting:
            end = self.input.find(b"\r\n.\r\n" if self.is_body else b"\r\n")
            if end < 0:
                return
            chunk = bytes(self.input[:end])
            del self.input[:end + (5 if self.is_body else 2)]
            if self.is_body:
                self.take(chunk)
            else:
                self.obey(chunk.decode("utf-8", "replace"))

    def obey(self, line):
        verb = line.split(" ", 1)[0].upper()
        if verb == "EHLO":
            self.say("250-recorder.example", "250-PIPELINING", "250-8BITMIME", "250-SMTPUTF8", "250 ENHANCEDSTATUSCODES")
        elif verb in ("MAIL", "RSET"):
            self.to = []
            self.say("250 2.0.0 OK")
        elif verb == "RCPT":
            self.say(self.meet(line[line.index("<") + 1:line.index(">")]))
        elif verb == "DATA":
            if not self.to:
                self.say("554 5.5.1 nobody to send it to")
                return
            self.m += 1
            self.is_body = True
            self.record.note("go", c=self.c, m=self.m, to=self.to)
            self.say("354 go on")
        elif verb == "QUIT":
            self.say("221 2.0.0 bye")
            self.transport.close()
        else:
            self.say("250 2.0.0 OK")

    def meet(self, address):
        if address.startswith("never"):
            return "550 5.1.1 nobody of that name"
        if address.startswith("later") and self.record.is_first(address):
            return "450 4.2.0 not now"
        self.to.append(address)
        return "250 2.1.5 OK"

    def take(self, body):
        self.is_body = False
        head = body.split(b"\r\n\r\n", 1)[0].decode("utf-8", "replace")
        message_id = next((line[11:].strip() for line in head.split("\r\n") if line.lower().startswith("message-id:")), None)
        is_put_off = all(one.startswith("again") for one in self.to) and any([self.record.is_first(one) for one in self.to])
        code = 451 if is_put_off else 250
        self.record.note("dot", c=self.c, m=self.m, id=message_id, to=self.to, code=code)
        self.is_waiting = True
        pause = self.record.random.uniform(0, self.record.delay)
        asyncio.get_running_loop().call_later(pause, self.answer, "250 2.0.0 taken" if code == 250 else "451 4.3.0 again, please")

    def answer(self, words):
        self.is_waiting = False
        self.to = []
        if self.is_closed:
            return
        self.say(words)
        self.record.note("reply", c=self.c, m=self.m)
        self.was_answered = True
        self.go_on()


async def serve(folder, delay_ms, seed, address="127.0.0.1"):
    record = Record(folder, delay_ms, seed)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Conversation(record), address, 0, backlog=500)
    with open(os.path.join(folder, "port.new"), "w") as file:
        file.write(f"{server.sockets[0].getsockname()[1]}\n")
    os.rename(os.path.join(folder, "port.new"), os.path.join(folder, "port"))
    leave = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, leave.set)
    await leave.wait()
    server.close()


if __name__ == "__main__":
    os.makedirs(sys.argv[1], exist_ok=True)
    asyncio.run(serve(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:5]))

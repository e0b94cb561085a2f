#!/usr/bin/python3
"""A mail server on this machine that takes everything and delivers nothing: each mail becomes a file.

Used by scripts/quickstart and by tests. Built on Debian's python3-aiosmtpd, hence the interpreter above. It never
connects anywhere. In the folder given it writes

    port             the port it listens on, once it does (port 0 asks the kernel for a free one)
    0001.eml …       each accepted mail, the bytes as they came after dot-unstuffing
    log.jsonl        one line per accepted mail, per refused recipient and per connection turned away (--connections), with the time and the envelope

A recipient is refused permanently (550) when it is named by --refuse, for its quota (552) when named by --full, as a relay does (554) by --deny, put off once (450) when named by --later, and always when named by --never.
"""
import argparse
import asyncio
import json
import logging
import os
import random
import signal
import ssl
import sys
import time

from aiosmtpd.smtp import SMTP, AuthResult


class Mailroom:
    def __init__(self, options):
        self.options = options
        self.count = 0
        self.open = set()
        self.put_off = set()
        self.log = open(os.path.join(options.folder, "log.jsonl"), "a", buffering=1, encoding="utf-8")

    def note(self, **fields):
        self.log.write(json.dumps({"at": time.time(), **fields}, ensure_ascii=False) + "\n")

    async def handle_RCPT(self, server, session, envelope, address, options):
        key = address.lower()
        if key in self.options.refuse:
            self.note(event="refused", recipient=address, sender=envelope.mail_from, code=550)
            return f"550 5.1.1 <{address}>: nobody of that name here"
        if key in self.options.never:
            return "450 4.2.0 <%s>: not now" % address
        if key in self.options.full:
            self.note(event="refused", recipient=address, sender=envelope.mail_from, code=552)
            return f"552 5.2.2 <{address}>: mailbox is over its quota"
        if key in self.options.deny:
            self.note(event="denied", recipient=address, code=554)
            return f"554 5.7.1 <{address}>: Relay access denied"
        if key in self.options.later and key not in self.put_off:
            self.put_off.add(key)
            self.note(event="put_off", recipient=address, code=450)
            return f"450 4.2.1 <{address}>: mailbox busy, try again later"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server, session, envelope):
        self.count += 1
        name = f"{self.count:04d}.eml"
        path = os.path.join(self.options.folder, name)
        with open(path + ".new", "wb") as file:
            file.write(envelope.original_content)
        os.rename(path + ".new", path)
        self.note(event="accepted", file=name, sender=envelope.mail_from, recipients=envelope.rcpt_tos,
                  tls=session.ssl is not None, login=getattr(session, "logged_in_as", None), bytes=len(envelope.original_content))
        # Late replies come after the mail is safely taken, as with real servers: a client that hangs up before the
        # reply and sends again makes a duplicate.
        if self.options.delay or self.options.jitter:
            await asyncio.sleep((self.options.delay + random.uniform(0, self.options.jitter)) / 1000)
        return f"250 2.0.0 taken as {name}"


def authenticator(logins):
    def check(server, session, envelope, mechanism, data):
        user = getattr(data, "login", b"")
        right = user + b":" + getattr(data, "password", b"") in logins
        session.logged_in_as = user.decode() if right else None
        return AuthResult(success=right, handled=False)  # the answer is aiosmtpd's: 535 for a wrong one
    return check


class Dialogue(SMTP):
    """One that turns connections away when there are as many as the server takes."""

    def connection_made(self, transport):
        room = self.event_handler
        if room.options.connections and self not in room.open and len(room.open) >= room.options.connections:
            room.note(event="turned_away")
            transport.write(b"421 4.7.0 catchall.local Error: too many connections\r\n")
            transport.close()
            return
        room.open.add(self)
        super().connection_made(transport)

    def connection_lost(self, error):
        room = self.event_handler
        if self in room.open:
            room.open.discard(self)
            super().connection_lost(error)


async def serve(options):
    room = Mailroom(options)
    tls = None
    if options.certificate:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(options.certificate, options.key)
        if options.client_ca:
            tls.load_verify_locations(options.client_ca)
            tls.verify_mode = ssl.CERT_REQUIRED
    login = dict(authenticator=authenticator({login.encode() for login in options.login}), auth_required=True,
                 auth_require_tls=tls is not None) if options.login else {}

    def dialogue():
        # A new object per connection; the loop is this one.
        return Dialogue(room, hostname="catchall.local", ident="catchall", enable_SMTPUTF8=True, tls_context=tls,
                        require_starttls=tls is not None, data_size_limit=64 * 1024 * 1024, **login)

    loop = asyncio.get_running_loop()
    server = await loop.create_server(dialogue, options.host, options.port)
    port = server.sockets[0].getsockname()[1]
    with open(os.path.join(options.folder, "port.new"), "w") as file:
        file.write(f"{port}\n")
    os.rename(os.path.join(options.folder, "port.new"), os.path.join(options.folder, "port"))
    leave = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, leave.set)
    await leave.wait()
    server.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="where the mails, the log and the port file go")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--full", action="append", default=[], type=str.lower, metavar="ADDRESS")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--refuse", action="append", default=[], type=str.lower, metavar="ADDRESS")
    parser.add_argument("--deny", action="append", default=[], type=str.lower, metavar="ADDRESS")
    parser.add_argument("--later", action="append", default=[], type=str.lower, metavar="ADDRESS")
    parser.add_argument("--never", action="append", default=[], type=str.lower, metavar="ADDRESS")
    parser.add_argument("--delay", type=float, default=0, metavar="MS", help="answer the final dot this much later")
    parser.add_argument("--jitter", type=float, default=0, metavar="MS", help="and by up to so much more, at random")
    parser.add_argument("--connections", type=int, default=0, metavar="N", help="take so many at a time, and turn others away with 421")
    parser.add_argument("--certificate", help="offer and require STARTTLS with this certificate (PEM)")
    parser.add_argument("--key")
    parser.add_argument("--client-ca", metavar="FILE", help="and want a client certificate of this authority")
    parser.add_argument("--login", metavar="USER:PASSWORD", action="append", help="require this login; may be given several times")
    options = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    os.makedirs(options.folder, exist_ok=True)
    asyncio.run(serve(options))


if __name__ == "__main__":
    sys.exit(main())

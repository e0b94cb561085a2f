#!/usr/bin/env python3
"""An SMTP server whose recipients answer: answering.py FOLDER COUNT [KILLS]

The first mail to an address is taken, under an id of the server's own, which its recipient sees in place of Message-ID, as Microsoft does
it; the follow-up has to refer to that. While the second one, the follow-up, is being handed over, the reply to the first is committed
(mailer.ingest), at a moment that changes from mail to mail: at RCPT, at DATA, after a part of the body, or, most often, in a race with the
body and its final dot. Or its transaction is open while the body comes, and is committed or rolled back then: the dot has to wait for that.
Every seventh address never answers. While KILLS of the follow-ups are handed over, the sender is killed, somewhere between the beginning of
their reply and the dot; the server, which PostgreSQL starts again, then stores the reply if it wasn't, and no later dot is allowed.

When the commit has returned, what the sender had written before it is in the socket: the kernel puts it there as it is written. A final dot
that comes later was written later, and is a violation. FOLDER/port says where it listens; FOLDER/summary is written when COUNT follow-ups
have been settled this way or the other, one line `MOMENT TAKEN STOPPED LATE` for each kind of moment.
"""
import collections
import os
import random
import re
import select
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import waiting  # noqa: E402

folder, count = sys.argv[1], int(sys.argv[2])
answering = [number for number in range(1, count + 1) if number % 7]
doomed = set(random.sample(answering, int(sys.argv[3]) if len(sys.argv) > 3 else 0))
WORKER = b"SELECT max(pid) FROM pg_stat_activity WHERE backend_type = 'mailer worker' AND datname = current_database();\n"
END = b'\r\n.\r\n'


class Database:
    def __init__(self):
        self.connect()

    def connect(self):
        self.psql = subprocess.Popen(['psql', '-XqAt', '-v', 'ON_ERROR_STOP=1'], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def begin(self, address, message_id):
        reply = (f'From: {address}\r\nTo: anna@example.com\r\nSubject: Re: Hello\r\nMessage-ID: <{random.getrandbits(64):x}@example.net>\r\n'
                 f'In-Reply-To: {message_id}\r\nContent-Type: text/plain\r\n\r\nYes, please.\r\n').encode()
        self.statement = b"SELECT count(*) FROM mailer.ingest('\\x%s'::bytea);\n" % reply.hex().encode()
        self.tell(self.statement)

    def tell(self, statement):
        self.psql.stdin.write(statement)
        self.psql.stdin.flush()

    def ask(self, statement):
        self.tell(statement)
        return self.psql.stdout.readline().decode().rstrip('\n')

    def finish(self):  # the commit has returned
        if self.psql.stdout.readline() != b'1\n':
            sys.exit('the reply was not stored')

    def finish_after_crash(self, address, worker):
        """The same reply again, when another sender runs: it is stored once, whether its first transaction was committed or not."""
        def is_stored():
            self.psql.kill()
            self.psql.wait()
            self.connect()
            try:
                if self.ask(WORKER) in ('', str(worker)):
                    return False
                self.ask(self.statement)
                return self.ask(f"SELECT state FROM mailer.lead_status WHERE address = '{address}';\n".encode()) == 'replied'
            except BrokenPipeError:
                return False

        waiting.until(60, is_stored, f'the reply of {address} is stored', interval=0.1)


database = Database()
ids = {}
tally = collections.defaultdict(lambda: [0, 0, 0])
settled = set()
longest = 0.005


deck = []


def draw():
    """A moment; each comes, however few are drawn."""
    if not deck:
        deck.extend(['rcpt', 'data', 'body', 'committed', 'undone', 'race', 'race', 'race', 'race', 'race'])
        random.shuffle(deck)
    return deck.pop()


class Gone(Exception):
    pass


class Session:
    def __init__(self, connection):
        self.connection, self.pending = connection, b''

    def fill(self, wait=True):
        """Reads what is there; False when nothing was."""
        if not wait and not select.select([self.connection], [], [], 0)[0]:
            return False
        data = self.connection.recv(65536)
        if not data:
            raise Gone
        self.pending += data
        return True

    def line(self):
        while b'\r\n' not in self.pending:
            self.fill()
        line, self.pending = self.pending.split(b'\r\n', 1)
        return line.decode()

    def say(self, text):
        self.connection.sendall(text.encode() + b'\r\n')

    def body(self, moment, address):
        """The body up to its dot, while the address answers; whether the dot came behind the commit."""
        global longest
        begun, sent = time.monotonic(), False
        if moment == 'race':
            database.begin(address, ids[address])
            waiting.moment(random.uniform(0, longest))
        if moment in ('committed', 'undone'):
            database.tell(b'BEGIN;\n')
            self.answer(address)
        self.say('354 go on')
        if moment in ('committed', 'undone'):
            while select.select([self.connection], [], [], 0.05)[0] and END not in self.pending:
                self.fill()
            sent = END in self.pending
            database.tell(b'COMMIT;\n' if moment == 'committed' else b'ROLLBACK;\n')
            database.tell(b'SELECT 1;\n')
            database.finish()
            if sent:
                return self.pending.split(END, 1)[0], True
        if moment == 'body':
            while not self.pending:
                self.fill()
            database.begin(address, ids[address])
        if moment in ('race', 'body'):
            database.finish()
            longest = 0.8 * longest + 0.2 * 1.3 * (time.monotonic() - begun)
            while self.fill(wait=False):
                pass
            sent = END in self.pending
        while END not in self.pending:
            self.fill()
        is_late = moment not in (None, 'undone') and not sent
        mail, self.pending = self.pending.split(END, 1)
        return mail, is_late

    def killed(self, address):
        """The sender dies while it hands the body over. Whether its dot was in the socket."""
        worker = int(database.ask(WORKER))
        database.begin(address, ids[address])
        self.say('354 go on')
        waiting.moment(random.uniform(0, 2 * longest))
        os.kill(worker, signal.SIGKILL)
        try:
            while True:
                self.fill()
        except (Gone, ConnectionError):
            database.finish_after_crash(address, worker)
            return END in self.pending

    @staticmethod
    def answer(address):
        database.begin(address, ids[address])
        database.finish()

    def run(self):
        self.say('220 answering')
        address = moment = None
        try:
            while True:
                line = self.line()
                verb = line[:4].upper()
                if verb in ('EHLO', 'HELO', 'RSET', 'NOOP'):
                    self.say('250 ok')
                elif verb == 'MAIL':
                    address = moment = None
                    self.say('250 ok')
                elif verb == 'RCPT':
                    address = re.search(r'<([^>]+)>', line)[1]
                    number = int(re.search(r'\d+', address)[0])
                    if address in settled:
                        moment = 'settled'
                    elif number in doomed and address in ids:
                        moment = 'killed'
                    elif address in ids and number % 7:
                        moment = draw()
                    if moment == 'rcpt':
                        self.answer(address)
                    self.say('250 ok')
                elif verb == 'DATA':
                    if moment == 'data':
                        self.answer(address)
                    if moment == 'killed':
                        self.settle(moment, address, 0 if self.killed(address) else 1)
                        return
                    mail, is_late = self.body(moment, address)
                    own = f'<{address.split("@")[0]}@provider.example>'
                    if address not in ids:
                        ids[address] = own
                    elif b'In-Reply-To: ' + own.encode() not in mail:
                        sys.exit(f'the follow-up to {address} refers to another mail')
                    else:
                        self.settle(moment or 'silent', address, 2 if is_late else 0)
                    address = moment = None
                    self.say(f'250 2.0.0 OK {own} [Hostname=answering]')
                elif verb == 'QUIT':
                    self.say('221 bye')
                    return
        except (Gone, ConnectionError):
            if moment and moment != 'settled':
                self.settle(moment, address, 1)

    @staticmethod
    def settle(moment, address, how):
        if address in settled:
            sys.exit(f'{address} is sent a follow-up although its sequence has ended or has had it')
        settled.add(address)
        tally[moment][how] += 1
        if len(settled) == count:
            with open(f'{folder}/summary.new', 'w') as out:
                out.writelines(f'{m} {n[0]} {n[1]} {n[2]}\n' for m, n in sorted(tally.items()))
            os.rename(f'{folder}/summary.new', f'{folder}/summary')


os.makedirs(folder, exist_ok=True)
with socket.create_server(('127.0.0.1', 0)) as server:
    with open(f'{folder}/port.new', 'w') as out:
        out.write(str(server.getsockname()[1]))
    os.rename(f'{folder}/port.new', f'{folder}/port')
    while True:
        connection, _ = server.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection:
            Session(connection).run()

#!/usr/bin/python3
"""Plays SMTP conversations: a scripted server for each file, deliver_cli as its client, and compares both sides.

    play.py --cli PROGRAM --certificates DIR [--accept] FILE…

Both sides must be exact: the server checks every command that it gets, and what deliver_cli prints must be what the file
expects. `--accept` writes what was printed into the file instead: read the difference before you commit it.
README.md describes the files. No step waits for time to pass except PAUSE; a step that never comes true fails after 20 s.
"""
import argparse
import concurrent.futures
import fnmatch
import itertools
import pathlib
import shlex
import socket
import ssl
import struct
import subprocess
import sys
import threading

PATIENCE = 20  # seconds


class Mismatch(Exception):
    pass


def read_file(path):
    """Returns (title, options, the system's authority, one list of (verb, argument) per connection, the expected lines)."""
    title, options, system, connections, expected, part = "", "", "", [], [], "head"
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if part == "expect":
            expected.append(line)
        elif line.startswith("#") or not line.strip():
            title = title or line.lstrip("# ")
        elif line == "expect":
            part = "expect"
        elif line.startswith("options:"):
            options = line.partition(":")[2].strip()
        elif line.startswith("system:"):
            system = line.partition(":")[2].strip()
        elif line.strip() == "connection":
            connections.append([])
        else:
            verb, _, argument = line.strip().partition(" ")
            if not connections or verb not in Server.VERBS:
                sys.exit(f"{path}:{number}: not understood: {line}")
            connections[-1].append((verb, argument))
    while expected and not expected[-1].strip():
        expected.pop()
    return title, options, system, connections, expected


def matches(text, pattern):
    return pattern is not None and fnmatch.fnmatchcase(text, pattern.replace("[", "[[]"))


class Server:
    """One scripted peer. Every verb is a method; README.md lists them."""

    VERBS = ("S:", "S~", "S=", "S*", "S#", "C:", "BODY", "BODY:", "PART", "SLOW", "FORGET", "EOF", "CLOSE", "RST", "HANG", "TLS",
             "PAUSE")

    def __init__(self, sock, certificates):
        self.sock, self.certificates, self.buffer, self.pending = sock, certificates, b"", b""
        sock.settimeout(PATIENCE)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def play(self, steps):
        for verb, argument in steps:
            if verb != "S:":
                self.flush()
            try:
                if self.step(verb, argument):
                    return
            except (ssl.SSLError, ConnectionError) as error:
                if verb not in ("TLS", "EOF", "SLOW"):  # the client may refuse us and hang up
                    raise Mismatch(f"at '{verb} {argument}': {error}")
                return
        self.flush()

    def flush(self):
        data, self.pending = self.pending, b""
        if data:
            self.sock.sendall(data)

    def step(self, verb, argument):
        """Does one step. True ends the connection's script."""
        if verb == "S:":
            self.pending += argument.encode() + b"\r\n"  # one packet with the S: lines that follow
        elif verb == "S~":
            for byte in argument.encode() + b"\r\n":
                self.sock.sendall(bytes([byte]))
        elif verb == "S=":
            self.sock.sendall(argument.encode("latin-1").decode("unicode_escape").encode("latin-1"))
        elif verb == "S*":
            count, _, line = argument.partition(" ")
            try:
                self.sock.sendall((line.encode() + b"\r\n") * int(count))
            except OSError:
                pass  # had enough
        elif verb == "S#":
            count, _, text = argument.partition(" ")
            try:
                self.sock.sendall(text.encode() * int(count))
            except OSError:
                pass
        elif verb == "C:":
            line = self.line()
            if not matches(line, argument):
                raise Mismatch(f"expected '{argument}', got '{line}'")
        elif verb in ("BODY", "BODY:"):
            self.body(argument)
        elif verb == "PART":
            self.fill(int(argument))
        elif verb == "SLOW":
            self.slow(int(argument))
        elif verb == "FORGET":
            self.buffer = b""
        elif verb in ("EOF", "HANG"):
            self.until_closed(verb)
        elif verb == "RST":
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return True
        elif verb == "TLS":
            self.secure(argument)
        elif verb == "PAUSE":
            threading.Event().wait(int(argument) / 1000)
        return verb == "CLOSE"

    def more(self):
        data = self.sock.recv(65536)
        if not data:
            raise Mismatch(f"the client closed; unread: {self.buffer!r}")
        self.buffer += data

    def fill(self, size):
        while len(self.buffer) < size:
            self.more()
        self.buffer = self.buffer[size:]

    def line(self):
        while b"\r\n" not in self.buffer:
            self.more()
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line.decode("utf-8", "backslashreplace")

    def body(self, argument):
        while not (self.buffer.startswith(b".\r\n") or b"\r\n.\r\n" in self.buffer):
            self.more()
        head, _, self.buffer = (b"\r\n" + self.buffer).partition(b"\r\n.\r\n")
        lines = head.split(b"\r\n")[1:]
        unstuffed = b"".join((line[1:] if line.startswith(b".") else line) + b"\r\n" for line in lines)
        if argument == "empty" and unstuffed:
            raise Mismatch(f"expected an empty message, got {unstuffed[:60]!r}")
        if argument.isdigit() and len(unstuffed) != int(argument):
            raise Mismatch(f"expected a message of {argument} bytes, got {len(unstuffed)}")

    def slow(self, size):
        """Takes a message through a small receive buffer, `size` bytes at a time."""
        data = self.buffer
        while not data.endswith(b"\r\n.\r\n"):
            piece = self.sock.recv(size)
            if not piece:
                return
            data += piece
        self.buffer = b""

    def until_closed(self, verb):
        while True:
            try:
                data = self.sock.recv(65536)
            except ConnectionResetError:
                return
            if not data:
                return
            if verb == "EOF":
                raise Mismatch(f"expected the client to close, got {(self.buffer + data)[:80]!r}")

    def secure(self, argument):
        name, _, client = argument.partition(" ")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(f"{self.certificates}/{name}.pem", f"{self.certificates}/{name}.key")
        if client:
            context.load_verify_locations(f"{self.certificates}/ca.pem")
            context.verify_mode = {"client": ssl.CERT_REQUIRED, "maybe": ssl.CERT_OPTIONAL}[client]
        self.sock = context.wrap_socket(self.sock, server_side=True, do_handshake_on_connect=False)
        try:
            self.sock.do_handshake()
        except ssl.SSLError:  # a socket that is closed with unread data in it could take the alert with it
            while socket.socket.recv(self.sock, 65536):
                pass
            raise
        self.sock.settimeout(PATIENCE)

    def close(self):
        try:
            self.flush()
            self.sock.close()
        except OSError:
            pass


def serve(listener, scripts, certificates, problems, threads):
    """Accepts one connection per script, in order; one more is a problem."""
    for number in range(1, len(scripts) + 2):
        try:
            sock, _ = listener.accept()
        except OSError:  # the listener was closed: the client is done
            if number <= len(scripts):
                problems.append(f"connection {number} never came")
            return
        if number > len(scripts):
            problems.append("a connection too many")
            sock.close()
            return

        def talk(sock=sock, number=number):
            server = Server(sock, certificates)
            try:
                server.play(scripts[number - 1])
            except (Mismatch, OSError) as problem:
                problems.append(f"connection {number}: {problem}")
            finally:
                server.close()

        threads.append(threading.Thread(target=talk, daemon=True))
        threads[-1].start()


def with_authority(name, certificates):
    """What runs a command on a machine whose folder of authorities holds one alone; it sees that folder in a mount of its own."""
    folder = pathlib.Path(certificates, f"system-{name}")
    folder.mkdir(exist_ok=True)
    for file in (f"{name}.pem", "ca-certificates.crt"):
        folder.joinpath(file).write_bytes(pathlib.Path(certificates, f"{name}.pem").read_bytes())
    subprocess.run(["openssl", "rehash", folder], check=True, capture_output=True)
    return ["unshare", "--mount", "--map-root-user", "sh", "-c", 'mount --bind "$0" /etc/ssl/certs && exec "$@"', str(folder)]


def play(path, cli, certificates, accept):
    """Returns the lines that say what is wrong; none when all is well."""
    _, options, system, scripts, expected = read_file(path)
    within = with_authority(system, certificates) if system else []
    if within and subprocess.run([*within, "true"], capture_output=True).returncode != 0:
        print(f"# {path.stem} is left out: no mount of its own is allowed here")
        return []
    listener = socket.socket()
    if {"SLOW", "PART"} & {verb for script in scripts for verb, _ in script}:  # or a whole message fits into the window
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    listener.bind(("0.0.0.0", 0))  # all of 127.0.0.0/8: a host may have several addresses
    listener.listen(16)
    port = listener.getsockname()[1]
    problems, threads = [], []
    acceptor = threading.Thread(target=serve, args=(listener, scripts, certificates, problems, threads), daemon=True)
    acceptor.start()
    arguments = shlex.split(options.replace("$CERTIFICATES", certificates))
    try:
        done = subprocess.run([*within, cli, "--port", str(port), *arguments], capture_output=True, timeout=3 * PATIENCE)
    except subprocess.TimeoutExpired as late:
        return ["deliver_cli didn't end", *(late.stdout or b"").decode().splitlines()]
    for thread in threads:
        thread.join(PATIENCE)
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    acceptor.join(PATIENCE)
    if done.returncode != 0 or done.stderr:
        problems.append(f"deliver_cli ended with {done.returncode}: {done.stderr.decode()[-2000:]}")
    printed = done.stdout.decode().splitlines()
    if accept and not problems:
        head = path.read_text().split("\nexpect\n")[0].rstrip("\n")
        kept = [old if matches(line, old) else line for line, old in itertools.zip_longest(printed, expected[:len(printed)])]
        path.write_text(head + "\n\nexpect\n" + "".join(line + "\n" for line in kept))
    elif len(printed) != len(expected) or not all(map(matches, printed, expected)):
        problems += ["printed:", *("  " + line for line in printed), "expected:", *("  " + line for line in expected)]
    return problems


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cli", required=True)
    parser.add_argument("--certificates", required=True)
    parser.add_argument("--accept", action="store_true")
    parser.add_argument("files", nargs="+", type=pathlib.Path)
    args = parser.parse_args()
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        runs = [(path, pool.submit(play, path, args.cli, args.certificates, args.accept)) for path in args.files]
        for path, run in runs:
            problems = run.result()
            failed += bool(problems)
            print(f"{'not ok' if problems else 'ok'} - {path.stem}")
            for line in problems:
                print(f"#   {line}")
    print(f"{len(runs) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""From COMMIT's return to MAIL FROM at the mail server, at idle on a warm connection.

    bench/latency.py [--messages 300] [--pause-ms 20]

Each mail is queued by one autocommitted SELECT in a psql session when the one before has been delivered. The clock starts when
psql prints the id (so its pipe counts as ours) and stops when the server reads MAIL FROM. Negative means that the
worker was quicker than the client heard of its commit. Private cluster, fsync on.
"""
import argparse, os, socket, statistics, subprocess, sys, threading, time

top = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class Server(threading.Thread):
    """One connection after another, as much SMTP as this needs."""

    def __init__(self):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.mail_at, self.delivered = None, threading.Event()

    def run(self):
        while True:
            connection, _ = self.listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.serve(connection)

    def serve(self, connection):
        connection.sendall(b"220 bench\r\n")
        buffer, in_data = b"", False
        while data := connection.recv(65536):
            now = time.monotonic()
            buffer += data
            while True:
                if in_data:
                    end = buffer.find(b"\r\n.\r\n")
                    if end < 0:
                        break
                    buffer, in_data = buffer[end + 5:], False
                    connection.sendall(b"250 2.0.0 ok\r\n")
                    self.delivered.set()
                    continue
                line, found, rest = buffer.partition(b"\r\n")
                if not found:
                    break
                buffer = rest
                verb = line[:4].upper()
                if verb == b"MAIL":
                    self.mail_at = now
                if verb == b"DATA":
                    in_data = True
                    connection.sendall(b"354 go on\r\n")
                elif verb == b"EHLO":
                    connection.sendall(b"250-bench\r\n250 PIPELINING\r\n")
                else:
                    connection.sendall(b"250 ok\r\n")


def measure(args):
    server = Server()
    server.start()
    psql = subprocess.Popen(["psql", "-XAtq"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def ask(sql):
        psql.stdin.write(sql + "\n")
        psql.stdin.flush()
        return psql.stdout.readline().strip(), time.monotonic()

    ask("CREATE EXTENSION mailer; SELECT 1;")
    ask(f"SELECT mailer.mailbox_create('bench', '127.0.0.1', {server.port}, from_address := 'bench@example.com', tls := 'none');")
    ask("SELECT mailer.mailbox_alter('bench', '{\"max_per_connection\": 1000000}') IS NULL;")
    latencies = []
    for i in range(args.messages + 20):
        server.delivered.clear()
        _, committed = ask(f"SELECT mailer.enqueue('u{i}@example.com', 'Hello', 'Body');")
        if not server.delivered.wait(30):
            sys.exit("a mail did not arrive")
        if i >= 20:  # the first open the connection and make the plans
            latencies.append((server.mail_at - committed) * 1000)
        time.sleep(args.pause_ms / 1000)  # idle again
    latencies.sort()
    at = lambda q: latencies[min(len(latencies) - 1, int(q * len(latencies)))]
    print(f"commit to MAIL FROM, {len(latencies)} mails: p50 {at(0.5):.2f} ms, p90 {at(0.9):.2f} ms, p99 {at(0.99):.2f} ms, "
          f"mean {statistics.mean(latencies):.2f} ms")
    psql.stdin.close()
    psql.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=300)
    parser.add_argument("--pause-ms", type=int, default=20)
    arguments = parser.parse_args()
    if "MAILER_CLUSTER" not in os.environ:
        os.execv(f"{top}/scripts/cluster", ["cluster", "run", "--fsync", sys.executable, os.path.abspath(__file__), *sys.argv[1:]])
    measure(arguments)

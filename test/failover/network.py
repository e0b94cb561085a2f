"""A network of its own for each node of a test, so that one can be cut off (as root: network namespaces and a bridge)."""
import os
import shutil
import subprocess


class Network:
    """A bridge with a network namespace for each node: etcd has one address on it, the mail server another."""

    def __init__(self):
        self.id = os.getpid() % 100000
        self.bridge = f"mlr{self.id}"
        self.names = {}
        net = f"10.{77 + self.id // 256 % 100}.{self.id % 256}"
        self.mail, self.etcd, self.net = f"{net}.1", f"{net}.2", net
        self.ip("link", "add", self.bridge, "type", "bridge")
        for address in (self.mail, self.etcd):
            self.ip("addr", "add", f"{address}/24", "dev", self.bridge)
        self.ip("link", "set", self.bridge, "up")

    @staticmethod
    def ip(*words):
        subprocess.run(["ip", *words], check=True, capture_output=True)

    @classmethod
    def is_possible(cls):
        return os.getuid() == 0 and shutil.which("ip") and subprocess.run(
            ["unshare", "-n", "ip", "link", "add", "try", "type", "bridge"], capture_output=True).returncode == 0

    def add(self, name):
        """The address of a new node."""
        space, near, address = f"{self.bridge}-{name}", f"{self.bridge}{name}", f"{self.net}.{11 + len(self.names)}"
        self.names[name] = (space, address)
        self.ip("netns", "add", space)
        self.ip("link", "add", near, "type", "veth", "peer", "name", "eth0", "netns", space)
        self.ip("link", "set", near, "master", self.bridge, "up")
        self.ip("-n", space, "addr", "add", f"{address}/24", "dev", "eth0")
        for device in ("eth0", "lo"):
            self.ip("-n", space, "link", "set", device, "up")
        return address

    def cut(self, name, verb="add"):
        """The node reaches neither etcd nor the other nodes any more, but the mail server: the worst case."""
        space, own = self.names[name]
        for address in [self.etcd] + [a for _, a in self.names.values() if a != own]:
            subprocess.run(["ip", "-n", space, "route", verb, "blackhole", f"{address}/32"], capture_output=True, check=False)

    def mend(self, name):
        self.cut(name, "del")

    def end(self):
        for space, _ in self.names.values():
            subprocess.run(["ip", "netns", "del", space], check=False)
        subprocess.run(["ip", "link", "del", self.bridge], check=False)

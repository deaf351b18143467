# SPDX-License-Identifier: Apache-2.0
"""A broker with a group that reads, and one that is stopped and holds producers up.

On CPU's lane lie as many events as it has blocks, and exactly REFUSED were refused.
"""
import http.client
import json
import os
import pathlib
import signal
import subprocess
import tempfile

from tmux import until

BIN = pathlib.Path(os.environ["TAPIO_BUILD"]) / "bin"
BLOCKS = 64
SENT = 140
REFUSED = SENT - BLOCKS
CPU = min(os.sched_getaffinity(0))
CONFIG = f"""
hugepages = never
channel "events" {{
	class "main" {{ block = 256 blocks = {BLOCKS} }}
}}
channel "audit" {{
	class "small" {{ block = 128 blocks = 256 }}
	class "large" {{ block = 4096 blocks = 16 }}
}}
"""


class World:
    """The broker, its keeper, and all that runs beside the test."""

    def __init__(self, start=True):
        self.directory = tempfile.TemporaryDirectory(prefix="tapio-view.")
        self.path = pathlib.Path(self.directory.name)
        self.socket = str(self.path / "s")
        self.env = {**os.environ, "TAPIO_SOCKET": self.socket}
        (self.path / "conf").write_text(CONFIG, encoding="ascii")
        self.running = []
        self.broker = None
        if start:
            self.start()

    def spawn(self, *command, **options):
        process = subprocess.Popen([str(c) for c in command], env=self.env, **options)
        self.running.append(process)
        return process

    def start(self, *options):
        """A broker that answers."""
        self.broker = self.spawn(BIN / "tapiod", "--config", self.path / "conf", "--socket",
                                 self.socket, *options, stderr=subprocess.DEVNULL,
                                 start_new_session=True)
        until("a broker", lambda: self.stat("broker", check=False))

    def run(self, name, *arguments, text=None, check=True):
        return subprocess.run([str(BIN / name), *arguments], env=self.env, input=text,
                              capture_output=True, text=True, timeout=60, check=check)

    def stat(self, *words, check=True):
        """The JSON of tapio-shmstat, or None. Status 1: there is a fault in it."""
        done = self.run("tapio-shmstat", "--json", *words, check=False)
        if check and done.returncode not in (0, 1):
            done.check_returncode()
        return json.loads(done.stdout) if done.returncode in (0, 1) else None

    def tail(self, group, *options):
        """A reader, once its group is there."""
        reader = self.spawn(BIN / "tapio-tail", "--group", group, *options, "events",
                            stdout=subprocess.DEVNULL)
        until(group, lambda: self.member(reader.pid))
        return reader

    def member(self, pid):
        clients = self.stat("clients")["clients"]
        return [c for c in clients if c["pid"] == pid and c["group"]]

    def emit(self, count, first=1):
        """Emits on one CPU, so on one lane. How many were refused is said by the lane."""
        lines = "".join(f"event {first + i}\n" for i in range(count))
        subprocess.run(["taskset", "-c", str(CPU), str(BIN / "tapio-emit")], env=self.env,
                       input=lines, text=True, check=False, timeout=60,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def block(self):
        """Two groups, of which one is stopped and holds the lane up."""
        self.tail("reads")
        etl = self.tail("etl", "--policy", "lossless")
        etl.send_signal(signal.SIGSTOP)
        self.emit(SENT)
        groups = until("the reader has all", lambda: [
            g for g in self.stat("groups")["groups"]
            if g["group"] == "reads" and g["delivered"] == BLOCKS])
        assert groups
        return etl

    def flow(self, rate=200):
        """A producer that goes on until the world ends."""
        lines = self.spawn("yes", "an event of a producer that goes on",
                           stdout=subprocess.PIPE)
        emitter = self.spawn("taskset", "-c", CPU, BIN / "tapio-emit", "--keep-going",
                             "--rate", rate, stdin=lines.stdout,
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        lines.stdout.close()
        return emitter

    def pid(self):
        return self.stat("broker")["broker"]["pid"]

    def lose(self):
        """Kills the broker and its keeper, so that the memory is lost."""
        broker = self.stat("broker")["broker"]
        # Stopped first, so that neither replaces the other.
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in (broker["keeper_pid"], broker["pid"]):
                os.kill(pid, number)
        self.broker.kill()
        self.broker.wait()

    def others(self):
        """Processes that have our socket among their arguments."""
        for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            try:
                if self.socket.encode() in path.read_bytes().split(b"\0"):
                    yield int(path.parent.name)
            except OSError:  # it has ended
                continue

    def close(self):
        for process in reversed(self.running):
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
        for process in self.running:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            for pipe in (process.stdout, process.stderr):
                if pipe:
                    pipe.close()
        # A broker that a keeper has started in the place of a killed one.
        for pid in self.others():
            os.kill(pid, signal.SIGKILL)
        self.directory.cleanup()


class Server:
    """`tapio-shmstat serve` at a free port of the loopback."""

    def __init__(self, world, *options):
        self.process = world.spawn(
            BIN / "tapio-shmstat", "serve", "--listen", "127.0.0.1:0", "--interval", "200ms",
            *options, stdout=subprocess.PIPE, text=True)
        self.url = self.process.stdout.readline().strip()
        self.port = int(self.url.rsplit(":", 1)[1].strip("/"))

    def get(self, path, method="GET", headers=None, body=None):
        """The status, the headers and the body of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

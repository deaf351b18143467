# SPDX-License-Identifier: Apache-2.0
"""For the tests of tapio-collect-kubernetes, beside an API server: certificates, a
kubeconfig, a broker, the collector, and a reader of its events."""
import json
import os
import queue
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path

BUILD = Path(os.environ.get("TAPIO_BUILD", Path(__file__).resolve().parents[2] / "build"))
BIN = BUILD / "bin"
# A test waits so many seconds, and fails then.
PATIENCE = float(os.environ.get("TAPIO_PATIENCE", "30"))

CONFIG = """budget = 32M
channel events {
	class main { block = 1024 blocks = 256 side_lanes = 2 }
	class large { block = 65536 blocks = 8 side_lanes = 2 }
}
channel small { class main { block = 512 blocks = 8 side_lanes = 2 } }
allow all { any = true role = {produce, consume, inspect, lossless} }
"""


class Certificates:
    """A CA, and certificates of a server at 127.0.0.1 and of a client, by openssl."""

    def __init__(self, directory):
        self.directory = Path(directory)
        self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt",
                      "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                      "-subj", "/CN=test CA", "-keyout", "ca.key", "-out", "ca.crt")
        self.ca = str(self.directory / "ca.crt")
        self.server = self._make("server", "subjectAltName=IP:127.0.0.1")
        self.client = self._make("client", "extendedKeyUsage=clientAuth")

    def _openssl(self, *args):
        subprocess.run(["openssl", *args], cwd=self.directory, check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def _make(self, name, extension):
        (self.directory / f"{name}.ext").write_text(extension + "\n", encoding="ascii")
        self._openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                      "-nodes", "-subj", f"/CN={name}/O=testers",
                      "-keyout", f"{name}.key", "-out", f"{name}.csr")
        self._openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey",
                      "ca.key", "-CAcreateserial", "-days", "2", "-extfile",
                      f"{name}.ext", "-out", f"{name}.crt")
        return str(self.directory / f"{name}.crt"), str(self.directory / f"{name}.key")


def write_kubeconfig(path, url, cluster="", user="", ca=None, token=None):
    """A kubeconfig with two contexts, of which the second is the current one."""
    if ca:
        cluster += f"\n    certificate-authority: {ca}"
    if token:
        user += f"\n    token: {token}"
    path.write_text(f"""apiVersion: v1
kind: Config
current-context: here
contexts:
- {{name: elsewhere, context: {{cluster: far, user: other}}}}
- name: here
  context: {{cluster: near, user: me}}
clusters:
- {{name: far, cluster: {{server: "https://192.0.2.1:6443"}}}}
- name: near
  cluster:
    server: {url}{cluster}
users:
- name: other
- name: me
  user:
    username: ""{user}
""", encoding="utf-8")


class Lines:
    """The lines of a pipe, taken with a limit of time."""

    def __init__(self, pipe):
        self.queue, self.all = queue.Queue(), []
        threading.Thread(target=self._read, args=(pipe,), daemon=True).start()

    def _read(self, pipe):
        for line in pipe:
            self.all.append(line)
            self.queue.put(line)
        self.queue.put(None)

    def next(self, seconds=PATIENCE):
        """The next line. None: it was the last."""
        return self.queue.get(timeout=seconds)


class World:
    """A broker, and a reader of one channel that loses nothing."""

    def __init__(self, channel="events"):
        self.temporary = tempfile.TemporaryDirectory()
        self.directory = Path(self.temporary.name)
        self.channel, self.processes = channel, []
        self.env = dict(os.environ, TAPIO_SOCKET=str(self.directory / "socket"),
                        NO_PROXY="127.0.0.1", HOME=str(self.directory))
        for name in ("KUBERNETES_SERVICE_HOST", "KUBECONFIG", "NODE_NAME"):
            self.env.pop(name, None)
        (self.directory / "tapiod.conf").write_text(CONFIG, encoding="ascii")
        self.start_broker()

    def start(self, name, *args, **more):
        """A command of Tapio, beside the test. On one CPU, and so in one lane: events of
        several lanes have no order."""
        cpu = str(min(os.sched_getaffinity(0)))
        process = subprocess.Popen(["taskset", "-c", cpu, str(BIN / name), *args],
                                   env=self.env,
                                   text=True, encoding="utf-8", errors="surrogateescape",
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)
        self.processes.append(process)
        process.out, process.err = Lines(process.stdout), Lines(process.stderr)
        return process

    def start_broker(self):
        """Begins with new memory."""
        self.broker = self.start("tapiod", "--no-keeper", "--config",
                                 str(self.directory / "tapiod.conf"),
                                 "--socket", self.env["TAPIO_SOCKET"])
        while "serves" not in (self.broker.err.next() or "serves: it ended"):
            pass

    def kill_broker(self):
        """Takes its memory away."""
        self.broker.kill()
        self.broker.wait()

    def read(self, *args):
        """A reader of all that comes. It holds the producers."""
        self.tail = self.start("tapio-tail", "--json", "-c", self.channel,
                               "--policy=lossless", "--since=oldest", *args)

    def collect(self, *args):
        """The collector, with short pauses."""
        self.collector = self.start(
            "tapio-collect-kubernetes", "-c", self.channel, "--retry-min=10ms",
            "--retry-max=100ms", "--watch-timeout=30s", "--health=forever", *args)
        return self.collector

    def event(self, seconds=PATIENCE):
        """The next event."""
        line = self.tail.out.next(seconds)
        assert line is not None, "the reader has ended: " + "".join(self.tail.err.all)
        return json.loads(line)

    def events(self, count, **wanted):
        """So many events with those values. Others are passed over."""
        found, end = [], time.monotonic() + PATIENCE
        while len(found) < count:
            event = self.event(max(0, end - time.monotonic()))
            if all(event.get(key) == value for key, value in wanted.items()):
                found.append(event)
        return found

    def end(self, process=None, status=0):
        """SIGTERM, and then its end. Returns its stderr."""
        process = process or self.collector
        process.send_signal(signal.SIGTERM)
        got = process.wait(30)
        while process.err.next() is not None:
            pass
        text = "".join(process.err.all)
        assert got == status, f"it ended with {got}: {text}"
        return text

    def close(self):
        """Ends all that still runs."""
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()
            process.stdout.close()
            process.stderr.close()
        self.temporary.cleanup()


def until(what, seconds=PATIENCE):
    """Until that is so."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.01)

# SPDX-License-Identifier: Apache-2.0
"""For the tests of tapio-correlate: a broker, a program that emits events, the program, and
a reader of its findings that loses nothing."""
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
SOURCE = Path(os.environ.get("TAPIO_SOURCE", Path(__file__).resolve().parents[2]))
BIN = BUILD / "bin"
RULES = SOURCE / "tools" / "correlate" / "rules" / "tapio.rules"
# A test waits so many seconds, and fails then.
PATIENCE = float(os.environ.get("TAPIO_PATIENCE", "60"))

CONFIG = """budget = 128M
channel events {
	class main { block = 1024 blocks = 4096 side_lanes = 2 }
}
channel other {
	class main { block = 1024 blocks = 256 side_lanes = 2 }
}
channel small {
	class main { block = 512 blocks = 8 side_lanes = 2 }
}
channel findings {
	class main { block = 8192 blocks = 512 side_lanes = 2 }
}
channel narrow {
	class main { block = 512 blocks = 512 side_lanes = 2 }
}
"""


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

    def text(self):
        """All lines, at the end."""
        while self.next() is not None:
            pass
        return "".join(self.all)


def until(what, seconds=PATIENCE):
    """Until that is so."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.01)


class World:
    """A broker with its keeper or without, in a directory of its own."""

    def __init__(self, config=CONFIG, keeper=False):
        self.temporary = tempfile.TemporaryDirectory(prefix="tapio-correlate-")
        self.directory = Path(self.temporary.name)
        self.processes, self.keeper = [], keeper
        self.env = dict(os.environ, TAPIO_SOCKET=str(self.directory / "socket"))
        self.env.pop("STATE_DIRECTORY", None)
        (self.directory / "tapiod.conf").write_text(config, encoding="ascii")
        self.state = self.directory / "state"
        self.start_broker()

    def start(self, name, *args, program=None, **more):
        """A command of Tapio, beside the test."""
        process = subprocess.Popen(
            [str(program or BIN / name), *map(str, args)],
            env=dict(self.env, **more.pop("env", {})), text=True, encoding="utf-8",
            errors="surrogateescape", stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)
        self.processes.append(process)
        process.out, process.err = Lines(process.stdout), Lines(process.stderr)
        return process

    def run(self, name, *args, text=None, status=0, **more):
        """A command of Tapio to its end. Its output and its messages. Status None: any."""
        done = subprocess.run(
            [str(BIN / name), *map(str, args)], input=text, check=False, text=True,
            env=dict(self.env, **more.pop("env", {})), capture_output=True,
            timeout=PATIENCE, **more)
        assert status is None or done.returncode == status, \
            f"{name} ended with {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout, done.stderr

    def start_broker(self):
        """Begins with new memory, if no keeper has any."""
        self.broker = self.start("tapiod", *([] if self.keeper else ["--no-keeper"]),
                                 "--config", self.directory / "tapiod.conf",
                                 "--socket", self.env["TAPIO_SOCKET"])
        while "serves" not in (self.broker.err.next() or "serves: it ended"):
            pass

    def kill_broker(self):
        """Takes its memory away."""
        self.broker.kill()
        self.broker.wait()

    def rules(self, text):
        """Writes the rules."""
        path = self.directory / "test.rules"
        path.write_text(text, encoding="utf-8")
        return path

    def correlate(self, *args, **more):
        """The program, and it has joined its groups when this returns."""
        channels = sum(1 for a in args if str(a).startswith("--channel=")) or 1
        group = next((str(a).split("=", 1)[1] for a in args
                      if str(a).startswith("--group=")), "correlate")
        joins = self.joins(group)
        program = self.start("tapio-correlate", *args, **more)
        until(lambda: program.poll() is not None or self.joins(group) >= joins + channels)
        return program

    def joins(self, group):
        """Members of the groups of that name."""
        shown, _ = self.run("tapio-shmstat", "--json", "groups")
        return sum(int(g.get("members", 0)) for g in json.loads(shown)["groups"]
                   if g.get("name", g.get("group")) == group)

    def emit(self, events, channel="events", *args):
        """Events, as objects."""
        self.run("tapio-emit", "--json", "--channel", channel, "--retry", *args,
                 text="".join(json.dumps(e) + "\n" for e in events))

    def read(self, channel="findings"):
        """A reader of findings. It holds the producers."""
        self.tail = self.start("tapio-tail", "--json", "-c", channel, "--policy=lossless",
                               "--group=test", "--since=oldest", "--type=finding")
        until(lambda: self.joins("test") == 1)
        return self.tail

    def finding(self, rule=None, seconds=PATIENCE):
        """The next finding, of that rule."""
        end = time.monotonic() + seconds
        while True:
            line = self.tail.out.next(max(0.01, end - time.monotonic()))
            assert line is not None, "the reader has ended: " + "".join(self.tail.err.all)
            event = json.loads(line)
            if rule is None or event.get("rule") == rule:
                return event

    def end(self, process, number=signal.SIGTERM, status=0):
        """A signal, and then its end. Its messages."""
        process.send_signal(number)
        got = process.wait(PATIENCE)
        text = process.err.text()
        assert got == status, f"it ended with {got}: {text}"
        return text

    def close(self):
        """Ends all that still runs."""
        for process in reversed(self.processes):
            if process is self.broker and process.poll() is None and self.keeper:
                process.terminate()
                process.wait(PATIENCE)
            if process.poll() is None:
                process.kill()
            process.wait()
            process.stdout.close()
            process.stderr.close()
        self.temporary.cleanup()


def log(identifier, body="x", **more):
    """An event of a log."""
    return dict({"type": "log", "identifier": identifier, "body": body}, **more)

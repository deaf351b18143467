# SPDX-License-Identifier: Apache-2.0
"""A terminal of a given size, by tmux with a socket of its own, and waiting for its text."""
import os
import pathlib
import shutil
import subprocess
import tempfile
import time


def until(what, condition, seconds=30):
    """The result of the condition once it is true. It MUST become so within the seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {seconds} s")


class Terminal:
    """Runs a shell command on a screen of so many columns and rows."""

    def __init__(self, command, width=80, height=24, env=None):
        self.directory = tempfile.TemporaryDirectory()
        self.socket = os.path.join(self.directory.name, "tmux")
        settings = os.path.join(self.directory.name, "conf")
        pathlib.Path(settings).write_text(
            "set -g default-terminal tmux-256color\nset -g status off\n"
            "set -g remain-on-exit on\nset -s escape-time 0\n", encoding="ascii")
        environment = {**os.environ, "LC_ALL": "C.UTF-8", "COLORTERM": ""}
        environment.pop("TMUX", None)
        environment.pop("NO_COLOR", None)
        environment.update(env or {})
        subprocess.run(
            ["tmux", "-S", self.socket, "-f", settings, "new-session", "-d",
             "-x", str(width), "-y", str(height), command],
            env=environment, check=True, timeout=30)

    def tmux(self, *arguments):
        return subprocess.run(["tmux", "-S", self.socket, *arguments], check=True,
                              capture_output=True, timeout=30).stdout.decode()

    def text(self):
        """The screen as it is, a line for each row."""
        return self.tmux("capture-pane", "-p")

    def ansi(self):
        """The same with escape sequences of colours, and with blanks at the ends of lines."""
        return self.tmux("capture-pane", "-p", "-e", "-N")

    def keys(self, *keys):
        self.tmux("send-keys", *keys)

    def type(self, text):
        self.tmux("send-keys", "-l", text)

    def resize(self, width, height):
        self.tmux("resize-window", "-x", str(width), "-y", str(height))

    def wait(self, *wanted, without=()):
        """The screen, once it has all of these texts and none of those."""
        def look():
            text = self.text()
            good = all(w in text for w in wanted) and not any(w in text for w in without)
            return text if good else None
        try:
            return until(f"{wanted}", look)
        except AssertionError as error:
            raise AssertionError(f"{error}; the screen is:\n{self.text()}") from None

    def close(self):
        subprocess.run(["tmux", "-S", self.socket, "kill-server"], check=False,
                       capture_output=True, timeout=30)
        self.directory.cleanup()


def is_there():
    return shutil.which("tmux") is not None

# SPDX-License-Identifier: Apache-2.0
"""A headless Chromium on a pipe: the debugging protocol without a port that others could use."""
import base64
import json
import os
import select
import shutil
import subprocess
import time


class Chromium:
    """One page in one browser, whose profile lies in a directory of the caller."""

    def __init__(self, profile, width, height):
        self.number = 0
        self.logs = []
        self.session = None
        self.pending = b""
        down, self.to = os.pipe()
        self.back, up = os.pipe()
        # Chromium reads from 3 and writes to 4.
        self.process = subprocess.Popen(
            ["sh", "-c", f"exec 3<&{down} 4>&{up}; exec \"$@\"", "sh", path(),
             "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
             "--no-first-run", "--disable-background-networking", "--hide-scrollbars",
             "--disable-component-update", "--disable-sync", "--force-color-profile=srgb",
             f"--user-data-dir={profile}", f"--window-size={width},{height}",
             "--remote-debugging-pipe", "about:blank"],
            pass_fds=(down, up), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True)
        os.close(down)
        os.close(up)
        target = self.call("Target.createTarget", url="about:blank")
        self.session = self.call("Target.attachToTarget", targetId=target["targetId"],
                                 flatten=True)["sessionId"]
        self.call("Page.enable")
        self.call("Runtime.enable")
        self.call("Log.enable")

    def message(self, deadline):
        while b"\0" not in self.pending:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.back], [], [], left)[0]:
                raise TimeoutError("chromium does not answer")
            piece = os.read(self.back, 1 << 16)
            if not piece:
                raise EOFError("chromium has ended")
            self.pending += piece
        text, self.pending = self.pending.split(b"\0", 1)
        return json.loads(text)

    def call(self, method, **params):
        """The answer of the browser to a command of its protocol."""
        self.number += 1
        command = {"id": self.number, "method": method, "params": params}
        if self.session:
            command["sessionId"] = self.session
        data = json.dumps(command).encode() + b"\0"
        while data:
            data = data[os.write(self.to, data):]
        deadline = time.monotonic() + 60
        while True:
            message = self.message(deadline)
            if message.get("method") in ("Log.entryAdded", "Runtime.exceptionThrown"):
                self.logs.append(json.dumps(message["params"]))
            if message.get("id") == self.number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return message["result"]

    def open(self, url):
        self.call("Page.navigate", url=url)

    def value(self, script):
        """The value of an expression in the page, or None while it has none."""
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        return result["result"].get("value")

    def wait(self, script, seconds=30):
        """The value of an expression once it is true."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            value = self.value(script)
            if value:
                return value
            time.sleep(0.1)
        raise TimeoutError(f"waited in vain for {script}; the page says {self.logs[-5:]}")

    def screenshot(self, width, height):
        """The page as PNG."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=False)
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    def close(self):
        os.close(self.to)
        os.close(self.back)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def path():
    """The program, or None."""
    return shutil.which("chromium") or shutil.which("chromium-headless-shell")

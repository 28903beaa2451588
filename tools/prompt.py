"""The prompt of a kernel in QEMU, typed at over the serial port: for the tests of what it completes, lists and prints."""

import os
import pty
import re
import select
import subprocess
import time

from report import TOP, kill_group

PROMPT = "volley> "
ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
SECONDS = 120  # a hang detector: of silence
# Of silence too, and the machine's own: it ends by itself if whoever began it was killed.
SECONDS_ALONE = 900


class Silent(Exception):
    """The machine did not say what it was waited for, or cannot be talked to; the text: what it did say, or why not."""


class Prompt:
    """Boots, and waits for the first prompt. To be used in a `with`."""

    def __init__(self, words="", cpus=2, kernel=None):
        try:
            self.master, slave = pty.openpty()
        except OSError as e:
            raise Silent(f"there is no terminal for it: {e}") from e
        env = {**os.environ, "ARGS": words, "SMP": str(cpus), "TCG": "single", "EMULATOR": "qemu", "ACCEL": "tcg", "TIMEOUT": str(SECONDS_ALONE)}
        for name in ("OUT", "CPU", "MEM", "FIRMWARE", "MEDIUM", "DEBUGGER", "QEMU_EXTRA", "MODULES", "CUT", "TB_SIZE", "KERNEL"):
            env.pop(name, None)
        if kernel:
            env["KERNEL"] = kernel
        try:
            self.process = subprocess.Popen(["tools/run"], cwd=TOP, env=env, stdin=slave, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                            start_new_session=True)
        except OSError as e:
            os.close(self.master)
            raise Silent(f"tools/run cannot be started: {e}") from e
        finally:
            os.close(slave)
        self.text = ""  # what has not been looked at

    def __enter__(self):
        try:
            self.until(PROMPT)
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *_):
        self.end()

    def end(self):
        if self.process.poll() is None:
            kill_group(self.process)
        self.process.wait()
        self.process.stdout.close()
        os.close(self.master)

    def until(self, end):
        """All that is said before `end`, which is taken too."""
        heard = time.monotonic()
        while end not in self.text:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0, heard + SECONDS - time.monotonic()))
            data = os.read(self.process.stdout.fileno(), 65536) if ready else b""
            if not data:
                raise Silent(f"{end!r} was not said; the end of what was: {self.text[-800:]}")
            self.text = (self.text + data.decode("utf-8", "replace")).replace("\r\n", "\n")  # the two may come apart
            heard = time.monotonic()
        before, _, self.text = self.text.partition(end)
        return before

    def type(self, keys):
        try:
            os.write(self.master, keys.encode())
        except OSError as e:
            raise Silent(f"{keys!r} cannot be typed: {e}") from e

    def quit(self):
        """Ends the machine as somebody at the prompt does; its exit status."""
        self.type("quit\r")
        try:
            return self.process.wait(SECONDS)
        except subprocess.TimeoutExpired as e:
            raise Silent(f"`quit` has not ended it in {SECONDS} s") from e

    def ask(self, command):
        """Types a line; the answer up to the next prompt."""
        self.type(command + "\r")
        self.until("\n")
        self.text = "\n" + self.text  # an answer may have no line
        return ESCAPES.sub("", self.until("\n" + PROMPT))[1:]

    def tab(self, keys):
        """Types `keys`, which may have Tabs in them, and gives the line up: (the line as it was then, what was listed below it)."""
        self.type(keys + "\x03")
        rows = (self.until("^C") + self.until(PROMPT)).split("\n")[:-1] or [""]
        # A row that was drawn again begins behind the last carriage return.
        last = ESCAPES.sub("", rows[-1].rsplit("\r", 1)[-1])
        listed = " ".join(rows[1:-1]).split() if len(rows) > 1 else []
        return last[len(PROMPT):] if last.startswith(PROMPT) else last, listed

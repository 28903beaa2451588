"""What the test tools share: counting results, running two things at a time, and the last line that others read.

Every tool of `make test` prints one line for each result, ends with `N passed, N failed, N skipped`, and exits non-zero if
anything failed. tools/test-all adds those lines up.
"""

import collections
import json
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TOTALS = re.compile(r"^(\d+) passed, (\d+) failed, (\d+) skipped$")


def parallel_jobs():
    """How many things to run at a time: the machine's CPUs, but at least one and, as the matrix is memory-hungry, at most 4."""
    return max(1, min(4, len(os.sched_getaffinity(0))))


class Report:
    """Counts results and prints them as they come; safe to use from several threads."""

    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.reasons = collections.Counter()  # why something was skipped: how often
        # Ours alone: not of the tools that this one runs.
        self.reasons_to = os.environ.pop("SKIP_REASONS", None)
        self.lock = threading.Lock()

    def add(self, result, name, why="", details=""):
        """result: PASS, FAIL, SKIP or SKIP-BLIND. details: more lines, shown below (the tail of a log)."""
        with self.lock:
            if result == "PASS":
                self.passed += 1
            elif result == "FAIL":
                self.failed += 1
            else:
                self.skipped += 1
                self.reasons[why] += 1
            print(f"{result:<4} {name}" + (f": {why}" if why else ""))
            for line in details.splitlines():
                print(f"     | {line}")
            sys.stdout.flush()

    def count(self, passed, failed, skipped, reasons=()):
        """Adds results that have been printed already."""
        with self.lock:
            self.reasons.update(reasons)
            self.passed += passed
            self.failed += failed
            self.skipped += skipped

    def say(self, text):
        with self.lock:
            print(text, flush=True)

    def finish(self):
        """Prints the totals; returns the exit status. Why things were skipped goes to the file of SKIP_REASONS, for tools/test-all."""
        if self.reasons_to:
            with open(self.reasons_to, "w", encoding="utf-8") as f:
                json.dump(self.reasons, f)
        if not self.passed + self.failed + self.skipped:
            print("nothing was tested, which is not a success")
            self.failed = 1
        print(f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped", flush=True)
        return 1 if self.failed else 0


# Settings of tools/run that would make another machine of a boot: whoever exports them means what he runs by hand.
BY_HAND = ("SMP", "CPU", "OUT", "MAKEFLAGS", "DEBUGGER", "CUT", "TB_SIZE")


def end_when_told():
    """SIGTERM becomes an interrupt, which ends the emulators on the way out; Python's own handling of it would leave them running."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def boot_environment(*settings, **more):
    """For a boot by tools/run: these settings, the last of a name, and nothing by hand."""
    env = {k: v for k, v in os.environ.items() if k not in BY_HAND}
    for each in settings + (more,):
        env.update(each)
    return env


def worked():
    """Seconds of the host's CPUs that all programs have had which were run, and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class Ran:
    """The outcome of a program: status (None after a timeout), output, seconds."""

    def __init__(self, status, output, seconds):
        self.status, self.output, self.seconds = status, output, seconds

    def tail(self, lines=15):
        return "\n".join(self.output.rstrip().splitlines()[-lines:])


RUNNING = set()  # what was started and has not ended, so that an interrupt can end it
interrupted = threading.Event()


def begin(process):
    """Of a program that was just started. Threads are not told of an interrupt by Python: here they learn of it."""
    RUNNING.add(process)
    if interrupted.is_set():
        raise KeyboardInterrupt


def run(command, timeout, env=None, log=None):
    """Runs a command at the tree's top in a process group of its own, which is killed as a whole when the time is up."""
    start = time.monotonic()
    with subprocess.Popen(
        command, cwd=TOP, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as process:
        try:
            begin(process)
            output, _ = process.communicate(timeout=timeout)
            status = process.returncode
        except subprocess.TimeoutExpired:
            kill_group(process)
            output, _ = process.communicate()
            status = None
        except BaseException:  # an interrupt must not leave emulators behind
            kill_group(process)
            raise
        finally:
            RUNNING.discard(process)
    text = output.decode("utf-8", "replace").replace("\r", "")
    if log:
        os.makedirs(os.path.dirname(log), exist_ok=True)
        with open(log, "w", encoding="utf-8") as f:
            f.write(text)
    return Ran(status, text, time.monotonic() - start)


def kill_group(process):
    """Ends what we started, emulators below a shell included: they share the process group of start_new_session."""
    try:
        os.killpg(process.pid, 15)
        process.wait(timeout=3)
    except subprocess.TimeoutExpired:
        pass
    except ProcessLookupError:
        return
    try:
        os.killpg(process.pid, 9)
    except ProcessLookupError:
        pass


def for_each(function, items, jobs):
    """Calls function on every item, `jobs` at a time; an exception of any of them is raised here. An interrupt ends those at work."""
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        futures = [pool.submit(function, item) for item in items]
        try:
            for future in futures:
                future.result()
        except KeyboardInterrupt:
            interrupted.set()
            for future in futures:
                future.cancel()
            for process in list(RUNNING):
                kill_group(process)
            raise

"""Bugs on purpose in the kernel and in host tests, for tools/mutants: on copies of the tree in build/mutants/, one for each lane, so that as many
are tried at once as the host has CPUs to give.

A boot ends soon after the first that noticed: what a broken kernel does after that is nobody's business. One that only falls silent has proved
nothing yet, as the detector may have fired on a busy host: it is tried again, with more patience, and has to be noticed again. So it is with the
kernel's watchdog, when it rings again after its usual time, and with its panic: after that the boot may go on for many times that.
"""

import contextlib
import json
import os
import queue
import re
import shutil
import subprocess
import threading
import time

from cells import records
from report import RUNNING, TOP, Ran, begin, end_when_told, for_each, kill_group, parallel_jobs, run
import mutant_table

COPIES = os.path.join(TOP, "build", "mutants")
IGNORED = shutil.ignore_patterns(".git", "build", "__pycache__")
SETTINGS = {"SMP": "4", "TCG": "single", "ACCEL": "tcg", "CUT": "", "TB_SIZE": ""}
SILENCE = {"qemu": 120, "bochs": 300}  # seconds: hang detectors, on a busy host; of the kernel as it is
TRIES = {"qemu": (45, 75), "bochs": (90, 180)}  # of a broken one, the first time and the second
WHOLE = 8  # times the silence: a kernel that says the same for ever
GRACE = 5  # seconds after the first that noticed: others of the same moment have their names in the table
BUILD_SECONDS, HOST_SECONDS = 300, 900
HOST_TRIES = (60, 120)  # a host test that hangs
SILENT = "the kernel did not come to its end"
LATE = "the watchdog rang again"
STUCK = "it does not end"
RANG = rb"watchdog: ringing CPU [0-9]+ again after [0-9]{5,} ms"  # a test that provokes it has shorter times
NOTICED = re.compile(rb'"type":"test".*"result":"FAIL"|^PANIC|' + RANG)


def planted(mutant):
    """The file's text with the bug in it; None: its place has moved."""
    with open(os.path.join(TOP, mutant["file"]), encoding="utf-8") as f:
        text = f.read()
    return text.replace(mutant["find"], mutant["replace"]) if text.count(mutant["find"]) == 1 else None


@contextlib.contextmanager
def in_copy(copy, file, text):
    source = os.path.join(copy, file)
    with open(source, encoding="utf-8") as f:
        good = f.read()
    with open(source, "w", encoding="utf-8") as f:
        f.write(text)
    try:
        yield
    finally:
        with open(source, "w", encoding="utf-8") as f:
            f.write(good)


def is_debug(kernel):
    return kernel.get("DEBUG") == "1"


def make(copy, debug):
    return run(["make", "-s", "-C", copy, f"-j{len(os.sched_getaffinity(0))}", "kernel"] + (["DEBUG=1"] if debug else []), BUILD_SECONDS)


def run_noticing(command, env, seconds, log):
    """Runs it until it ends, or until GRACE after the first line of its console that says that something was noticed."""
    start, until = time.monotonic(), threading.Event()
    output = []
    with subprocess.Popen(command, cwd=TOP, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          start_new_session=True) as process:

        def watch(limit):
            if not until.wait(limit):
                kill_group(process)

        timers = [threading.Thread(target=watch, args=(seconds,))]
        try:
            begin(process)
            timers[0].start()
            for line in process.stdout:
                output.append(line)
                if len(timers) == 1 and NOTICED.search(line):
                    timers.append(threading.Thread(target=watch, args=(GRACE,)))
                    timers[1].start()
        except BaseException:  # an interrupt must not leave emulators behind
            kill_group(process)
            raise
        finally:
            RUNNING.discard(process)
            until.set()
    for timer in timers:
        if timer.ident:
            timer.join()
    text = b"".join(output).decode("utf-8", "replace").replace("\r", "")
    with open(log, "w", encoding="utf-8") as f:
        f.write(text)
    return Ran(process.returncode, text, time.monotonic() - start)


def boot(copy, kernel, silence):
    settings = {k: v for k, v in kernel.items() if k not in ("test", "TIMEOUT")}
    env = dict(os.environ, **SETTINGS)
    env.update({"ARGS": f"test={kernel['test']}"}, **settings)
    env["KERNEL"] = os.path.join(copy, "build", *(["debug"] if is_debug(kernel) else []), "volley.elf")
    env["TIMEOUT"] = str(silence)
    return run_noticing(["tools/run"], env, WHOLE * silence, os.path.join(copy, "console.log"))


def killers(ran):
    """What noticed: names of failed tests, or the panic, or the silence."""
    found = [r["name"] for r in records(ran.output) if r["type"] == "test" and r["result"] == "FAIL"]
    panic = re.search(r"^PANIC.*$", ran.output, re.M)
    if panic:
        test = re.search(r"^in self test (\w+)", ran.output, re.M)
        found.append((test.group(1) + ": " if test else "") + panic.group(0)[:90])
    if not found and '"type":"end"' not in ran.output:
        found.append(LATE if re.search(RANG.decode(), ran.output) else SILENT)
    return found


def only_a_detector(found):
    """Not a test that failed, but that something took longer than it should on an idle host."""
    return len(found) == 1 and (found[0] in (SILENT, LATE) or "was never answered" in found[0])


def patience(kernel):
    own = kernel.get("TIMEOUT")
    return (int(own),) * 2 if own else TRIES[kernel.get("EMULATOR", "qemu")]


def noticed_in_kernel(copy, kernel):
    """(who noticed, seconds): nobody if it was only late, and not twice."""
    first, second = patience(kernel)
    ran = boot(copy, kernel, first)
    found, seconds = killers(ran), ran.seconds
    if only_a_detector(found):
        ran = boot(copy, kernel, second)
        found, seconds = killers(ran), seconds + ran.seconds
        if only_a_detector(found):
            found = [f"{found[0]}, twice, in test={kernel['test']}"]
    return found, seconds


def in_kernel(copy, name, mutant, report):
    title = f"mutant {name} (booted)"
    with in_copy(copy, mutant["file"], planted(mutant)):
        made = make(copy, is_debug(mutant["kernel"]))
        if made.status != 0:
            report.add("FAIL", title, "it does not compile", made.tail(8))
            return None
        found, seconds = noticed_in_kernel(copy, mutant["kernel"])
    if not found:
        report.add("FAIL", title, f"{mutant['why']}: nobody noticed")
        return None
    more = f" and {len(found) - 2} more" if len(found) > 2 else ""
    by = ", ".join(found[:2]) + more
    report.add("PASS", title, f"{mutant['why']}: noticed by {by} ({seconds:.0f} s)")
    return {"name": name, "on": "kernel", "by": by, "seconds": round(seconds, 1)}


# ---- host tests ----


def host_test(copy, name, seconds):
    return run([os.path.join(copy, "tools", "host-tests"), name + "_test"], HOST_SECONDS, env=dict(os.environ, RUN_SECONDS=str(seconds)))


def only_stuck(ran):
    return "still running after" in ran.output and not re.search(r"^FAIL \w+\.\w+", ran.output, re.M)


def no_program(ran):
    """Of a run that nothing was tested in: the compiler is not who is to notice, nor the limit of all together."""
    if ran.status is None:
        return "tools/host-tests does not end"
    return "it does not compile" if re.search(r"^FAIL \w+: it does not compile$", ran.output, re.M) else None


def by_host_test(copy, name, mutant, report):
    title, seconds = f"mutant {name} (host test)", 0
    with in_copy(copy, mutant["file"], planted(mutant)):
        for limit in HOST_TRIES:
            ran = host_test(copy, mutant["host"], limit)
            seconds += ran.seconds
            if not only_stuck(ran):
                break
    if no_program(ran):
        report.add("FAIL", title, no_program(ran), ran.tail(12))
        return None
    if ran.status == 0:
        report.add("FAIL", title, f"{mutant['why']}: nobody noticed")
        return None
    by = f"{mutant['host']}_test" + (f": {STUCK}, twice" if only_stuck(ran) else "")
    report.add("PASS", title, f"{mutant['why']}: noticed by {by} ({seconds:.0f} s)")
    return {"name": name, "on": "host", "by": by, "seconds": round(seconds, 1)}


# ---- lanes ----


def others(kernel):
    """What a boot is besides the tests that it runs: all that have the same can be tried together on the kernel as it is."""
    return json.dumps([{k: v for k, v in kernel.items() if k not in ("test", "TIMEOUT")}] + kernel["test"].split()[1:])


class Lanes:
    """Copies of the tree, each lent to one thread at a time."""

    def __init__(self, report, count):
        self.report, self.copies, self.free = report, [os.path.join(COPIES, str(n)) for n in range(count)], queue.Queue()
        shutil.rmtree(COPIES, ignore_errors=True)

    def build(self, kernels):
        """Copies the tree, and builds the kernel as it is, once for all lanes. False: it does not build."""
        first = self.copies[0]
        shutil.copytree(TOP, first, ignore=IGNORED)
        for debug in sorted({is_debug(k) for k in kernels}):
            made = make(first, debug)
            if made.status != 0:
                self.report.add("FAIL", "the kernel as it is", "does not compile", made.tail(12))
                return False
        for copy in self.copies[1:]:
            shutil.copytree(first, copy)  # times, too: nothing has to be built again
        for copy in self.copies:
            self.free.put(copy)
        return True

    def each(self, function, items):
        """function(copy, item), as many at a time as there are lanes."""

        def one(item):
            copy = self.free.get()
            try:
                function(copy, item)
            finally:
                self.free.put(copy)

        for_each(one, items, len(self.copies))

    def good_boots(self, kernels, resume):
        """Lets the tests that are to notice pass once on the kernel as it is. Returns the boots that do."""
        good, together = mutant_table.good_boots() if resume else [], {}
        for kernel in kernels:
            if kernel not in good:
                together.setdefault(others(kernel), []).append(kernel)

        def one(copy, item):
            key, alike = item
            tests = sorted({n for k in alike for n in k["test"].split()[0].split(",")})
            kernel = dict(alike[0], test=" ".join([",".join(tests)] + json.loads(key)[1:]))
            for _ in range(2):  # as with bugs: who was only late may try again
                ran = boot(copy, kernel, SILENCE[kernel.get("EMULATOR", "qemu")])
                found = killers(ran)
                if not only_a_detector(found):
                    break
            if found:
                self.report.add("FAIL", f"the kernel as it is, {key}", "has to pass before bugs are put in: " + ", ".join(found), ran.tail(12))
            else:
                good.extend(alike)

        self.each(one, sorted(together.items(), key=lambda item: "bochs" not in item[0]))
        mutant_table.keep_good_boots(good)
        return good

    def good_host_tests(self, names):
        good = []

        def one(copy, name):
            ran = host_test(copy, name, HOST_SECONDS)
            if ran.status == 0:
                good.append(name)
            else:
                self.report.add("FAIL", f"the host test {name}_test", "has to pass before bugs are put in", ran.tail(12))

        self.each(one, sorted(set(names)))
        return good


def slowest_first(item):
    kernel = item[2].get("kernel", {}) if item[0] == "kernel" else {}
    return -patience(kernel)[0] if kernel.get("EMULATOR") == "bochs" or "TIMEOUT" in kernel else 0


def try_all(booted, tested, report, resume, keep):
    """booted, tested: {name: mutant}. keep(result) is called for each that was noticed, as it comes. Returns what was tried, {(name, on)}: not
    where the kernel or the test fails without a bug. One whose text has moved counts as tried: it is no bug of this tree any more."""
    moved = {n for n, m in {**booted, **tested}.items() if planted(m) is None}
    for name in sorted(moved):
        report.add("FAIL", f"mutant {name}", f"its text has moved in {({**booted, **tested})[name]['file']}: bring it up to date")
    lanes = Lanes(report, min(parallel_jobs(), len(booted) + len(tested)))
    if not lanes.build([m["kernel"] for m in booted.values()]):
        return set()
    boots = lanes.good_boots([m["kernel"] for m in booted.values()], resume)
    hosts = lanes.good_host_tests([m["host"] for m in tested.values()])
    jobs = [("host", n, m) for n, m in tested.items() if m["host"] in hosts and n not in moved]
    jobs += [("kernel", n, m) for n, m in booted.items() if m["kernel"] in boots and n not in moved]

    def one(copy, job):
        on, name, mutant = job
        result = (in_kernel if on == "kernel" else by_host_test)(copy, name, mutant, report)
        if result:
            keep(result)

    # Python's own handling of SIGTERM would leave emulators behind: as an interrupt it is passed on.
    end_when_told()
    lanes.each(one, sorted(jobs, key=slowest_first))
    gone = {(n, on) for on, some in (("kernel", booted), ("host", tested)) for n in some if n in moved}
    return gone | {(name, on) for on, name, _ in jobs}

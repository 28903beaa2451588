"""Boots of the test matrix: reading their descriptions, building what they need, running them, judging what they print.

tests/matrix/NAME.json is a cell: a machine on which all self tests have to pass.

    why        a sentence
    settings   environment of tools/run
    build      variables of make (CC, DEBUG); the default build without
    machine    fields that the `machine` record must have; `oracle` among them, because in an emulator stale translations
               are visible, and a kernel that does not see them has lost its eyes
    long       true: not for everybody who makes a change; boots only if it is named, as tools/test-all --long does
    seconds    how long it takes, roughly; one that is silent for as long as several times that hangs

tests/faults/NAME.json is a boot in which something goes wrong on purpose: besides why, settings, build

    args       kernel command line
    expect     regular expressions, each of which a line of the console must match, in this order
    absent     regular expressions that no line may match
    ok         whether the machine must end well
"""

import json
import os
import re

from report import TOP, Report, boot_environment, run

DEFAULTS = {"TCG": "single", "MEM": "512M"}
# A busy host makes everything slower, a hang lasts for ever: between the two.
LIMIT_FACTOR, LIMIT_LEAST = 3, 90
LIMIT_WHOLE = 10  # tools/run has ended it before
RECORD = '{"volley":1,'


class Boot:
    """One description file."""

    def __init__(self, kind, path):
        with open(path, encoding="utf-8") as f:
            fields = json.load(f)
        allowed = {"matrix": {"why", "settings", "build", "machine", "seconds", "long"},
                   "faults": {"why", "settings", "build", "args", "expect", "absent", "ok", "seconds"}}[kind]
        if set(fields) - allowed:
            raise ValueError(f"{path}: unknown {', '.join(sorted(set(fields) - allowed))}; allowed are "
                             + ", ".join(sorted(allowed)))
        self.kind, self.name = kind, os.path.basename(path)[: -len(".json")]
        self.why, self.settings = fields["why"], fields.get("settings", {})
        self.build = fields.get("build", {})
        self.machine = fields.get("machine", {})
        self.args = fields.get("args", "test=all")
        self.expect, self.absent = fields.get("expect", []), fields.get("absent", [])
        self.ok, self.long = fields.get("ok", True), fields.get("long", False)
        self.seconds = fields.get("seconds", 5)

    def title(self):
        return ("boot " if self.kind == "matrix" else "fault ") + self.name

    def log(self):
        return os.path.join(TOP, "build", "test", f"{self.kind}-{self.name}.log")

    def weight(self):
        """Host CPUs that it keeps busy."""
        return int(self.settings.get("SMP", "1").split(",")[0]) if self.settings.get("TCG") == "multi" else 1

    def kernel(self):
        """Where make puts the kernel of this build."""
        folder = ["build"]
        if "clang" in self.build.get("CC", ""):
            folder.append(self.build["CC"])
        if self.build.get("DEBUG") == "1":
            folder.append("debug")
        return "/".join(folder + ["volley.elf"])

    def run(self):
        limit = max(LIMIT_LEAST, LIMIT_FACTOR * self.seconds)
        own = {"ARGS": self.args, "KERNEL": self.kernel(), "TIMEOUT": str(limit), "ACCEL": "tcg"}
        env = boot_environment(DEFAULTS, own, self.settings)
        return run(["tools/run"], LIMIT_WHOLE * limit, env=env, log=self.log())


def make_kernels(boots, report):
    """Builds each kernel that is needed; the boots whose kernel cannot be built are reported, and left out."""
    broken = set()
    for build in sorted({tuple(sorted(b.build.items())) for b in boots}):
        variables = [f"{k}={v}" for k, v in build]
        made = run(["make", "-s", f"-j{os.cpu_count()}", "kernel"] + variables, 600)
        if made.status != 0:
            broken.add(build)
            report.add("FAIL", "build " + (" ".join(variables) or "default"), "", made.tail(20))
    return [b for b in boots if tuple(sorted(b.build.items())) not in broken]


def records(output):
    """The JSON Lines among the console's text; one that cannot be parsed becomes a record of type "torn"."""
    found = []
    for line in output.splitlines():
        if line.startswith(RECORD):
            try:
                found.append(json.loads(line))
            except ValueError:
                found.append({"type": "torn", "text": line})
    return found


def judge_cell(boot, ran, report):
    """Counts every self test of the cell, and the cell itself, as one result each."""
    all_records = records(ran.output)
    tests = [r for r in all_records if r["type"] == "test"]
    failed = [r for r in tests if r["result"] == "FAIL"]
    skipped = [r for r in tests if r["result"].startswith("SKIP")]
    passed = [r for r in tests if r["result"] == "PASS"]
    for r in failed:
        report.say(f"FAIL {boot.title()}: {r['name']}: {r.get('note') or r['what']}")
    report.count(len(passed), len(failed), len(skipped), [r.get("why", "") for r in skipped])

    wrong = list(cell_wrong(boot, ran, all_records))
    summary = f"{len(passed)} passed, {len(failed)} failed, {len(skipped)} skipped in {ran.seconds:.1f} s"
    if skipped:
        summary += " (skipped: " + ", ".join(f"{r['name']}: {r.get('why', '')}" for r in skipped[:4])
        summary += f", and {len(skipped) - 4} more)" if len(skipped) > 4 else ")"
    if wrong or failed:
        details = "\n".join(wrong) + f"\nlog: {os.path.relpath(boot.log(), TOP)}"
        report.add("FAIL", boot.title(), summary, details + ("\n" + tail(ran.output) if wrong else ""))
    else:
        report.add("PASS", boot.title(), summary)


def judge_never_passed(outputs, known, report):
    """A test may skip where a machine lacks what it needs, but not everywhere: then nobody runs it. outputs: of all boots, of both kinds; known:
    the names that the sources have."""
    passed, why = set(), {}
    for r in (r for output in outputs for r in records(output) if r["type"] == "test"):
        why[r["name"]] = f"passes in no boot; the last said {r['result']}: {r.get('why', '')}"
        if r["result"] == "PASS":
            passed.add(r["name"])
    names = set(known) | set(why)
    for name in sorted(names - passed):
        report.add("FAIL", f"self test {name}", why.get(name, "is in no boot"))
    if names == passed:
        report.add("PASS", "self tests that pass in some boot", f"all {len(names)}")


def cell_wrong(boot, ran, all_records):
    """What is wrong with the cell beside failed tests."""
    of = {kind: [r for r in all_records if r["type"] == kind] for kind in ("machine", "tests", "end", "torn", "test")}
    for r in of["torn"]:
        yield f"a record is torn: {r['text'][:100]}"
    if ran.status is None:
        yield f"no end after {ran.seconds:.0f} s: stopped"
    if not of["machine"]:
        yield "no `machine` record: the kernel did not come up"
    for key, value in boot.machine.items():
        found = of["machine"][0].get(key) if of["machine"] else value
        if found != value:
            yield f"machine: {key} is {json.dumps(found)}, expected {json.dumps(value)}"
    if not of["tests"]:
        last = of["test"][-1]["name"] if of["test"] else None
        yield f"the self tests did not end; the last that did is {last}"
    elif sum(of["tests"][0][k] for k in ("passed", "failed", "skipped")) != len(of["test"]):
        yield f"{len(of['test'])} test records, but the kernel counted otherwise"
    if of["end"] and not of["end"][-1].get("ok") and not any(r["result"] == "FAIL" for r in of["test"]):
        yield "the kernel ended with ok=false although no test failed"
    elif ran.status not in (0, None) and not any(r["result"] == "FAIL" for r in of["test"]):
        yield f"tools/run ended with status {ran.status}"


def judge_fault(boot, ran, report):
    wrong, lines, at = [], ran.output.splitlines(), 0
    for pattern in boot.expect:
        hits = [i for i in range(at, len(lines)) if re.search(pattern, lines[i])]
        if hits:
            at = hits[0] + 1
        else:
            wrong.append(f"no line matches /{pattern}/" + (" after those before it" if at else ""))
    for pattern in boot.absent:
        wrong += [f"/{pattern}/ must not appear: {line}" for line in lines if re.search(pattern, line)]
    if ran.status is None:
        wrong.append(f"no end after {ran.seconds:.0f} s: stopped")
    elif (ran.status == 0) != boot.ok:
        wrong.append(f"tools/run ended with status {ran.status}, expected {'0' if boot.ok else 'another than 0'}")
    if wrong:
        wrong.append(f"log: {os.path.relpath(boot.log(), TOP)}")
        report.add("FAIL", boot.title(), boot.why, "\n".join(wrong) + "\n" + tail(ran.output))
    else:
        report.add("PASS", boot.title(), f"{boot.why} ({ran.seconds:.1f} s)")


def tail(output):
    """The end of a console without its records, which are for programs; a panic from its first line on."""
    lines = [line for line in output.splitlines() if not line.startswith(RECORD)]
    panics = [i for i, line in enumerate(lines) if line.startswith("PANIC")]
    if panics:
        rest = lines[panics[0]:]
        return "\n".join(rest[:24] + [line for line in rest[24:] if line.startswith(("PANIC", "in self test"))])
    return "\n".join(lines[-20:])

"""What `tools/test-all --long` has found, kept step by step in build/test/long.json so that a run which was interrupted can be ended, and the page made
of it: docs/test-long.md. A run that is not long has other steps, and shorter ones of the same title: what it finds is kept beside, in last.json."""

import collections
import json
import os
import subprocess
import threading
import time

from report import TOP

KEPT = os.path.join(TOP, "build", "test", "long.json")
KEPT_SHORT = os.path.join(TOP, "build", "test", "last.json")
SKIPS = os.path.join(TOP, "build", "test", "skips")
PAGE = os.path.join(TOP, "docs", "test-long.md")

HEAD = """# The last full run

Written by `tools/test-all --page` from the results of `make test-long`, at commit {commit}, which began {began} (UTC) on a host of {host}.
{pieces}

**{passed:,} passed, {failed:,} failed, {skipped:,} skipped** in {minutes:.0f} minutes, of which the steps of `make test` are the first. Steps beside each other share
the host, so that their seconds add up to more. A self test counts once for each boot. [mutants.md](mutants.md) and [coverage.md](coverage.md) name the commits that
they are of.

| step | passed | failed | skipped | seconds |
|---|--:|--:|--:|--:|
"""

SKIPPED = """
## Skipped

| times | why |
|--:|---|
"""


def ran(*command):
    """Its output, and what it has complained of; nothing if it is not there."""
    try:
        done = subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=False)
    except OSError:
        return "", ""
    return done.stdout.strip(), done.stderr.strip()


def commit():
    """With a + behind it if something has changed since; "unknown" where git is not there, or does not know this tree."""
    return ran("git", "describe", "--always", "--dirty=+", "--exclude=*", "--abbrev=10")[0] or "unknown"


def first_line(*command):
    """A program's version; nothing if it is not there."""
    out, complaint = ran(*command)
    lines = [line.strip(" =") for line in (out or complaint).splitlines() if any(c.isdigit() for c in line)]
    return [lines[0]] if lines else []


def host():
    cpus = len(os.sched_getaffinity(0))
    versions = first_line("qemu-system-x86_64", "--version") + first_line("bochs", "--help") + first_line("gcc", "--version") + first_line("clang", "--version")
    return f"{cpus} CPUs ({os.uname().machine}): " + "; ".join(versions)


class Results:
    """One run, of one or several pieces. Safe to use from several threads."""

    def __init__(self, titles, is_long, resume):
        """Raises ValueError if there is nothing to resume."""
        self.lock, self.now, self.start = threading.Lock(), commit(), time.monotonic()
        self.path = KEPT if is_long else KEPT_SHORT
        self.kept = self.interrupted_run() if resume else {"commit": self.now, "host": host(), "pieces": [], "steps": {}}
        self.kept["titles"] = titles
        self.kept["steps"] = {t: s for t, s in self.kept["steps"].items() if t in titles}
        self.kept["pieces"].append({"began": time.strftime("%Y-%m-%d %H:%M", time.gmtime()), "seconds": 0})
        self.done = {t for t, s in self.kept["steps"].items() if passed(s)}
        os.makedirs(SKIPS, exist_ok=True)

    def interrupted_run(self):
        kept = read(self.path)
        if not kept:
            raise ValueError(f"{os.path.relpath(self.path, TOP)} is not there: no long run was begun")
        if self.now == "unknown" or self.now.endswith("+") or kept["commit"] != self.now:
            raise ValueError(f"that run was at commit {kept['commit']}, this is {self.now}: only a run at the same, with nothing changed, can be ended")
        return kept

    def reasons_file(self, title):
        return os.path.join(SKIPS, title.replace("/", "-") + ".json")

    def begin(self, title):
        """Where the step is to say why it skipped something. What a step found before is forgotten when it is run again."""
        path = self.reasons_file(title)
        if os.path.exists(path):
            os.remove(path)
        with self.lock:
            self.kept["steps"].pop(title, None)
        return path

    def add(self, title, totals, seconds, failures):
        reasons = {}
        if os.path.exists(self.reasons_file(title)):
            with open(self.reasons_file(title), encoding="utf-8") as f:
                reasons = json.load(f)
        with self.lock:
            self.kept["steps"][title] = {"totals": totals or [0, 0, 0], "seconds": round(seconds), "failures": failures, "skips": reasons}
            self.write()

    def write(self):
        self.kept["pieces"][-1]["seconds"] = round(time.monotonic() - self.start)
        with open(self.path + ".new", "w", encoding="utf-8") as f:
            json.dump(self.kept, f, indent=1)
        os.replace(self.path + ".new", self.path)


def passed(step):
    """Of a step that was run."""
    return not step["failures"] and not step["totals"][1]


def read(path=KEPT):
    if not os.path.exists(path):
        return None
    with open(path, encoding="utf-8") as f:
        return json.load(f)


def write_page():
    """docs/test-long.md; a step that has no result stands there as such."""
    kept = read()
    if not kept:
        print(f"{os.path.relpath(KEPT, TOP)} is not there: no long run was begun")
        return 1
    steps, pieces = {t: kept["steps"][t] for t in kept["titles"] if t in kept["steps"]}, kept["pieces"]
    sums = [sum(s["totals"][i] for s in steps.values()) for i in range(3)]
    how = "It was run in one piece." if len(pieces) == 1 else f"It was run in {len(pieces)} pieces, which began " + ", ".join(p["began"] for p in pieces) + \
        ": `--resume` ran again what had failed or had no result."
    page = HEAD.format(commit=f"`{kept['commit']}`", began=pieces[0]["began"], host=kept["host"], pieces=how, passed=sums[0], failed=sums[1], skipped=sums[2],
                       minutes=sum(p["seconds"] for p in pieces) / 60)
    for title in kept["titles"]:
        cells = [f"{n:,}" for n in steps[title]["totals"] + [steps[title]["seconds"]]] if title in steps else ["not run", "", "", ""]
        page += f"| {title} | {' | '.join(cells)} |\n"
    failures = [f for s in steps.values() for f in s["failures"]]
    if failures:
        page += "\n## Failed\n\n" + "".join(f"- {f.replace('|', chr(92) + '|')}\n" for f in failures)
    reasons = collections.Counter()
    for step in steps.values():
        reasons.update(step["skips"])
    if sum(reasons.values()) < sums[2]:
        reasons["no reason was kept"] += sums[2] - sum(reasons.values())
    if reasons:
        page += SKIPPED + "".join(f"| {n} | {(why or 'no reason was given').replace('|', chr(92) + '|')} |\n" for why, n in reasons.most_common())
    with open(PAGE, "w", encoding="utf-8") as f:
        f.write(page)
    print(f"docs/test-long.md: {sums[0]} passed, {sums[1]} failed, {sums[2]} skipped at {kept['commit']}, "
          f"{len(kept['titles']) - len(steps)} steps not run")
    return 0 if all(t in steps and passed(steps[t]) for t in kept["titles"]) else 1

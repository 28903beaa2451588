"""The results of tools/mutants, kept from run to run, and the page made of them: docs/mutants.md."""

import collections
import functools
import hashlib
import json
import os
import statistics
import subprocess

from report import TOP

KEPT = os.path.join(TOP, "build", "mutants.jsonl")
GOOD = os.path.join(TOP, "build", "mutants-good-boots.json")
PAGE = os.path.join(TOP, "docs", "mutants.md")
RANDOM = 5000  # schedules at random that are tried for each seed
NAMED = 10  # at most, of the results of another commit

HEAD = """# Bugs on purpose

Written by `tools/mutants --table` (`make mutants`), at commit {commits}. Each line is a small, realistic bug of `tests/mutants/`, planted in
that build alone, and what noticed it. `make test` tries six of them, others with every commit; `make test-long` tries all; `make lint` sees to it
that each still has its place in the sources. [real-bugs.md](real-bugs.md) has those that are named after bugs of other kernels.

**{dead} of {all} bugs are noticed**: {sim} on the simulated machine ([adversary.md](adversary.md)), {kernel} by a boot of the kernel's self tests,
{both} by both, {host} by a host test. {equivalent} break nothing, and are listed with the argument. {alive}
"""

SIM = """
## On the simulated machine

"Searched": how many schedules of that scenario, policy and TLB had been run when the first failed, fewest deviations first. "At random": the same
for schedules with up to 12 deviations drawn at random, the median of 3 seeds; `-`: none within {random}. Over all bugs the median is {searched} searched
and {median} at random.{kinds}

| bug | room | what it does | noticed by | searched | at random |
|---|---|---|---|---|---|
"""

KERNEL = """
## In the kernel

"After": seconds of the boot that runs the named tests, on the machine that wrote this page.

| bug | room | what it does | noticed by | after |
|---|---|---|---|---|
"""

HOST = """
## By a host test

| bug | room | what it does | noticed by | after |
|---|---|---|---|---|
"""

EQUIVALENT = """
## Changes that break nothing

| change | room | what it does | why nothing can notice it |
|---|---|---|---|
"""

NOT_SIM = """
## Not for the simulated machine

| bug | why the machine cannot show it |
|---|---|
"""

UNTRIED = """
## Without a result

{names}.
"""


@functools.lru_cache(maxsize=None)
def commit():
    """That of the first call, at the start of a run: the sources that are tried were taken then."""
    said = subprocess.run(["git", "rev-parse", "--short=10", "HEAD"], cwd=TOP, capture_output=True, text=True, check=False)
    return said.stdout.strip() or "unknown"


def plan(mutant, on):
    """Of what a result is: another bug, or another boot, has to be tried again."""
    what = [mutant["file"], mutant["find"], mutant["replace"], mutant.get(on)]
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:12]


def read(mutants):
    """The kept results by name and by what noticed; not those of bugs that have changed since."""
    if not os.path.exists(KEPT):
        return {}
    with open(KEPT, encoding="utf-8") as f:
        kept = [json.loads(line) for line in f]
    return {(r["name"], r["on"]): r for r in kept if r["name"] in mutants and r.get("plan") == plan(mutants[r["name"]], r["on"])}


def keep(results, mutants):
    kept, now = read(mutants), commit()
    for r in results:
        kept[r["name"], r["on"]] = dict(r, commit=now, plan=plan(mutants[r["name"]], r["on"]))
    write_kept(kept)


def forget(keys, mutants):
    """What nobody noticed this time is not dead because it once was."""
    write_kept({key: r for key, r in read(mutants).items() if key not in keys})


def write_kept(kept):
    os.makedirs(os.path.dirname(KEPT), exist_ok=True)
    with open(KEPT + ".new", "w", encoding="utf-8") as f:
        for key in sorted(kept):
            f.write(json.dumps(kept[key]) + "\n")
    os.replace(KEPT + ".new", KEPT)


def done_here(mutants):
    now = commit()
    return {key for key, r in read(mutants).items() if r["commit"] == now}


def good_boots():
    """The boots that have passed at this commit without a bug in them."""
    if not os.path.exists(GOOD):
        return []
    with open(GOOD, encoding="utf-8") as f:
        kept = json.load(f)
    return kept["boots"] if kept["commit"] == commit() else []


def keep_good_boots(boots):
    with open(GOOD, "w", encoding="utf-8") as f:
        json.dump({"commit": commit(), "boots": boots}, f)


def row(*cells):
    return "| " + " | ".join(str(c).replace("|", "\\|") for c in cells) + " |\n"


def what(mutant):
    return mutant["why"] + (f" (as {mutant['bug']})" if "bug" in mutant else "")


def room(mutant):
    return mutant["file"].split("/")[0]


def in_words(on):
    return {"sim": "simulated", "kernel": "booted", "host": "host test"}[on]


def commits_of(kept):
    """Of most results first; those of another were not tried when most were."""
    count = collections.Counter(r["commit"] for r in kept.values())
    most, others = (count.most_common(1) or [("unknown", 0)])[0][0], []
    for commit_of, n in count.most_common()[1:]:
        names = [f"{name} ({in_words(on)})" for (name, on), r in sorted(kept.items()) if r["commit"] == commit_of]
        others.append(f"{n} of {commit_of}: " + ", ".join(names[:NAMED] + [f"{n - NAMED} more"] * (n > NAMED)))
    return most + (f" but for results of other commits ({'; '.join(others)})" if others else "")


def kinds_of(results):
    """Of simulated failures; results of earlier trees have none."""
    kinds = collections.Counter(r.get("kind") for r in results)
    if None in kinds:
        return ""
    return " Without its bug each cell passes as many schedules. What failed with it: " + ", ".join(f"{kind}: {n}" for kind, n in kinds.most_common()) + "."


def write(mutants, report):
    """Only bugs that still exist; one without a result in one of its ways counts as alive there, and fails."""
    kept = read(mutants)
    sim, kernel, host = ({n: kept[n, on] for n in mutants if (n, on) in kept and on in mutants[n]} for on in ("sim", "kernel", "host"))
    equivalent = {n: m for n, m in mutants.items() if "equivalent" in m}
    missing = [f"{n} ({in_words(on)})" for n, m in mutants.items() for on, got in (("sim", sim), ("kernel", kernel), ("host", host))
               if on in m and n not in got]
    dead = set(sim) | set(kernel) | set(host)
    missing += [f"{n} (nowhere)" for n, m in mutants.items() if not {"sim", "kernel", "host", "equivalent"} & set(m)]
    alive = f"Without a result, so alive or not tried: {len(missing)}, at the end of this page." if missing else \
        f"All {len(mutants)} noticed, in each way that they name, or equivalent."
    used = {(n, on): kept[n, on] for on, got in (("sim", sim), ("kernel", kernel), ("host", host)) for n in got}
    page = HEAD.format(commits=commits_of(used), host=len(host), dead=len(dead), all=len(mutants) - len(equivalent), sim=len(sim), kernel=len(kernel),
                       both=len(set(sim) & set(kernel)), equivalent=len(equivalent), alive=alive)
    if sim:
        randoms = [r["random"] for r in sim.values() if r["random"] is not None]
        page += SIM.format(random=RANDOM, searched=statistics.median_high(r["schedules"] for r in sim.values()),
                           median=statistics.median_high(randoms) if randoms else "-", kinds=kinds_of(sim.values()))
        for n, r in sim.items():
            at_random = "-" if r["random"] is None or r["random"] > RANDOM else r["random"]
            page += row(f"`{n}`", room(mutants[n]), what(mutants[n]), f"`{r['by']}`", r["schedules"], at_random)
    if kernel:
        page += KERNEL + "".join(row(f"`{n}`", room(mutants[n]), what(mutants[n]), r["by"], f"{r['seconds']:.0f} s") for n, r in kernel.items())
    if host:
        page += HOST + "".join(row(f"`{n}`", room(mutants[n]), what(mutants[n]), f"`{r['by']}`", f"{r['seconds']:.0f} s") for n, r in host.items())
    if equivalent:
        page += EQUIVALENT + "".join(row(f"`{n}`", room(m), what(m), m["equivalent"]) for n, m in equivalent.items())
    page += NOT_SIM + "".join(row(f"`{n}`", m["not_sim"]) for n, m in mutants.items() if "not_sim" in m)
    if missing:
        page += UNTRIED.format(names=", ".join(missing))
    with open(PAGE, "w", encoding="utf-8") as f:
        f.write(page)
    for n in missing:
        report.add("FAIL", f"mutant {n}", "has no result for docs/mutants.md: it is alive, or was not tried")
    report.say(f"docs/mutants.md: {len(dead)} of {len(mutants) - len(equivalent)} bugs noticed")

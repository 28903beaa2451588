"""Which lines of the kernel's sources the programs on the host run: host tests and the simulated machine, compiled with gcov's counters."""

import collections
import glob
import gzip
import json
import os
import re
import shutil

from report import TOP, for_each, parallel_jobs, run
import simulator

FLAGS = "-std=gnu17 -DVOLLEY_HOST -DVOLLEY_DEBUG -g -O1 -I. -pthread --coverage".split()
SECONDS = 900
# Each scenario under each policy, the first so many schedules of it: more runs the same lines in other orders.
SCHEDULES = 400


def counted(folder, name, report):
    """{file: lines that were run}, of all that has been run in this folder. A program that counted nothing is a failure, and so is a broken gcov."""
    lines = collections.defaultdict(set)
    data = [os.path.relpath(p, folder) for p in glob.glob(os.path.join(folder, "**", "*.gcda"), recursive=True)]
    if not data:
        report.add("FAIL", f"coverage of {name}", "it has left no counts")
        return lines
    ran = run(["sh", "-c", 'cd "$1" && shift && exec gcov --json-format "$@"', "sh", folder] + data, SECONDS)
    if ran.status != 0:
        report.add("FAIL", f"coverage of {name}", f"gcov ended with status {ran.status}", ran.tail())
        return lines
    for path in glob.glob(os.path.join(folder, "*.gcov.json.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as f:
            for file in json.load(f)["files"]:
                lines[file["file"]] |= {x["line_number"] for x in file["lines"] if x["count"]}
    return lines


def merge(into, found):
    for file, numbers in found.items():
        into[file] |= numbers


def fresh(folder):
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)


def host_tests(rooms, folder, report):
    """The lines that the host tests run which have sources of these rooms."""
    lines = collections.defaultdict(set)

    def test(path):
        name = os.path.basename(path)[:-2]
        with open(path, encoding="utf-8") as f:
            head = re.match(r"\s*/\*(.*?)\*/", f.read(), re.S).group(1)
        field = {key: " ".join(re.findall(rf"^[ *]*{key}:(.*)$", head, re.M)).split() for key in ("sources", "flags", "libs")}
        if not any(s.startswith(tuple(r + "/" for r in rooms)) for s in field["sources"]):
            return
        out = os.path.join(folder, name)
        fresh(out)
        program = os.path.join(out, name)
        compiler = [os.environ.get("CC", "gcc")] + FLAGS + field["flags"]
        # One by one, under their whole names: gcov's notes of lib/wait.c and smp/wait.c would be the same file.
        objects = {source: os.path.join(out, source.replace("/", "_") + ".o") for source in [os.path.relpath(path, TOP), "tests/host/host.c"] + field["sources"]}
        for source, target in objects.items():
            built = run(compiler + ["-c", source, "-o", target], SECONDS)
            if built.status != 0:
                break
        else:
            built = run(compiler + list(objects.values()) + ["-o", program] + field["libs"], SECONDS)
        ran = run([program], SECONDS, log=program + ".log") if built.status == 0 else built
        if ran.status != 0:
            report.add("FAIL", f"coverage of {name}", f"ended with status {ran.status}", ran.tail())
            return
        merge(lines, counted(out, name, report))

    for_each(test, sorted(glob.glob(os.path.join(TOP, "tests/host/*_test.c"))), parallel_jobs())
    return lines


def simulated_machine(folder, report):
    """The lines of mm and smp that the adversary runs."""
    fresh(folder)
    program, why = simulator.build(out=folder, also=["--coverage", "-Wl,-T,tools/gcov.ld"])
    if not program:
        report.add("FAIL", "coverage of the simulated machine", "it does not build", why)
        return {}
    ran = run([program, "bound=1", "random=4", "seed=1", f"limit={SCHEDULES}"], SECONDS, log=program + ".log")
    if ran.status != 0:
        report.add("FAIL", "coverage of the simulated machine", f"ended with status {ran.status}", ran.tail())
        return {}
    return counted(folder, "the simulated machine", report)

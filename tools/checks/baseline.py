"""what the documentation says that a system call costs is what the baseline has

The table of docs/system-calls.md and tests/baseline/bochs.jsonl, to which `tools/figures` is held.
"""

import json
import re

from tree import Finding

PAGE, BASELINE, POLICY = "docs/system-calls.md", "tests/baseline/bochs.jsonl", "early_ack"
# The columns, as (pages, threads).
COLUMNS = ((1, 1), (1, 4), (32, 1), (32, 4))
ROW = re.compile(r"^\| `SYS_(DISCARD|UNMAP|PROTECT)`[^|]*\|([\d, |]+)\|$")
NULL = re.compile(r"A null call: ([\d,]+)\.")


def check(tree):
    records = [json.loads(line) for line in tree.raw(BASELINE).decode().splitlines()]
    calls = {(r["op"], r.get("policy"), r.get("pages"), r["cpus"]): r["p50"]
             for r in records if r.get("bench") == "syscall" and r["metric"] == "initiator"}
    seen = set()
    for number, line in enumerate(tree.raw(PAGE).decode().splitlines(), 1):
        row, null = ROW.match(line), NULL.search(line)
        if null:
            seen.add("null")
            yield from differs(number, "a null call", null.group(1), calls["null", None, None, 1])
        if row:
            op = row.group(1).lower()
            seen.add(op)
            cells = row.group(2).split("|")
            if len(cells) != len(COLUMNS):
                yield Finding(PAGE, number, f"{len(cells)} figures; {len(COLUMNS)} are allowed")
                continue
            for (pages, threads), cell in zip(COLUMNS, cells):
                yield from differs(number, f"{op} of {pages} pages, {threads} threads", cell, calls[op, POLICY, pages, threads])
    for op in {"null", "discard", "unmap", "protect"} - seen:
        yield Finding(PAGE, 0, f"no figure for {op}")


def differs(number, what, said, measured):
    if int(said.replace(",", "")) != measured:
        yield Finding(PAGE, number, f"{what}: {said.strip()} ticks; {BASELINE} has {measured:,}")

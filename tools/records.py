"""What the tools for records share: reading runs of benchmarks (JSON Lines of the kernel's console)."""

import glob
import json
import os
import re

# What tells one distribution from another; all else in a `bench` record was measured.
KEY = ("bench", "policy", "served_by", "delivery", "flush", "opt", "cpus", "pages", "op", "responders", "initiator",
       "fanout", "metric", "unit", "cost")


def registered(top):
    """The names of all benchmarks in the tree (bench/*.c)."""
    names = set()
    for path in glob.glob(os.path.join(top, "bench", "*.c")):
        with open(path, encoding="ascii") as source:
            names |= set(re.findall(r"^BENCH(?:_ON_REQUEST)?\((\w+),", source.read(), re.M))
    return names


class Pending:
    """Samples of `raw` records whose `bench` record, the next of the same key, has yet to come. It alone says what they cost."""

    def __init__(self):
        self.of = {}

    def add(self, raw):
        key = key_of(raw, cost=False)
        if not raw.get("first"):  # what was left of an earlier one has lost its `bench` record
            self.of[key] = []
        self.of.setdefault(key, []).extend(raw["samples"])

    def take(self, bench):
        return self.of.pop(key_of(bench, cost=False), None)


class Run:
    """The records of one file, of one boot or of several. A file that was cut off in the middle of a line is a file without that line."""

    def __init__(self, path):
        self.path, self.machine, self.conditions, self.host = path, {}, {}, {}
        self.boots = []  # what is known of each: {"host": record, "machine": record, "conditions": record}
        self.bench, self.raw, self.seed, self.damaged = {}, {}, [], 0
        self.pending = Pending()
        self.open = self.cut = False  # a boot has begun whose end has not come; one before it was without
        self.to_come = 0  # records of an export, whose first one says how many they are
        with open(path, encoding="ascii", errors="replace") as lines:
            for line in lines:
                try:
                    record = json.loads(line)
                except ValueError:
                    self.damaged += 1
                    continue
                self.add(record)

    @property
    def ended(self):
        """Whether every boot of the file came to its end, and there was one."""
        return bool(self.boots) and not self.open and not self.cut

    def begin_boot(self):
        self.cut = self.cut or self.open
        self.open, self.to_come = True, 0
        self.pending = Pending()
        self.boots.append({})

    def begins_boot(self, kind):
        """A boot begins with `host` (tools/run writes it into OUT) or `export`. Where neither was, it does with `machine`; where one was, that
        is the command of this name."""
        if not self.boots or kind in ("host", "export"):
            return True
        if not self.open:
            return kind in ("machine", "bench", "raw")
        return kind == "machine" and kind in self.boots[-1] and "host" not in self.boots[-1] and not self.to_come

    def add(self, record):
        kind = record.get("type")
        if self.begins_boot(kind):
            self.begin_boot()
        if kind in ("host", "machine", "conditions"):
            setattr(self, kind, record)
            self.boots[-1][kind] = record
        elif kind == "bench":
            self.bench[key_of(record)], self.raw[key_of(record)] = record, self.pending.take(record)
        elif kind == "raw":
            self.pending.add(record)
        elif kind == "seed":
            self.seed.append(record)
        self.see_end(kind, record)

    def see_end(self, kind, record):
        if kind == "export":
            self.to_come = record.get("records", 0)
        elif self.to_come:
            self.to_come -= 1
            self.open = self.to_come > 0
        elif kind == "end":
            self.open = False

    def samples(self, record):
        return self.raw.get(key_of(record))

    def version(self):
        """Of the emulator, by tools/run, which started it; None if that was not there to say."""
        return self.host.get("version")

    def name(self):
        m, version = self.machine, self.version()
        emulator = m.get("emulator", "?") + (f" {version}" if version else "")
        return f"{emulator}, {m.get('cpus', '?')} CPUs, {m.get('compiler', '?')}, commit {m.get('commit', '?')}"


def key_of(record, cost=True):
    return tuple(record.get(name) for name in KEY if cost or name != "cost")


def key_text(record):
    """One line for people: what differs between cells, in a fixed order."""
    parts = [str(record[n]) for n in ("bench", "metric", "policy", "op") if record.get(n) is not None]
    if record.get("pages"):
        parts.append(f"{record['pages']} pages")
    parts.append(f"{record['cpus']} CPUs")
    parts += [f"{n}={record[n]}" for n in ("delivery", "flush", "opt", "responders", "initiator", "fanout", "cost")
              if record.get(n) not in (None, "auto", "kernel", "none")]
    return " ".join(parts)


def interval(record):
    """The 95 % interval of the median; records of older kernels have none, and are taken as exact."""
    return record.get("p50_low", record["p50"]), record.get("p50_high", record["p50"])

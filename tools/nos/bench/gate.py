"""The gate: NOS's M1 rows beside their records in bench/records.txt.

A record is a line: name, instructions, and where a row needs them a tolerance
in percent and a reason, all separated by tabs.  A row that costs more than its
record and the tolerance fails.  --record writes them anew; raising one needs
a reason (--reason), that stays in the file.
"""
import dataclasses
import os

from bench import m1, model
from cli import ROOT, Failure

PATH = os.path.join(ROOT, "bench", "records.txt")
TOLERANCE = 3.0  # percent
# Rows that take longer than the others together.
TOO_LONG = ("yield+switch, 10,000 runnable", "10,000 threads started, run, joined",
            "kill(pid, 0), 10,000 tasks", "getpgid, 10,000 tasks")

HEAD = """\
# What NOS's operations cost (meter M1, guest instructions), beside which `make test`
# sets what it measures: more than the tolerance above fails.  Written by
# `./nos bench --record`; raising a record needs --reason.
# name <tab> instructions <tab> tolerance in percent, if not 3 <tab> reason
"""


@dataclasses.dataclass
class Record:
    value: float
    tolerance: float = TOLERANCE
    reason: str = ""

    def is_missed_by(self, value):
        """More than it by more than the tolerance; one instruction is never a fault."""
        return 100 * value > self.value * (100 + self.tolerance) and value > self.value + 1


def load(path=PATH):
    """{name: Record}"""
    records = {}
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
    except FileNotFoundError:
        return records
    for number, line in enumerate(lines, 1):
        if not line or line.startswith("#"):
            continue
        name, *fields = line.split("\t")
        try:
            records[name] = Record(float(fields[0]),
                                   float(fields[1]) if len(fields) > 1 and fields[1] else TOLERANCE,
                                   fields[2] if len(fields) > 2 else "")
        except (IndexError, ValueError):
            raise Failure(f"{os.path.relpath(path)}:{number}: not a record") from None
    return records


def save(records, path=PATH):
    with open(path, "w", encoding="utf-8") as file:
        file.write(HEAD)
        for name, record in records.items():
            fields = [name, f"{record.value:.0f}",
                      f"{record.tolerance:g}" if record.tolerance != TOLERANCE else "",
                      record.reason]
            file.write("\t".join(fields).rstrip("\t") + "\n")


def measure(progress=None, append=(), name=""):
    suites = [suite for suite, (meter, _) in model.SUITES.items() if meter == "m1"]
    return m1.measure(model.Request(suites, name=name, kernels=("nos",), exclude=TOO_LONG,
                                    append=tuple(append), progress=progress or model.Progress()))


def compare(rows, records):
    """(faults, notes): lines about rows that are above, and about those that should change."""
    faults, notes, seen = [], [], set()
    for row in rows:
        seen.add(row.name)
        value, record = row.value("nos"), records.get(row.name)
        if record is None:
            if value is not None:
                notes.append(f"{row.name}: {value:,.0f}, has no record")
        elif value is None:
            faults.append(f"{row.name}: {record.value:,.0f} -> no figure "
                          f"({row.figures['nos'].why})")
        else:
            change = 100 * (value / record.value - 1)
            said = f"{row.name}: {record.value:,.0f} -> {value:,.0f} ({change:+.1f} %)"
            if record.is_missed_by(value):
                faults.append(said)
            elif 100 * value < record.value * (100 - record.tolerance) and value < record.value - 1:
                notes.append(said)
    faults += [f"{name}: has a record, but there is no such row" for name in records
               if name not in seen]
    return faults, notes


def run(progress=None, append=(), name="", out=print):
    """Measures and compares: (rows that hold, faults); says what it finds."""
    rows = measure(progress, append, name)
    records = {key: record for key, record in load().items() if name in key}
    if not records:
        raise Failure(f"{os.path.relpath(PATH, ROOT)} has no record of such a row")
    faults, notes = compare(rows, records)
    for line in faults:
        out(f"above its record: {line}")
    if faults:
        out("if that is meant: ./nos bench --record --reason 'WHY', in the same commit")
    for line in notes:
        out(f"record to be written: {line}")
    if notes:
        out("keep what was gained: ./nos bench --record")
    return len(records) - len(faults), faults


def record(rows, reason):
    """Makes the rows' figures the records: lines that say what changed."""
    records = load()
    raised = [row.name for row in rows if row.name in records and row.value("nos") is not None
              and records[row.name].is_missed_by(row.value("nos"))]
    if raised and not reason:
        raise Failure("this raises records, so it needs --reason TEXT: " + ", ".join(raised), 2)
    said = []
    for row in rows:
        value, old = row.value("nos"), records.get(row.name)
        if value is None or (old and round(value) == old.value):
            continue
        said.append(f"{row.name}: {f'{old.value:,.0f}' if old else 'none'} -> {value:,.0f}")
        # A reason for a wider tolerance stays; one for a raise goes with it.
        kept = old.reason if old and old.tolerance != TOLERANCE else ""
        records[row.name] = Record(value, old.tolerance if old else TOLERANCE,
                                   reason if row.name in raised else kept)
    order = [row.name for row in rows]
    names = {row.name for row in rows}
    save({**{name: records[name] for name in order if name in records},
          **{name: entry for name, entry in records.items() if name not in names}})
    return said

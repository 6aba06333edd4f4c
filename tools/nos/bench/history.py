"""What earlier runs measured: build/bench/history.jsonl, a line for each; and
what the tree says of earlier commits: docs/performance.md and bench/records.txt."""
import dataclasses
import datetime
import json
import os
import re
import subprocess

from bench.model import FOLDER, Figure, Row, geometric_mean
from cli import ROOT

PATH = os.path.join(FOLDER, "history.jsonl")


def git(*words):
    try:
        return subprocess.run(["git", "-C", ROOT, *words], capture_output=True, text=True,
                              check=False).stdout.strip()
    except OSError:
        return ""


def commit():
    """The commit that is checked out, with a + if files differ from it."""
    return (git("rev-parse", "--short=9", "HEAD") or "none") + \
        ("+" if git("status", "--porcelain", "--untracked-files=no") else "")


def load():
    """All runs, the oldest first; lines that are no run are left out."""
    runs = []
    try:
        with open(PATH, encoding="utf-8") as file:
            for line in file:
                try:
                    entry = json.loads(line)
                except ValueError:
                    continue
                if isinstance(entry, dict) and "rows" in entry and "meter" in entry:
                    runs.append(entry)
    except OSError:
        pass
    return runs


def last(runs, meter, rows):
    """The earlier figures of these rows: of each its last one, by the same meter."""
    found, newest = {}, None
    wanted = {row.name for row in rows if row.value("nos") is not None}
    for entry in reversed(runs):
        if entry["meter"] != meter:
            continue
        for name in wanted & entry["rows"].keys() - found.keys():
            if entry["rows"][name].get("nos") is not None:
                found[name] = entry["rows"][name]
                newest = newest or entry
    return {**newest, "rows": found} if newest else None


def append(meter, linux, rows, special):
    """Notes a measurement.  `special`: booted with words of its own, so of no use as history."""
    entry = {"date": datetime.datetime.now().isoformat(timespec="seconds"), "commit": commit(),
             "meter": meter, "linux": linux,
             "rows": {row.name: {name: figure.value for name, figure in row.figures.items()
                                 if figure.value is not None} for row in rows},
             "full": [dataclasses.asdict(row) for row in rows]}
    if special:
        return
    os.makedirs(FOLDER, exist_ok=True)
    with open(PATH, "a", encoding="utf-8") as file:
        file.write(json.dumps(entry, ensure_ascii=False) + "\n")


def row_of(entry):
    """A Row from its dictionary."""
    known = {field.name for field in dataclasses.fields(Row)}
    row = Row(**{key: value for key, value in entry.items() if key in known})
    row.figures = {name: Figure(**figure) for name, figure in row.figures.items()}
    return row


def remembered(runs, meter, linux):
    """The last known rows of a meter, figure by figure: ([Row], (date, commit) of the last run)."""
    rows, when = {}, None
    for entry in runs:
        if entry["meter"] != meter or entry["linux"] != linux or "full" not in entry:
            continue
        when = (entry["date"], entry["commit"])
        for row in map(row_of, entry["full"]):
            old = rows.get(row.name)
            if old:
                row.figures = {**old.figures, **row.figures}
                row.paired = row.paired or old.paired
            rows[row.name] = row
    return list(rows.values()), when


def in_suite_order(rows, suites):
    order = {name: at for at, name in enumerate(suites)}
    return sorted(rows, key=lambda row: order.get(row.suite, len(order)))


# ---- figures of NOS by commit

def parse_page(content):
    """{name: instructions} of the table of M1 in docs/performance.md."""
    found = {}
    section = content.partition("\n## Guest instructions\n")[2].partition("\n## ")[0]
    for line in section.splitlines():
        match = re.match(r"\| ([^|]+?) \| [\d,.–]+ \| ([\d,]+) \|", line)
        if match:
            found[match[1]] = float(match[2].replace(",", ""))
    return found


def parse_records(content):
    found = {}
    for line in content.splitlines():
        name, *fields = line.split("\t")
        if fields and fields[0].isdigit() and not name.startswith("#"):
            found[name] = float(fields[0])
    return found


def tree_runs():
    """[(time, label, {name: value})] of what was in the tree, by commit."""
    found = []
    for path, parse in (("docs/performance.md", parse_page), ("bench/records.txt", parse_records)):
        for line in git("log", "-40", "--abbrev=9", "--format=%ct %h %cs", "--", path).splitlines():
            time, short, date = line.split()
            values = parse(git("show", f"{short}:{path}"))
            if values:
                found.append((int(time), f"{date} {short}", values))
    return found


def tracks(runs):
    """({(meter, row): [(label, value)]}, [label]): one point for each commit, the oldest first."""
    points = [(time, label, "m1", values) for time, label, values in tree_runs()]
    for entry in runs:
        time = datetime.datetime.fromisoformat(entry["date"]).timestamp()
        values = {name: row["nos"] for name, row in entry["rows"].items()
                  if row.get("nos") is not None}
        points.append((time, f"{entry['date'][:10]} {entry['commit']}", entry["meter"], values))
    points.sort(key=lambda point: point[0])
    found, labels = {}, {}
    for _, label, meter, values in points:
        labels.setdefault(label, len(labels))
        for name, value in values.items():
            found.setdefault((meter, name), {})[label] = value
    return {key: list(track.items()) for key, track in found.items()}, list(labels)


def mean_track(rows, known, labels):
    """[(label, geometric mean of NOS beside Linux)] of commits at which most rows are known."""
    linux = {row.name: row.value("linux") for row in rows
             if row.value("linux") and row.value("nos")}
    at = {label: {} for label in labels}
    for name in linux:
        for label, value in known.get(("m1", name), ()):
            at[label][name] = value
    result, current = [], {}
    for label in labels:
        if not at[label]:
            continue
        current.update(at[label])
        if len(current) >= 0.7 * len(linux):
            result.append((label, geometric_mean([value / linux[name]
                                                  for name, value in current.items() if value])))
    return result

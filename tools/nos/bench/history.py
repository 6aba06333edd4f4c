"""What earlier runs measured: build/bench/history.jsonl, a line for each."""
import datetime
import json
import os
import subprocess

from bench.model import FOLDER
from cli import ROOT

PATH = os.path.join(FOLDER, "history.jsonl")


def commit():
    """The commit that is checked out, with a + if files differ from it."""
    def git(*words):
        return subprocess.run(["git", "-C", ROOT, *words], capture_output=True, text=True,
                              check=False).stdout.strip()
    try:
        return (git("rev-parse", "--short=9", "HEAD") or "none") + \
            ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
    except OSError:
        return "none"


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


def append(meter, linux, rows):
    """Notes a measurement; returns the entry."""
    entry = {"date": datetime.datetime.now().isoformat(timespec="seconds"), "commit": commit(),
             "meter": meter, "linux": linux,
             "rows": {row.name: {name: figure.value for name, figure in row.figures.items()
                                 if figure.value is not None} for row in rows}}
    os.makedirs(FOLDER, exist_ok=True)
    with open(PATH, "a", encoding="utf-8") as file:
        file.write(json.dumps(entry, ensure_ascii=False) + "\n")
    return entry

#!/usr/bin/python3
"""Model checking: each tests/models/*.pml with spin, exhaustively, and its mutants.

Usage: models.py [NAME...]
       models.py --trail NAME [M1]     the steps to the fault of the last search

The comment at a model's head has a line "M1  what is wrong" for each planted
fault, which the model contains under #ifdef M1.  The model itself must hold,
and every mutant must be found.  At the end of the comment may stand
"pan: -m20000", options for the search.
"""
import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tools/nos"))
import packages  # noqa: E402
from report import Options, Report  # noqa: E402

MODELS = "tests/models"
BUILD = "build/models"
JOBS = os.cpu_count() or 1
PACKAGES = {"/usr/bin/spin": "spin", "/usr/bin/gcc": "gcc"}
LIMIT = 120  # seconds for one search
MUTANTS_MIN = 5


def names():
    return sorted(entry[:-4] for entry in os.listdir(MODELS) if entry.endswith(".pml"))


def head(name):
    """({mutant: what is wrong}, options of the search)."""
    with open(f"{MODELS}/{name}.pml", encoding="utf-8") as file:
        text = file.read()
    comment = text.split("*/", 1)[0]
    options = re.search(r"pan: (.*)", comment)
    return (dict(re.findall(r"^ \*\s+(M\d+)\s+(.*)$", comment, re.M)),
            options[1].split() if options else [])


def search(name, mutant, options):
    """(states, text of the error or "", failure of the tools or "")."""
    folder = f"{BUILD}/{name}{'-' + mutant if mutant else ''}"
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    model = os.path.abspath(f"{MODELS}/{name}.pml")
    steps = (["spin", *([f"-D{mutant}"] if mutant else []), "-a", model],
             ["gcc", "-O1" if not mutant else "-O0", "-w", "-DSAFETY", "-DCOLLAPSE",
              "-DMEMLIM=2000", "-o", "pan", "pan.c"])
    for step in steps:
        done = subprocess.run(step, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            return 0, "", done.stdout + done.stderr
    try:
        done = subprocess.run(["./pan", "-m100000", *options], cwd=folder, capture_output=True,
                              text=True, timeout=LIMIT, check=False)
    except subprocess.TimeoutExpired:
        return 0, "", "the search did not end"
    text = done.stdout + done.stderr
    states = re.search(r"(\d+) states, stored", text)
    errors = re.search(r"errors: (\d+)", text)
    if not errors or "search depth too small" in text or "out of memory" in text:
        return 0, "", text
    said = re.search(r"pan:1: (.*)", text)
    return int(states[1]) if states else 0, (said[1] if said else "error") if int(
        errors[1]) else "", ""


def trail(name, mutant):
    """The steps that lead to the error that the last search found."""
    folder = f"{BUILD}/{name}{'-' + mutant if mutant else ''}"
    shutil.copy(f"{MODELS}/{name}.pml", folder)
    return subprocess.run(["spin", *([f"-D{mutant}"] if mutant else []), "-t", "-p", "-g",
                           f"{name}.pml"], cwd=folder, check=False).returncode


def run(report):
    """Checks what the report wants."""
    wanted = [name for name in names() if report.wants(f"model {name}")]

    def one(job):
        name, mutant, options = job
        return job, search(name, mutant, options)

    jobs, results, start = [], {}, time.monotonic()
    for name in wanted:
        mutants, options = head(name)
        if len(mutants) < MUTANTS_MIN:
            report.add(f"model {name}", 0, 1, f"fewer than {MUTANTS_MIN} mutants", None)
        report.doing(f"model {name}")
        jobs += [(name, mutant, options) for mutant in ("", *mutants)]
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        for (name, mutant, _), result in pool.map(one, jobs):
            results.setdefault(name, {})[mutant] = result
            if len(results[name]) == 1 + len(head(name)[0]):
                summarise(report, name, results[name], time.monotonic() - start)


def summarise(report, name, results, seconds):
    passed, faults = 0, []
    for mutant, (_, error, failure) in results.items():
        if failure:
            faults.append(f"{mutant or 'the model'}: {failure[:600]}")
        elif mutant and not error:
            faults.append(f"{mutant} is not found: {head(name)[0][mutant]}")
        elif not mutant and error:
            faults.append(f"the model: {error}")
        else:
            passed += 1
    report.add(f"model {name} ({results[''][0]} states)", passed, len(faults), "\n".join(faults),
               seconds, begun=f"model {name}")


def main():
    options = Options(__doc__, {}, ("--trail",)).parse(sys.argv[1:])
    os.chdir(ROOT)
    packages.ensure_or_exit("models", PACKAGES)
    if options["--trail"]:
        if len(options.words) not in (1, 2):
            options.fail("--trail takes a model, and one of its mutants")
        return trail(*options.words, *[""] * (2 - len(options.words)))
    report = Report([f"model {name}" for name in options.known_words(names(), "model")])
    run(report)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())

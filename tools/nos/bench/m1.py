"""Meter M1: guest instructions of an operation.

The operations time themselves with rdtsc, which under -icount ticks once per
guest instruction: exact, repeatable, and without help from either kernel.
"""
import os

from bench import boot, programs
from bench.model import Figure, Row
from cli import ROOT, Failure

TITLE = "guest instructions"
SUITES = ("calls", "mm", "exec", "ipc", "sched", "files", "net", "io_uring", "rt")


def budgets():
    """{name: NOS at most} of bench/budgets.txt."""
    result = {}
    with open(os.path.join(ROOT, "bench", "budgets.txt"), encoding="utf-8") as file:
        for line in file:
            name, tab, terms = line.rstrip("\n").partition("\t")
            if tab and not name.startswith("#"):
                result[name] = sum(int(term) for term in terms.split("+"))
    return result


def parse_extra(text):
    """key=value pairs, of which "hist" is value:count,..."""
    extra = {}
    for word in text.split():
        key, _, value = word.partition("=")
        if key == "hist":
            extra[key] = [[int(part) for part in pair.split(":")]
                          for pair in value.split(",") if pair]
        elif key:
            extra[key] = float(value)
    return extra


def parse(line):
    """(name, Figure) of a line of the program; None if it is none."""
    fields = line.split("\t")
    if len(fields) < 3:
        return None
    if fields[1] == "-":
        return fields[0], Figure(why=fields[2])
    return fields[0], Figure(float(fields[1]), low=float(fields[2]),
                             extra=parse_extra(fields[3]) if len(fields) > 3 else {})


def command(request, *flags):
    words = ["/bench/bench", *flags, "-s", "|".join(request.suites)]
    if request.exclude:
        words += ["-x", "|".join(request.exclude)]
    return [*words, request.name] if request.name else words


def measure_kernel(column, request, archive, chosen, done, flags=(), processors=1):
    """{name: Figure} of one kernel."""
    figures = {}
    options = boot.options_for(column, request, archive, command(request, *flags),
                               **boot.processors(column, processors))
    total = len(chosen) * len(request.kernels)
    try:
        for line in boot.lines(options, column):
            parsed = parse(line)
            if parsed:
                figures[parsed[0]] = parsed[1]
                request.progress.at(done + len(figures), total, f"{column}: {parsed[0]}")
    except Failure as failure:
        for name, _ in chosen:
            figures.setdefault(name, Figure(why=str(failure)))
    return figures


def names(request):
    """The rows that are asked for: nothing is fetched or booted for none."""
    return programs.wanted(request)


def measure(request, flags=(), processors=1):
    chosen = names(request)
    archive = programs.make_archive()
    limits = budgets()
    rows = [Row(name, suite, {}, "instructions", limits.get(name)) for name, suite in chosen]
    for at, column in enumerate(request.kernels):
        figures = measure_kernel(column, request, archive, chosen, at * len(chosen), flags,
                                 processors)
        for row in rows:
            row.figures[column] = figures.get(row.name, Figure(why="it printed nothing"))
    return rows

"""Meter M2: what operations do to a processor's caches, in a model.

A plugin in the emulator (tools/plugin/meter.c) counts user and kernel
instructions and costly ones, and follows a modelled L1D cache and data TLB.
The suite "scale" is another plugin's: see conflict.py.
"""
import dataclasses
import os

from bench import boot, conflict, m1, plugin, programs
from bench.model import Figure, Row
from cli import Failure

TITLE = "modelled, per operation"
SUITES = m1.SUITES + conflict.SUITES

# What a row is called, and the counts that it is the sum of.
ROWS = (
    ("user instructions", "instructions", ("user-instructions",)),
    ("kernel instructions", "instructions", ("kernel-instructions",)),
    ("entries to the kernel", "entries", ("kernel-entries",)),
    ("L1D misses, kernel", "misses", ("kernel-l1d-misses",)),
    ("L1D misses, user", "misses", ("user-l1d-misses",)),
    ("TLB misses, 1st level", "misses", ("kernel-tlb-misses", "user-tlb-misses",
                                         "kernel-page-walks", "user-page-walks")),
    ("TLB misses, both levels", "misses", ("kernel-page-walks", "user-page-walks")),
    ("locked operations", "operations", ("kernel-locked",)),
    ("CR3 loads", "loads", ("cr3-loads",)),
    ("invlpg", "times", ("invlpg",)),
    ("wrmsr", "times", ("wrmsr",)),
    ("port I/O", "times", ("port-io",)),
    ("mfence, cpuid", "times", ("serialising",)),
)
BATCHES = "3"  # of each operation: emulating the caches takes as long again as the operation
LEAST = 0.005  # less than that per operation is none


def read(path):
    """{benchmark's number: {count's name: per operation}}"""
    result, operations, current = {}, 1, {}
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            word, *fields = line.split()
            if word == "benchmark":
                current, operations = result.setdefault(int(fields[0]), {}), int(fields[1])
            elif word == "count":
                current[fields[0]] = int(fields[1]) / operations
    return result


def measure_kernel(column, request, archive, done, total):
    """{benchmark: {count: per operation} or why there is none} of one kernel."""
    out = os.path.join(plugin.FOLDER, f"meter-{column}.{os.getpid()}")
    words = plugin.arguments("meter", out=out)
    options = plugin.options_for(column, request, archive, m1.command(request, "-b", BATCHES),
                                 words)
    figures, order = {}, []
    try:
        for line in boot.lines(options, column):
            parsed = m1.parse(line)
            if parsed:
                order.append(parsed)
                request.progress.at(done + len(order), total, f"{column}: {parsed[0]}")
        counts = read(out)
    finally:
        if os.path.exists(out):
            os.unlink(out)
    for number, (name, figure) in enumerate(order):
        figures[name] = counts.get(number, figure.why or "no marks")
    return figures


def rows_of(name, suite, by_column):
    """The rows of one operation: those of which a kernel has some."""
    rows = []
    for title, unit, parts in ROWS:
        figures = {}
        for column, counts in by_column.items():
            if isinstance(counts, str):
                figures[column] = Figure(why=counts)
            else:
                value = sum(counts[part] for part in parts)
                figures[column] = Figure(value if value >= LEAST else 0.0)
        row = Row(f"{name}: {title}", suite, figures, unit)
        if any(figure.value for figure in figures.values()):
            rows.append(row)
    return rows or [Row(name, suite, {column: Figure(why=counts if isinstance(counts, str) else "")
                                      for column, counts in by_column.items()})]


def measure_caches(request):
    chosen = programs.wanted(request)
    archive = programs.make_archive()
    results = {}
    for at, column in enumerate(request.kernels):
        try:
            results[column] = measure_kernel(column, request, archive, at * len(chosen),
                                             len(chosen) * len(request.kernels))
        except Failure as failure:
            results[column] = {name: str(failure) for name, _ in chosen}
    return [row for name, suite in chosen
            for row in rows_of(name, suite, {column: results[column].get(name, "it printed nothing")
                                             for column in request.kernels})]


def names(request):
    """The rows that are asked for, those of the conflict suites as a whole."""
    return programs.wanted(request) + [suite for suite in request.suites if suite in conflict.SUITES]


def measure(request):
    rows = []
    caches = [suite for suite in request.suites if suite not in conflict.SUITES]
    if caches:
        rows += measure_caches(dataclasses.replace(request, suites=caches))
    if len(caches) < len(request.suites):
        rows += conflict.measure(request)
    return rows

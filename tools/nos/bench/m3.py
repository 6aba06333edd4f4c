"""Meter M3: wall time of whole programs, NOS and Linux in turn.

Both kernels run the same programs from the same root in memory, on the same
machine; each program is timed inside the guest by CLOCK_MONOTONIC.  A pair is
one run on each, one right after the other; the ratio is the median of the
pairs' own ratios, so that what disturbs the host disturbs both.
"""
import os
import statistics

from bench import boot, root
from bench.model import Figure, Row
from cli import Failure

TITLE = "milliseconds, median of pairs"
SUITES = ("apps",)
PLAIN = ("-accel", "tcg,thread=multi")


def names(request):
    """The rows of bench/apps/rows.txt that are asked for."""
    with open(os.path.join(root.APPS, "rows.txt"), encoding="utf-8") as file:
        found = [line.split("\t")[0] for line in file if "\t" in line and line[0] != "#"]
    return [name for name in found if request.name in name]


def run_once(column, request, archive, report):
    """{row: milliseconds} and {row: why not} of one boot."""
    command = ["/apps/runner", "/apps/rows.txt", *([request.name] if request.name else [])]
    options = boot.options_for(column, request, archive, command, smp=request.smp or 2,
                               accel_arguments=PLAIN)
    times, faults = {}, {}
    try:
        for line in boot.lines(options, column):
            fields = line.split("\t")
            if len(fields) == 3:
                if fields[1] == "-":
                    faults[fields[0]] = fields[2]
                else:
                    times[fields[0]] = float(fields[1]) / 1000
                report(fields[0])
    except Failure as failure:
        for name in names(request):
            if name not in times:
                faults.setdefault(name, str(failure))
    return times, faults


def quartiles(values):
    if len(values) < 4:
        return min(values), max(values)
    cuts = statistics.quantiles(values, n=4)
    return cuts[0], cuts[2]


def figure(samples, faults):
    if not samples:
        return Figure(why=faults or "it did not run")
    low, high = quartiles(samples)
    return Figure(statistics.median(samples), low, high, extra={"runs": len(samples)})


def paired_ratio(samples):
    """The median of our time beside theirs, over the pairs that have both."""
    ratios = [ours / theirs for ours, theirs in zip(samples["nos"], samples["linux"])
              if ours and theirs]
    return statistics.median(ratios) if ratios else None


def measure(request):
    wanted = names(request)
    archive = root.make_archive()
    samples = {name: {column: [] for column in request.kernels} for name in wanted}
    faults = {name: {} for name in wanted}
    total = request.pairs * len(request.kernels)
    for pair in range(request.pairs):
        order = request.kernels if pair % 2 == 0 else request.kernels[::-1]
        for turn, column in enumerate(order):
            done = pair * len(order) + turn
            times, failed = run_once(column, request, archive,
                                     lambda name, done=done, column=column: request.progress.at(
                                         done, total, f"pair {pair + 1}, {column}: {name}"))
            for name in wanted:
                samples[name][column].append(times.get(name))
                faults[name].setdefault(column, failed.get(name, ""))
    rows = []
    for name in wanted:
        figures = {column: figure([value for value in samples[name][column] if value is not None],
                                  faults[name][column]) for column in request.kernels}
        both = len(request.kernels) == 2
        rows.append(Row(name, "apps", figures, "ms",
                        paired=paired_ratio(samples[name]) if both else None))
    return rows

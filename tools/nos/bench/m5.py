"""Meter M5: what the kernel counts in an operation.

NOS: /proc/nos/counters.  Linux: /proc/vmstat and the interrupts between
processors, whose names differ.  A row is "operation: counter".  Processors
interrupt each other only where there are two (--smp 2).
"""
from bench import m1
from bench.model import Figure, Row

TITLE = "counted events per operation"
SUITES = m1.SUITES
names = m1.names

# What both count: a title, Linux's counters and those of NOS that sum up to it.
SAME = {
    "page faults": (("pgfault",), ("fault.anonymous", "fault.file", "fault.copied", "fault.reused",
                                   "fault.zero_page", "fault.slow", "fault.spurious")),
    "flushes asked of other processors": (("irq.TLB",), ("tlb.remote_flushes",)),
    "IPIs to call a function": (("irq.CAL", "irq.TLB"), ("ipi.call",)),
    "IPIs to reschedule": (("irq.RES",), ("ipi.reschedule",)),
}


def join(row):
    """The rows of one operation: a row for each counter that moved."""
    ours = row.figures.get("nos", Figure())
    theirs = row.figures.get("linux", Figure())
    result, used = [], set()

    def add(name, nos, linux):
        figures = {"linux": Figure(linux), "nos": Figure(nos)}
        result.append(Row(f"{row.name}: {name}", row.suite,
                          {key: figures[key] for key in row.figures}, "events"))

    def total(figure, names):
        return sum(figure.extra.get(name, 0.0) for name in names) \
            if figure.value is not None else None

    for title, (linux, nos) in SAME.items():
        if not theirs.extra.keys().isdisjoint(linux) or not ours.extra.keys().isdisjoint(nos):
            add(title, total(ours, nos), total(theirs, linux))
            used.update(linux)
    for name, value in ours.extra.items():
        if name not in used and isinstance(value, float):
            add(name, value, None)
    for name, value in theirs.extra.items():
        if name not in used and isinstance(value, float):
            add(name, None, value)
    for figure in row.figures.values():
        if figure.value is None and figure.why:
            result.append(Row(row.name, row.suite, row.figures, "events"))
            break
    return result


def measure(request):
    rows = m1.measure(request, flags=("-c",), processors=request.smp or 1)
    return [joined for row in rows for joined in join(row)]

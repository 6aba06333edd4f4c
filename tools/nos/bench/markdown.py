"""The figures as a page of Markdown (docs/performance.md)."""
import datetime

from bench import history, table
from bench.model import geometric_mean

HEAD = """# Performance

Written by `./nos bench --page docs/performance.md`, which replaces the sections of what it measures; not edited by hand. How
to read it, and what it cannot show: [measuring.md](measuring.md).
"""

ABOUT = {
    "m1": """
Guest instructions per operation (meter M1): QEMU's TCG with `-icount shift=0,sleep=off`, one CPU, the same static
program, machine and memory on both kernels. Each figure is the median of its runs, less the empty loop. "Over by" says
that a row misses its own budget (`bench/budgets.txt`), though it may be far below Linux.
""",
    "m2": """
By a plugin of QEMU (meter M2): modelled, not measured. In suite `scale`, cache lines of the kernel that two processors
share in an operation that needs none.
""",
    "m3": """
Wall time under TCG (meter M3), the two kernels in turn; the ratio is the median of the pairs' ratios. It compares two
kernels under one emulator, and says nothing of hardware.
""",
    "m4": """
The kernel's own modules compiled for the machine that measured (meter M4), nanoseconds if nothing else is said. ± is half
the range of the runs: a virtual machine with neighbours.
"""}

LINUX = {"lean": "Debian's cloud kernel with `lsm=capability apparmor=0 init_on_alloc=0 mitigations=off audit=0 norandmaps`",
         "default": "Debian's cloud kernel as Debian boots it, but for `norandmaps`"}


def heading(meter, title, smp):
    """Of the section; what `write` finds it by the next time."""
    if meter == "m3":
        title = f"whole programs, {smp or 2} processor{'s' if smp != 1 else ''}"
    return title[0].upper() + title[1:]


def rows_of(rows):
    """The table of rows with the same columns."""
    names = table.columns(rows)
    heads = [table.TITLES.get(name, name) for name in names]
    yield f"\n| operation | {' | '.join(heads)} | ratio | budget | |"
    yield "|---|" + "--:|" * (len(names) + 2) + "---|"
    for row in rows:
        cells = [table.number(row.value(name)).replace("-", "–") for name in names]
        ratio = f"{row.ratio():.2f}" if row.ratio() else ""
        budget = table.number(row.budget) if row.budget is not None else ""
        said = table.verdict(row) or table.spread(row)
        yield f"| {row.name} | {' | '.join(cells)} | {ratio} | {budget} | {said.split(':')[0]} |"
    ratios = [row.ratio() for row in rows if row.ratio()]
    if ratios:
        worst = table.worst(rows)
        yield (f"\nGeometric mean of the ratios: {geometric_mean(ratios):.2f}. "
               f"Worst: {worst.name}, {worst.ratio():.2f}.")


def section(meter, rows):
    yield ABOUT.get(meter, "").rstrip("\n")
    yield f"\nMeasured on {history.commit()}, {datetime.date.today()}."
    for group in table.grouped(rows):
        yield from rows_of(group)


def sections_of(path):
    """{heading: text} of the page as it is."""
    try:
        with open(path, encoding="utf-8") as file:
            parts = file.read().split("\n## ")[1:]
    except FileNotFoundError:
        parts = []
    return {part.partition("\n")[0]: part.partition("\n")[2].rstrip("\n") for part in parts}


def write(path, arguments, results, titles):
    sections = sections_of(path)
    for meter, rows in results.items():
        if rows:
            name = heading(meter, titles[meter], arguments.smp)
            sections[name] = "\n".join(section(meter, rows))
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"{HEAD}\nLinux is {LINUX.get(arguments.linux, arguments.linux)}.\n")
        for name, text in sections.items():
            file.write(f"\n## {name}\n{text}\n")

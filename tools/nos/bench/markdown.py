"""The figures as a page of Markdown (docs/performance.md)."""
from bench import table
from bench.model import geometric_mean

HEAD = """# Performance

Written by `./nos bench --page docs/performance.md`; not edited by hand. How to read it, and what it cannot show:
[measuring.md](measuring.md).
"""

M1 = """
Guest instructions per operation (meter M1): QEMU's TCG with `-icount shift=0,sleep=off`, one CPU, the same static
program, machine and memory on both kernels. Each figure is the median of its runs, less the empty loop. "Over by" says
that a row misses its own budget (`bench/budgets.txt`), though it may be far below Linux.
"""

LINUX = {"lean": "Debian's cloud kernel with `lsm=capability apparmor=0 init_on_alloc=0 mitigations=off audit=0 norandmaps`",
         "default": "Debian's cloud kernel as Debian boots it, but for `norandmaps`"}


def section(meter, title, rows):
    names = table.columns(rows)
    yield f"\n## {title[0].upper()}{title[1:]}\n"
    if meter == "m1":
        yield M1
    heads = [table.TITLES.get(name, name) for name in names]
    yield f"| operation | {' | '.join(heads)} | ratio | budget | |"
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


def write(path, linux, results, titles):
    with open(path, "w", encoding="utf-8") as file:
        file.write(HEAD)
        file.write(f"\nLinux is {LINUX.get(linux, linux)}.\n")
        for meter, rows in results.items():
            if rows:
                file.write("\n".join(section(meter, titles[meter], rows)) + "\n")

"""The table of a measurement, as text."""
from bench.model import geometric_mean

SLOWER = 0.03  # more than that is said


def number(value):
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:,.2f}"


def verdict(row):
    """What the last column says."""
    ours = row.figures.get("nos")
    if ours is not None and ours.value is None and ours.why:
        return explain(ours.why)
    if row.budget is None or ours is None:
        return ""
    if ours.value <= row.budget:
        return "met"
    return f"over by {number(ours.value - row.budget)}"


ABSENT = ("not implemented", "not supported", "Protocol not available")


def explain(why):
    return "not there yet: " + why if any(text in why for text in ABSENT) else why


def columns(rows):
    """The columns, ours last."""
    found = dict.fromkeys(name for row in rows for name in row.figures)
    return [name for name in found if name != "nos"] + (["nos"] if "nos" in found else [])


TITLES = {"linux": "Linux", "nos": "NOS"}


def has_spread(rows):
    return any(figure.high is not None for row in rows for figure in row.figures.values())


def spread(row):
    """How far the runs of either column lie apart, in percent of the figure."""
    widths = [f"{TITLES.get(name, name)} ±{50 * (f.high - f.low) / f.value:.0f} %"
              for name, f in row.figures.items() if f.high is not None and f.value]
    return ", ".join(widths)


def lines(title, rows):
    """The table of one meter."""
    names = columns(rows)
    width = max([len(row.name) for row in rows] + [24]) + 1
    cells = [max(12, len(TITLES.get(name, name)) + 2) for name in names]
    text = f"{title:{width}}"
    text += "".join(f"{TITLES.get(name, name):>{cell}}" for name, cell in zip(names, cells))
    yield text + f"{'ratio':>8}{'budget':>11}  verdict"
    suite = None
    for row in rows:
        if row.suite != suite:
            suite = row.suite
            yield f"-- {suite}"
        text = f"{row.name:{width}}"
        text += "".join(f"{number(row.value(name)):>{cell}}" for name, cell in zip(names, cells))
        ratio = row.ratio()
        text += f"{f'{ratio:.2f}' if ratio else '':>8}"
        text += f"{number(row.budget) if row.budget is not None else '':>11}"
        said = verdict(row) or spread(row)
        yield (text + "  " + said).rstrip()


def worst(rows):
    """The row with the highest ratio, None if there are no ratios."""
    with_ratio = [row for row in rows if row.ratio()]
    return max(with_ratio, key=lambda row: row.ratio()) if with_ratio else None


def summary(rows, before):
    """Lines after the table: mean, worst row, budgets, what got slower."""
    ratios = [row.ratio() for row in rows if row.ratio()]
    if ratios:
        last = worst(rows)
        yield (f"geometric mean of {len(ratios)} ratios {geometric_mean(ratios):.2f}, "
               f"worst {last.ratio():.2f} ({last.name})")
    judged = [row for row in rows if row.budget is not None and row.value("nos") is not None]
    if judged:
        met = sum(row.value("nos") <= row.budget for row in judged)
        yield f"{met} budgets met, {len(judged) - met} missed"
    yield from compared(rows, before)


def changes(rows, before):
    """[(row, earlier value, change)] of rows that moved since `before`."""
    moved = []
    for row in rows:
        value, earlier = row.value("nos"), (before or {}).get("rows", {}).get(row.name, {}).get("nos")
        if value is None or not earlier:
            continue
        change = value / earlier - 1
        if row.more_is_better:
            change = -change
        if abs(change) > SLOWER:
            moved.append((row, earlier, change))
    return sorted(moved, key=lambda entry: -entry[2])


def compared(rows, before):
    if not before:
        return
    when = f"{before['date'][:16].replace('T', ' ')} ({before['commit']})"
    moved = changes(rows, before)
    slower = [entry for entry in moved if entry[2] > 0]
    faster = [entry for entry in moved if entry[2] < 0]
    if not moved:
        yield f"nothing moved by more than {SLOWER:.0%} since {when}"
    for text, entries in (("slower", slower), ("better", faster[::-1])):
        if entries:
            yield f"{text} than at {when}:"
        for row, earlier, change in entries:
            yield (f"  {row.name}: {number(earlier)} -> {number(row.value('nos'))} "
                   f"({change:+.0%})")

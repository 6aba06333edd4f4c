"""The table of a measurement, as text."""
from bench.model import geometric_mean

# What has moved by more since the last run is said; times on a shared machine move by themselves.
NOTABLE = {"m1": 0.03, "m2": 0.03, "m3": 0.15, "m4": 0.3, "m5": 0.03}


def number(value):
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:,.2f}"


def verdict(row):
    """What the last column says."""
    ours = row.figures.get("nos")
    asked = ours or row.figures.get(row.reference())
    if asked is not None and asked.value is None and asked.why:
        return explain(asked.why)
    if row.budget is None or ours is None:
        return ""
    if row.missed_by() <= 0:
        return "met"
    return f"{'short' if row.more_is_better else 'over'} by {number(row.missed_by())}"


ABSENT = ("not implemented", "not supported", "Protocol not available")


def explain(why):
    return "not there yet: " + why if any(text in why for text in ABSENT) else why


def columns(rows):
    """The columns, ours last."""
    found = dict.fromkeys(name for row in rows for name in row.figures)
    return [name for name in found if name != "nos"] + (["nos"] if "nos" in found else [])


TITLES = {"linux": "Linux", "nos": "NOS"}


def spread(row):
    """How far the runs of either column lie apart, in percent of the figure."""
    widths = [f"{TITLES.get(name, name)} ±{50 * (f.high - f.low) / f.value:.0f} %"
              for name, f in row.figures.items()
              if f.high is not None and f.high != f.low and f.value]
    return ", ".join(widths)


def tail(row):
    """What the slowest hundredth of a distribution takes."""
    ends = [f"{TITLES.get(name, name)} {number(figure.extra['p99'])}"
            for name, figure in row.figures.items() if "p99" in figure.extra]
    return "99 % within " + ", ".join(ends) if ends else ""


def lines(title, rows):
    """The table of one meter; suites with other columns get a head of their own."""
    width = max([len(row.name) for row in rows] + [24]) + 1
    for suites in grouped(rows):
        yield from lines_of(title, suites, width)


def grouped(rows):
    """Lists of rows: suites one after the other that have the same columns."""
    groups = []
    for row in rows:
        if not groups or columns(groups[-1][-1:]) != columns([row]) and \
                groups[-1][-1].suite != row.suite:
            groups.append([])
        groups[-1].append(row)
    return groups


def lines_of(title, rows, width):
    names = columns(rows)
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
        yield (text + "  " + (verdict(row) or spread(row) or tail(row))).rstrip()


def worst(rows):
    """The row with the highest ratio, None if there are no ratios."""
    with_ratio = [row for row in rows if row.ratio()]
    return max(with_ratio, key=lambda row: row.ratio()) if with_ratio else None


def missing(rows):
    """Lines about the columns beside ours that have no figures, and why."""
    reasons = {}
    for row in rows:
        for name, figure in row.figures.items():
            if name != "nos" and figure.value is None and figure.why:
                reasons.setdefault((name, figure.why), []).append(row.name)
    for (name, why), names in reasons.items():
        yield (f"{TITLES.get(name, name)} HAS NO FIGURE in {len(names)} of {len(rows)} rows: {why}"
               + (f" ({names[0]})" if len(names) == 1 else ""))


def summary(rows, before, meter):
    """Lines after the table: what is missing, mean, worst row, budgets, what got slower."""
    yield from missing(rows)
    ratios = [row.ratio() for row in rows if row.ratio()]
    if ratios:
        last = worst(rows)
        yield (f"geometric mean of {len(ratios)} ratios {geometric_mean(ratios):.2f}, "
               f"worst {last.ratio():.2f} ({last.name})")
    judged = [row for row in rows if row.budget is not None and row.value("nos") is not None]
    if judged:
        met = sum(row.missed_by() <= 0 for row in judged)
        yield f"{met} budgets met, {len(judged) - met} missed"
    if before:
        yield from compared(rows, before, NOTABLE.get(meter, 0.03))


def changes(rows, before, notable):
    """[(row, earlier value, change for the worse)] of rows that moved since `before`."""
    moved = []
    for row in rows:
        value, earlier = row.value("nos"), before["rows"].get(row.name, {}).get("nos")
        if not value or not earlier:
            continue
        worse = earlier / value - 1 if row.more_is_better else value / earlier - 1
        if not -notable <= worse <= notable:
            moved.append((row, earlier, worse))
    return sorted(moved, key=lambda entry: -entry[2])


def compared(rows, before, notable):
    when = f"{before['date'][:16].replace('T', ' ')} ({before['commit']})"
    moved = changes(rows, before, notable)
    if not moved:
        yield f"nothing moved by more than {notable:.0%} since {when}"
    for text, entries in (("slower", [entry for entry in moved if entry[2] > 0]),
                          ("better", [entry for entry in moved[::-1] if entry[2] < 0])):
        if entries:
            yield f"{text} than at {when}:"
        for row, earlier, _ in entries:
            value = row.value("nos")
            yield f"  {row.name}: {number(earlier)} -> {number(value)} ({value / earlier - 1:+.0%})"

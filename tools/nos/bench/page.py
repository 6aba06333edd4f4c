"""All figures as one page that needs nothing else: charts beside Linux, history."""
import html
import os

from bench import history, table
from bench.model import METERS, SUITES, geometric_mean

HERE = os.path.dirname(os.path.abspath(__file__))
SPARK = (100, 24)
BAR_LIMIT = 1.5  # a bar that is longer than so many times Linux's is cut


def text(value):
    return html.escape(str(value), quote=True)


def asset(name):
    with open(os.path.join(HERE, name), encoding="utf-8") as file:
        return file.read()


# ---- a row

def column_class(column):
    return column if column in ("linux", "nos") else "linux" if column == "glibc" or \
        column == "pthread" else "other"


def bars(row):
    """A bar for each column, as long as its share of the reference's."""
    known = {name: figure.value for name, figure in row.figures.items()
             if figure.value is not None}
    reference = known.get(row.reference())
    whole = reference or max(known.values(), default=0) or 1
    longest = max([value / whole for value in known.values()] + [1.0])
    scale = 100 / min(longest, BAR_LIMIT)
    parts = []
    for name in [name for name in known if name != "nos"] + [name for name in known if name == "nos"]:
        share = known[name] / whole
        cut = " cut" if share > BAR_LIMIT else ""
        title = f"{table.TITLES.get(name, name)}: {table.number(known[name])} {row.unit}"
        parts.append(f'<div class="bar {column_class(name)}{cut}" title="{text(title)}" '
                     f'style="width:{min(share, BAR_LIMIT) * scale:.2f}%"></div>')
    if row.budget is not None and reference and row.budget / whole <= BAR_LIMIT:
        parts.append(f'<div class="budget" title="budget: {table.number(row.budget)}" '
                     f'style="left:{row.budget / whole * scale:.2f}%"></div>')
    return "".join(parts)


def spark(points):
    """A small line of what NOS took in earlier runs."""
    values = [value for _, value in points]
    if len(values) < 2:
        return ""
    width, height = SPARK
    # A change of a percent is no cliff: the line spans at least a fifth of the value.
    middle = (min(values) + max(values)) / 2
    span = max(max(values) - min(values), middle / 5) or 1
    spots = [(3 + (width - 6) * i / (len(values) - 1),
              height / 2 - (height - 8) * (value - middle) / span)
             for i, value in enumerate(values)]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
    title = "\n".join(f"{when}: {table.number(value)}" for when, value in points[-12:])
    return (f'<svg class="spark" width="{width}" height="{height}"><title>{text(title)}</title>'
            f'<polyline points="{line}"/><circle cx="{spots[-1][0]:.1f}" '
            f'cy="{spots[-1][1]:.1f}" r="2.5"/></svg>')


def said(row):
    """The words at the end of a row, and their class."""
    words = table.verdict(row)
    if words == "met":
        return "budget met", "good"
    if words.startswith(("over by", "short by")):
        return words, "miss"
    if words.startswith("not there yet"):
        return "not there yet", ""
    if words:
        return words[:60], "bad"
    others = [name for name in row.figures if name not in ("nos", row.reference())]
    if others:
        return ", ".join(f"{name} {table.number(row.value(name))}" for name in others), ""
    return ("costs more", "bad") if is_clearly_worse(row) else ("", "")


def is_clearly_worse(row):
    """More than Linux, and by more than both of them waver."""
    ours, theirs = row.figures.get("nos"), row.figures.get(row.reference())
    if not row.ratio() or row.ratio() <= 1:
        return False
    return not has_spread(ours) or not has_spread(theirs) or ours.low > theirs.high


def has_spread(figure):
    return figure.high is not None and figure.high != figure.low


def spread_of(figure):
    if figure is None or not figure.value or not has_spread(figure):
        return ""
    return f"<small>±{50 * (figure.high - figure.low) / figure.value:.0f} %</small>"


def row_line(row, at, points):
    reference = row.reference()
    ours, theirs = row.figures.get("nos"), row.figures.get(reference)
    ratio = row.ratio()
    words, kind = said(row)
    why = ours.why if ours and ours.why else ""
    shown = f"{ratio:.2f}" if ratio and ratio < 100 else f"{ratio:.0f}" if ratio else ""
    return (f'<div class="row" data-name="{text((row.name + " " + row.suite).lower())}" '
            f'data-at="{at}" data-ratio="{ratio or 0:.4f}">'
            f'<div>{text(row.name)}</div><div class="bars">{bars(row)}</div>'
            f'<div class="n">{table.number(row.value("nos"))}{spread_of(ours)}</div>'
            f'<div class="n theirs">{table.number(row.value(reference))}{spread_of(theirs)}</div>'
            f'<div class="n">{shown}</div>'
            f'<div>{spark(points)}</div>'
            f'<div class="said {kind}" title="{text(why)}">{text(words)}</div></div>')


# ---- what stands above and between

def suite_block(meter, suite, rows, tracks, with_key):
    names = table.columns(rows)
    reference = next((name for name in names if name != "nos"), "")
    title = table.TITLES.get(reference, reference)
    head = (f'<div class="row head"><div>{text(rows[0].unit or "")}</div><div></div><div>NOS</div>'
            f'<div>{text(title)}</div><div>ratio</div><div>history</div><div></div></div>')
    lines = "".join(row_line(row, at, tracks.get((meter, row.name), []))
                    for at, row in enumerate(rows))
    others = [name for name in names if name not in ("nos", reference)]
    key = '<span><i style="background:var(--nos)"></i>NOS</span>'
    if title:
        key += f'<span><i style="background:var(--linux)"></i>{text(title)}</span>'
    key += "".join(f'<span><i style="background:var(--other)"></i>{text(name)}</span>'
                   for name in others)
    if any(row.budget is not None for row in rows):
        key += '<span><i class="tick"></i>budget</span>'
    about = SUITES.get(suite, ("", ""))[1]
    return (f'<section class="suite"><h3>{text(suite)}<small>{text(about)}</small></h3>'
            + (f'<div class="key">{key}</div>' if with_key else "")
            + f'<div class="rows">{head}{lines}</div></section>')


def histograms(rows):
    """The distributions of rows that have one."""
    charts = []
    for row in rows:
        drawn = {name: figure.extra["hist"] for name, figure in row.figures.items()
                 if figure.extra.get("hist")}
        if drawn and "longest" in row.name:
            charts.append(histogram(row, drawn))
    key = ('<div class="key"><span><i style="background:var(--nos)"></i>NOS</span><span>'
           '<i style="background:var(--linux)"></i>Linux</span></div>')
    return f'<h3>Wake-up latency</h3>{key}<div class="pair">{"".join(charts)}</div>' if charts else ""


def histogram(row, drawn):
    """How many wake-ups were how late, by powers of two; parts on a square-root scale."""
    edges = sorted({edge for pairs in drawn.values() for edge, _ in pairs})
    first, last = edges[0].bit_length(), edges[-1].bit_length()
    slots = last - first + 1
    width, height = 480, 130
    step = (width - 10) / slots
    parts = []
    for index, name in enumerate(sorted(drawn, key=lambda name: name == "nos")):
        total = sum(count for _, count in drawn[name])
        for edge, count in drawn[name]:
            tall = max(2.0, (count / total) ** 0.5 * (height - 26))
            x = 5 + (edge.bit_length() - first) * step + 2 + index * (step - 4) / len(drawn)
            parts.append(f'<rect class="{column_class(name)}" x="{x:.1f}" y="{height - 18 - tall:.1f}" '
                         f'width="{(step - 4) / len(drawn) - 1:.1f}" height="{tall:.1f}" rx="2">'
                         f'<title>{table.TITLES.get(name, name)}: {count} of {total} took '
                         f'{edge:,} to {2 * edge:,}</title></rect>')
    labels = "".join(f'<text x="{5 + slot * step:.1f}" y="{height - 4}">{short(1 << (first + slot - 1))}</text>'
                     for slot in range(slots))
    ends = ", ".join(f"{table.TITLES.get(name, name)} at most "
                     f"{table.number(row.figures[name].extra.get('max'))}" for name in drawn)
    title = row.name.replace(": longest", "").replace("wake-up latency, ", "")
    return (f'<div class="chart"><h4>{text(title)} <small>instructions until it runs; {text(ends)}'
            f'</small></h4><svg viewBox="0 0 {width} {height}" width="100%">{"".join(parts)}{labels}'
            "</svg></div>")


def short(number):
    for unit, size in (("M", 1 << 20), ("k", 1 << 10)):
        if number >= size:
            return f"{number // size}{unit}"
    return str(number)


def mean_chart(points):
    """The geometric mean of the ratios over the runs."""
    if len(points) < 2:
        return ""
    width, height, left, bottom = 1080, 190, 44, 26
    top = max(value for _, value in points) * 1.15
    spots = [(left + 26 + (width - left - 76) * i / (len(points) - 1),
              height - bottom - (height - bottom - 10) * value / top)
             for i, (_, value) in enumerate(points)]
    grid = ""
    step = 0.05 if top < 0.4 else 0.1 if top < 0.9 else 0.25
    level = 0.0
    while level <= top:
        y = height - bottom - (height - bottom - 10) * level / top
        grid += (f'<line class="grid" x1="{left}" x2="{width - 20}" y1="{y:.1f}" y2="{y:.1f}"/>'
                 f'<text x="6" y="{y + 4:.1f}">{level:.2f}</text>')
        level += step
    marks = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5"><title>{text(when)}: {value:.3f}'
                    "</title></circle>" for (x, y), (when, value) in zip(spots, points))
    every = max(1, len(points) // 8)
    labels = "".join(f'<text x="{x:.1f}" y="{height - 6}" text-anchor="middle">'
                     f"{text(points[i][0].split()[-1])}</text>"
                     for i, (x, _) in enumerate(spots) if i % every == 0)
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
    return ('<h3>History<small>geometric mean of NOS beside Linux, instructions, by commit</small></h3>'
            f'<div class="chart"><svg viewBox="0 0 {width} {height}" width="100%">{grid}'
            f'<polyline points="{line}"/>{marks}{labels}</svg></div>')


def card(value, label):
    return f'<div class="card"><b>{text(value)}</b><span>{text(label)}</span></div>'


def cards(results):
    parts = []
    for meter, rows in results.items():
        ratios = [row.ratio() for row in rows if row.ratio()]
        if not ratios or meter in ("m4", "m5"):
            continue
        what = {"m1": "path length", "m2": "modelled", "m3": "time of whole programs"}[meter]
        mean = geometric_mean(ratios)
        worst = table.worst(rows)
        parts.append(card(f"{mean:.2f} ×", f"of Linux, {what}: geometric mean of {len(ratios)}"))
        parts.append(card(f"{worst.ratio():.2f} ×", f"the worst: {worst.name}"))
    judged = [row for rows in results.values() for row in rows
              if row.budget is not None and row.value("nos") is not None]
    if judged:
        met = sum(row.missed_by() <= 0 for row in judged)
        parts.append(card(f"{met} of {len(judged)}", "budgets met"))
    return f'<div class="cards">{"".join(parts)}</div>'


BLIND = {
    "m1": "Every guest instruction counts as one. Traps, caches, TLB flushes and contention are not in it.",
    "m2": "A model of caches and TLBs, not a processor.",
    "m3": "QEMU's translator on a shared machine: dominated by TLB flushes and new code, and "
          "proportional to no processor's time. Quartiles as ±.",
    "m4": "The kernel's own sources compiled for this machine, beside what libc has; the host was "
          "not idle. Range of five runs as ±.",
    "m5": "Events per operation; NOS and Linux count different things.",
}


def pairs_of(rows):
    runs = [figure.extra["runs"] for row in rows for figure in row.figures.values()
            if figure.extra.get("runs")]
    return f", {min(runs)} pair{'s' if min(runs) > 1 else ''}" if runs else ""


def write(path, linux, results, measured):
    """results: {meter: rows}; measured: {meter: (date, commit)}."""
    runs = history.load()
    tracks, labels = history.tracks(runs)
    parts = [cards(results), mean_chart(history.mean_track(results.get("m1", []), tracks, labels))]
    for meter, rows in results.items():
        if not rows:
            continue
        date, commit = measured[meter]
        parts.append(f"<h2>{text(METERS[meter][0].upper() + METERS[meter][1:])}</h2>"
                     f"<p>{text(BLIND[meter])} <span class=when>Measured {text(date[:16].replace('T', ' '))} at "
                     f"{text(commit)}{pairs_of(rows)}.</span></p>")
        before = None
        for suite in dict.fromkeys(row.suite for row in rows):
            own = [row for row in rows if row.suite == suite]
            parts.append(suite_block(meter, suite, own, tracks, table.columns(own) != before))
            before = table.columns(own)
        parts.append(histograms(rows))
    head = ('<header><h1>NOS beside Linux</h1>'
            f'<span class="when">{text(history.commit())}, Linux {text(linux)}</span>'
            '<span class="tools"><input id="filter" type="search" placeholder="Filter rows" '
            'aria-label="Filter rows"><button id="sort">Worst first</button>'
            '<button id="theme">Light / dark</button></span></header>')
    with open(path, "w", encoding="utf-8") as file:
        file.write('<!doctype html><html lang="en"><head><meta charset="utf-8">'
                   '<meta name="viewport" content="width=device-width, initial-scale=1">'
                   f'<title>NOS beside Linux</title><style>{asset("page.css")}</style></head>'
                   f'<body><main>{head}{"".join(parts)}<footer>Written by ./nos bench --html. '
                   'How to read it: docs/measuring.md.</footer></main>'
                   f'<script>{asset("page.js")}</script></body></html>\n')

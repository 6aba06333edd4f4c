"""`nos bench`: what operations cost on NOS and on Linux, and the budgets.

model.py says what a meter is; m1.py ... are the meters, table.py, page.py and
history.py show and keep what they measured, gate.py compares it with records.
"""
import dataclasses
import datetime
import json
import os
import sys

import cli
from bench import boot, gate, history, markdown, model, table

HELP = """\
Usage: ./nos bench [OPTIONS] [NAME]

Measures NOS beside Debian's Linux in the same virtual machine, with the same
programs and the same root, and prints a table: operation, Linux, NOS, ratio,
budget (bench/budgets.txt), verdict; then the geometric mean of the ratios, the
worst row, and what moved since the last run.  docs/measuring.md says how to
read each figure, and what none of them can show.

With NAME, only rows whose name holds it.  Without --suite, all suites whose
meter is m1 (some minutes).

  --suite SUITE[,SUITE...]  what to measure, or "all":
{suites}
  --meter METER             by what, if not by the meter above:
{meters}
  --kernel nos|linux        only one of the two
  --linux lean|default|FILE how Linux is booted: without what a small kernel has
                            not (lean), as Debian does, or another vmlinuz-VERSION,
                            with its modules in /lib/modules (default lean)
  --pairs N                 m3: so many pairs of runs (default 11)
  --smp N                   processors, for m3 (default 2) and m5 (1)
  --append TEXT             words for NOS's command line, such as opt.NAME=off
  --json FILE               also write all figures to FILE
  --html FILE               also write them to FILE, with the last known figures of
                            all others: one page with charts and history
  --page FILE               also write them to FILE as Markdown; its other sections stay
  --record                  make NOS's figures the records of the gate
                            (bench/records.txt), that `make test` compares with
  --reason TEXT             why --record raises one; stays in the file
  --profile NAME            where one operation's instructions go, by function;
                            --profile --help says more
  --gate                    only compare with the records, as `make test` does
  -h, --help                this text

Examples:
  ./nos bench                            every operation, by instructions
  ./nos bench --suite mm --kernel nos    one suite, NOS only
  ./nos bench 'pipe 1 B'                 one row
  ./nos bench --suite apps --pairs 3     whole programs, quickly
  ./nos bench --meter m5 fork            what fork makes the kernel count
"""


def help_text():
    suites = "".join(f"      {name:9} {meter}  {text}\n"
                     for name, (meter, text) in model.SUITES.items())
    meters = "".join(f"      {name}  {text}{'' if model.has_meter(name) else ' (not there yet)'}\n"
                     for name, text in model.METERS.items())
    return HELP.format(suites=suites.rstrip(), meters=meters.rstrip())


@dataclasses.dataclass
class Arguments:
    suites: list = dataclasses.field(default_factory=list)
    meter: str = ""
    name: str = ""
    kernels: tuple = ("linux", "nos")
    linux: str = "lean"
    pairs: int | None = None
    smp: int | None = None
    append: list = dataclasses.field(default_factory=list)
    json: str = ""
    html: str = ""
    page: str = ""
    reason: str = ""
    record: bool = False
    gate: bool = False


def usage(text):
    return cli.Failure(text + "; see ./nos bench --help", 2)


def parse_suites(text):
    names = text.split(",")
    if names == ["all"]:
        return list(model.SUITES)
    for name in names:
        if name not in model.SUITES:
            raise usage(f"--suite {name}: must be all, {', '.join(model.SUITES)}")
    return names


def parse_meter(text):
    if text not in model.METERS:
        raise usage(f"--meter {text}: must be {', '.join(model.METERS)}")
    return text


def parse_kernel(text):
    if text not in ("nos", "linux"):
        raise usage(f"--kernel {text}: must be nos or linux")
    return (text,)


def parse_linux(text):
    if text not in ("lean", "default") and not os.path.isfile(text):
        raise usage(f"--linux {text}: must be lean, default or a kernel file")
    return text


def parse_number(option, least, most):
    def parse(text):
        if not text.isdigit() or not least <= int(text) <= most:
            raise usage(f"{option} {text}: must be a number from {least} to {most}")
        return int(text)
    return parse


VALUES = {
    "suite": ("suites", parse_suites), "meter": ("meter", parse_meter),
    "kernel": ("kernels", parse_kernel), "linux": ("linux", parse_linux),
    "pairs": ("pairs", parse_number("--pairs", 1, 1000)),
    "smp": ("smp", parse_number("--smp", 1, 16)),
    "json": ("json", str), "html": ("html", str), "reason": ("reason", str), "page": ("page", str),
}
FLAGS = ("record", "gate")


def parse(words):
    """The arguments; None if help is asked for."""
    arguments, words = Arguments(), list(words)
    while words:
        word = words.pop(0)
        if word in ("-h", "--help"):
            return None
        name, equals, value = word.removeprefix("--").partition("=")
        if word.startswith("--") and name in FLAGS and not equals:
            setattr(arguments, name, True)
        elif word.startswith("--") and (name in VALUES or name == "append"):
            if not equals:
                if not words:
                    raise usage(f"--{name} needs a value")
                value = words.pop(0)
            if name == "append":
                arguments.append.append(value)
            else:
                field, convert = VALUES[name]
                setattr(arguments, field, convert(value))
        elif word.startswith("-") or arguments.name:
            raise usage(f"unknown argument {word}")
        else:
            arguments.name = word
    return arguments


def plan(arguments):
    """{meter: [suite]} of what is asked for."""
    suites = arguments.suites
    if not suites:
        suites = [name for name, (meter, _) in model.SUITES.items()
                  if meter == (arguments.meter if arguments.meter in ("m3", "m4") else "m1")]
    chosen = {}
    for suite in suites:
        meter = arguments.meter or model.SUITES[suite][0]
        chosen.setdefault(meter, []).append(suite)
    return chosen


def request_of(arguments, suites):
    return model.Request(suites, name=arguments.name, kernels=arguments.kernels,
                         linux=arguments.linux, pairs=arguments.pairs or 11, smp=arguments.smp,
                         append=tuple(arguments.append), progress=model.Progress())


def measure(arguments, meter, suites):
    """[Row] of one meter, with the table printed."""
    if not model.has_meter(meter):
        print(f"{', '.join(suites)}: meter {meter} is not there yet")
        return []
    module = model.meter(meter)
    for suite in suites:
        if suite not in module.SUITES:
            raise usage(f"--meter {meter} measures {', '.join(module.SUITES)}, not {suite}")
    request = request_of(arguments, suites)
    absent = usage(f"no row of {', '.join(suites)} has a name with \"{arguments.name}\"")
    if meter != "m4":
        if not module.names(request):
            raise absent
        boot.ensure(request)
    try:
        rows = module.measure(request)
    finally:
        request.progress.clear()
    if not rows:
        raise absent
    for line in table.lines(module.TITLE, rows):
        print(line)
    runs = history.load()
    for line in table.summary(rows, history.last(runs, meter, rows), meter):
        print(line)
    history.append(meter, arguments.linux, rows, special=bool(arguments.append))
    return rows


def write_json(path, results):
    content = {"commit": history.commit(),
               "meters": {meter: [dataclasses.asdict(row) for row in rows]
                          for meter, rows in results.items()}}
    with open(path, "w", encoding="utf-8") as file:
        json.dump(content, file, indent=1, ensure_ascii=False)


def write_html(arguments, results):
    """What was measured now, or last, by each meter."""
    from bench import page
    runs, shown, measured = history.load(), {}, {}
    for meter in model.METERS:
        rows, when = history.remembered(runs, meter, arguments.linux)
        if arguments.append and results.get(meter):
            rows, when = results[meter], (datetime.datetime.now().isoformat(), history.commit())
        if rows and meter != "m5":
            shown[meter], measured[meter] = history.in_suite_order(rows, model.SUITES), when
    page.write(arguments.html, arguments.linux, shown, measured)


def check_gate(arguments):
    """The gate is one measurement; what asks for another is refused, not left out."""
    if arguments.gate and arguments.record:
        raise usage("--gate and --record: one of them")
    if arguments.reason and not arguments.record:
        raise usage("--reason: says why --record raises a record, so it needs that")
    default = Arguments()
    for name in ("suites", "meter", "kernels", "linux", "pairs", "smp", "json", "html", "page"):
        if getattr(arguments, name) != getattr(default, name) and \
                (name, arguments.kernels) != ("kernels", ("nos",)):
            option = {"suites": "suite", "kernels": "kernel"}.get(name, name)
            raise usage(f"--{option}: not with --{'gate' if arguments.gate else 'record'}, "
                        "which measures NOS's instructions in all suites")


def run_gate(arguments):
    progress = model.Progress()
    try:
        if arguments.gate:
            held, faults = gate.run(progress, arguments.append, arguments.name)
            print(f"{held} rows hold their records, {len(faults)} do not")
            return 1 if faults else 0
        said = gate.record(gate.measure(progress, arguments.append, arguments.name),
                           arguments.reason)
    finally:
        progress.clear()
    for line in said or ["no record changed"]:
        print(line)
    return 0


def main(words):
    if "--profile" in words:
        from bench import profiler
        return profiler.main(words)
    arguments = parse(words)
    if arguments is None:
        sys.stdout.write(help_text())
        return 0
    if arguments.gate or arguments.record:
        check_gate(arguments)
        return run_gate(arguments)
    if arguments.reason:
        raise usage("--reason: says why --record raises a record, so it needs that")
    for path in filter(None, (arguments.json, arguments.html, arguments.page)):
        if not os.path.isdir(os.path.dirname(os.path.abspath(path))):
            raise usage(f"{path}: there is no such folder")
    results, planned = {}, plan(arguments)
    if arguments.smp and not {"m3", "m5"} & planned.keys():
        raise usage("--smp: only m3 and m5 let one choose the processors")
    if arguments.pairs and "m3" not in planned:
        raise usage("--pairs: only m3 measures in pairs")
    for meter, suites in planned.items():
        results[meter] = measure(arguments, meter, suites)
    if arguments.json:
        write_json(arguments.json, results)
    if arguments.html:
        write_html(arguments, results)
    titles = {meter: model.meter(meter).TITLE for meter, rows in results.items() if rows}
    if arguments.page:
        markdown.write(arguments.page, arguments, results, titles)
    failed = [row for rows in results.values() for row in rows
              for figure in row.figures.values() if "ended with status" in figure.why]
    return 1 if failed else 0

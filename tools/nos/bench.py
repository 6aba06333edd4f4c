"""`nos bench`: what operations cost on NOS and on Linux, and the budgets.

Both kernels boot the same initramfs on the same machine, in which rdtsc ticks
once per guest instruction, so the figures are exact and repeatable.
"""
import os
import re
import stat
import subprocess
import sys

import cli
import guest
import run
from cli import ROOT, Failure

HELP = """\
Usage: ./nos bench [--kernel nos|linux] [--json FILE] [NAME]

Runs the micro-benchmarks of bench/ (those whose name holds NAME) on NOS and
on Debian's Linux, and prints guest instructions per operation, the ratio, the
budget of bench/budgets.txt and whether NOS meets it.  A minute or two.

  --kernel KERNEL   run on one kernel only
  --json FILE       also write the figures to FILE
  --page FILE       also write them as a page of Markdown (docs/performance.md)
"""

LEAN = "lsm=capability apparmor=0 init_on_alloc=0 mitigations=off audit=0 norandmaps"
FOLDER = os.path.join(ROOT, "build", "bench")


def compile_all():
    """Builds what runs in the guest, if it is older than its source."""
    os.makedirs(FOLDER, exist_ok=True)
    source = os.path.join(ROOT, "bench")
    parts = sorted(os.path.join(source, name) for name in os.listdir(source)
                   if name.endswith(".c") and name != "child.c")
    child = os.path.join(source, "child.c")
    gcc = ["gcc", "-O2", "-Wall"]
    commands = {
        "bench": [*gcc, "-static", "-fno-toplevel-reorder", *parts],
        "child-static": [*gcc, "-static", child],
        "child-dynamic": [*gcc, child],
    }
    if os.path.exists("/usr/bin/g++"):
        commands["child-c++"] = ["g++", "-O2", child + "c"]
    newest = max(os.stat(path).st_mtime for path in [*parts, child, source + "/bench.h"])
    for name, command in commands.items():
        output = os.path.join(FOLDER, name)
        if os.path.exists(output) and os.stat(output).st_mtime >= newest:
            continue
        done = subprocess.run([*command, "-o", output], stderr=subprocess.PIPE, text=True,
                              check=False)
        if done.returncode:
            raise Failure(f"{name} could not be built\n{done.stderr}")
    return list(commands)


def libraries(program):
    """The files that a dynamic program loads."""
    text = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    return re.findall(r"(/\S+) \(0x", text)


def make_archive(names):
    """An initramfs with the programs in /bench and their libraries."""
    archive = guest.Archive()
    files = {}
    for name in names:
        path = os.path.join(FOLDER, name)
        files["bench/" + name] = path
        if name.startswith("child-") and name != "child-static":
            for library in libraries(path):
                files[library.lstrip("/")] = library
    folders = {folder for name in files for folder in parents(name)}
    for folder in sorted(folders):
        archive.add(folder, stat.S_IFDIR | 0o755)
    for name, path in files.items():
        archive.add(name, stat.S_IFREG | 0o755, guest.read(path))
    path = os.path.join(FOLDER, "initramfs.cpio")
    with open(path, "wb") as file:
        file.write(archive.finish())
    return path


def parents(name):
    parts = name.split("/")[:-1]
    return ["/".join(parts[:i + 1]) for i in range(len(parts))]


def measure(kernel, archive, only):
    """{name: ticks or a reason} of one kernel."""
    options = cli.Options()
    options.kernel = kernel
    options.initramfs = archive
    options.smp = 1
    options.mem = 512 << 20
    options.accel = "tcg"
    options.timeout = 900
    options.cpu = "max,-erms,-fsrm,-pku"
    options.accel_arguments = ("-accel", "tcg", "-icount", "shift=0,sleep=off")
    options.append = LEAN.split() if kernel == "linux" else []
    options.env = {"PATH": "/bin"}
    options.command = ["/bench/bench", *([only] if only else [])]
    read_end, write_end = os.pipe()
    pid = os.fork()
    if not pid:
        os.dup2(write_end, 1)
        null = os.open("/dev/null", os.O_RDONLY)
        os.dup2(null, 0)
        try:
            status = run.run(options)
        except Failure as failure:
            sys.stderr.write(f"nos: {kernel}: {failure}\n")
            status = failure.status
        os._exit(status)
    os.close(write_end)
    results = {}
    with os.fdopen(read_end, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            fields = line.rstrip("\n").split("\t")
            if len(fields) == 3:
                results[fields[0]] = (None, fields[2]) if fields[1] == "-" else \
                    (int(fields[1]), "")
                if sys.stderr.isatty():
                    sys.stderr.write(f"\r\033[K{kernel}: {fields[0]}")
    if sys.stderr.isatty():
        sys.stderr.write("\r\033[K")
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return results, status


def budgets():
    result = {}
    with open(os.path.join(ROOT, "bench", "budgets.txt"), encoding="utf-8") as file:
        for line in file:
            name, tab, terms = line.rstrip("\n").partition("\t")
            if tab and not name.startswith("#"):
                result[name] = sum(int(term) for term in terms.split("+"))
    return result


def print_table(linux, nos):
    limits = budgets()
    met = missed = 0
    print(f"{'guest instructions':32}{'Linux':>12}{'NOS':>12}{'ratio':>8}{'budget':>10}  verdict")
    for name in dict.fromkeys([*linux, *nos]):
        ours, reason = nos.get(name, (None, "not run"))
        theirs = linux.get(name, (None, ""))[0]
        limit = limits.get(name)
        ratio = f"{ours / theirs:.2f}" if ours is not None and theirs else ""
        if ours is None:
            verdict = reason
        elif limit is None:
            verdict = ""
        else:
            verdict = "met" if ours <= limit else f"over by {ours - limit:,}"
            met += ours <= limit
            missed += ours > limit
        cells = [f"{value:,}" if value is not None else "-" for value in (theirs, ours)]
        print(f"{name:32}{cells[0]:>12}{cells[1]:>12}{ratio:>8}"
              f"{limit if limit is not None else '':>10,}  {verdict}"
              if limit is not None else
              f"{name:32}{cells[0]:>12}{cells[1]:>12}{ratio:>8}{'':>10}  {verdict}")
    print(f"{met} budgets met, {missed} missed")


PAGE_HEAD = """# Performance

Written by `./nos bench --page docs/performance.md`; not edited by hand. Guest instructions per operation (meter M1): QEMU's
TCG with `-icount shift=0,sleep=off`, one CPU, the same static program, machine and memory on both kernels; Linux is
Debian's cloud kernel with `lsm=capability apparmor=0 init_on_alloc=0 mitigations=off audit=0 norandmaps`. Each figure is the
median of its runs, less the empty loop.

Instructions are not time: what hardware charges for a trap, a TLB flush or a cache miss is not in them. Every
iteration of `rep movs` or `rep stos` counts as one, so rows that copy or clear contain that work. Budgets are those of
`bench/budgets.txt`; "over by" says that a row misses its own, though it may be far below Linux.

| operation | Linux | NOS | ratio | budget | |
|---|--:|--:|--:|--:|---|
"""


def write_page(path, linux, nos):
    """The table as Markdown, with the geometric mean and the worst row."""
    import math
    limits = budgets()
    rows, ratios = [], []
    for name, budget in limits.items():
        theirs, ours = linux.get(name, (None, ""))[0], nos.get(name, (None, ""))[0]
        verdict = "not there yet" if ours is None else \
            "met" if ours <= budget else f"over by {ours - budget:,}"
        ratio = ""
        if ours is not None and theirs:
            ratios.append((ours / theirs, name))
            ratio = f"{ours / theirs:.2f}"
        figures = [f"{v:,}" if v is not None else "–" for v in (theirs, ours, budget)]
        rows.append(f"| {name} | {figures[0]} | {figures[1]} | {ratio} | {figures[2]} | {verdict} |")
    mean = math.exp(sum(math.log(r) for r, _ in ratios) / len(ratios)) if ratios else 0
    worst = max(ratios) if ratios else (0, "none")
    with open(path, "w", encoding="utf-8") as file:
        file.write(PAGE_HEAD + "\n".join(rows) + "\n\n"
                   f"Geometric mean of the ratios: {mean:.2f}. Worst: {worst[1]}, {worst[0]:.2f}.\n")


def main(arguments):
    kernels, only, json_file, page = ["linux", "nos"], "", None, None
    arguments = list(arguments)
    while arguments:
        word = arguments.pop(0)
        if word in ("-h", "--help"):
            sys.stdout.write(HELP)
            return 0
        if word in ("--kernel", "--json", "--page") and not arguments:
            raise cli.usage(f"{word} needs a value")
        if word == "--kernel":
            kernels = [cli.parse_choice(word, "nos", "linux")(arguments.pop(0))]
        elif word == "--json":
            json_file = arguments.pop(0)
        elif word == "--page":
            page = arguments.pop(0)
        elif word.startswith("-") or only:
            raise cli.usage(f"unknown argument {word} of bench")
        else:
            only = word
    archive = make_archive(compile_all())
    results, status = {"linux": {}, "nos": {}}, 0
    for kernel in kernels:
        results[kernel], failed = measure(kernel, archive, only)
        status = status or failed
    print_table(results["linux"], results["nos"])
    if json_file:
        import json
        with open(json_file, "w", encoding="utf-8") as file:
            json.dump(results, file, indent=1)
    if page:
        write_page(page, results["linux"], results["nos"])
    return status

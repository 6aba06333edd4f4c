#!/usr/bin/python3
"""`make coverage`: how much of the kernel the tests execute, by line.

Usage: coverage.py [--level N]... [--quick | --add | --kept] [NAME...]

Runs the tests of levels 2 and 3 (or those given; NAMEs as of test.py) with a
plugin in the emulator that notes which instructions of the kernel were
executed, maps these to source lines by the line tables, and writes
build/coverage/index.txt: lines by folder and file, and those never executed.
A line counts if any copy of its code ran, in any variant of the kernel; lines
are those of the release kernel.  Prints the figures by folder and in total.

  --quick   only the kernel's own tests and one program, half a minute (quick.txt)
  --add     to what was kept from the last time; of the same kernels
  --kept    runs nothing: the figures of what was kept from the last time
"""
import bisect
import os
import re
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tools", "nos"))

import unit  # noqa: E402
from bench import plugin  # noqa: E402

FOLDER = os.path.join(ROOT, "build", "coverage")
RELEASE = os.path.join(ROOT, "build/release/nos.elf")
ROW = re.compile(r"^(\S+)\s+(\d+|-)\s+0x([0-9a-f]+)")
LEAST, LEAST_ON_HOST = 90, 95  # percent: the aims


def run_tests(runs, levels, names, quick):
    """Runs tests with the plugin; those of test.py show their progress."""
    os.makedirs(runs, exist_ok=True)
    words = plugin.arguments("coverage", out=runs)[1]
    env = {**os.environ, "NOS_QEMU_PLUGIN": words}
    if quick:
        # The kernel's own tests end the machine without a status.
        subprocess.run(["./nos", "run", "--debug", "--smp", "2", "--timeout", "170", "--append",
                        "nos.selftest", "--", "true"], cwd=ROOT, env=env, check=False,
                       capture_output=True)
        command = ["./nos", "run", "--timeout", "60", "--", "sh", "-c",
                   "ls -lR /proc/self /etc | sort > /dev/null"]
    else:
        command = [sys.executable, "tools/test.py",
                   *[word for level in levels for word in ("--level", level)], *names]
    return subprocess.run(command, cwd=ROOT, env=env, check=False).returncode


def units(image):
    """The source files of the compilation units, in the order of the line tables."""
    text = subprocess.run(["readelf", "--debug-dump=info", "--dwarf-depth=1", image],
                          capture_output=True, text=True, check=True).stdout
    return re.findall(r"DW_AT_name\s*:.*: (\S+)$", text, re.M)


def line_table(image):
    """[(start, end, file, line)] of an image, by address."""
    text = subprocess.run(["objdump", "--dwarf=decodedline", image], capture_output=True,
                          text=True, check=True).stdout
    sources = iter(units(image))
    rows, file, before = [], None, None
    for line in text.splitlines():
        row = ROW.match(line)
        if row:
            number, address = row[2], int(row[3], 16)
            if before and address > before[0]:
                rows.append((before[0], address, *before[1:]))
            before = (address, file, int(number)) if number != "-" else None
        elif line.endswith((":", ":[++]")) and " " not in line:
            name = line.removesuffix("[++]").rstrip(":").removeprefix("./")
            # The first file of a unit is named without its folder.
            if "/" not in name:
                name = next((source for source in sources if source.endswith("/" + name)), name)
            file = os.path.normpath(name)
    return sorted(rows)


def executed(runs):
    """{kernel: sorted [(start, end)]} of all runs."""
    ranges = {}
    for name in os.listdir(runs):
        with open(os.path.join(runs, name), encoding="utf-8") as file:
            kernel = file.readline().split(None, 1)[1].strip()
            ranges.setdefault(kernel, set()).update(
                tuple(int(word, 16) for word in line.split()) for line in file)
    return {kernel: merge(sorted(found)) for kernel, found in ranges.items()}


def merge(ranges):
    merged = []
    for start, end in ranges:
        if merged and start <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([start, end])
    return merged


def covered_lines(image, ranges):
    """{(file, line)} of which some code was executed."""
    starts = [start for start, _ in ranges]
    lines = set()
    for start, end, file, line in line_table(image):
        at = bisect.bisect_left(starts, end) - 1
        if at >= 0 and ranges[at][1] > start:
            lines.add((file, line))
    return lines


def is_kernel_source(file):
    return not file.startswith(("/", "..", "build/")) and not file.endswith("_test.c") and \
        os.path.exists(os.path.join(ROOT, file))


def folder_of(file):
    parts = file.split("/")
    return "/".join(parts[:2]) if parts[0] in ("fs", "drivers", "net", "arch") and \
        len(parts) > 2 else parts[0]


def percent(hit, lines):
    return 100 * len(hit) / max(len(lines), 1)


def as_ranges(numbers):
    """1, 2, 3, 7 as "1-3 7"."""
    said, numbers = [], sorted(numbers)
    for number in numbers:
        if said and number == said[-1][1] + 1:
            said[-1][1] = number
        else:
            said.append([number, number])
    return " ".join(f"{a}" if a == b else f"{a}-{b}" for a, b in said)


def group(lines, key):
    groups = {}
    for file, line in lines:
        groups.setdefault(key(file), set()).add((file, line))
    return groups


def host_summary():
    """What gcov said when the unit tests last ran on the host, [] if they did not."""
    hit = total = 0
    for layer in unit.LAYERS:
        more = unit.coverage(layer, unit.parts(layer)[1])
        hit, total = hit + more[0], total + more[1]
    return [f"{'host-tested, by gcov':24}{total:>9,}{hit:>10,}{100 * hit / total:>8.1f}%"
            f"  (aim: {LEAST_ON_HOST}%)"] if total else []


def report(runs, index):
    """Writes the index; returns its first part, the figures by folder."""
    lines = {(file, line) for _, _, file, line in line_table(RELEASE) if is_kernel_source(file)}
    hit = set()
    for kernel, ranges in executed(runs).items():
        hit |= covered_lines(kernel, ranges)
    hit &= lines
    summary = [f"{'folder':24}{'lines':>9}{'executed':>10}{'':>9}"]
    by_folder, hit_by_folder = group(lines, folder_of), group(hit, folder_of)
    for folder in sorted(by_folder):
        of, ran = by_folder[folder], hit_by_folder.get(folder, set())
        summary.append(f"{folder:24}{len(of):>9,}{len(ran):>10,}{percent(ran, of):>8.1f}%")
    summary.append(f"{'the kernel':24}{len(lines):>9,}{len(hit):>10,}{percent(hit, lines):>8.1f}%"
                   f"  (aim: {LEAST}%)")
    summary += host_summary()
    detail = ["", "Files, and the lines of theirs that no test executed:"]
    by_file, hit_by_file = group(lines, str), group(hit, str)
    for file in sorted(by_file):
        of, ran = by_file[file], hit_by_file.get(file, set())
        missed = as_ranges(line for _, line in of - ran)
        detail.append(f"{file} {percent(ran, of):.1f}% of {len(of)}" +
                      (f": {missed}" if missed else ""))
    with open(index, "w", encoding="utf-8") as file:
        file.write("\n".join(summary + detail) + "\n")
    return summary


def parse(words):
    levels, names, quick, kept, add = [], [], False, False, False
    words = list(words)
    while words:
        word = words.pop(0)
        if word in ("-h", "--help"):
            print(__doc__.strip())
            sys.exit(0)
        if word == "--level" and words:
            levels.append(words.pop(0))
        elif word == "--quick":
            quick = True
        elif word == "--kept":
            kept = True
        elif word == "--add":
            add = True
        elif word.startswith("-"):
            sys.exit(f"coverage: unknown argument {word}")
        else:
            names.append(word)
    return levels or ["2", "3"], names, quick, kept, add


def main():
    levels, names, quick, kept, add = parse(sys.argv[1:])
    os.chdir(ROOT)
    status, name = 0, "quick" if quick else "index"
    runs, index = os.path.join(FOLDER, name + ".runs"), os.path.join(FOLDER, name + ".txt")
    if not kept:
        if not add:
            shutil.rmtree(runs, ignore_errors=True)
        subprocess.run(["make", "-s", f"-j{os.cpu_count() or 1}", "all", "debug"], check=True)
        status = run_tests(runs, levels, names, quick)
    if not os.path.isdir(runs) or not os.listdir(runs):
        sys.exit("coverage: no run was kept")
    for line in report(runs, index):
        print(line)
    print(f"lines that no test executed: {os.path.relpath(index)}")
    return 1 if status else 0


if __name__ == "__main__":
    sys.exit(main())

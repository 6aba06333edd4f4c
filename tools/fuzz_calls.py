#!/usr/bin/python3
"""Random system calls on NOS and on Linux, compared call by call.

Usage: fuzz_calls.py [--seconds N] [--seed N]   random programs
       fuzz_calls.py --program "SEED LENGTH [-CALL]..."   one program, both logs
       fuzz_calls.py --corpus                   the programs of the tree

Both kernels boot the same initramfs with the program of tests/fuzz/calls/,
which draws calls from a seed and prints what each gave.  The first call of a
program that differs is reported, with the fewest calls before it that it needs.
Differences that are right stand in tests/fuzz/calls/allowed.txt, each with its
reason; programs that once differed in tests/fuzz/calls/corpus.txt.
"""
import concurrent.futures
import os
import random
import re
import stat
import subprocess
import sys
import time

import syscall_page

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tools/nos"))
import guest  # noqa: E402
import machine  # noqa: E402
import packages  # noqa: E402
from report import Options, Report, count  # noqa: E402

SOURCE = os.path.join(ROOT, "tests/fuzz/calls")
BUILD = os.path.join(ROOT, "build/calls")
SECONDS = 60
# What `make test` runs of seed 1, on every machine, and again until the minute is over: known to be
# clean, and more than a minute's work for most.
TEST_PROGRAMS = 1800
PACKAGES = {"/usr/bin/gcc": "gcc", "/usr/include/stdio.h": "libc6-dev", **machine.LINUX_PACKAGES}
LENGTH = 60
# A processor as NOS sees it, and no security modules, of which one forgets capabilities.
REFERENCE = "nopku no5lvl lsm=capability apparmor=0"
BATCH = 200  # programs of one boot


# ---- the program and its machine

def build():
    """The static program, with the list of calls that the kernel has not."""
    os.makedirs(BUILD, exist_ok=True)
    have = syscall_page.defined_handlers()
    missing = [name for _, name, _ in syscall_page.calls() if name not in have]
    with open(os.path.join(BUILD, "missing.h"), "w", encoding="utf-8") as file:
        file.write("".join(f'"{name}",\n' for name in missing))
    sources = [os.path.join(SOURCE, name) for name in sorted(os.listdir(SOURCE))
               if name.endswith(".c")]
    done = subprocess.run(["gcc", "-std=gnu2x", "-O1", "-static", "-Wall", "-Wextra", "-Werror",
                           f"-I{BUILD}", "-o", os.path.join(BUILD, "calls"), *sources],
                          stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)


def make_archive(programs, path):
    archive = guest.Archive()
    archive.add("calls", stat.S_IFREG | 0o755, guest.read(os.path.join(BUILD, "calls")))
    archive.add("programs", stat.S_IFREG | 0o644, "".join(p + "\n" for p in programs).encode())
    with open(path, "wb") as file:
        file.write(archive.finish())


def run_one(kernel, programs, timeout=300):
    """{program: [line]} of one boot; what is not in it was not reached.  And what went wrong."""
    archive = os.path.join(BUILD, f"{kernel}-{os.getpid()}.cpio")
    make_archive(programs, archive)
    try:
        done = subprocess.run([os.path.join(ROOT, "nos"), "run", "--kernel", kernel, "--smp", "1",
                               "--mem", "512M", "--accel", "tcg", "--append",
                               REFERENCE if kernel == "linux" else "", "--initramfs", archive,
                               "--timeout", str(timeout), "--", "/calls", "/programs"],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, cwd=ROOT, check=False,
                              timeout=timeout + 60)
        text, errors = done.stdout, done.stderr
    except subprocess.TimeoutExpired as late:
        text, errors = late.stdout or b"", b"time is up"
    finally:
        os.unlink(archive)
    results, current = {}, None
    for line in text.decode(errors="replace").splitlines():
        if line.startswith("== "):
            current = results.setdefault(line[3:], [])
        elif current is not None:
            current.append(line)
    fault = "" if "done" in results else errors.decode(errors="replace")[-3000:] or "no end"
    return results, fault


def run_both(programs, timeout=300):
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        linux = pool.submit(run_one, "linux", programs, timeout)
        nos = pool.submit(run_one, "nos", programs, timeout)
        return linux.result(), nos.result()


# ---- comparing

class Allowed:
    """Lines of `what | call | Linux's result | NOS's | reason`, the middle three as patterns.

    With `same` the comparison goes on after the difference; with `stop` the rest of the
    program, which has taken another way, is not compared.
    """

    def __init__(self):
        self.rules = []
        with open(os.path.join(SOURCE, "allowed.txt"), encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                fields = [field.strip() for field in line.split(" | ")]
                if line.startswith("#") or not line.strip():
                    continue
                if len(fields) != 5 or fields[0] not in ("same", "stop"):
                    raise RuntimeError(f"allowed.txt:{number}: not five fields")
                self.rules.append((fields[0], *map(re.compile, fields[1:4])))

    def verdict(self, linux, nos):
        for what, call, theirs, ours in self.rules:
            line = linux if ") = " in linux else nos
            if call.search(line) and theirs.search(result_of(linux)) and ours.search(result_of(nos)):
                return what
        return None


def result_of(line):
    return line.rpartition(") = ")[2]


def is_fault(line):
    """EFAULT: how far a copy came before it is not compared."""
    return result_of(line).startswith("EFAULT")


def first_difference(linux, nos, allowed):
    """The number of the first line that differs, or None."""
    for i, line in enumerate(linux):
        other = nos[i] if i < len(nos) else "nothing"
        if line == other or (is_fault(line) and is_fault(other)):
            continue
        verdict = allowed.verdict(line, other)
        if verdict == "stop":
            return None
        if verdict is None:
            return i
    return len(linux) if len(nos) > len(linux) else None


def call_of(line):
    """What makes two differences one: the call's number, its name, and both results."""
    match = re.match(r"(\d+) (\w+)\(", line)
    return (match[1], match[2]) if match else ("", line)


def difference_of(results, program, allowed):
    """((call), Linux's line, NOS's line) or None."""
    linux, nos = results[0][0].get(program), results[1][0].get(program)
    if linux is None or nos is None:
        return None
    i = first_difference(linux, nos, allowed)
    if i is None:
        return None
    lines = [side[i] if i < len(side) else "nothing" for side in (linux, nos)]
    return (call_of(lines[0]), *lines)


# ---- making it small

def text_of(seed, length, without):
    return " ".join([f"{seed} {length}", *(f"-{i}" for i in sorted(without))])


def shrink(program, found, allowed):
    """The program with the fewest calls in which the same call still differs."""
    seed, length, *rest = program.split()
    last = int(found[0][0]) if found[0][0] else int(length) - 1
    without = {int(word[1:]) for word in rest} & set(range(last + 1))
    keep = [i for i in range(last) if i not in without]

    def trial(sets):
        programs = {text_of(seed, last + 1, set(range(last)) - set(kept)): kept for kept in sets}
        results = run_both(list(programs))
        good = []
        for text, kept in programs.items():
            seen = difference_of(results, text, allowed)
            if seen and seen[0] == found[0]:
                good.append((len(kept), kept, seen))
        return min(good, default=None, key=lambda entry: entry[0])

    best = trial([keep])
    if not best:
        return program, found
    while True:
        kept = best[1]
        halves = [kept[:i] + kept[i + step:] for step in
                  sorted({max(1, len(kept) // n) for n in (1, 2, 3, 4, 8, 16)} | {1})
                  for i in range(0, len(kept), step)]
        better = trial(halves) if kept else None
        if not better or better[0] >= best[0]:
            break
        # All calls that could be left out one by one may often go together.
        best = better
    return text_of(seed, last + 1, set(range(last)) - set(best[1])), best[2]


def describe(program, allowed):
    """Both logs of one program as text, and whether they agree."""
    results = run_both([program])
    linux, nos = (side[0].get(program, ["not run"]) for side in results)
    out = []
    for i in range(max(len(linux), len(nos))):
        theirs, ours = (side[i] if i < len(side) else "nothing" for side in (linux, nos))
        if theirs == ours:
            out.append("  " + theirs)
        else:
            out += ["L " + theirs, "N " + ours]
    found = difference_of(results, program, allowed)
    out.append(f"differs in {found[0][1]}" if found else "no difference that is not allowed")
    faults = [fault for _, fault in results if fault]
    return "\n".join(out + faults), not found and not faults


# ---- batches

def check(programs, allowed):
    """Runs them on both kernels: ([(program, difference)], fault of the machine)."""
    results = run_both(programs)
    found = []
    for program in programs:
        seen = difference_of(results, program, allowed)
        if seen:
            found.append((program, seen))
    fault = results[1][1] or (results[0][1] and "linux: " + results[0][1])
    if fault:
        reached = results[1][0] if results[1][1] else results[0][0]
        fault = f"after program {list(reached)[-1] if reached else 'none'}:\n{fault}"
    return found, fault


def report_text(program, seen):
    return (f"{seen[0][1]}\n  Linux: {seen[1]}\n  NOS:   {seen[2]}\n"
            f"  again: tools/fuzz_calls.py --program \"{program}\"\n")


def read_corpus():
    with open(os.path.join(SOURCE, "corpus.txt"), encoding="utf-8") as file:
        return [line.strip() for line in file if line.strip() and not line.startswith("#")]


def batches(seed, series):
    """Lists of programs of one boot, without end.

    `series` of them again and again, other ones together each time, so that what one leaves
    behind meets others; 0: never the same.
    """
    start, turn = seed * 1000000, 0
    while True:
        if not series:
            numbers = range(turn * BATCH, (turn + 1) * BATCH)
        else:
            boots = series // BATCH
            again, boot = divmod(turn, boots)
            numbers = (range(boot, series, boots) if again % 2 else
                       range(boot * BATCH, (boot + 1) * BATCH))
        yield [f"{start + i} {LENGTH}" for i in numbers]
        turn += 1


def run_programs(report, name, allowed, seconds, seed, series=0, only_corpus=False):
    """The corpus, then random programs: all of the series, and as long as `seconds`."""
    start = time.monotonic()
    todo, programs, kinds, fault = read_corpus(), 0, {}, ""
    more = batches(seed, series)
    while not fault:
        found, fault = check(todo, allowed)
        for program, seen in found:
            kinds.setdefault((seen[0][1], result_of(seen[1])[:8], result_of(seen[2])[:8]),
                             (program, seen))
        if only_corpus or programs >= series and time.monotonic() - start >= seconds:
            break
        todo = next(more)
        programs += len(todo)
    text = ""
    for program, seen in kinds.values():
        if time.monotonic() - start < 3 * max(seconds, SECONDS):
            program, seen = shrink(program, seen, allowed)
        text += report_text(program, seen)
    failed = len(kinds) + bool(fault)
    report.add(f"{name} ({programs} programs, seed {seed})", 0 if failed else 1, failed,
               text + fault, time.monotonic() - start, begun=name)


def run(report, seconds=SECONDS, seed=1, series=TEST_PROGRAMS, only_corpus=False):
    """What `make test` and `make fuzz` do."""
    name = "fuzz calls"
    if not report.wants(name):
        return
    report.doing(name)
    try:
        build()
        run_programs(report, name, Allowed(), seconds, seed, series, only_corpus)
    except RuntimeError as error:
        report.add(name, 0, 1, str(error))


def main():
    options = Options(__doc__, {"--seconds": (count, SECONDS),
                                "--seed": (int, random.getrandbits(31)), "--program": (str, "")},
                      ("--corpus",)).parse(sys.argv[1:])
    options.known_words((), "such word")
    packages.ensure_or_exit("fuzz", PACKAGES)
    if options["--program"]:
        build()
        text, agree = describe(options["--program"], Allowed())
        print(text)
        return 0 if agree else 1
    report = Report()
    run(report, options["--seconds"], options["--seed"], 0, options["--corpus"])
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())

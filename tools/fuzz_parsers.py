#!/usr/bin/python3
"""libFuzzer over the parsers: each harness of tests/fuzz/ becomes one program.

Usage: fuzz_parsers.py [--seconds N] [--seed N] [--keep] [NAME...]
       fuzz_parsers.py --input FILE NAME     one input again, to see the fault
       fuzz_parsers.py --build               only builds

Every harness, or those named, as many at once as there are processors, each for
--seconds (60).
--keep adds inputs that reach new code to tests/fuzz/corpus/NAME, one line of
hexadecimal for each.  A harness is a C file with LLVMFuzzerTestOneInput; the
sources that it needs stand in a comment, as in unit tests.
"""
import concurrent.futures
import hashlib
import os
import random
import re
import shutil
import subprocess
import sys
import time

import unit

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tools/nos"))
import packages  # noqa: E402
from report import Options, Report, count  # noqa: E402

TESTS = "tests/fuzz"
BUILD = "build/fuzz"
SECONDS = 60  # of each harness
INPUT_LIMIT = 4096  # bytes, of an input and of one that is kept
KEPT_LIMIT = 24 << 10  # characters of a corpus file
JOBS = os.cpu_count() or 1
PACKAGES = {  # clang's run-time library is in a package of its own
    "/usr/bin/clang": "clang", "/usr/bin/make": "make", "/usr/bin/gcc": "gcc",
    "/usr/lib/llvm-14/lib/clang/14*/lib/linux/libclang_rt.fuzzer-x86_64.a": "libclang-rt-14-dev"}
SANITIZE = ["-fno-sanitize=shift,alignment,function", "-fno-sanitize-recover=all", "-O1"]


def names():
    found = []
    for entry in sorted(os.listdir(TESTS)):
        if entry.endswith(".c"):
            with open(f"{TESTS}/{entry}", encoding="utf-8") as file:
                if "int LLVMFuzzerTestOneInput(" in file.read():
                    found.append(entry[:-2])
    return found


def clang_include():
    return subprocess.run(["clang", "-print-resource-dir"], capture_output=True, text=True,
                          check=True).stdout.strip() + "/include"


def compile_one(source, target):
    flags = unit.include_flags()
    flags[flags.index("-isystem") + 1] = clang_include()
    command = ["clang", *flags, *unit.FLAGS, "-fsanitize=fuzzer-no-link,address,undefined",
               *SANITIZE, "-Dmain=unit_main", "-Dstatic_assert=_Static_assert", "-MMD", "-c",
               "-o", target, source]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stderr if done.returncode else ""


def sources(name):
    path = f"{TESTS}/{name}.c"
    lib = [f"lib/{entry}" for entry in sorted(os.listdir("lib"))
           if entry.endswith(".c") and not entry.endswith("_test.c")]
    with open(path, encoding="utf-8") as file:
        included = re.findall(r'^#include "../../(\S+\.c)"', file.read(), re.M)
    return [source for source in dict.fromkeys([path, "tests/host/shim.c", *unit.needs(path), *lib])
            if source not in included]


def build(wanted):
    """{name: program}; exits with the compiler's words where that fails."""
    os.makedirs(f"{BUILD}/obj", exist_ok=True)
    objects = {path: f"{BUILD}/obj/{path.replace('/', '-')}.o"
               for name in wanted for path in sources(name)}
    stale = [(path, target) for path, target in objects.items()
             if not unit.is_fresh(target, path)]
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        errors = [text for text in pool.map(lambda pair: compile_one(*pair), stale) if text]
    if errors:
        raise RuntimeError("\n".join(errors))
    programs = {}
    for name in wanted:
        program, errors = unit.link(f"{BUILD}/{name}",
                                    ["-fsanitize=fuzzer,address,undefined"],
                                    [objects[path] for path in sources(name)], "clang")
        if not program:
            raise RuntimeError(errors)
        programs[name] = program
    return programs


# ---- corpus: the tree's, and what this machine has found so far

def corpus_lines(name):
    path = f"{TESTS}/corpus/{name}"
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as file:
        return [line.strip() for line in file if line.strip()]


def unpack_corpus(name):
    folder = f"{BUILD}/{name}.corpus"
    os.makedirs(folder, exist_ok=True)
    for line in corpus_lines(name):
        data = bytes.fromhex(line)
        path = f"{folder}/{hashlib.sha1(data).hexdigest()}"
        if not os.path.exists(path):
            with open(path, "wb") as file:
                file.write(data)
    return folder


def keep_corpus(name, program):
    """Small inputs that together reach what the whole working corpus reaches."""
    folder, merged = f"{BUILD}/{name}.corpus", f"{BUILD}/{name}.merged"
    shutil.rmtree(merged, ignore_errors=True)
    os.makedirs(merged)
    subprocess.run([program, "-merge=1", f"-max_len={INPUT_LIMIT}", merged, folder],
                   env=environment(), capture_output=True, check=False)
    lines = []
    for entry in os.listdir(merged):
        with open(f"{merged}/{entry}", "rb") as file:
            lines.append(file.read().hex())
    lines = sorted(filter(None, lines), key=lambda line: (len(line), line))
    # The smallest, for they are the clearest, and the largest, for they are the seeds.
    kept, total = set(), 0
    for group, limit in ((lines[::-1], KEPT_LIMIT // 2), (lines, KEPT_LIMIT)):
        for line in group:
            if line not in kept and total + len(line) < limit:
                kept.add(line)
                total += len(line) + 1
    kept = [line for line in lines if line in kept]
    os.makedirs(f"{TESTS}/corpus", exist_ok=True)
    with open(f"{TESTS}/corpus/{name}", "w", encoding="utf-8") as file:
        file.write("".join(line + "\n" for line in kept))


def environment():
    return {**os.environ, "UBSAN_OPTIONS": "print_stacktrace=1",
            "ASAN_OPTIONS": "detect_leaks=1:handle_segv=1:allocator_may_return_null=1"}


def fuzz(name, program, seconds, seed):
    """(inputs tried, text of the fault or "")."""
    folder = unpack_corpus(name)
    command = [program, f"-max_total_time={seconds}", f"-seed={seed}", f"-max_len={INPUT_LIMIT}",
               "-timeout=10", "-rss_limit_mb=1500", "-print_final_stats=1", "-use_value_profile=1",
               f"-artifact_prefix={BUILD}/{name}-", folder]
    try:
        done = subprocess.run(command, env=environment(), capture_output=True, errors="replace",
                              timeout=seconds + 120, check=False)
        status, text = done.returncode, done.stderr
    except subprocess.TimeoutExpired:
        status, text = 1, "the harness did not end"
    match = re.search(r"number_of_executed_units:\s*(\d+)", text)
    runs = int(match[1]) if match else 0
    if not status:
        return runs, ""
    start = min((text.find(mark) for mark in ("panic:", "ERROR:", "runtime error:")
                 if mark in text), default=max(0, len(text) - 3000))
    saved = re.findall(r"Test unit written to (\S+)", text)
    again = f"\nagain: tools/fuzz_parsers.py --input {saved[-1]} {name}" if saved else ""
    return runs, text[max(0, start - 200):start + 4000] + again


def run(report, seconds=SECONDS, seed=1):
    """Fuzzes what the report wants, each harness for so long; False if one did not build."""
    wanted = [name for name in names() if report.wants(f"fuzz {name}")]
    if not wanted:
        return True
    report.doing("fuzz build")
    try:
        programs = build(wanted)
    except RuntimeError as error:
        report.add("fuzz build", 0, 1, str(error))
        return False
    report.done("fuzz build")

    def one(name):
        start = time.monotonic()
        report.doing(f"fuzz {name}")
        runs, fault = fuzz(name, programs[name], seconds, seed)
        report.add(f"fuzz {name} ({runs} inputs)", 0 if fault else 1, 1 if fault else 0, fault,
                   time.monotonic() - start, begun=f"fuzz {name}")

    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        list(pool.map(one, wanted))
    return True


def main():
    options = Options(__doc__, {"--seconds": (count, SECONDS),
                                "--seed": (int, random.getrandbits(31)), "--input": (str, "")},
                      ("--keep", "--build")).parse(sys.argv[1:])
    one_input = options["--input"] and os.path.abspath(options["--input"])
    os.chdir(ROOT)
    wanted = options.known_words(names(), "harness") or names()
    if one_input and (len(options.words) != 1 or not os.path.isfile(one_input)):
        options.fail("--input takes a file, and one harness")
    packages.ensure_or_exit("fuzz", PACKAGES)
    subprocess.run(["make", "-s", f"-j{JOBS}"], check=True)
    if options["--build"] or one_input:
        programs = build(wanted)
        return subprocess.run([programs[wanted[0]], one_input], env=environment(),
                              check=False).returncode if one_input else 0
    print(f"seed {options['--seed']}", flush=True)
    report = Report([f"fuzz {name}" for name in wanted])
    run(report, options["--seconds"], options["--seed"])
    if options["--keep"] and not report.failed:
        for name, program in build(wanted).items():
            keep_corpus(name, program)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())

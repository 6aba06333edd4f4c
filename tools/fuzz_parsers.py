#!/usr/bin/python3
"""libFuzzer over the parsers: each harness of tests/fuzz/ becomes one program.

Usage: fuzz_parsers.py [--seconds N] [--seed N] [--keep] [NAME...]
       fuzz_parsers.py --input FILE NAME     one input again, to see the fault
       fuzz_parsers.py --build               only builds

Without options: every harness, a minute in all.  --seconds is for each harness.
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
TESTS = "tests/fuzz"
BUILD = "build/fuzz"
ALL_SECONDS = 60  # of `make test`, for all harnesses together
INPUT_LIMIT = 4096  # bytes, of an input and of one that is kept
KEPT_LIMIT = 24 << 10  # characters of a corpus file
JOBS = os.cpu_count() or 1
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


def run(report, wants=lambda name: True, seconds=0, seed=1):
    """Fuzzes what is wanted; report(name, passed, failed, text, seconds) for each harness."""
    wanted = [name for name in names() if wants(f"fuzz {name}")]
    if not wanted:
        return
    try:
        programs = build(wanted)
    except RuntimeError as error:
        report("fuzz build", 0, 1, str(error), None)
        return
    each = seconds or max(2, ALL_SECONDS * JOBS // len(names()))

    def one(name):
        start = time.monotonic()
        runs, fault = fuzz(name, programs[name], each, seed)
        report(f"fuzz {name} ({runs} inputs)", 0 if fault else 1, 1 if fault else 0, fault,
               time.monotonic() - start)

    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        list(pool.map(one, wanted))


def ensure_packages():
    """clang's run-time library, which Debian has in a package of its own."""
    if subprocess.run("ls /usr/lib/llvm-*/lib/clang/*/lib/linux/libclang_rt.fuzzer-x86_64.a",
                      shell=True, capture_output=True, check=False).returncode == 0:
        return
    command = ["apt-get", "install", "-y", "--no-install-recommends", "clang", "libclang-rt-14-dev"]
    if os.getuid():
        sys.exit(f"fuzz: packages are missing; run: sudo {' '.join(command)}")
    print(f"installing {' '.join(command[4:])}", flush=True)
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for step in (["apt-get", "update"], command):
        done = subprocess.run(step, env=env, stdin=subprocess.DEVNULL, text=True,
                              capture_output=True, check=False)
    if done.returncode:
        sys.exit(f"fuzz: this failed: {' '.join(command)}\n{done.stderr[-2000:]}")


def main():
    seconds, seed, keep, only_build, one_input = 0, random.getrandbits(31), False, False, None
    wanted, arguments = [], sys.argv[1:]
    while arguments:
        word = arguments.pop(0)
        if word in ("--seconds", "--seed", "--input") and arguments:
            value = arguments.pop(0)
            if word == "--seconds":
                seconds = int(value)
            elif word == "--seed":
                seed = int(value)
            else:
                one_input = os.path.abspath(value)
        elif word == "--keep":
            keep = True
        elif word == "--build":
            only_build = True
        elif word.startswith("-"):
            print(__doc__.strip())
            return 0 if word in ("-h", "--help") else 2
        else:
            wanted.append(word)
    os.chdir(ROOT)
    ensure_packages()
    subprocess.run(["make", "-s", f"-j{JOBS}"], check=True)
    wanted = wanted or names()
    unknown = set(wanted) - set(names())
    if unknown:
        sys.exit(f"fuzz: no harness {' '.join(sorted(unknown))}; there are: {' '.join(names())}")
    if only_build or one_input:
        program = build(wanted)[wanted[0]]
        return subprocess.run([program, one_input], env=environment(),
                              check=False).returncode if one_input else 0
    print(f"seed {seed}", flush=True)
    failures = []

    def report(name, passed, failed, text, took):
        print(f"{name}: {'FAILED' if failed else 'ok'} ({took or 0:.0f} s)", flush=True)
        if failed:
            failures.append(name)
            print(text, flush=True)

    run(report, lambda name: name[5:] in wanted, seconds, seed)
    if keep and not failures:
        for name, program in build(wanted).items():
            keep_corpus(name, program)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

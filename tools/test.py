#!/usr/bin/python3
"""`make test`: all tests, with progress; the last line is "N passed, N failed".

Usage: test.py [--level N]... [--kernel nos|linux|debug|sanitize] [--smp N] [NAME...]

  0  checks of the source            3  system tests, on the host, then on NOS
  1  unit tests on the host          5  programs of the machine, against the host's
  2  unit tests inside the kernel       result, and the command-line tool
  6  models (spin), and libFuzzer   7  the price of operations, beside their records;
       over the parsers, a minute       planted faults, which must be found
       each; random calls compared
       with Linux's

With NAMEs, only tests whose name holds one of them.  LEVEL=... and TEST=...
in the environment do the same for `make test`.
"""
import fcntl
import os
import re
import select
import signal
import subprocess
import sys
import time

import check
import fuzz_calls
import fuzz_parsers
import models
import planted
import unit
from report import Options, Report, count

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tools/nos"))
import packages  # noqa: E402
import panic  # noqa: E402

NOS = os.path.join(ROOT, "nos")
SILENCE = 60  # a guest that prints nothing for so many seconds hangs
PACKAGES = {  # a file of each package that the tests need
    "/usr/bin/patch": "patch", "/usr/bin/gcc": "gcc", "/usr/lib/x86_64-linux-gnu/libc.a": "libc6-dev",
    "/usr/bin/git": "git", "/usr/bin/make": "make", "/usr/bin/perl": "perl",
    "/usr/bin/lua5.4": "lua5.4", "/usr/bin/gawk": "gawk", "/usr/bin/file": "file",
    "/usr/bin/less": "less", "/usr/bin/vim.tiny": "vim-tiny", "/usr/bin/ps": "procps",
    "/usr/bin/tmux": "tmux", "/usr/bin/sqlite3": "sqlite3", "/usr/bin/zstd": "zstd",
    "/usr/bin/xz": "xz-utils", "/usr/bin/musl-gcc": "musl-tools", "/usr/bin/go": "golang-go",
    "/usr/bin/taskset": "util-linux", "/usr/bin/strace": "strace",
    "/usr/bin/qemu-system-x86_64": "qemu-system-x86", "/usr/bin/ldd": "libc-bin",
    "/usr/bin/lsblk": "util-linux", "/usr/bin/diff": "diffutils", "/usr/bin/g++": "g++", "/usr/bin/bzip2": "bzip2",
    "/usr/bin/grub-mkrescue": "grub-common", "/usr/bin/xorriso": "xorriso",
    "/usr/lib/grub/i386-pc/boot.img": "grub-pc-bin", "/usr/bin/mformat": "mtools", "/usr/bin/cpio": "cpio",
    "/usr/bin/bochs": "bochs", "/usr/share/bochs/BIOS-bochs-latest": "bochsbios",
    "/usr/share/vgabios/vgabios.bin": "vgabios",
    "/usr/lib/x86_64-linux-gnu/bochs/plugins/libbx_term_gui.so": "bochs-term",
    "/usr/bin/busybox": "busybox-static",
    **check.PACKAGES, **models.PACKAGES, **planted.PACKAGES, **fuzz_parsers.PACKAGES,
    **fuzz_calls.PACKAGES,
}


def run_text(command, timeout, **options):
    """(status, output) of a command; status None when it took too long."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=timeout, check=False, **options)
        return done.returncode, done.stdout.decode(errors="replace")
    except subprocess.TimeoutExpired as error:
        return None, (error.stdout or b"").decode(errors="replace") + "\ntime is up"


def totals(text):
    match = re.findall(r"^(\d+) passed, (\d+) failed$", text, re.M)
    return (int(match[-1][0]), int(match[-1][1])) if match else (0, 0)


# ---- level 0 and 1

def level_check(report):
    for name, step in check.STEPS.items():
        if not report.wants("check " + name):
            continue
        start = time.monotonic()
        report.doing("check " + name)
        faults = step()
        report.add("check " + name, 0 if faults else 1, 1 if faults else 0,
                   "\n".join(faults), time.monotonic() - start)


def level_unit(report):
    unit.run(report)


# ---- level 2

def switches_off():
    """What turns off every optimisation that the kernel's sources name."""
    text = run_text(["grep", "-rhoE", r'boot_opt_enabled\("\w+"', "--include=*.c",
                     "--exclude=*_test.c", *unit.LAYERS], 60, cwd=ROOT)[1]
    return sorted({f"opt.{name}=off" for name in re.findall(r'"(\w+)"', text)})


def level_self(report, kernel):
    if kernel == "linux":
        return
    runs = [(["--sanitize", "--smp", "2"], "nos.selftest")]
    if kernel == "nos":
        runs = [(["--debug", "--smp", "2"], "nos.selftest"),
                (["--debug", "--smp", "2"], "nos.selftest=sched sched=round-robin"),
                (["--debug", "--smp", "2"], " ".join(["nos.selftest", *switches_off()])),
                (["--debug", "--smp", "1", "--machine", "microvm"], "nos.selftest"), *runs]
    for arguments, options in runs:
        words = options.replace(" ".join(switches_off()), "no optimisation").split()[1:]
        name = " ".join(["self", *arguments, *words])
        if not report.wants(name):
            continue
        start = time.monotonic()
        report.doing(name)
        _, text = run_text([NOS, "run", "--log", "--timeout", "170", *arguments,
                            "--append", options, "--", "true"], 400, cwd=ROOT)
        match = re.search(r"selftest: (\d+) passed, (\d+) failed", text)
        passed, failed = (int(match[1]), int(match[2])) if match else (0, 1)
        if match:
            text = "\n".join(line for line in text.splitlines()
                             if "selftest:" in line and "selftest: ok" not in line)
        report.add(name, passed, failed, text, time.monotonic() - start)


# ---- level 3

def system_programs(report):
    """{family: [path]}, built."""
    report.doing("system build")
    status, text = run_text(["bash", "tests/system/run.sh", "-b"], 900, cwd=ROOT)
    if status:
        report.add("system build", 0, 1, text)
    report.done("system build")
    families = {}
    for folder, _, names in os.walk(os.path.join(ROOT, "build/system")):
        family = os.path.basename(folder)
        paths = [f"build/system/{family}/{name}" for name in sorted(names)
                 if os.path.exists(os.path.join(ROOT, f"tests/system/{family}/{name}.c"))
                 and report.wants(f"system {family}/{name}")]
        if paths:
            families[family] = paths
    return dict(sorted(families.items()))


def system_on_host(report, families):
    for family, paths in families.items():
        passed = failed = 0
        bad = ""
        start = time.monotonic()
        report.doing(f"host {family}")
        for path in paths:
            status, text = run_text([os.path.join(ROOT, path)], 200, cwd=ROOT)
            good, wrong = totals(text)
            passed += good
            failed += max(wrong, 1 if status else 0)
            if status:
                bad += f"{path}\n{failures_of(text)}"
        report.add(f"host {family}", passed, failed, bad, time.monotonic() - start)


def failures_of(text, kernel=None):
    lines = [line for line in text.splitlines() if not line.startswith("ok ")]
    first = max(len(lines) - 25, 0)
    for at, line in enumerate(lines):
        if "report: CPU" in line:  # of a machine that hung: all of it
            first = min(first, at)
    text = "\n".join(lines[first:]) + "\n"
    if "leak:" in text:  # where it was allocated
        text = panic.symbolise(text, os.path.join(ROOT, f"build/{kernel}/nos.elf"))
    return text


def variant(kernel):
    """The tool's options for a kernel; "debug" and "sanitize" are NOS with checks."""
    return ["--" + kernel] if kernel in ("sanitize", "debug") else ["--kernel", kernel]


class Guest:
    """A boot that runs several programs one after the other and prints marks."""

    def __init__(self, kernel, smp, paths, append="", nodes=1):
        self.command = [NOS, "run", *variant(kernel), "--smp", str(smp), "--numa", str(nodes),
                        "--cwd", ROOT, "--log", "--append", f"debug.leaks {append}", "--timeout",
                        "900", "--", "sh", "tests/system/guest.sh", *paths]

    def lines(self):
        """The guest's output line by line; None after a long silence."""
        process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=ROOT,
                                   start_new_session=True)
        pipe = process.stdout.fileno()
        fcntl.fcntl(pipe, fcntl.F_SETFL, os.O_NONBLOCK)
        rest = b""
        try:
            while True:
                ready, _, _ = select.select([pipe], [], [], SILENCE)
                if not ready:
                    yield None
                    # Its time is up: it says where each thread stands.
                    os.kill(process.pid, signal.SIGALRM)
                    os.set_blocking(pipe, True)
                    try:
                        data = process.communicate(timeout=60)[0]
                    except subprocess.TimeoutExpired as late:
                        data = late.output or b""
                    for line in data.splitlines():
                        yield line.decode(errors="replace")
                    return
                data = os.read(pipe, 65536)
                if not data:
                    break
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    yield line.decode(errors="replace")
            if rest:
                yield rest.decode(errors="replace")
        finally:
            if process.poll() is None:
                # The group is the tool's and its machine's own.
                os.killpg(process.pid, signal.SIGTERM)
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()


def run_in_guest(report, family, smp, kernel, paths, note="", **boot):
    """Boots until each program had its turn; a crash costs only the culprit.  `boot` as Guest has it."""
    todo = list(paths)
    passed = failed = 0
    bad = ""
    start = time.monotonic()
    boots = 0
    name = f"{kernel} {family} smp {smp}{note}"
    report.doing(name)
    while todo and boots < 6:
        boots += 1
        current, text = None, ""
        for line in Guest(kernel, smp, todo, **boot).lines():
            if line is None:
                text += "nothing happened for a minute\n"
                continue
            if line.startswith("== run "):
                current, text = line[7:], ""
            elif line.startswith("== status "):
                status = int(line[10:])
                good, wrong = totals(text)
                wrong = max(wrong, 1 if status else 0)
                passed, failed = passed + good, failed + wrong
                if wrong:
                    bad += f"{current}\n{failures_of(text, kernel)}"
                todo.remove(current)
                current, text = None, ""
            elif "init: leak:" in line:
                bad += failures_of(line, kernel)
                failed += "more than" in line
            else:
                text += line + "\n"
        if todo:
            culprit = current or todo[0]
            failed += 1
            bad += f"{culprit}: the machine did not survive it\n{failures_of(text)}"
            todo.remove(culprit)
    if todo:
        failed += len(todo)
        bad += f"not run after {boots} boots: {' '.join(todo)}\n"
    report.add(name, passed, failed, bad, time.monotonic() - start)


def level_system(report, kernel, smp):
    families = system_programs(report)
    system_on_host(report, families)
    for family, paths in families.items():
        run_in_guest(report, family, smp or 2, kernel, paths)
    if smp is None and kernel == "nos":
        for family, paths in families.items():
            run_in_guest(report, family, 2, "sanitize", paths)
        for family, other in (("ipc", 1), ("signals", 1), ("process", 8), ("memory", 8)):
            if family in families:
                run_in_guest(report, family, other, kernel, families[family])
        for family in ("files", "ipc", "memory", "process"):
            if family in families:
                run_in_guest(report, family, 2, "debug", families[family], ", no optimisation",
                             append=" ".join(switches_off()))
        if "memory" in families:
            run_in_guest(report, "memory", 4, "debug", families["memory"], ", 2 nodes", nodes=2)


# ---- level 5

def header(path):
    """Settings in a script's first comment lines: `# smp: 4`."""
    settings = {}
    with open(path, encoding="utf-8") as file:
        for line in file:
            if not line.startswith("#"):
                break
            match = re.match(r"# (smp|mem|timeout|host): (\S+)", line)
            if match:
                settings[match[1]] = match[2]
    return settings


def compare(wanted, got):
    """The first lines that differ."""
    import difflib
    return "\n".join(list(difflib.unified_diff(
        wanted.splitlines(), got.splitlines(), "host", "guest", lineterm="", n=1))[:40])


def app_script(report, name, path, kernel):
    settings = header(path)
    report.doing(name)
    limit = float(settings.get("timeout", 60))
    start = time.monotonic()
    env = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
           "HOME": "/root", "LANG": "C.UTF-8", "TERM": "xterm", "USER": "root"}
    relative = os.path.relpath(path, ROOT)
    expected = None
    if settings.get("host") != "no":
        status, expected = run_text(["sh", relative], limit, cwd=ROOT, env=env)
        if status:
            report.add(name + " on the host", 0, 1, expected, begun=name)
            return
    command = [NOS, "run", *variant(kernel), "--smp", settings.get("smp", "2"),
               "--mem", settings.get("mem", "1G"), "--timeout", str(limit),
               "--cwd", ROOT, "--", "sh", relative]
    status, text = run_text(command, limit + 60, cwd=ROOT, env=env)
    if expected is None:
        good = status == 0 and text.rstrip().endswith("good")
        why = text
    else:
        good = status == 0 and text == expected
        why = f"status {status}\n{compare(expected, text)}"
    report.add(name, int(good), int(not good), why, time.monotonic() - start)


def app_program(report, name, path, kernel):
    """A Python script that uses the tool itself, and prints its own totals."""
    start = time.monotonic()
    report.doing(name)
    status, text = run_text([sys.executable, path, kernel], 300, cwd=ROOT)
    passed, failed = totals(text)
    report.add(name, passed, max(failed, 1 if status else 0), failures_of(text),
               time.monotonic() - start)


# What tests/apps/programs is built into: name, source, command.
PROGRAMS = (
    ("libc-dynamic", "libc", "gcc -O1 -pthread"),
    ("libc-static", "libc", "gcc -O1 -pthread -static"),
    ("libc-static-pie", "libc", "gcc -O1 -pthread -static-pie"),
    ("libc-no-pie", "libc", "gcc -O1 -pthread -no-pie"),
    ("libc-musl-static", "libc", "musl-gcc -O1 -static"),
    ("libc-musl-dynamic", "libc", "musl-gcc -O1"),
    ("many", "many", "gcc -O1 -pthread"),
    ("eat", "eat", "gcc -O0"),
    ("names", "names", "gcc -O1"),
    ("deep", "deep", "gcc -O0 -w"),
    ("wild", "wild", "gcc -O0"),
    ("patch", "patch", "gcc -O1 -pthread"),
)


def build_programs(report):
    folder = os.path.join(ROOT, "build/apps")
    os.makedirs(folder, exist_ok=True)
    for name, source, command in PROGRAMS:
        path = os.path.join(folder, name)
        source = os.path.join(ROOT, f"tests/apps/programs/{source}.c")
        if os.path.exists(path) and os.stat(path).st_mtime > os.stat(source).st_mtime:
            continue
        status, output = run_text([*command.split(), "-o", path, source], 60)
        if status:
            report.add(f"app program {name}", 0, 1, output)


def build_go(report):
    """The Go program, static and linked with libc, which has no place in a guest's time."""
    folder = os.path.join(ROOT, "build/apps")
    with open(os.path.join(ROOT, "tests/apps/go/main.go"), encoding="utf-8") as file:
        source = file.read()
    dynamic = source.replace("package main\n", "package main\n\n// #include <stdlib.h>\n"
                             "import \"C\"\n", 1)
    for name, text, cgo in (("go-static", source, "0"), ("go-dynamic", dynamic, "1")):
        path = os.path.join(folder, name)
        if os.path.exists(path) and os.stat(path).st_mtime > os.stat(
                os.path.join(ROOT, "tests/apps/go/main.go")).st_mtime:
            continue
        with open(path + ".go", "w", encoding="utf-8") as file:
            file.write(text)
        env = {**os.environ, "CGO_ENABLED": cgo, "GO111MODULE": "off", "GOFLAGS": "",
               "HOME": "/root", "GOCACHE": os.path.join(folder, "go-cache")}
        status, output = run_text(["/usr/bin/go", "build", "-o", path, path + ".go"], 300, env=env)
        if status:
            report.add("app go build", 0, 1, output)


def level_apps(report, kernel):
    folder = os.path.join(ROOT, "tests/apps")
    build_programs(report)
    if report.wants("app go"):
        build_go(report)
    for entry in sorted(os.listdir(folder)):
        name = "app " + entry.rsplit(".", 1)[0]
        if not report.wants(name) or entry.startswith("_"):
            continue
        path = os.path.join(folder, entry)
        if entry.endswith(".sh"):
            app_script(report, name, path, kernel)
        elif entry.endswith(".py"):
            app_program(report, name, path, kernel)


# ---- level 6

def level_fuzz(report):
    models.run(report)
    fuzz_parsers.run(report)
    fuzz_calls.run(report)


# ---- level 7

def level_speed(report, kernel):
    """What NOS's operations cost, beside bench/records.txt; then faults planted on purpose."""
    if kernel != "nos":
        return
    if report.wants("speed"):
        start = time.monotonic()
        report.doing("speed")
        status, text = run_text([NOS, "bench", "--gate"], 600, cwd=ROOT)
        match = re.search(r"^(\d+) rows hold their records, (\d+) do not", text, re.M)
        held, missed = (int(match[1]), int(match[2])) if match else (0, 1)
        report.add("speed", held, max(missed, 1 if status else 0), text,
                   time.monotonic() - start)
        if match and not missed and "record to be written" in text:
            print("        " + text.strip().replace("\n", "\n        "), flush=True)
    if report.wants("fragmentation"):
        start = time.monotonic()
        report.doing("fragmentation")
        status, text = run_text([NOS, "bench", "--suite", "frames"], 300, cwd=ROOT)
        match = re.search(r"without programs +([\d.]+) +([\d.]+)", text)
        buddy, nos = (float(match[1]), float(match[2])) if match else (0, 100)
        good = not status and nos <= 15 and nos <= 0.6 * buddy
        report.add("fragmentation", int(good), int(not good), text, time.monotonic() - start)
    planted.run(report)


def kernel_of(text):
    if text not in ("nos", "linux", "debug", "sanitize"):
        raise ValueError(text)
    return text


def level_of(text):
    if int(text) not in (0, 1, 2, 3, 5, 6, 7):
        raise ValueError(text)
    return int(text)


def parse(arguments):
    """(levels, names, kernel, processors)"""
    levels = []
    options = Options(__doc__, {"--level": (lambda text: levels.append(level_of(text)), None),
                                "--kernel": (kernel_of, "nos"), "--smp": (count, None)})
    for word in os.environ.get("LEVEL", "").split():
        options.convert("--level", word)
    options.parse(arguments)
    return (levels or [0, 1, 2, 3, 5, 6, 7], os.environ.get("TEST", "").split() + options.words,
            options["--kernel"], options["--smp"])


def main():
    levels, names, kernel, smp = parse(sys.argv[1:])
    os.chdir(ROOT)
    packages.ensure_or_exit("test", PACKAGES)
    report = Report(names)
    report.doing("build")
    status, text = run_text(["make", "-s", f"-j{os.cpu_count()}"], 900, cwd=ROOT)
    if status:
        report.add("build", 0, 1, text)
    report.done("build")
    steps = {0: lambda: level_check(report), 1: lambda: level_unit(report),
             2: lambda: level_self(report, kernel),
             3: lambda: level_system(report, kernel, smp),
             5: lambda: level_apps(report, kernel),
             6: lambda: level_fuzz(report), 7: lambda: level_speed(report, kernel)}
    for level in levels:
        steps[level]()
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())

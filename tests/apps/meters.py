#!/usr/bin/python3
"""What counts instructions: the plugins and the verbs that use them.
Usage: meters.py nos|linux [NAME...]"""
import json
import os
import subprocess
import sys
import tempfile
import xml.dom.minidom

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
KERNEL = sys.argv[1] if len(sys.argv) > 1 else "nos"


def nos(*words, timeout=280):
    done = subprocess.run(["./nos", *words], capture_output=True, text=True, timeout=timeout,
                          cwd=ROOT, check=False, stdin=subprocess.DEVNULL)
    return done.returncode, done.stdout, done.stderr


def check(what, is_true):
    if not is_true:
        raise AssertionError(what)


def test_profile():
    """The functions' sum is what the benchmark counts by itself."""
    with tempfile.TemporaryDirectory() as folder:
        svg, figures = folder + "/flame.svg", folder + "/figures.json"
        status, out, err = nos("bench", "--profile", "fork+exit+wait, small process", "--kernel",
                               KERNEL, "--svg", svg, "--json", figures)
        check(f"status {status}: {err}", status == 0)
        own = int(out.split("median: ")[1].split(")")[0].replace(",", ""))
        with open(figures, encoding="utf-8") as file:
            functions = json.load(file)["functions"]
        total = sum(function["instructions"] for function in functions)
        check(f"{total} instructions, the benchmark says {own}", abs(total - own) < own * 0.02)
        modes = {mode: sum(function["instructions"] for function in functions
                           if function["mode"] == mode) for mode in ("user", "kernel")}
        check(f"modes {modes}", 0 < modes["user"] < modes["kernel"])
        titles = [node.firstChild.data for node in
                  xml.dom.minidom.parse(svg).getElementsByTagName("title")]
        entry = "syscall_entry" if KERNEL == "nos" else "do_syscall_64"
        check("the entry is in the picture", any(title.startswith(entry) for title in titles))


def test_profile_of_nothing():
    status, out, err = nos("bench", "--profile", "no such benchmark", "--kernel", KERNEL)
    check(f"{status} {out} {err}", status and not out and err.count("\n") == 1)


def test_m2():
    """Instructions agree with the benchmark; a fork loads CR3 and misses in the modelled caches."""
    with tempfile.TemporaryDirectory() as folder:
        figures = folder + "/figures.json"
        status, _, err = nos("bench", "--meter", "m2", "fork+exit+wait, small process", "--kernel",
                             KERNEL, "--json", figures)
        check(f"status {status}: {err}", status == 0)
        with open(figures, encoding="utf-8") as file:
            rows = {row["name"].split(": ")[1]: row["figures"][KERNEL]["value"]
                    for row in json.load(file)["meters"]["m2"]}
        for name, least, most in (("kernel instructions", 5000, 400000), ("CR3 loads", 2, 20),
                                  ("entries to the kernel", 3, 10), ("locked operations", 5, 5000),
                                  ("L1D misses, kernel", 20, 20000),
                                  ("TLB misses, both levels", 0.1, 2000)):
            check(f"{name}: {rows.get(name)}", least <= rows.get(name, 0) <= most)


def shared_lines(name):
    """How many lines of the kernel two processors share in a pair of the suite."""
    with tempfile.TemporaryDirectory() as folder:
        figures = folder + "/figures.json"
        status, out, err = nos("bench", "--suite", "scale", name, "--kernel", KERNEL, "--json",
                               figures)
        check(f"status {status}: {err}", status == 0)
        with open(figures, encoding="utf-8") as file:
            rows = json.load(file)["meters"]["m2"]
        value = rows[0]["figures"][KERNEL]["value"]
        check(f"{name}: no figure\n{out}", value is not None)
        return value


def test_conflicts():
    """Reads of different files share nothing; those of one page share its reference count."""
    for name, least, most in (("pread: two files", 0, 0), ("pread: one file", 1, 2)):
        value = shared_lines(name)
        check(f"{name}: {value} lines", least <= value <= most)


def test_conflicts_of_a_lock():
    """Names made in one folder share the folder, and its lock.  Who has to sleep for that, which a busy
    host makes more likely, shares the run queues as well: one run of three is without."""
    values = []
    while len(values) < 3 and not (values and values[-1] <= 40):
        values.append(shared_lines("creat+unlink: one folder"))
    check(f"{values} lines", 1 <= min(values) <= 40)


def test_coverage():
    """What the kernel's own tests and one program execute."""
    if KERNEL != "nos":
        return
    done = subprocess.run([sys.executable, "tools/coverage.py", "--quick"], cwd=ROOT, timeout=500,
                          capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    check(f"status {done.returncode}: {done.stderr}", done.returncode == 0)
    shares = {fields[0]: float(fields[3].rstrip("%")) for fields in
              (line.split() for line in done.stdout.splitlines()) if len(fields) == 4}
    for folder, least in (("lib", 90), ("core", 70), ("mm", 60), ("fs/p9", 60), ("linux", 8)):
        check(f"{folder}: {shares.get(folder)}\n{done.stdout}", least <= shares.get(folder, 0) <= 100)


def main():
    passed = failed = 0
    for name, test in list(globals().items()):
        if not name.startswith("test_") or \
                sys.argv[2:] and not any(word in name for word in sys.argv[2:]):
            continue
        try:
            test()
            passed += 1
            print(f"ok {name}", flush=True)
        except (AssertionError, OSError, ValueError, subprocess.SubprocessError) as error:
            failed += 1
            print(f"FAIL {name}: {str(error)[:600]}", flush=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/python3
"""The command-line tool: input, output, statuses, signals, options, errors.
Usage: tool.py nos|linux [NAME...]"""
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
KERNEL = sys.argv[1] if len(sys.argv) > 1 else "nos"


def run(*words, data=b"", timeout=120, limit="60"):
    """(status, stdout, stderr) of ./nos run WORDS."""
    done = subprocess.run(["./nos", "run", "--kernel", KERNEL, "--timeout", limit, *words],
                          input=data, capture_output=True, timeout=timeout, cwd=ROOT,
                          check=False)
    return done.returncode, done.stdout, done.stderr


def equal(got, want):
    if got != want:
        raise AssertionError(f"{got!r}, not {want!r}")


def test_input_and_output():
    equal(run("--", "wc", "-c", data=b"hi\n"), (0, b"3\n", b""))
    equal(run("--", "sh", "-c", "echo out; echo err >&2"), (0, b"out\n", b"err\n"))


def test_exit_status():
    equal(run("--", "sh", "-c", "exit 7")[0], 7)
    equal(run("--", "sh", "-c", "kill -9 $$")[0], 137)
    equal(run("--", "true"), (0, b"", b""))
    equal(run("--", "sh", "-c", "sleep 100 & exit 3")[0], 3)


def test_command_that_cannot_run():
    status, out, err = run("--", "no-such-command")
    equal((status, out, err), (127, b"", b"nos: no-such-command: command not found\n"))
    equal(run("--", "/etc/passwd")[0], 126)
    equal(run("--", "/no/such/file")[0], 127)


def test_bytes_pass_unchanged():
    data = os.urandom(1 << 20) + bytes(range(256)) * 64
    status, out, _ = run("--", "cat", data=data)
    equal((status, hashlib.md5(out).hexdigest()), (0, hashlib.md5(data).hexdigest()))
    with open("/usr/bin/gcc", "rb") as file:
        want = file.read()
    equal(run("--", "cat", "/usr/bin/gcc")[1] == want, True)


def test_reader_that_goes_away():
    text = subprocess.run(f"./nos run --kernel {KERNEL} --timeout 60 -- yes | head -n 2; "
                          "echo ${PIPESTATUS[0]}", shell=True, executable="/bin/bash", cwd=ROOT,
                          capture_output=True, timeout=120, check=False).stdout
    equal(text, b"y\ny\n141\n")


def test_signals_pass():
    script = "trap 'echo got; exit 9' TERM; echo ready; while :; do sleep 0.1; done"
    with subprocess.Popen(["./nos", "run", "--kernel", KERNEL, "--timeout", "60", "--", "sh",
                           "-c", script], cwd=ROOT, stdout=subprocess.PIPE,
                          stdin=subprocess.DEVNULL) as process:
        equal(process.stdout.readline(), b"ready\n")
        process.send_signal(signal.SIGTERM)
        equal(process.stdout.read(), b"got\n")
        equal(process.wait(60), 9)


def test_timeout():
    start = time.monotonic()
    status, _, err = run("--", "sleep", "100", limit="4")
    equal((status, b"timeout after 4 s" in err), (124, True))
    equal(time.monotonic() - start < 15, True)


def check_report(log, *programs):
    """Each CPU and each thread is in it, with its calls by name."""
    lines = log[log.index("report: CPU"):log.index("end of report")].splitlines()
    for name in ("rcu 0", "worker 0", "init 1", *programs):
        line = next(line for line in lines if "report: " + name in line)
        equal("thread_block" in line, True)
    equal({cpu for cpu in range(9) if f"report: CPU {cpu} is in " in log}, set(range(3)))
    equal({cpu for cpu in range(9) if re.search(f"report: CPU {cpu}: .* runs, ", log)},
          set(range(3)))


def test_timeout_tells_where_threads_stand():
    if KERNEL == "linux":
        return
    script = "sleep 100 & while :; do :; done & while :; do : >/dev/null; done"
    _, _, err = run("--smp", "3", "--log", "--", "sh", "-c", script, limit="4")
    check_report(err.decode(), "sleep ")


def test_alarm_ends_it():
    with subprocess.Popen(["./nos", "run", "--kernel", KERNEL, "--smp", "3", "--log", "--", "sh",
                           "-c", "echo ready; sleep 100"], cwd=ROOT, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, stdin=subprocess.DEVNULL) as process:
        equal(process.stdout.readline(), b"ready\n")
        process.send_signal(signal.SIGALRM)
        log, _, error = process.stderr.read().decode().partition("nos: ")
        equal(process.wait(60), 124)
        equal(error.startswith("timeout after "), True)
        if KERNEL != "linux":
            check_report(log)


def test_environment_and_folder():
    equal(run("--env", "A=b c", "--env", "HOME=/x", "--", "sh", "-c", 'echo "$A" $HOME')[1],
          b"b c /x\n")
    equal(run("--cwd", "/usr/lib", "--", "pwd")[1], b"/usr/lib\n")
    equal(run("--", "pwd")[1], ROOT.encode() + b"\n")
    equal(run("--", "hostname")[1], b"nos\n")


def test_writable_folder():
    with tempfile.TemporaryDirectory() as folder:
        with open(folder + "/in", "w", encoding="utf-8") as file:
            file.write("from the host\n")
        status, out, err = run("--rw", folder, "--", "sh", "-c",
                               f"cat {folder}/in; echo from the guest > {folder}/out; "
                               f"mkdir {folder}/d; echo gone > /etc/nos-test")
        equal((status, out, err), (0, b"from the host\n", b""))
        with open(folder + "/out", encoding="utf-8") as file:
            equal(file.read(), "from the guest\n")
        equal(os.path.isdir(folder + "/d"), True)
    equal(os.path.exists("/etc/nos-test"), False)


def test_processors_and_memory():
    equal(run("--smp", "3", "--", "nproc")[1], b"3\n")
    equal(run("--smp", "16", "--", "nproc")[1], b"16\n")
    status, out, _ = run("--mem", "256M", "--", "awk", "/MemTotal/ { print ($2 < 262144 "
                                                     "&& $2 > 200000) }", "/proc/meminfo")
    equal((status, out), (0, b"1\n"))
    if KERNEL == "nos":
        equal(run("--mem", "32M", "--smp", "1", "--", "/bin/true")[0], 0)


def test_microvm():
    equal(run("--machine", "microvm", "--smp", "2", "--", "sh", "-c", "nproc; exit 4"),
          (4, b"2\n", b""))


def test_log():
    status, out, err = run("--log", "--", "echo", "x")
    equal((status, out, len(err) > 100), (0, b"x\n", True))


def test_initramfs():
    with tempfile.TemporaryDirectory() as folder:
        os.makedirs(folder + "/root/bin")
        subprocess.run(["cp", "/bin/busybox", folder + "/root/bin/busybox"], check=True)
        os.symlink("busybox", folder + "/root/bin/sh")
        script = f"cd {folder}/root && find . | cpio -o -H newc 2>/dev/null > ../image"
        if subprocess.run(["sh", "-c", script], check=False).returncode:
            return
        status, out, err = run("--initramfs", folder + "/image", "--", "/bin/sh", "-c",
                               "echo own root; cd /; busybox ls -d usr bin 2>/dev/null")
        equal((out, err), (b"own root\nbin\n", b""))


def test_wrong_arguments():
    for words in (["--smp", "17"], ["--smp", "x"], ["--mem", "1"], ["--mem", "9G"], ["--nonsense"],
                  ["--machine", "pc"], ["--cwd", "/no/such"], ["--rw", "/no/such"], ["--mem"],
                  ["--timeout", "x"], ["--kernel", "/no/such"], ["--initramfs", "/no/such"]):
        done = subprocess.run(["./nos", "run", *words, "--", "true"], capture_output=True, cwd=ROOT,
                              check=False, stdin=subprocess.DEVNULL)
        equal((words, done.returncode, done.stderr.count(b"\n"), done.stdout),
              (words, 2, 1, b""))
    equal(subprocess.run(["./nos", "frobnicate"], capture_output=True, cwd=ROOT,
                         check=False).returncode, 2)
    text = subprocess.run(["./nos", "--help"], capture_output=True, cwd=ROOT, check=True).stdout
    for option in (b"--smp", b"--mem", b"--machine", b"--accel", b"--append", b"--gdb", b"--cwd",
                   b"--env", b"--rw", b"--initramfs", b"--kernel", b"--log", b"--timeout"):
        equal((option, option in text), (option, True))


def bench(*words, timeout=170):
    done = subprocess.run(["./nos", "bench", *words], capture_output=True, text=True, cwd=ROOT,
                          check=False, stdin=subprocess.DEVNULL, timeout=timeout)
    return done.returncode, done.stdout, done.stderr


def test_bench_wrong_arguments():
    for words in (["--suite", "none"], ["--meter", "m9"], ["--meter"], ["--pairs", "0"], ["--nonsense"],
                  ["--linux", "/no/such"], ["--kernel", "minix"], ["one", "two"],
                  ["--suite", "apps", "no such row"], ["no such row"], ["--suite", "apps", "--meter", "m1"]):
        status, out, err = bench(*words)
        equal((words, status, err.count("\n"), out), (words, 2, 1, ""))
    status, out, _ = bench("--help")
    for word in ("--suite", "--meter", "--kernel", "--linux", "--pairs", "--json", "--html",
                 "--record", "--gate", "io_uring", "m5"):
        equal((status, word, word in out), (0, word, True))


def test_bench_measures():
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        words = ["--kernel", KERNEL, "--json", folder + "/json", "--html", folder + "/html", "getcwd"]
        status, out, err = bench(*words)
        equal((status, "\ngetcwd  " in out), (0, True))
        with open(folder + "/json", encoding="utf-8") as file:
            rows = json.load(file)["meters"]["m1"]
        equal([(row["name"], row["suite"], row["budget"]) for row in rows], [("getcwd", "calls", 250)])
        equal(20 < rows[0]["figures"][KERNEL]["value"] < 2000, True)
        with open(folder + "/html", encoding="utf-8") as file:
            page = file.read()
        equal(("getcwd" in page, "src=" in page, "href=" in page), (True, False, False))


def test_bench_gate():
    sys.path.insert(0, ROOT + "/tools/nos")
    from bench import gate
    from bench.model import Figure, Row

    def row(name, value):
        return Row(name, "calls", {"nos": Figure(value)})
    records = {"a": gate.Record(1000), "b": gate.Record(1000), "c": gate.Record(1000, 20, "wide"),
               "d": gate.Record(1000), "e": gate.Record(1000), "g": gate.Record(10)}
    rows = [row("a", 1030), row("b", 1031), row("c", 1190), row("d", 960), row("e", None),
            row("f", 5), row("g", 11)]
    faults, notes = gate.compare(rows, records)
    equal([line.split(":")[0] for line in faults], ["b", "e"])
    equal([line.split(":")[0] for line in notes], ["d", "f"])
    equal([line.split(":")[0] for line in gate.compare([], {"x": gate.Record(1)})[0]], ["x"])
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        gate.save(records, folder + "/records")
        equal(gate.load(folder + "/records"), records)


def test_works_from_anywhere():
    done = subprocess.run([ROOT + "/nos", "run", "--kernel", KERNEL, "--timeout", "60", "--", "pwd"],
                          cwd="/usr", capture_output=True, stdin=subprocess.DEVNULL, check=False)
    equal((done.returncode, done.stdout), (0, b"/usr\n"))
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        with open(folder + "/prog", "w", encoding="utf-8") as file:
            file.write("#!/bin/sh\necho ran here\n")
        os.chmod(folder + "/prog", 0o755)
        done = subprocess.run([ROOT + "/nos", "run", "--kernel", KERNEL, "--timeout", "60", "--",
                               "./prog"], cwd=folder, capture_output=True,
                              stdin=subprocess.DEVNULL, check=False)
        equal((done.returncode, done.stdout, done.stderr), (0, b"ran here\n", b""))


def main():
    passed = failed = 0
    for name, test in list(globals().items()):
        if not name.startswith("test_") or \
                sys.argv[2:] and not any(word in name for word in sys.argv[2:]):
            continue
        try:
            test()
            passed += 1
            print(f"ok {name}")
        except (AssertionError, OSError, subprocess.SubprocessError) as error:
            failed += 1
            print(f"FAIL {name}: {str(error)[:600]}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

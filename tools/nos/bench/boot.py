"""A boot of either kernel for a measurement, and the lines that it prints."""
import os
import select
import signal
import sys
import time

import cli
import machine
import run
from cli import Failure

LEAN = ("lsm=capability", "apparmor=0", "init_on_alloc=0", "mitigations=off", "audit=0",
        "norandmaps")
# rdtsc ticks once per guest instruction; string instructions as on any processor.
COUNTING = ("-accel", "tcg", "-icount", "shift=0,sleep=off", "-seed", "1",
            "-rtc", "clock=vm,base=2026-01-01T00:00:00")
SILENCE = 1800  # seconds without a line: it hangs, even beside other work
CPU = "max,-erms,-fsrm,-pku"


def ensure(request):
    """Fetches what Linux's side needs, which else would only be missed in the middle."""
    if "linux" in request.kernels and request.linux in ("lean", "default"):
        machine.find_linux()


def kernel_options(options, column, request):
    """Which file a column ("linux", "nos") boots, and with which words."""
    if column == "nos":
        options.kernel = "nos"
        options.append = ["norandmaps", *request.append]
        return
    options.kernel = "linux" if request.linux in ("lean", "default") else request.linux
    options.append = ["norandmaps"] if request.linux == "default" else list(LEAN)


def processors(column, count):
    """Settings for so many processors; Linux starts no second one where instructions are counted."""
    if column == "linux" and count > 1:
        return {"smp": count, "accel_arguments": ("-accel", "tcg,thread=single")}
    return {"smp": count}


def options_for(column, request, archive, command, **settings):
    """Options of `run`; settings overwrite those of a counting boot."""
    options = cli.Options()
    options.initramfs = archive
    options.smp = 1
    options.mem = 2 << 30
    options.accel = "tcg"
    options.cpu = CPU
    options.accel_arguments = COUNTING
    options.env = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "LANG": "C.UTF-8"}
    options.command = command
    kernel_options(options, column, request)
    for name, value in settings.items():
        setattr(options, name, value)
    return options


def lines(options, column):
    """Runs a machine; yields its output line by line.  Failure if it failed."""
    read_end, write_end = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if not pid:
        os.close(read_end)
        os.dup2(write_end, 1)
        os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
        status = 125
        try:
            status = run.run(options)
        except Failure as failure:
            sys.stderr.write(f"nos: {column}: {failure}\n")
            status = failure.status
        except KeyboardInterrupt:
            status = 130
        finally:
            os._exit(status)
    os.close(write_end)
    rest = b""
    try:
        while select.select([read_end], [], [], SILENCE)[0]:
            data = os.read(read_end, 65536)
            if not data:
                break
            *whole, rest = (rest + data).split(b"\n")
            for line in whole:
                yield line.decode(errors="replace")
        else:
            for _ in range(3):  # the first ones are the guest's
                os.kill(pid, signal.SIGTERM)
                time.sleep(1)
    finally:
        os.close(read_end)
    if rest:
        yield rest.decode(errors="replace")
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status:
        raise Failure(f"the benchmark ended with status {status} on {column}")

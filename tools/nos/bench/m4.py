"""Meter M4: modules of the kernel compiled for this machine, by its clock.

The kernel's own sources on bench/native/platform.c, beside what libc and
mimalloc have; each program is run several times, a row is the median.
"""
import glob
import os
import statistics
import subprocess

import packages
from bench.model import Figure, Row
from bench.programs import SOURCE, compile_program
from cli import ROOT, Failure

TITLE = "native, on this machine"
SUITES = ("alloc", "frames", "locks")
RUNS = 5

MIMALLOC = "/usr/lib/x86_64-linux-gnu/libmimalloc.so.2.0"
GCC = ["gcc", "-O2", "-flto", "-w", "-pthread"]
ALLOC_MODULES = ("mm/slab.c", "mm/kmalloc.c", "mm/page_alloc.c", "mm/page_node.c", "core/lock_mutex.c",
                 "tests/host/memory.c")
FRAMES_MIB = 512  # as bench/native/frames.c has it
LOCK_MODULES = ("core/lock_mutex.c",)


def kernel_objects(name, modules, define=()):
    """The kernel's modules and the platform, compiled for the host: objects."""
    lib = [f"lib/{entry}" for entry in sorted(os.listdir(os.path.join(ROOT, "lib")))
           if entry.endswith(".c") and not entry.endswith("_test.c")]
    gcc = subprocess.run(["gcc", "-print-file-name=include"], capture_output=True, text=True,
                         check=True).stdout.strip()
    flags = [*GCC, "-std=gnu2x", "-DNOS_HOST", "-DNOS_NATIVE", "-fno-pie", "-ffreestanding", "-fwrapv",
             "-fno-strict-aliasing", "-ffunction-sections", "-fdata-sections", "-nostdinc",
             "-isystem", gcc, "-isystem", "build/uapi", "-Iinclude", "-Ibuild/release/gen",
             "-include", "tests/host/host.h", *define]
    paths = [os.path.join(ROOT, path)
             for path in (*modules, "bench/native/platform.c", *lib)]
    objects = []
    for path in paths:
        objects.append(compile_program(f"{name}-{os.path.basename(path)}.o",
                                       ["env", "-C", ROOT, *flags, "-c", path],
                                       [path, *headers()]))
    return objects


def headers():
    return [path for folder in ("include/nos", "core", "mm", "tests/host", "bench/native")
            for path in glob.glob(os.path.join(ROOT, folder, "*.h"))]


def build_kernel_headers():
    """The generated headers that the modules include."""
    done = subprocess.run(["make", "-s", "build/release/gen/offsets.h"], cwd=ROOT, text=True,
                          capture_output=True, check=False)
    if done.returncode:
        raise Failure("make failed\n" + done.stderr)


def link(name, source, define, objects, libraries=()):
    """A program of bench/native."""
    source = os.path.join(SOURCE, "native", source)
    command = [*GCC, *define, "-Wl,--gc-sections", "-no-pie", source, *objects, *libraries]
    return compile_program(name, command, [source, *objects])


def alloc_programs():
    """{column: program}"""
    packages.ensure({MIMALLOC: "libmimalloc2.0"})
    return {"glibc": link("alloc-glibc", "alloc.c", (), ()),
            "mimalloc": link("alloc-mimalloc", "alloc.c", ("-DMIMALLOC",), (), (MIMALLOC,)),
            "nos": link("alloc-nos", "alloc.c", ("-DNOS",),
                        kernel_objects("alloc", ALLOC_MODULES))}


def output(program, *arguments):
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False,
                          timeout=300)
    if done.returncode:
        raise Failure(f"{os.path.basename(program)} failed with status {done.returncode}\n"
                      + done.stderr)
    return [line.split("\t") for line in done.stdout.splitlines()]


def figure(name, values):
    value = min(values) if name.endswith(": best") else statistics.median(values)
    return Figure(value, low=min(values), high=max(values))


def budget(suite, row):
    """What a row may cost, by the others' figures; None where nothing is asked."""
    value = row.value
    if suite == "alloc" and row.name.endswith((": best", ": median")):
        asked = [value("glibc") / 2] if value("glibc") else []  # half of glibc's, and no more
        return min(asked + [value("mimalloc")])  # than mimalloc's
    if suite == "frames":
        return min(15, 0.6 * value("buddy"))
    if suite == "locks" and "wasted" in row.name and "alone" not in row.name:
        return 0.6 * value("spinning")
    if suite == "locks" and row.name.startswith("two threads"):
        return value("pthread")
    return None


def rows_of(suite, samples, columns):
    """samples: {(row, column): [value]} in the order of the rows."""
    rows = []
    for name in dict.fromkeys(name for name, _ in samples):
        unit = "ns" if suite == "alloc" and "per live byte" not in name or \
            "ns wasted" in name else ""
        rows.append(Row(name, suite, {column: figure(name, samples[name, column])
                                      for column in columns if (name, column) in samples},
                        unit, more_is_better="locks per ms" in name))
        rows[-1].budget = budget(suite, rows[-1])
    return rows


def measure_alloc(request, done, total):
    programs = alloc_programs()
    samples = {}
    for turn in range(RUNS):
        for column, program in programs.items():
            request.progress.at(done + turn, total, f"alloc: {column}")
            for arguments in ((), ("age",)):
                for name, value in output(program, *arguments):
                    samples.setdefault((name, column), []).append(float(value))
    return rows_of("alloc", samples, programs)


def measure_frames(request, done, total):
    """Not times: the same in each run."""
    objects = kernel_objects("frames", ALLOC_MODULES, (f"-DHOST_MEMORY_MIB={FRAMES_MIB}ul",))
    buddy = os.path.join(SOURCE, "native", "buddy.c")
    programs = {"buddy": link("frames-buddy", "frames.c", (), (buddy,)),
                "nos": link("frames-nos", "frames.c", (), objects)}
    samples = {}
    for turn, (column, program) in enumerate(programs.items()):
        request.progress.at(done + turn, total, f"frames: {column}")
        for name, value in output(program):
            samples.setdefault((name, column), []).append(float(value))
    return rows_of("frames", samples, programs)


def measure_locks(request, done, total):
    program = link("locks", "locks.c", (), kernel_objects("locks", LOCK_MODULES))
    samples = {}
    for turn in range(RUNS):
        request.progress.at(done + turn, total, "locks")
        for name, column, value in output(program):
            samples.setdefault((name, column), []).append(float(value))
    return rows_of("locks", samples, ("pthread", "spinning", "nos"))


def measure(request):
    build_kernel_headers()
    parts = {"alloc": measure_alloc, "frames": measure_frames, "locks": measure_locks}
    rows = []
    for at, suite in enumerate(request.suites):
        rows += parts[suite](request, at * RUNS, len(request.suites) * RUNS)
    return [row for row in rows if request.name in row.name]

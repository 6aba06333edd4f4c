#!/usr/bin/python3
"""`make check`: what can be said about the source without running it.

Usage: check.py [--all] [STEP...]   (--all: clang-tidy over every file)
"""
import concurrent.futures
import os
import re
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "nos"))
import packages  # noqa: E402
from report import Options  # noqa: E402

LAYERS = ("lib", "arch", "core", "mm", "vfs", "block", "ipc", "net", "fs", "proc",
          "drivers", "linux", "init")
JOBS = os.cpu_count() or 1
TIDY_SECONDS = 45
# The lock analysis follows scope guards and pointers to members from this version on.
LOCKS_CLANG = "clang-22"
LOCKS_FLAGS = ("-DDEBUG", "-DNOS_CHECK_LOCKS", "-fsyntax-only", "-fexperimental-late-parse-attributes",
               "-Wthread-safety", "-Wthread-safety-beta", "-Wthread-safety-pointer",
               "-Wno-unterminated-string-initialization")
PACKAGES = {"/usr/bin/git": "git", "/usr/bin/make": "make", "/usr/bin/gcc": "gcc",
            "/usr/include/stdio.h": "libc6-dev",
            **{f"/usr/bin/{name}": name
               for name in ("clang", "clang-format", "clang-tidy", LOCKS_CLANG)}}

FUNCTION_LINES = 100
FILE_LINES = 1000
HEADER_LINES = 300

# What must not be in a tracked file; split, so that this file passes.
FORBIDDEN = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b|/work" r"/")


def files(folders, *endings):
    found = []
    for folder in folders:
        for path, _, names in os.walk(folder):
            found += [os.path.join(path, name) for name in names if name.endswith(endings)]
    return sorted(found)


def command(arguments, **options):
    """(exit status, output) of a command."""
    done = subprocess.run(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, errors="replace", check=False, **options)
    return done.returncode, done.stdout


def in_parallel(commands):
    """The outputs of the commands that failed."""
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        return [output.strip() for status, output in pool.map(command, commands) if status]


def make_variable(name):
    text = command(["make", "-s", "--no-print-directory", f"print-{name}"])[1]
    return text.split()


def clang_flags(clang="clang"):
    flags = make_variable("CPPFLAGS") + make_variable("CFLAGS") + make_variable("WARNINGS")
    flags = [flag for flag in flags if not flag.startswith(("-mstack-protector", "-mpreferred-stack"))]
    gcc_include = flags.index("-isystem")
    flags[gcc_include + 1] = command([clang, "-print-resource-dir"])[1].strip() + "/include"
    return flags + ["-Ibuild/release/gen", "-O2", "-Wno-unknown-warning-option",
                    "-Wno-unused-command-line-argument", "-Wno-gnu-designator",
                    "-Wno-initializer-overrides", "-Wno-shadow",
                    "-Wno-duplicate-decl-specifier", "-Wno-ignored-attributes",
                    "-Wno-unused-but-set-variable", "-Dstatic_assert=_Static_assert"]


def kernel_c():
    return files(LAYERS, ".c")


def check_gcc():
    status, output = command(["make", "-s", f"-j{JOBS}", "all", "debug"])
    return [output] if status else []


def check_clang():
    flags = clang_flags() + ["-fsyntax-only", "-DDEBUG", "-DNOS_CHECK_USER"]
    return in_parallel([["clang", *flags, path] for path in kernel_c()])


LOCKS_CANARY = """
#include <nos/lock.h>
struct box {
	struct mutex lock;
	u32 content __guarded_by(&lock);
};
u32 box_peek(struct box *b);
u32 box_peek(struct box *b) { return b->content; }
void box_leak(struct box *b);
void box_leak(struct box *b) { mutex_lock(&b->lock); b->content++; }
void box_twice(struct box *b);
void box_twice(struct box *b) { scoped_mutex(&b->lock); mutex_lock(&b->lock); mutex_unlock(&b->lock); }
u32 box_take(struct box *b);
u32 box_take(struct box *b) { scoped_mutex(&b->lock); return b->content; }
"""


def check_locks():
    """What the annotations of <nos/types.h> promise; and that a broken promise is seen."""
    flags = clang_flags(LOCKS_CLANG) + list(LOCKS_FLAGS)
    canary = command([LOCKS_CLANG, *flags, "-Wno-error", "-x", "c", "-"], input=LOCKS_CANARY)[1]
    lines = sorted(set(re.findall(r"<stdin>:(\d+):.*thread-safety", canary)))
    if set(lines) != {"8", "10", "12"}:
        return [f"the analysis does not see planted faults (lines {lines}):\n{canary}"]
    return in_parallel([[LOCKS_CLANG, *flags, path] for path in kernel_c()
                        if not path.endswith("_test.c")])


def check_layers():
    status, output = command([sys.executable, "tools/check_layers.py"])
    return output.splitlines() if status else []


def check_headers():
    flags = make_variable("CPPFLAGS") + make_variable("CFLAGS") + make_variable("WARNINGS")
    return in_parallel([["gcc", *flags, "-Ibuild/release/gen", "-O2", "-fsyntax-only",
                         "-include", path, "-x", "c", "/dev/null"]
                        for path in files(["include/nos"], ".h")])


def check_format():
    paths = files([*LAYERS, "include", "user", "bench", "tools/plugin"], ".c", ".h")
    groups = [paths[i::JOBS] for i in range(JOBS) if paths[i::JOBS]]
    faults = []
    for output in in_parallel([["clang-format", "--dry-run", "-Werror", *group]
                               for group in groups]):
        bad = sorted({line.split(":")[0] for line in output.splitlines() if "error:" in line})
        faults += [f"{path}: not as clang-format has it" for path in bad]
    return faults


def changed_files():
    status, output = command(["git", "diff", "--name-only", "HEAD~10"])
    return set(output.split()) if not status else set()


def check_tidy():
    """Changed files first; stops when its time is up."""
    flags = clang_flags() + ["-DDEBUG"]
    paths = kernel_c()
    if "--all" not in sys.argv:
        changed = changed_files()
        paths = [path for path in paths if path in changed]
    end = time.monotonic() + (TIDY_SECONDS if "--all" not in sys.argv else 86400)

    def tidy(path):
        if time.monotonic() > end:
            return None
        status, output = command(["clang-tidy", "--quiet", path, "--", *flags])
        return "\n".join(line for line in output.splitlines()
                         if "error:" in line) if status else ""

    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        results = list(pool.map(tidy, paths))
    skipped = results.count(None)
    if skipped:
        print(f"(time: {skipped} of {len(paths)} files left out; check.py --all takes all) ",
              end="")
    return [output for output in results if output]


def function_lengths(lines):
    """(name, length) of each function: a brace in column 0 opens and closes it."""
    start = None
    for number, line in enumerate(lines):
        if line.startswith("{"):
            start = number
        elif line.startswith("}") and start is not None:
            yield lines[start - 1].strip(), number - start + 1
            start = None


def check_size():
    faults = []
    for path in files([*LAYERS, "include", "user", "bench", "tests"], ".c", ".h", ".S", ".py"):
        with open(path, encoding="utf-8") as file:
            lines = file.read().split("\n")
        limit = HEADER_LINES if path.startswith("include/") else FILE_LINES
        if len(lines) > limit + 1:
            faults.append(f"{path}: {len(lines)} lines, at most {limit}")
        for name, length in function_lengths(lines) if path.endswith(".c") else ():
            if length > FUNCTION_LINES:
                faults.append(f"{path}: {name}: {length} lines, at most {FUNCTION_LINES}")
    return faults


def check_words():
    faults = []
    for path in command(["git", "ls-files"])[1].split("\n"):
        if not path or not os.path.isfile(path):
            continue
        with open(path, encoding="utf-8", errors="replace") as file:
            for number, line in enumerate(file, 1):
                if FORBIDDEN.search(line):
                    faults.append(f"{path}:{number}: {line.strip()[:80]}")
    return faults


def check_pages():
    """Generated pages are what the kernel says (make docs)."""
    status, output = command([sys.executable, "tools/syscall_page.py", "--check"])
    return [output] if status else []


STEPS = {
    "gcc": check_gcc,
    "clang": check_clang,
    "locks": check_locks,
    "layers": check_layers,
    "headers": check_headers,
    "format": check_format,
    "size": check_size,
    "words": check_words,
    "pages": check_pages,
    "tidy": check_tidy,
}


def main():
    options = Options(__doc__, {}, ("--all",)).parse(sys.argv[1:])
    wanted = options.known_words(STEPS, "step") or list(STEPS)
    os.chdir(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    packages.ensure_or_exit("check", PACKAGES)
    failed = 0
    for name in wanted:
        print(f"check {name}: ", end="", flush=True)
        start = time.monotonic()
        faults = STEPS[name]()
        print(f"{len(faults)} faults" if faults else "ok", f"({time.monotonic() - start:.1f} s)",
              flush=True)
        for fault in faults[:60]:
            print("  " + fault[:3000].replace("\n", "\n  "))
        failed += bool(faults)
    print(f"{len(wanted) - failed} checks passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/python3
"""Planted faults: each patch in tests/planted/ breaks the kernel on purpose, and
the check that it names must find it.

Usage: planted.py [NAME...]

A patch starts with lines of its own, before the first "diff" or "---" line:

    Finder: COMMAND     run by sh in a copy of the tree with the fault
    Says: TEXT          what the finder must print, beside failing

The copy lies in build/planted/tree and is kept, so that only what changed is
built again.  The last line is "N passed, N failed".
"""
import os
import shutil
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tools/nos"))
import packages  # noqa: E402
from report import Options, Report  # noqa: E402

PATCHES = os.path.join(ROOT, "tests/planted")
COPY = os.path.join(ROOT, "build/planted/tree")
SECONDS = 600
PACKAGES = {"/usr/bin/patch": "patch", "/usr/bin/git": "git", "/usr/bin/make": "make"}


def tracked_files():
    """What git knows of, and new files that it does not ignore."""
    text = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                          cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [name for name in text.split("\0") if name and os.path.isfile(os.path.join(ROOT, name))]


def same(source, target):
    try:
        if os.stat(source).st_mode != os.stat(target).st_mode:
            return False
        with open(source, "rb") as one, open(target, "rb") as other:
            return one.read() == other.read()
    except OSError:
        return False


def share_linux():
    """Debian's kernel, which a finder may compare with, need not be fetched twice."""
    ours, theirs = os.path.join(ROOT, "build/linux"), os.path.join(COPY, "build/linux")
    if os.path.isdir(ours) and not os.path.lexists(theirs):
        os.makedirs(os.path.dirname(theirs), exist_ok=True)
        os.symlink(ours, theirs)


def copy_tree():
    """Makes the copy like the tree; files that are alike keep their times."""
    names = set(tracked_files())
    share_linux()
    for name in names:
        source, target = os.path.join(ROOT, name), os.path.join(COPY, name)
        if not same(source, target):
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copy(source, target)
    for folder, folders, found in os.walk(COPY):
        folders[:] = [entry for entry in folders if os.path.join(folder, entry) != COPY + "/build"]
        for entry in found:
            name = os.path.relpath(os.path.join(folder, entry), COPY)
            if name not in names and "__pycache__" not in name:
                os.unlink(os.path.join(COPY, name))


def settings(path):
    found = {}
    with open(path, encoding="utf-8") as file:
        for line in file:
            if line.startswith(("diff ", "--- ")):
                break
            key, colon, value = line.partition(": ")
            if colon and key in ("Finder", "Says"):
                found[key] = value.strip()
    return found


def try_patch(name):
    """None if the fault was found, else what went wrong."""
    path = os.path.join(PATCHES, name + ".patch")
    wanted = settings(path)
    if not {"Finder", "Says"} <= wanted.keys():
        return "the patch does not say how it is found (Finder:, Says:)"
    copy_tree()
    done = subprocess.run(["patch", "-s", "-p1", "--no-backup-if-mismatch", "-i", path], cwd=COPY,
                          capture_output=True, text=True, check=False)
    if done.returncode:
        return "the patch does not apply any more:\n" + done.stdout + done.stderr
    env = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "LEVEL", "TEST")}
    try:
        done = subprocess.run(["sh", "-c", wanted["Finder"]], cwd=COPY, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              errors="replace", timeout=SECONDS, env=env, check=False)
    except subprocess.TimeoutExpired:
        return "the finder takes too long"
    if done.returncode == 0:
        return f"not found by: {wanted['Finder']}\n{done.stdout[-2000:]}"
    if wanted["Says"] not in done.stdout:
        return f"the finder failed, but did not say \"{wanted['Says']}\":\n{done.stdout[-2000:]}"
    return None


def names():
    return sorted(entry.removesuffix(".patch") for entry in os.listdir(PATCHES)
                  if entry.endswith(".patch"))


def run(report):
    """Tries what the report wants; what is found passes."""
    for name in names():
        if not report.wants(f"planted {name}"):
            continue
        start = time.monotonic()
        report.doing(f"planted {name}")
        fault = try_patch(name)
        report.add(f"planted {name}", int(not fault), int(bool(fault)), fault or "",
                   time.monotonic() - start)


def main():
    options = Options(__doc__, {}).parse(sys.argv[1:])
    packages.ensure_or_exit("planted", PACKAGES)
    report = Report([f"planted {name}" for name in options.known_words(names(), "patch")])
    run(report)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())

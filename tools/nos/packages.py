"""Debian packages that the tools need: root installs them, others are told how.

A tool says what it needs as {file: package}; the file, which may be a pattern,
shows that the package is there.  The shell script ./nos does the same for what
must be there before any Python runs.
"""
import glob
import os
import subprocess
import sys

from cli import Failure

INSTALL = ("apt-get", "install", "-y", "--no-install-recommends")
WAIT = ("-o", "DPkg::Lock::Timeout=300")  # another tool may be installing


def missing(needed):
    """The packages of {file: package} whose file is not there."""
    return sorted({package for path, package in needed.items() if not glob.glob(path)})


def run_apt(command):
    """The last words of apt-get if it failed, else ""."""
    try:
        done = subprocess.run([*command, *WAIT], stdin=subprocess.DEVNULL, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
                              env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
    except FileNotFoundError:
        return "there is no apt-get"
    return done.stdout[-2000:] or "it failed" if done.returncode else ""


def update():
    """Reads the lists of packages anew, where that is allowed."""
    return run_apt(("apt-get", "update")) if not os.getuid() else "only root can do that"


def ensure(needed):
    """Installs what is missing; Failure, with the line to type, if that can't be done."""
    names = missing(needed)
    if not names:
        return
    command = [*INSTALL, *names]
    if os.getuid():
        raise Failure(f"packages are missing; run: sudo {' '.join(command)}", 2)
    print(f"installing {' '.join(names)}", file=sys.stderr, flush=True)
    update()
    said = run_apt(command)
    if not said:
        absent = [path for path in needed if not glob.glob(path)]
        said = f"there is still no {' '.join(absent)}" if absent else ""
    if said:
        raise Failure(f"this failed: {' '.join(command)}\n{said}".rstrip(), 2)


def ensure_or_exit(tool, needed):
    """For the programs of tools/, which have no other use for a Failure."""
    try:
        ensure(needed)
    except Failure as failure:
        sys.exit(f"{tool}: {failure}")

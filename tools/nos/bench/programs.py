"""What runs in the guest: compiled, and packed as the initramfs of both kernels."""
import os
import re
import stat
import subprocess

import guest
from bench.model import FOLDER
from cli import ROOT, Failure

SOURCE = os.path.join(ROOT, "bench")
CHILDREN = ("child.c", "pairs.c")  # of bench/*.c, not parts of the program itself


def compile_program(name, command, sources):
    """Builds build/bench/NAME if it is older than its sources."""
    os.makedirs(FOLDER, exist_ok=True)
    output = os.path.join(FOLDER, name)
    newest = max(os.stat(path).st_mtime for path in sources)
    if os.path.exists(output) and os.stat(output).st_mtime >= newest:
        return output
    done = subprocess.run([*command, "-o", output + ".new"], stderr=subprocess.PIPE, text=True,
                          check=False)
    if done.returncode:
        raise Failure(f"{name} could not be built\n{done.stderr}")
    os.rename(output + ".new", output)
    return output


def compile_all():
    """The programs of the suites that measure operations: their names."""
    parts = sorted(os.path.join(SOURCE, name) for name in os.listdir(SOURCE)
                   if name.endswith(".c") and name not in CHILDREN)
    child = os.path.join(SOURCE, "child.c")
    gcc = ["gcc", "-O2", "-Wall"]
    # At an address of its own: a profile tells it from the programs that it starts.
    compile_program("bench", [*gcc, "-static", "-pthread", "-fno-toplevel-reorder",
                              "-Wl,-Ttext-segment=0x10000000", *parts],
                    [*parts, os.path.join(SOURCE, "bench.h")])
    compile_program("child-static", [*gcc, "-static", child], [child])
    compile_program("child-dynamic", [*gcc, child], [child])
    names = ["bench", "child-static", "child-dynamic"]
    if os.path.exists("/usr/bin/g++"):
        compile_program("child-c++", ["g++", "-O2", child + "c"], [child + "c"])
        names.append("child-c++")
    return names


def rows():
    """[(name, suite)] of all that the program can measure, in its order."""
    compile_all()
    text = subprocess.run([os.path.join(FOLDER, "bench"), "-l"], capture_output=True, text=True,
                          check=True).stdout
    return [tuple(line.split("\t")[:2]) for line in text.splitlines()]


def wanted(request):
    """The rows of rows() that the request asks for, suite by suite."""
    order = {name: at for at, name in enumerate(request.suites)}
    chosen = [(name, suite) for name, suite in rows() if suite in order and
              request.name in name and name not in request.exclude]
    return sorted(chosen, key=lambda row: order[row[1]])


def libraries(program):
    """The files that a dynamic program loads."""
    text = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    return re.findall(r"(/\S+) \(0x", text)


def parents(name):
    parts = name.split("/")[:-1]
    return ["/".join(parts[:i + 1]) for i in range(len(parts))]


def make_archive():
    """An initramfs with the programs in /bench and their libraries: its path."""
    archive = guest.Archive()
    files = {}
    for name in compile_all():
        path = os.path.join(FOLDER, name)
        files["bench/" + name] = path
        if name.startswith("child-") and name != "child-static":
            for library in libraries(path):
                files[library.lstrip("/")] = library
    folders = {folder for name in files for folder in parents(name)}
    for folder in sorted(folders):
        archive.add(folder, stat.S_IFDIR | 0o755)
    for name, path in files.items():
        archive.add(name, stat.S_IFREG | 0o755, guest.read(path))
    path = os.path.join(FOLDER, "initramfs.cpio")
    with open(path, "wb") as file:
        file.write(archive.finish())
    return path

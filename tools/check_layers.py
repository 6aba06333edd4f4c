#!/usr/bin/python3
"""Checks that includes only go down the layers that layers.conf declares.

Every header of include/nos has one owner; a header elsewhere is private to
its folder.  Prints one line a fault and exits 1 if there is any.
"""
import os
import re
import sys

INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]', re.M)
UAPI = ("linux/", "asm/", "asm-generic/")
COMPILER = {"stddef.h", "stdint.h", "stdarg.h", "stdbool.h", "stdatomic.h", "limits.h",
            "cpuid.h", "x86intrin.h"}


def read_conf(path):
    """Returns what each layer sees (itself too), and each header's owner."""
    below, owners, faults = {}, {}, []
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            words = line.split("#")[0].replace(":", " ").split()
            if not words:
                continue
            if words[0] == "layer":
                unknown = [name for name in words[2:] if name not in below]
                if unknown:
                    faults.append(f"{path}:{number}: {words[1]} stands on {unknown[0]}, "
                                  "which is declared later: a cycle, or a wrong name")
                below[words[1]] = words[2:]
            elif words[0] == "headers":
                for header in words[2:]:
                    if header in owners:
                        faults.append(f"{path}:{number}: {header}.h has two owners")
                    owners[header] = words[1]
            else:
                faults.append(f"{path}:{number}: not 'layer' or 'headers': {words[0]}")
    sees = {}
    for layer, others in below.items():
        sees[layer] = {layer}.union(*(sees.get(name, set()) for name in others))
    return sees, owners, faults


def sources(layers):
    for layer in layers:
        for folder, _, names in os.walk(layer):
            for name in sorted(names):
                if name.endswith((".c", ".h", ".S", ".def")):
                    yield layer, os.path.join(folder, name)


def check_file(layer, path, sees, owners):
    """Faults of one file that belongs to `layer`."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    for match in INCLUDE.finditer(text):
        kind, name = match.groups()
        where = f"{path}:{text.count(chr(10), 0, match.start(2)) + 1}"
        if kind == '"':
            folder = os.path.dirname(path)
            target = os.path.normpath(os.path.join(folder, name))
            if os.path.dirname(target) != folder or not os.path.exists(target):
                if not target.startswith(layer + "/"):
                    yield f'{where}: "{name}" is not a header of this folder'
        elif name.startswith("nos/"):
            owner = owners.get(name[4:].removesuffix(".h"))
            if not owner:
                yield f"{where}: <{name}> has no owner in layers.conf"
            elif owner not in sees[layer]:
                yield f"{where}: {layer} may not include <{name}> of {owner}"
        elif not name.startswith(UAPI) and name not in COMPILER and name != "offsets.h":
            yield f"{where}: <{name}> is neither NOS's nor the kernel's interface"


def main():
    sees, owners, faults = read_conf("layers.conf")
    for layer, path in sources(sees):
        faults += check_file(layer, path, sees, owners)
    for name in sorted(os.listdir("include/nos")):
        path = os.path.join("include/nos", name)
        if os.path.isdir(path):
            continue
        owner = owners.get(name.removesuffix(".h"))
        if not owner:
            faults.append(f"{path}: no owner in layers.conf")
        else:
            faults += check_file(owner, path, sees, owners)
    for header in owners:
        if not os.path.exists(f"include/nos/{header}.h"):
            faults.append(f"layers.conf: {header}.h does not exist")
    print("\n".join(faults), end="\n" if faults else "")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())

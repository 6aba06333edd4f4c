"""`nos bench --profile OP`: where a benchmark's instructions go.

Counted by a plugin in the emulator (tools/plugin/profile.c): every instruction
between the benchmark's own marks, by function and by call stack.
"""
import json
import os
import sys

import cli
from bench import boot, flame, model, plugin, programs
from cli import Failure

HELP = """\
Usage: ./nos bench --profile OP [--kernel nos|linux] [--svg FILE] [--json FILE] [--all]

Where the instructions of one benchmark go, by function, per operation: exact,
for the emulator counts each one.  OP is a benchmark's name, or part of one
name only.

  --kernel KERNEL   on nos (default) or linux
  --svg FILE        also draws a flame graph: callers above what they call
  --json FILE       also writes the figures
  --append TEXT     words for NOS's command line, such as opt.NAME=off
  --all             all functions, not only those above half a percent
"""

ROOT = -2  # the function of the two nodes above all


class Profile:
    """One benchmark's call tree, per operation."""

    def __init__(self, operations):
        self.operations = operations
        self.nodes = {}  # number: (parent, function, is_kernel, instructions)

    def functions(self, names):
        """{(name, is_kernel): instructions per operation}"""
        result = {}
        for _, function, is_kernel, count in self.nodes.values():
            if count:
                key = names.name(function, is_kernel), bool(is_kernel)
                result[key] = result.get(key, 0) + count / self.operations
        return result

    def tree(self, names):
        root = flame.Box("all", False)
        boxes = {}
        for node in sorted(self.nodes):
            parent, function, is_kernel, count = self.nodes[node]
            if function == ROOT:
                boxes[node] = root
            else:
                boxes[node] = boxes[parent].child(names.name(function, is_kernel), is_kernel)
            boxes[node].own += count / self.operations
        return root


def read(path):
    """({benchmark's number: Profile}, instructions of an empty loop's turn)"""
    profiles, empty, current = {}, 0.0, None
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            word, *fields = line.split()
            numbers = [int(field) for field in fields]
            if word == "benchmark":
                current = profiles[numbers[0]] = Profile(numbers[1])
            elif word == "node":
                current.nodes[numbers[0]] = tuple(numbers[1:])
            elif word == "empty" and numbers[1]:
                empty = numbers[0] / numbers[1]
    return profiles, empty


def measure(kernel, only, append):
    """(name, Profile, Names, empty loop's turn, what the benchmark itself said)"""
    known = [name for name, _ in programs.rows() if only in name]
    if not known:
        raise cli.usage(f"no benchmark's name holds '{only}'")
    if len(known) > 1 and only not in known:
        raise cli.usage(f"'{only}' is in several names: " + "; ".join(known))
    boot.ensure(model.Request([], kernels=(kernel,)))
    archive = programs.make_archive()
    names = plugin.Names(kernel, os.path.join(model.FOLDER, "bench"))
    out = os.path.join(plugin.FOLDER, f"profile-{kernel}.{os.getpid()}")
    words = plugin.arguments("profile", out=out, functions=out + ".functions")
    names.write(out + ".functions")
    request = model.Request([], append=append)
    options = plugin.options_for(kernel, request, archive, ["/bench/bench", only], words)
    try:
        rows = [line.split("\t") for line in boot.lines(options, kernel) if line.count("\t") >= 2]
        profiles, empty = read(out)
    finally:
        for path in (out, out + ".functions"):
            if os.path.exists(path):
                os.unlink(path)
    name = only if only in known else known[0]
    number = next((i for i, row in enumerate(rows) if row[0] == name), None)
    if number not in profiles:
        reason = rows[number][2] if number is not None else "it printed nothing"
        raise Failure(f"{name} did not run on {kernel}: {reason}")
    return name, profiles[number], names, empty, rows[number][1]


def without_loop(costs, empty):
    """Takes a turn of the empty loop off the benchmark's own function."""
    loops = [key for key in costs if not key[1] and key[0].startswith("bench_run_")]
    if loops:
        largest = max(loops, key=costs.get)
        costs[largest] = max(costs[largest] - empty, 0)
    return costs


def print_table(costs, everything):
    total = sum(costs.values()) or 1
    print(f"{'function':44}{'mode':>8}{'instructions':>14}{'share':>9}")
    small, nr_small = 0.0, 0
    for (name, is_kernel), count in sorted(costs.items(), key=lambda item: -item[1]):
        if count < total / 200 and not everything:
            small, nr_small = small + count, nr_small + 1
            continue
        print(f"{name:44}{'kernel' if is_kernel else 'user':>8}{count:>14,.1f}"
              f"{100 * count / total:>8.1f}%")
    if nr_small:
        print(f"{f'({nr_small} others)':52}{small:>14,.1f}{100 * small / total:>8.1f}%")
    in_kernel = sum(count for (_, is_kernel), count in costs.items() if is_kernel)
    print(f"{'total':44}{'kernel':>8}{in_kernel:>14,.1f}{100 * in_kernel / total:>8.1f}%")
    print(f"{'':44}{'user':>8}{total - in_kernel:>14,.1f}{100 - 100 * in_kernel / total:>8.1f}%")
    print(f"{'':44}{'both':>8}{total:>14,.1f}{100:>8.1f}%")


def main(arguments):
    kernel, only, svg, json_file, everything, append = "nos", None, None, None, False, []
    words = list(arguments)
    if "-h" in words or "--help" in words:
        sys.stdout.write(HELP)
        return 0
    while words:
        word = words.pop(0)
        if word == "--all":
            everything = True
            continue
        if word not in ("--profile", "--kernel", "--svg", "--json", "--append"):
            raise cli.usage(f"unknown argument {word} of bench --profile")
        if not words:
            raise cli.usage(f"{word} needs a value")
        value = words.pop(0)
        if word == "--profile":
            only = value
        elif word == "--kernel":
            kernel = cli.parse_choice(word, "nos", "linux")(value)
        elif word == "--append":
            append.append(value)
        elif word == "--svg":
            svg = value
        else:
            json_file = value
    name, profile, names, empty, ticks = measure(kernel, only, tuple(append))
    costs = without_loop(profile.functions(names), empty)
    print(f"{name} on {kernel}: instructions per operation, mean of {profile.operations} "
          f"(its own count, median: {int(ticks):,})")
    print_table(costs, everything)
    if svg:
        with open(svg, "w", encoding="utf-8") as file:
            file.write(flame.svg(profile.tree(names), f"{name} on {kernel}",
                                 f"{sum(costs.values()):,.0f} guest instructions per operation; "
                                 "warm: kernel, green: user; exact counts from the emulator"))
    if json_file:
        with open(json_file, "w", encoding="utf-8") as file:
            json.dump({"benchmark": name, "kernel": kernel, "functions": [
                {"name": key[0], "mode": "kernel" if key[1] else "user", "instructions": count}
                for key, count in sorted(costs.items(), key=lambda item: -item[1])]}, file,
                indent=1)
    return 0

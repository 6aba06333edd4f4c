"""The suite "scale": cache lines that keep operations from scaling.

Two processors execute operations that commute (bench/pairs.c), each its own:
a plugin in the emulator (tools/plugin/conflict.c) sees the lines of the kernel
that one of them wrote and the other touched.  By Clements et al., The Scalable
Commutativity Rule (SOSP 2013), there need be none.
"""
import bisect
import os
import re
import stat
import subprocess

import guest
from bench import boot, model, plugin, programs
from bench.model import Figure, Row
from cli import ROOT, Failure

SUITES = ("scale",)
OFTEN = 0.2  # shared accesses per operation that make a line count
LEAST = 2  # in 100 operations: that a line is listed
DETAILS = os.path.join(model.FOLDER, "scale.txt")

# NOS's kernel addresses (include/nos/arch.h), the highest first.
PERCPU, PERCPU_SLOT = 0xffffd00000000000, 1 << 20
REGIONS = {
    "nos": ((0xffffffff80000000, "image"), (0xfffffff800000000, "slab places"),
            (0xffffe00000000000, "frame table"), (PERCPU, "per-CPU"),
            (0xffffc00000000000, "stack"), (0xffff800000000000, "memory")),
    # With five levels of page tables.
    "linux": ((0xffffffffa0000000, "module"), (0xffffffff80000000, "image"),
              (0xffd4000000000000, "struct page"), (0xffa0000000000000, "stack, vmalloc"),
              (0xff11000000000000, "memory")),
}


class Line:
    """A shared cache line: where it is, and what each side did with it."""

    def __init__(self, fields):
        numbers = [int(field) for field in fields[1:5]]
        masks = [int(field, 16) for field in fields[5:9]]
        self.address = int(fields[0], 16)
        self.reads, self.writes = numbers[0::2], numbers[1::2]
        self.touched, self.written = masks[0::2], masks[1::2]
        self.places = ([], [])  # of each side: (instruction, count, is it a store)

    def rate(self, operations):
        """How often per operation one side writes what the other touches."""
        return max(min(self.writes[side] / operations[side],
                       (self.reads[1 - side] + self.writes[1 - side]) / operations[1 - side])
                   for side in (0, 1))

    def is_false(self):
        """Do the sides use different bytes?"""
        return not (self.written[0] & self.touched[1] or self.written[1] & self.touched[0])

    def first_byte(self):
        mask = (self.touched[0] | self.touched[1]) if self.is_false() else \
            self.written[0] & self.touched[1] | self.written[1] & self.touched[0]
        return self.address + (mask & -mask).bit_length() - 1


def read(path):
    """{pair's number: ((operations of either side), [Line])}"""
    result, current = {}, None
    with open(path, encoding="utf-8") as lines:
        for text in lines:
            word, *fields = text.split()
            if word == "pair":
                current = result[int(fields[0])] = (tuple(map(int, fields[1:])), [])
            elif word == "line":
                current[1].append(Line(fields))
            elif word == "at":
                current[1][-1].places[int(fields[0])].append(
                    (int(fields[1], 16), int(fields[2]), fields[3] == "1"))
    return result


class Data:
    """The variables of a kernel, by address."""

    def __init__(self, kernel):
        self.kernel = kernel
        self.percpu = None
        if kernel == "nos":
            self.image = os.path.join(ROOT, "build/release/nos.elf")
            text = subprocess.run(["nm", "-n", self.image], capture_output=True, text=True,
                                  check=True).stdout
        else:
            with open(plugin.linux_symbols(), encoding="utf-8") as file:
                text = file.read()
        symbols = []
        for line in text.splitlines():
            fields = line.split()
            if len(fields) == 3 and fields[1] in "bBdDrRvV" and len(fields[0]) == 16:
                symbols.append((int(fields[0], 16), fields[2]))
            if fields[-1] == "percpu_start":
                self.percpu = int(fields[0], 16)
        self.symbols = sorted(symbols)
        self.starts = [address for address, _ in self.symbols]

    def symbol(self, address):
        at = bisect.bisect(self.starts, address) - 1
        start, name = self.symbols[at]
        return f"{name}+{address - start}" if address != start else name

    def name(self, address):
        region = next((name for start, name in REGIONS[self.kernel] if address >= start), "?")
        if region == "image":
            return self.symbol(address)
        if region == "per-CPU" and self.percpu and address - PERCPU < 16 * PERCPU_SLOT:
            cpu, offset = divmod(address - PERCPU, PERCPU_SLOT)
            return f"{self.symbol(self.percpu + offset)} of CPU {cpu}"
        return f"{region} {address:#x}"


def source_lines(image, addresses):
    """{address: file:line}"""
    if not addresses:
        return {}
    text = subprocess.run(["addr2line", "-e", image, *map(hex, addresses)], capture_output=True,
                          text=True, check=False).stdout
    return {address: re.sub(r"^\./| \(.*", "", line)
            for address, line in zip(addresses, text.splitlines()) if not line.startswith("??")}


def describe(line, operations, data, names, sources):
    """One line of text: what is shared, and who touches it."""
    def places(side):
        said = []
        for instruction, _, is_store in sorted(line.places[side], key=lambda p: (-p[2], -p[1])):
            name = (names.at(instruction) or "?").split("+")[0]
            where = sources.get(instruction)
            text = f"{name} ({where})" if where else name
            said.append(("writes " if is_store else "reads ") + text)
        return list(dict.fromkeys(said))

    both = list(dict.fromkeys(places(0) + places(1)))
    kind = "false sharing; " if line.is_false() else ""
    return (f"{line.rate(operations):6.2f}  {data.name(line.first_byte())}: {kind}"
            + "; ".join(both[:5]))


def make_archive():
    """An initramfs with the pairs and the program that they execute: its path."""
    source = os.path.join(ROOT, "bench")
    files = [programs.compile_program("pairs", ["gcc", "-O2", "-Wall", "-static", "-pthread",
                                                source + "/pairs.c"],
                                      [source + "/pairs.c", source + "/bench.h"]),
             programs.compile_program("child-static", ["gcc", "-O2", "-Wall", "-static",
                                                       source + "/child.c"],
                                      [source + "/child.c"])]
    archive = guest.Archive()
    archive.add("bench", stat.S_IFDIR | 0o755)
    for path in files:
        archive.add("bench/" + os.path.basename(path), stat.S_IFREG | 0o755, guest.read(path))
    path = os.path.join(model.FOLDER, "pairs.cpio")
    with open(path, "wb") as file:
        file.write(archive.finish())
    return path


def listed(only):
    """The names of the pairs that are asked for."""
    text = subprocess.run([os.path.join(model.FOLDER, "pairs"), "-l"], capture_output=True,
                          text=True, check=True).stdout
    return [name for name in text.splitlines() if only in name]


def measure_kernel(column, request, archive, done, total):
    """{pair: (Figure, operations of either side, [Line])} of one kernel."""
    out = os.path.join(plugin.FOLDER, f"conflict-{column}.{os.getpid()}")
    command = ["/bench/pairs", *([request.name] if request.name else [])]
    if column == "linux":
        # It does not get its second processor up with -icount; so its timer ticks often.
        tick = plugin.Names(column).address("asm_sysvec_apic_timer_interrupt")
        words = plugin.arguments("conflict", out=out, least=LEAST, ignore=f"{tick:x}")
        options = plugin.options_for(column, request, archive, command, words,
                                     boot.processors(column, 2)["accel_arguments"])
    else:
        words = plugin.arguments("conflict", out=out, least=LEAST)
        options = plugin.options_for(column, request, archive, command, words)
    options.smp = 2
    order = []
    try:
        for text in boot.lines(options, column):
            fields = text.split("\t")
            if len(fields) >= 2:
                order.append((fields[0], fields[2] if len(fields) > 2 else ""))
                request.progress.at(done + len(order), total, f"{column}: {fields[0]}")
        found = read(out)
    finally:
        if os.path.exists(out):
            os.unlink(out)
    result = {}
    for number, (name, why) in enumerate(order):
        operations, lines = found.get(number, ((), []))
        often = sum(line.rate(operations) >= OFTEN for line in lines)
        result[name] = (Figure(float(often)) if operations and not why else
                        Figure(why=why or "no marks"), operations, lines)
    return result


def details(column, results):
    """Text: the shared lines of each pair."""
    data, names = Data(column), plugin.Names(column)
    instructions = sorted({place[0] for _, _, lines in results.values() for line in lines
                           for side in line.places for place in side})
    sources = source_lines(data.image, instructions) if column == "nos" else {}
    text = [f"Lines of {column}'s kernel that two processors share, and how often per operation:"]
    for name, (figure, operations, lines) in results.items():
        text.append(f"{name}: {figure.why or f'{figure.value:.0f}'}, and "
                    f"{len(lines) - (figure.value or 0):.0f} now and then")
        text += [describe(line, operations, data, names, sources)
                 for line in sorted(lines, key=lambda line: -line.rate(operations))]
    return text


def measure(request):
    archive = make_archive()
    chosen = listed(request.name)
    results, text = {}, []
    for at, column in enumerate(request.kernels):
        try:
            results[column] = measure_kernel(column, request, archive, at * len(chosen),
                                             len(chosen) * len(request.kernels))
            text += details(column, results[column])
        except Failure as failure:
            results[column] = {name: (Figure(why=str(failure)), (), []) for name in chosen}
    with open(DETAILS, "w", encoding="utf-8") as file:
        file.write("\n".join(text) + "\n")
    request.progress.clear()
    if request.name:
        print("\n".join(text))
    else:
        for column in request.kernels:
            clean = sum(figure.value == 0 for figure, _, _ in results[column].values())
            print(f"{column}: {clean} of {len(chosen)} pairs share no line of the kernel ")
        print(f"which lines, and who touches them: {os.path.relpath(DETAILS)}")
    absent = (Figure(why="it printed nothing"), (), [])
    return [Row(name, "scale", {column: results[column].get(name, absent)[0]
                                for column in request.kernels}, "lines", 0) for name in chosen]

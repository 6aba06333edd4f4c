"""QEMU with one of the plugins of tools/plugin/: builds it, runs a guest under
it, and gives addresses names."""
import bisect
import os
import subprocess

import machine
import panic
from bench import boot, model
from cli import ROOT, Failure

SOURCE = os.path.join(ROOT, "tools", "plugin")
FOLDER = os.path.join(ROOT, "build", "plugin")


def build(name):
    """Compiles build/plugin/NAME.so if it is older than its source; its path."""
    os.makedirs(FOLDER, exist_ok=True)
    output = os.path.join(FOLDER, name + ".so")
    parts = [os.path.join(SOURCE, part) for part in (name + ".c", "common.c")]
    headers = [os.path.join(SOURCE, part) for part in os.listdir(SOURCE) if part.endswith(".h")]
    newest = max(os.stat(path).st_mtime for path in (*parts, *headers))
    if os.path.exists(output) and os.stat(output).st_mtime >= newest:
        return output
    fresh = f"{output}.{os.getpid()}"
    done = subprocess.run(["gcc", "-std=gnu2x", "-O2", "-Wall", "-Wextra", "-Werror", "-fPIC",
                           "-shared", *parts, "-o", fresh], stderr=subprocess.PIPE, text=True,
                          check=False)
    if done.returncode:
        raise Failure(f"the plugin {name} could not be built\n{done.stderr}")
    os.rename(fresh, output)
    return output


def arguments(name, **values):
    """QEMU's words for a plugin."""
    words = [machine.quote(build(name))]
    words += [f"{key}={machine.quote(str(value))}" for key, value in values.items()]
    return ("-plugin", ",".join(words))


def options_for(kernel, request, archive, command, plugin, accel=boot.COUNTING):
    """The machine in which benchmarks are counted, with a plugin's words."""
    options = boot.options_for(kernel, request, archive, command,
                               accel_arguments=(*accel, *plugin))
    if kernel == "linux":
        # Else Linux takes lock prefixes out of its code on a machine with one processor.
        options.append += ["nokaslr", "noreplace-smp"]
    return options


def elf_functions(path):
    """[(start, end, name)] of an ELF file, by address; no two overlap."""
    symbols = panic.Symbols(path).functions
    return tile([(value, size, name) for value, size, name in symbols])


def tile(symbols):
    """One name for each address; a function without a size ends at the next."""
    best = {}
    for value, size, name in symbols:
        known = best.get(value)
        if not known or (size, known[1].startswith("_"), -len(name)) > \
                (known[0], name.startswith("_"), -len(known[1])):
            best[value] = (size, name)
    starts = sorted(best)
    return [(start, min(end, start + (best[start][0] or end - start)), best[start][1])
            for start, end in zip(starts, [*starts[1:], starts[-1] + 4096 if starts else 0])]


def linux_symbols():
    """Where the symbols of Debian's kernel are: it is asked for them, once."""
    file, _ = machine.find_linux()
    path = os.path.join(FOLDER, os.path.basename(file) + ".symbols")
    os.makedirs(FOLDER, exist_ok=True)
    if not os.path.exists(path):
        options = boot.options_for("linux", model.Request([]), None, ["cat", "/proc/kallsyms"],
                                   mem=1 << 30, accel_arguments=None)
        options.append.append("nokaslr")
        lines = list(boot.lines(options, "linux"))
        with open(path, "w", encoding="utf-8") as out:
            out.write("\n".join(lines) + "\n")
    return path


def linux_functions():
    """As elf_functions(), of Debian's kernel."""
    symbols = []
    with open(linux_symbols(), encoding="utf-8") as lines:
        for line in lines:
            fields = line.split()
            if fields[1] in "tTwW" and int(fields[0], 16) >= 0xffffffff80000000:
                symbols.append((int(fields[0], 16), 0, fields[2]))
    return tile(symbols)


def kernel_functions(kernel):
    if kernel == "linux":
        return linux_functions()
    return elf_functions(os.path.join(ROOT, "build/release/nos.elf"))


class Names:
    """Functions by number, as the plugins count them."""

    def __init__(self, kernel, *programs):
        self.functions = []
        for program in programs:
            self.functions += elf_functions(program)
        self.functions = sorted(self.functions + kernel_functions(kernel))
        self.starts = [start for start, _, _ in self.functions]

    def write(self, path):
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(f"{start:x} {end:x}\n" for start, end, _ in self.functions)

    def name(self, number, is_kernel=False):
        if number >= 0:
            return self.functions[number][2]
        return "[kernel, no symbol]" if is_kernel else "[other program]"

    def address(self, name):
        """Where a function starts, 0 if there is none of that name."""
        return next((start for start, _, known in self.functions if known == name), 0)

    def at(self, address):
        """name+offset of an address, or None."""
        number = bisect.bisect(self.starts, address) - 1
        if number < 0 or address >= self.functions[number][1]:
            return None
        start, _, name = self.functions[number]
        return f"{name}+{address - start:#x}"

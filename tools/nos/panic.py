"""Finds a panic in the kernel's log and gives its addresses names."""
import os
import re
import struct

ADDRESS = re.compile(r"(?:\[<|(?<=rip ))(ffffffff[0-9a-f]{8})(?:>\])?")


class Symbols:
    """The functions of an ELF file, by address."""

    def __init__(self, path):
        self.functions = []
        with open(path, "rb") as file:
            image = file.read()
        if image[:5] != b"\x7fELF\x02":
            return
        offset, = struct.unpack_from("<Q", image, 0x28)
        count, = struct.unpack_from("<H", image, 0x3C)
        sections = [struct.unpack_from("<IIQQQQIIQQ", image, offset + 64 * i)
                    for i in range(count)]
        code = {i for i, section in enumerate(sections) if section[2] & 4}  # SHF_EXECINSTR
        for section in sections:
            if section[1] == 2:  # SHT_SYMTAB
                self.read(image, section, sections[section[6]], code)
        self.functions.sort()

    def read(self, image, table, strings, code):
        start = strings[4]
        for name, info, _, index, value, size in struct.iter_unpack(
                "<IBBHQQ", image[table[4]:table[4] + table[5]]):
            if index in code and info & 15 in (0, 2):
                end = image.index(b"\0", start + name)
                text = image[start + name:end].decode()
                if text and not text.startswith("."):
                    self.functions.append((value, size, text))

    def name(self, address):
        import bisect
        # A return address may be the first behind its function's end.
        at = bisect.bisect(self.functions, (address - 1, 1 << 63, "")) - 1
        if at < 0:
            return None
        value, size, text = self.functions[at]
        if address > value + (size or 4096):
            return None
        return f"{text}+{address - value:#x}"


def lines_of(path, addresses):
    """file:line of each address, where addr2line is installed."""
    if not addresses or not os.path.exists("/usr/bin/addr2line"):
        return {}
    import subprocess
    # A return address lies behind its call: look one byte before.
    command = ["/usr/bin/addr2line", "-e", path] + [hex(int(a, 16) - 1) for a in addresses]
    try:
        output = subprocess.run(command, capture_output=True, text=True, timeout=20,
                                check=False).stdout.split("\n")
    except (OSError, subprocess.TimeoutExpired):
        return {}
    return {address: line.split(" (")[0] for address, line in zip(addresses, output)
            if line and not line.startswith("??")}


def symbolise(text, kernel):
    symbols = Symbols(kernel)
    if not symbols.functions:
        return text
    addresses = list(dict.fromkeys(ADDRESS.findall(text)))
    named = {a: symbols.name(int(a, 16)) for a in addresses}
    lines = lines_of(kernel, [a for a in addresses if named[a]])

    def replace(match):
        name = named[match[1]]
        if not name:
            return match[0]
        line = lines.get(match[1])
        return name + (f" ({line.removeprefix('./')})" if line else "")

    # A name that the kernel printed itself is not printed twice.
    return "".join(re.sub(ADDRESS, replace, line) if "+0x" not in line else line
                   for line in text.splitlines(True))


def describe(log, kernel):
    """The text of a panic with symbols, or "" if there was none."""
    try:
        with open(log, "rb") as file:
            text = file.read().decode(errors="replace").replace("\r", "")
    except OSError:
        return ""
    at = text.find("PANIC:")
    if at < 0:
        at = text.find("Kernel panic")
    if at < 0:
        return ""
    start = text.rfind("\n", 0, at) + 1
    # The registers of a fault, or what a sanitizer found, stand before it.
    before = text[:start].splitlines(True)[-32:]
    for number, line in enumerate(before):
        if " fault" in line or " exception" in line or "sanitizer: " in line:
            start -= sum(map(len, before[number:]))
            break
    text = text[start:]
    if not text.endswith("\n"):
        text += "\n"
    return symbolise(text[:16000], kernel)

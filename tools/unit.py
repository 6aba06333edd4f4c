"""Level 1: unit tests of modules on the host, under sanitizers.

For each layer, its x_test.c files and their modules x.c become one program
with tests/host/shim.c, all of lib/, and what a test file names in a comment
`/* needs: folder/file.c ... */`.  Coverage counts the modules, and what a test file names as
`/* tests: folder/file.c ... */`.
"""
import os
import re
import subprocess

LAYERS = ("lib", "arch", "core", "mm", "vfs", "block", "ipc", "net", "fs", "proc",
          "drivers", "linux")
# At the head of a test file that only means something inside the kernel.
KERNEL_ONLY = "#ifndef NOS_HOST"

VARIANTS = {
    "asan": ["-fsanitize=address,undefined", "-fno-sanitize=shift,alignment",
             "-fno-sanitize-recover=all", "-O1"],
    "tsan": ["-fsanitize=thread", "-O1"],
    "gcov": ["--coverage", "-O0"],
}

FLAGS = ["-std=gnu2x", "-g", "-DNOS_HOST", "-DDEBUG", "-ffreestanding", "-fwrapv",
         "-fno-strict-aliasing", "-ffunction-sections", "-fdata-sections", "-fPIE", "-w",
         "-include", "tests/host/host.h"]


def find_tests(layer):
    found = []
    for folder, _, names in os.walk(layer):
        found += [os.path.join(folder, name) for name in sorted(names)
                  if name.endswith("_test.c")]
    return found


def needs(path):
    """What the comments of a file name, and what those files need in turn."""
    found = []
    with open(path, encoding="utf-8") as file:
        for line in re.findall(r"/\* needs: (.*?) \*/", file.read(), re.S):
            for name in line.split():
                found += [name, *needs(name)]
    return list(dict.fromkeys(found))


def parts(layer):
    """(test files, modules under test, what they stand on) of a layer."""
    tests, modules, needed = [], [], []
    for path in find_tests(layer):
        with open(path, encoding="utf-8") as file:
            text = file.read()
        if KERNEL_ONLY in text[:400] or "TEST(" not in text:
            continue
        tests.append(path)
        module = path.replace("_test.c", ".c")
        if os.path.exists(module):
            modules.append(module)
        needed += needs(path)
        for line in re.findall(r"/\* tests: (.*?) \*/", text, re.S):
            modules += line.split()
    lib = [os.path.join("lib", name) for name in sorted(os.listdir("lib"))
           if name.endswith(".c") and not name.endswith("_test.c")]
    if layer == "lib":
        modules = lib
    modules = list(dict.fromkeys(modules))
    return tests, modules, [path for path in dict.fromkeys([*needed, *lib])
                            if path not in modules + tests]


def include_flags():
    gcc = subprocess.run(["gcc", "-print-file-name=include"], capture_output=True, text=True,
                         check=True).stdout.strip()
    return ["-nostdinc", "-isystem", gcc, "-isystem", "build/uapi", "-Iinclude",
            "-Ibuild/release/gen"]


def compile_variant(layer, variant, files):
    """Builds one program; returns (path, output of the compiler if it failed)."""
    folder = f"build/unit/{variant}/{layer}"
    os.makedirs(folder, exist_ok=True)
    flags = [*include_flags(), *FLAGS, *VARIANTS[variant]]
    objects, running = [], []
    for path in files:
        target = f"{folder}/{path.replace('/', '-')}.o"
        objects.append(target)
        if is_fresh(target, path):
            continue
        running.append(subprocess.Popen(["gcc", *flags, "-MMD", "-c", "-o", target, path],
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        text=True))
        if len(running) >= 2:
            output = running.pop(0).communicate()[0]
            if "error" in output:
                return None, output
    for process in running:
        output = process.communicate()[0]
        if process.returncode:
            return None, output
    return link(f"{folder}/test", VARIANTS[variant], objects)


def link(program, flags, objects, compiler="gcc"):
    """Functions that nothing under test should call become traps."""
    command = [compiler, *flags, "-pie", "-Wl,--gc-sections", "-pthread", "-o", program]
    done = subprocess.run([*command, *objects], capture_output=True, text=True, check=False)
    missing = sorted(set(re.findall(r"undefined reference to `(\w+)'", done.stderr)))
    if done.returncode and missing:
        with open(program + "-absent.S", "w", encoding="utf-8") as file:
            for name in missing:
                file.write(f".globl {name}\n{name}:\n\tud2\n")
            file.write('.section .note.GNU-stack,"",@progbits\n')
        done = subprocess.run([*command, *objects, program + "-absent.S"],
                              capture_output=True, text=True, check=False)
    return (None, done.stderr) if done.returncode else (program, "")


def is_fresh(target, path):
    depends = target.removesuffix(".o") + ".d"
    try:
        made = os.stat(target).st_mtime
        with open(depends, encoding="utf-8") as file:
            names = file.read().replace("\\\n", " ").split(":", 1)[1].split()
        return all(os.stat(name).st_mtime < made for name in names)
    except (OSError, IndexError):
        return False


def coverage(layer, modules):
    """(lines executed, lines) of the modules under test, by gcov."""
    folder = f"build/unit/gcov/{layer}"
    executed = total = 0
    rows = []
    for module in modules:
        name = f"{module.replace('/', '-')}.gcda"
        if not os.path.exists(f"{folder}/{name}"):
            continue
        text = subprocess.run(["gcov", "-n", "-o", folder, f"{folder}/{name}"],
                              capture_output=True, text=True, check=False).stdout
        match = re.search(rf"File '{re.escape(module)}'\nLines executed:([\d.]+)% of (\d+)", text)
        if match:
            lines = int(match[2])
            hit = round(float(match[1]) * lines / 100)
            rows.append((module, hit, lines))
            executed += hit
            total += lines
    return executed, total, rows


def run(report):
    """Builds and runs what the report wants: a program of each layer and variant."""
    executed = total = 0
    rows = []
    for layer in LAYERS:
        tests, modules, others = parts(layer)
        if not tests or not report.wants(f"unit {layer}"):
            continue
        files = ["tests/host/shim.c", *tests, *modules, *others]
        for variant in VARIANTS:
            name = f"unit {layer} {variant}"
            report.doing(name)
            program, errors = compile_variant(layer, variant, files)
            if not program:
                report.add(name, 0, 1, errors)
                continue
            if variant == "gcov":
                for entry in os.listdir(f"build/unit/gcov/{layer}"):
                    if entry.endswith(".gcda"):
                        os.unlink(f"build/unit/gcov/{layer}/{entry}")
            try:
                done = subprocess.run([program], capture_output=True, text=True,
                                      errors="replace", timeout=120, check=False)
                text = done.stdout + done.stderr
                match = re.search(r"^(\d+) passed, (\d+) failed", text, re.M)
                passed, failed = (int(match[1]), int(match[2])) if match else (0, 1)
                failed = max(failed, 1 if done.returncode else 0)
            except subprocess.TimeoutExpired:
                passed, failed, text = 0, 1, "time is up"
            report.add(name, passed, failed, text if failed else "")
        more = coverage(layer, modules)
        executed, total, rows = executed + more[0], total + more[1], rows + more[2]
    for module, hit, lines in rows:
        print(f"    {module:36} {100 * hit / max(lines, 1):5.1f} % of {lines} lines")
    if total:
        print(f"coverage of host-tested modules: {100 * executed / total:.1f} % "
              f"({executed} of {total} lines)")

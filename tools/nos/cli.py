"""The command line of ./nos: verbs, options, help."""
import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Failure(Exception):
    """Something that ends nos with one line and an exit status."""

    def __init__(self, text, status=125):
        super().__init__(text)
        self.status = status


HELP = """\
nos - runs this machine's own Linux programs on the NOS kernel

Usage: ./nos run [OPTIONS] [--] [COMMAND [ARGUMENTS...]]
       ./nos VERB [ARGUMENTS...]

Verbs:
  run      boot NOS in a virtual machine and run COMMAND on it
{verbs}  help     this text

'./nos run' alone gives a shell.  The guest's root is this machine's file
tree: read-only below, with a writable layer in memory above, so every
installed program is there and nothing that it does reaches the host (see
--rw).  /run, /dev/shm and /tmp start empty; but /tmp shows the host's files
if the working directory or COMMAND lies in it.

Standard input, output, error, signals and the exit status pass through.  If
input and output are both a terminal, the guest gets a terminal too, and
Ctrl-] x ends the machine (Ctrl-] Ctrl-] sends one Ctrl-]).

Options of run:
  --smp N            processors, 1 to 16 (default: those of the host, at most 4)
  --numa N           memory nodes, 1 to 8, on q35; each has its part of memory and
                     processors (default 1)
  --mem SIZE         memory, 24M to 8G (default 1G)
  --machine TYPE     q35 or microvm (default {machine})
  --accel KIND       auto, tcg or kvm (default auto: kvm where it works)
  --kernel KERNEL    nos, linux (Debian's cloud kernel, the same tree and
                     command: the reference to compare with), or a file
  --debug            the debug variant of the kernel, with all its checks
  --sanitize         the variant that also checks each memory access
  --append TEXT      words for the kernel's command line
  --initramfs FILE   a cpio archive (plain or gzip) as the root instead of this
                     machine's tree; its own /init is replaced
  --cwd DIR          working directory (default: the current one)
  --env NAME=VALUE   set a variable; --env NAME passes the current value
                     (passed anyway: {env})
  --rw DIR           share DIR writable, at the same path; may be repeated
  --log              print the kernel's log on standard error at the end
  --gdb              wait for gdb before the first instruction
  --timeout SECONDS  end the machine after that time, or at SIGALRM; the kernel's log
                     says where each of its threads stood
  -h, --help         this text

Exit status: COMMAND's own; 128+N if signal N killed it; 127 if it was not
found, 126 if it could not be executed; 125 if the kernel panicked or the
machine failed; 124 on --timeout; 2 for wrong arguments.

Examples:
  ./nos run
  ./nos run -- python3 -c 'import os; print(os.uname())'
  tar cf - . | ./nos run -- xz -9 > all.tar.xz
  ./nos run --smp 4 --mem 2G --rw "$PWD" -- make -j4
  ./nos run --kernel linux -- uname -a
"""

PASSED = ("PATH", "HOME", "TERM", "COLORTERM", "LANG", "LANGUAGE", "TZ", "USER",
          "LOGNAME", "SHELL", "EDITOR", "PAGER")

DEFAULT_MACHINE = "q35"


class Options:
    """What `run` was asked for, with the defaults."""

    def __init__(self):
        self.smp = min(os.cpu_count() or 1, 4)
        self.mem = 1 << 30
        self.numa = 1
        self.machine = DEFAULT_MACHINE
        self.accel = "auto"
        self.kernel = "nos"
        self.debug = False
        self.sanitize = False
        self.append = []
        self.initramfs = None
        self.cwd = None
        self.env = {k: v for k, v in os.environ.items()
                    if k in PASSED or k.startswith("LC_")}
        self.env.setdefault("PATH", "/usr/local/sbin:/usr/local/bin:"
                                    "/usr/sbin:/usr/bin:/sbin:/bin")
        self.env.setdefault("HOME", "/root")
        self.env.setdefault("TERM", "xterm")
        self.rw = []
        self.log = False
        self.gdb = False
        self.timeout = None
        self.command = []
        # Not on the command line: set by the tests and the benchmarks.
        self.cpu = None
        self.accel_arguments = None
        self.shm = True


def variant(options):
    """The build of the kernel that the options ask for."""
    return "sanitize" if options.sanitize else "debug" if options.debug else "release"


def usage(text):
    return Failure(text + "; see ./nos --help", 2)


def parse_size(text):
    units = {"K": 10, "M": 20, "G": 30}
    digits, unit = (text[:-1], text[-1:].upper()) if text[-1:].isalpha() else (text, "M")
    if not digits.isdigit() or unit not in units:
        raise usage(f"--mem {text}: not a size such as 512M or 2G")
    size = int(digits) << units[unit]
    if not 24 << 20 <= size <= 8 << 30:
        raise usage(f"--mem {text}: must be from 24M to 8G")
    return size


def parse_count(text):
    if not text.isdigit() or not 1 <= int(text) <= 16:
        raise usage(f"--smp {text}: must be a number from 1 to 16")
    return int(text)


def parse_nodes(text):
    if not text.isdigit() or not 1 <= int(text) <= 8:
        raise usage(f"--numa {text}: must be a number from 1 to 8")
    return int(text)


def parse_seconds(text):
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if not 0 < seconds < 1e7:
        raise usage(f"--timeout {text}: must be a number of seconds")
    return seconds


def parse_choice(option, *choices):
    def parse(text):
        if text not in choices:
            raise usage(f"{option} {text}: must be {', '.join(choices[:-1])} or {choices[-1]}")
        return text
    return parse


def parse_kernel(text):
    if text not in ("nos", "linux") and not os.path.isfile(text):
        raise usage(f"--kernel {text}: must be nos, linux or a kernel file")
    return text


def parse_file(text):
    if not os.path.isfile(text):
        raise usage(f"--initramfs {text}: no such file")
    return os.path.abspath(text)


def add_env(options, text):
    name, equals, value = text.partition("=")
    if not name:
        raise usage(f"--env {text}: must be NAME=VALUE or NAME")
    if equals:
        options.env[name] = value
    elif name in os.environ:
        options.env[name] = os.environ[name]


def add_rw(options, text):
    path = os.path.realpath(text)
    if not os.path.isdir(path):
        raise usage(f"--rw {text}: not a folder")
    if path == "/" or ":" in path or "," in path:
        raise usage(f"--rw {text}: can't share this folder writable")
    options.rw.append(path)


FLAGS = ("debug", "sanitize", "log", "gdb")
VALUES = {
    "smp": parse_count,
    "mem": parse_size,
    "numa": parse_nodes,
    "machine": parse_choice("--machine", "q35", "microvm"),
    "accel": parse_choice("--accel", "auto", "tcg", "kvm"),
    "kernel": parse_kernel,
    "initramfs": parse_file,
    "cwd": str,
    "timeout": parse_seconds,
}
LISTS = {
    "append": lambda options, text: options.append.append(text),
    "env": add_env,
    "rw": add_rw,
}


def parse_run(arguments):
    """Returns the options, or None if help is asked for."""
    options = Options()
    at = 0
    while at < len(arguments) and arguments[at].startswith("-") and arguments[at] != "-":
        word = arguments[at]
        at += 1
        if word == "--":
            break
        if word in ("-h", "--help"):
            return None
        name, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or name not in (*FLAGS, *VALUES, *LISTS):
            raise usage(f"unknown option {word}")
        if name in FLAGS:
            if equals:
                raise usage(f"--{name} takes no value")
            setattr(options, name, True)
            continue
        if not equals:
            if at == len(arguments):
                raise usage(f"--{name} needs a value")
            value = arguments[at]
            at += 1
        if name in LISTS:
            LISTS[name](options, value)
        else:
            setattr(options, name, VALUES[name](value))
    if options.numa > 1 and options.machine != "q35":
        raise usage("--numa: only --machine q35 has nodes")
    options.command = arguments[at:]
    return options


def verb_run(arguments):
    options = parse_run(arguments)
    if options is None:
        return verb_help(())
    import run
    return run.run(options)


def verb_check(arguments):
    os.chdir(ROOT)
    os.execv("/usr/bin/python3", ["python3", "tools/check.py", *arguments])


def verb_test(arguments):
    os.chdir(ROOT)
    os.execv("/usr/bin/python3", ["python3", "tools/test.py", *arguments])


def verb_bench(arguments):
    import bench
    return bench.main(arguments)


def verb_help(_arguments):
    verbs = "".join(f"  {name:8} {text}\n" for name, (_, text, path) in VERBS.items()
                    if text and path and os.path.exists(os.path.join(ROOT, path)))
    sys.stdout.write(HELP.format(verbs=verbs, machine=DEFAULT_MACHINE,
                                 env=", ".join(PASSED[:5]) + " and the like"))
    return 0


VERBS = {
    "run": (verb_run, "", "tools/nos/run.py"),
    "test": (verb_test, "all tests, as 'make test'", "tools/test.py"),
    "check": (verb_check, "the checks of the source, as 'make check'", "tools/check.py"),
    "bench": (verb_bench, "what operations cost, beside Linux (./nos bench --help)", "tools/nos/bench/__init__.py"),
    "help": (verb_help, "", ""),
}


def main(arguments):
    try:
        if not arguments or arguments[0] in ("-h", "--help"):
            verb_help(())
            return 0 if arguments else 2
        verb, _, path = VERBS.get(arguments[0], (None, "", ""))
        if not verb or not os.path.exists(os.path.join(ROOT, path)):
            raise usage(f"unknown verb {arguments[0]}")
        return verb(arguments[1:])
    except Failure as failure:
        sys.stderr.write(f"nos: {failure}\n")
        return failure.status
    except KeyboardInterrupt:
        return 130

"""`nos run`: builds, boots, carries input and output, returns the status."""
import os
import sys
import time

import guest
import machine
import proxy
import cli
from cli import ROOT, Failure

SOURCE_DIRS = ("arch", "core", "lib", "mm", "vfs", "fs", "block", "net", "ipc", "proc",
               "drivers", "linux", "init", "include", "user")

LOGS_KEPT = 20
END_OF_REPORT = b"end of report"
REPORT_SECONDS = 10


def newest_source():
    """The time of the youngest source file of the kernel and init."""
    newest = os.stat(os.path.join(ROOT, "Makefile")).st_mtime
    todo = [os.path.join(ROOT, name) for name in SOURCE_DIRS]
    while todo:
        try:
            entries = os.scandir(todo.pop())
        except OSError:
            continue
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                todo.append(entry.path)
            elif not entry.name.endswith(("_test.c", ".md", "~")):
                newest = max(newest, entry.stat().st_mtime)
    return newest


def is_built(path, newest):
    try:
        return os.stat(path).st_mtime >= newest
    except OSError:
        return False


def build(options):
    """Makes what is missing or old; says so only if it takes long."""
    wanted = ["build/release/init"]
    if options.kernel == "nos":
        wanted.append(f"build/{cli.variant(options)}/nos.elf")
    newest = newest_source()
    stamp = os.path.join(ROOT, "build", ".made-" + os.path.basename(os.path.dirname(wanted[-1])))
    if all(os.path.exists(os.path.join(ROOT, path)) for path in wanted) and is_built(stamp, newest):
        return
    import subprocess
    jobs = f"-j{os.cpu_count() or 1}"
    with subprocess.Popen(["make", "-s", jobs, *wanted], cwd=ROOT, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as make:
        try:
            output, _ = make.communicate(timeout=1)
        except subprocess.TimeoutExpired:
            if sys.stderr.isatty():
                sys.stderr.write("nos: building the kernel\n")
            output, _ = make.communicate()
    if make.returncode:
        sys.stderr.write(output.decode(errors="replace"))
        raise Failure("the kernel could not be built (make)")
    with open(stamp, "wb"):
        pass
    os.utime(stamp, (newest, newest))


def new_log():
    """A new file for the kernel's log; old ones go."""
    folder = os.path.join(ROOT, "build", "log")
    os.makedirs(folder, exist_ok=True)
    try:
        old = sorted(os.scandir(folder), key=lambda entry: entry.stat().st_mtime)
        for entry in old[:-LOGS_KEPT]:
            os.unlink(entry.path)
    except OSError:
        pass
    return os.path.join(folder, time.strftime("%m%d-%H%M%S-") + f"{os.getpid()}.log")


def guest_tmpfs(options, cwd):
    """/tmp starts empty, unless something that is in it is wanted."""
    command = options.command[0] if options.command else ""
    for path in (cwd, os.path.join(cwd, command) if "/" in command else "", *options.rw):
        if (path + "/").startswith("/tmp/"):
            return []
    return [("tmpfs", "/tmp")]


def make_job(options, tty, kernel):
    """The entries of /job, see user/init.c."""
    own_tree = not options.initramfs
    cwd = options.cwd or (os.getcwd() if own_tree else "/")
    if not cwd.startswith("/"):
        cwd = os.path.abspath(cwd) if own_tree else "/" + cwd
    if own_tree and not os.path.isdir(cwd):
        raise Failure(f"--cwd {cwd}: no such folder", 2)
    shell = options.env.get("SHELL", "")
    if not own_tree or not os.access(shell, os.X_OK):
        shell = "/bin/sh"
    job = [("hostname", "nos"), ("cwd", cwd), ("tty", "1" if tty else "0")]
    job.append(("root", "initramfs" if not own_tree else
                "virtiofs" if kernel.is_linux else "9p"))
    if tty:
        size = os.get_terminal_size(0)
        job += [("rows", size.lines), ("columns", size.columns)]
    job += [("arg", word) for word in options.command or [shell]]
    job += [("env", f"{name}={value}") for name, value in options.env.items()]
    job += [("share", f"rw{i}:{path}") for i, path in enumerate(options.rw)]
    return job + guest_tmpfs(options, cwd)


def start(arguments, inherited, errors):
    """Starts a program that dies with us; returns its pid."""
    pid = os.fork()
    if pid:
        return pid
    try:
        null = os.open("/dev/null", os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(null, 1)
        os.dup2(errors, 2)
        for descriptor in inherited:
            os.set_inheritable(descriptor, True)
        os.setpgid(0, 0)
        os.execv("/usr/bin/setpriv", ["setpriv", "--pdeathsig", "KILL", *arguments])
    finally:
        os._exit(127)


def memory_file(name, content):
    descriptor = os.memfd_create(name)
    with open(descriptor, "wb", closefd=False) as file:
        file.write(content)
    return descriptor


class Session:
    """One machine, from its start to its end."""

    def __init__(self, options):
        self.options = options
        self.tty = not options.gdb and os.isatty(0) and os.isatty(1)
        if options.gdb:
            self.tty = os.isatty(0) and os.isatty(1)
        self.log = new_log()
        self.errors = os.memfd_create("errors")
        self.ports = {}
        self.helpers = []
        self.monitor = None  # of QEMU
        self.reported = False
        self.qemu = 0

    def boot(self):
        import socket
        options = self.options
        kernel = machine.Kernel(options)
        names = ("console", "control") if self.tty else machine.PORTS[1:]
        self.monitor, monitor = socket.socketpair()
        theirs = {"monitor": monitor}
        for name in names:
            self.ports[name], theirs[name] = socket.socketpair()
        job = make_job(options, self.tty, kernel)
        archive = memory_file("initramfs", guest.initramfs(
            job, kernel.modules_dir, options.initramfs))
        shares = [] if options.initramfs else [("root", "/", False)]
        shares += [(f"rw{i}", path, True) for i, path in enumerate(options.rw)]
        vm = machine.Machine(options, kernel)
        command = vm.command(f"/proc/self/fd/{archive}", self.log,
                             {name: end.fileno() for name, end in theirs.items()}, shares)
        shared = [end.fileno() for end in vm.sockets]
        inherited = [archive, *shared] + [end.fileno() for end in theirs.values()]
        for helper in vm.helpers:
            self.helpers.append(start(helper, shared, self.errors))
        if options.gdb:
            sys.stderr.write(f"nos: waiting for: gdb {os.path.relpath(kernel.file)} "
                             "-ex 'target remote :1234'\n")
        self.qemu = start(command, inherited, self.errors)
        for end in (*theirs.values(), *vm.sockets):
            end.close()
        os.close(archive)
        return kernel

    def ask_for_report(self):
        """Has NOS write to its log where each CPU and each thread stands; waits for the end of that."""
        self.reported = True
        try:
            self.monitor.send(b"nmi\n")
            end = time.monotonic() + REPORT_SECONDS
            while END_OF_REPORT not in self.log_text() and time.monotonic() < end:
                time.sleep(0.05)
        except OSError:
            pass  # it has just ended

    def log_text(self):
        with open(self.log, "rb") as file:
            return file.read()

    def name_calls(self, kernel):
        """The addresses in the log become functions and lines."""
        import panic
        text = panic.symbolise(self.log_text().decode(errors="replace"), kernel.file)
        with open(self.log, "w", encoding="utf-8") as file:
            file.write(text)

    def end(self):
        """Nothing that was started stays.  Returns QEMU's wait status."""
        import signal
        status = proxy.wait_or_kill(self.qemu, 0) if self.qemu else None
        for pid in self.helpers:
            try:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            except OSError:
                pass
        return status


def report_death(session, kernel, status):
    """The machine ended without the command's status: says why."""
    import panic
    errors = os.pread(session.errors, 1 << 16, 0).decode(errors="replace").strip()
    text = panic.describe(session.log, kernel.file)
    where = os.path.relpath(session.log)
    if text:
        sys.stderr.write(text)
        raise Failure(f"the kernel panicked; its log is {where}; "
                      "run the same with --debug to check more, or --gdb")
    if errors:
        sys.stderr.write(errors + "\n")
    how = f"status {os.waitstatus_to_exitcode(status)}" if status is not None else "killed"
    raise Failure(f"the machine ended without a result ({how}); its log is {where}")


def run(options):
    build(options)
    session = Session(options)
    kernel = None
    status = None
    try:
        kernel = session.boot()
        carrier = proxy.Proxy(session.ports, session.qemu, session.tty, options.timeout)
        result = carrier.carry()
        if carrier.timed_out and not kernel.is_linux:
            session.ask_for_report()
    finally:
        status = session.end()
        if session.reported:
            session.name_calls(kernel)
        if options.log:
            sys.stderr.flush()
            os.write(2, session.log_text())
    return finish(session, kernel, carrier, result, status)


def finish(session, kernel, carrier, result, status):
    """Turns what came over the control port into an exit status."""
    command = session.options.command[0] if session.options.command else "the shell"
    panicked = status is not None and os.WIFEXITED(status) and os.WEXITSTATUS(status) == 3
    if carrier.timed_out:
        report = ", at whose end stands where each thread was," if session.reported else ""
        raise Failure(f"timeout after {round(carrier.seconds, 1):g} s; the kernel's log{report} is "
                      + os.path.relpath(session.log), 124)
    if carrier.killed_by:
        return 128 + carrier.killed_by
    if result is None or panicked:
        report_death(session, kernel, status)
    kind, numbers = result
    if kind == "error":
        raise Failure(f"the guest could not be set up: {numbers}; the kernel's log is "
                      + os.path.relpath(session.log))
    if kind == "noexec":
        error = int(numbers.split()[0])
        raise Failure(f"{command}: " + ("command not found" if error == 2 and "/" not in command
                                        else os.strerror(error)), 127 if error == 2 else 126)
    code = int(numbers.split()[0])
    return code if kind == "exit" else 128 + code

"""Carries bytes, signals and the window size between the host and the guest.

Output is written with blocking calls, for the descriptors are shared with
whoever started us and must not be made non-blocking; so no more is written at
once than a pipe that polls writable is sure to take.
"""
import errno
import os
import select
import signal
import stat
import time

CHUNK = 1 << 18
PIPE_ATOMIC = 4096

FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT,
             signal.SIGUSR1, signal.SIGUSR2)

ESCAPE = b"\x1d"  # Ctrl-]


def wait_or_kill(pid, grace):
    """Waits `grace` seconds for a child to end, then kills it."""
    end = time.monotonic() + grace
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return status
        if time.monotonic() >= end:
            break
        time.sleep(0.002)
    os.kill(pid, signal.SIGKILL)
    return os.waitpid(pid, 0)[1]


def write_size(descriptor):
    """How much may be written at once without being held up."""
    mode = os.fstat(descriptor).st_mode
    return CHUNK if stat.S_ISREG(mode) or stat.S_ISBLK(mode) else PIPE_ATOMIC


class Output:
    """From a port to a descriptor of ours."""

    def __init__(self, port, descriptor):
        self.port = port
        self.descriptor = descriptor
        self.pending = memoryview(b"")
        self.received = 0
        self.size = write_size(descriptor)
        self.closed = False

    def fill(self):
        """False at the end of the port."""
        try:
            data = self.port.recv(CHUNK)
        except BlockingIOError:
            return True
        except OSError:
            data = b""
        self.received += len(data)
        if not self.closed:
            self.pending = memoryview(data)
        return bool(data)

    def drain(self):
        """Writes a piece; False if nobody reads any more."""
        try:
            done = os.write(self.descriptor, self.pending[:self.size])
        except BlockingIOError:
            return True
        except OSError:
            self.closed = True
            self.pending = memoryview(b"")
            return False
        self.pending = self.pending[done:]
        return True


class Proxy:
    """The loop.  carry() returns (kind, rest) of the guest's last line."""

    def __init__(self, ports, qemu, tty, timeout):
        self.ports = ports
        self.qemu = qemu
        self.tty = tty
        self.start = time.monotonic()
        self.seconds = 0  # that it ran, once it timed out
        self.deadline = self.start + timeout if timeout else None
        self.timed_out = False
        self.killed_by = 0
        self.result = None
        self.control_text = b""
        self.control_out = b""
        self.to_guest = memoryview(b"")
        self.stdin_open = True
        self.stdin_bytes = 0
        self.interrupts = 0
        self.escaped = False
        self.saved_terminal = None
        self.expected = None
        self.started = False
        self.gone = False
        for port in ports.values():
            port.setblocking(False)
        if tty:
            self.input = ports["console"]
            self.outputs = [Output(ports["console"], 1)]
        else:
            self.input = ports["stdin"]
            self.outputs = [Output(ports["stdout"], 1), Output(ports["stderr"], 2)]

    # ---- the terminal

    def terminal_raw(self):
        import termios
        import tty
        if self.saved_terminal is None:
            self.saved_terminal = termios.tcgetattr(0)
        tty.setraw(0, termios.TCSANOW)

    def terminal_restore(self):
        if self.saved_terminal is not None:
            import termios
            termios.tcsetattr(0, termios.TCSADRAIN, self.saved_terminal)

    def send_winsize(self):
        if self.tty:
            size = os.get_terminal_size(0)
            self.send(f"winsize {size.lines} {size.columns}")

    # ---- control

    def send(self, line):
        self.control_out += line.encode() + b"\n"

    def control_write(self):
        try:
            done = self.ports["control"].send(self.control_out)
            self.control_out = self.control_out[done:]
        except BlockingIOError:
            pass
        except OSError:
            self.control_out = b""

    def control_read(self):
        try:
            data = self.ports["control"].recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.gone = True
        *lines, self.control_text = (self.control_text + data).split(b"\n")
        for line in lines:
            kind, _, rest = line.decode(errors="replace").partition(" ")
            if kind == "started":
                self.started = True
            else:
                self.result = (kind, rest)
                if kind in ("exit", "killed"):
                    self.expected = [int(word) for word in rest.split()[1:3]]

    # ---- signals

    def take_signals(self, pipe):
        for number in os.read(pipe, 64):
            if number == signal.SIGWINCH:
                self.send_winsize()
            elif number == signal.SIGCONT:
                if self.tty:
                    self.terminal_raw()
                    self.send_winsize()
            elif number == signal.SIGALRM:
                self.deadline = 0  # time is up
            elif number in FORWARDED:
                self.interrupts += number in (signal.SIGINT, signal.SIGTERM)
                if not self.started or self.interrupts >= 3 or \
                        (self.tty and number == signal.SIGHUP):
                    self.killed_by = number
                self.send(f"signal {number}")

    def catch_signals(self):
        read_end, write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
        for number in (*FORWARDED, signal.SIGWINCH, signal.SIGCONT, signal.SIGALRM):
            signal.signal(number, lambda *_: None)
        return read_end

    # ---- input

    def take_input(self):
        try:
            data = os.read(0, CHUNK if not self.tty else 4096)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EINTR):
                return
            data = b""
        if not data:
            self.stdin_open = False
            if not self.tty:
                self.send(f"eof {self.stdin_bytes}")
            return
        if self.tty:
            data = self.filter_escape(data)
        self.stdin_bytes += len(data)
        self.to_guest = memoryview(data)

    def filter_escape(self, data):
        """Ctrl-] x ends the machine, Ctrl-] Ctrl-] is one Ctrl-]."""
        kept = bytearray()
        for i in range(len(data)):
            byte = data[i:i + 1]
            if self.escaped:
                self.escaped = False
                if byte in (b"x", b"X"):
                    self.killed_by = signal.SIGKILL
                elif byte != ESCAPE:
                    kept += ESCAPE + byte
                else:
                    kept += byte
            elif byte == ESCAPE:
                self.escaped = True
            else:
                kept += byte
        return bytes(kept)

    def give_input(self):
        try:
            done = self.input.send(self.to_guest)
            self.to_guest = self.to_guest[done:]
        except BlockingIOError:
            pass
        except OSError:
            self.to_guest = memoryview(b"")
            self.stdin_open = False

    # ---- the loop

    def is_complete(self):
        """All output that the guest counted has been written."""
        if any(output.pending for output in self.outputs):
            return False
        if self.tty or self.expected is None:
            return self.gone
        return all(output.received >= count
                   for output, count in zip(self.outputs, self.expected))

    def add(self, events, descriptor, event):
        events[descriptor] = events.get(descriptor, 0) | event

    def events(self, signals, qemu):
        """What to wait for now: {descriptor: events}."""
        events = {signals: select.POLLIN, qemu: select.POLLIN}
        control = self.ports["control"].fileno()
        if not self.gone:
            self.add(events, control,
                     select.POLLIN | (select.POLLOUT if self.control_out else 0))
        if self.to_guest:
            self.add(events, self.input.fileno(), select.POLLOUT)
        elif self.stdin_open and self.result is None and (self.started or self.tty):
            self.add(events, 0, select.POLLIN)
        for output in self.outputs:
            if output.pending:
                self.add(events, output.descriptor, select.POLLOUT)
            elif output.port.fileno() >= 0:
                self.add(events, output.port.fileno(), select.POLLIN)
        return events

    def handle(self, ready, signals, qemu):
        control = self.ports["control"].fileno()
        if signals in ready:
            self.take_signals(signals)
        if control in ready:
            if ready[control] & select.POLLOUT:
                self.control_write()
            if ready[control] & ~select.POLLOUT:
                self.control_read()
        if self.to_guest:
            if self.input.fileno() in ready:
                self.give_input()
        elif 0 in ready and self.stdin_open:
            self.take_input()
        for number, output in enumerate(self.outputs, 1):
            if output.pending:
                if output.descriptor in ready and not output.drain():
                    self.send(f"close {number}")
            elif ready.get(output.port.fileno(), 0) & ~select.POLLOUT:
                if not output.fill():
                    output.port.close()
                elif output.pending and output.size == CHUNK:
                    output.drain()
        # It ended, and what it left in the sockets has been read.
        if qemu in ready and ready.keys() <= {qemu, signals}:
            self.gone = True

    def loop(self, signals, qemu):
        while not self.is_complete() and not self.killed_by:
            wait = None
            if self.deadline is not None:
                wait = self.deadline - time.monotonic()
                if wait <= 0:
                    self.timed_out = True
                    self.seconds = time.monotonic() - self.start
                    return
            poll = select.poll()
            for descriptor, event in self.events(signals, qemu).items():
                poll.register(descriptor, event)
            ready = dict(poll.poll(None if wait is None else wait * 1000 + 1))
            self.handle(ready, signals, qemu)

    def carry(self):
        signals = self.catch_signals()
        qemu = os.pidfd_open(self.qemu)
        try:
            if self.tty:
                self.terminal_raw()
            self.loop(signals, qemu)
            if self.result and not self.killed_by and not self.timed_out:
                # Let it power off by itself, so that its log is whole.
                select.select([qemu], [], [], 3)
        finally:
            self.terminal_restore()
        return self.result

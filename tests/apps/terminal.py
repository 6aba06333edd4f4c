#!/usr/bin/python3
"""The guest's terminal, driven as a person would: line editing, job control,
window size, full-screen programs.  Usage: terminal.py nos|linux"""
import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
KERNEL = sys.argv[1] if len(sys.argv) > 1 else "nos"
PATIENCE = 40


class Terminal:
    """A ./nos run in a pseudo-terminal of its own."""

    def __init__(self, *command, rows=30, columns=100):
        self.text = ""
        self.pid, self.fd = pty.fork()
        if not self.pid:
            os.environ.update(TERM="xterm", PS1="$ ", LANG="C.UTF-8")
            os.chdir(ROOT)
            os.execv("./nos", ["./nos", "run", "--kernel", KERNEL, "--timeout", "150",
                               "--env", "PS1=$ ", "--", *command])
        self.resize(rows, columns)

    def resize(self, rows, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def send(self, keys):
        os.write(self.fd, keys.encode())

    def expect(self, what, seconds=PATIENCE):
        """Waits until the output holds `what`; what came before it is dropped."""
        end = time.monotonic() + seconds
        while what not in self.text:
            ready, _, _ = select.select([self.fd], [], [], max(0, end - time.monotonic()))
            if not ready:
                raise AssertionError(f"no {what!r} in {self.text[-300:]!r}")
            try:
                data = os.read(self.fd, 65536)
            except OSError:
                data = b""
            if not data:
                raise AssertionError(f"ended without {what!r}: {self.text[-300:]!r}")
            self.text += data.decode(errors="replace")
        before, _, self.text = self.text.partition(what)
        return before

    def status(self):
        """Reads to the end; the exit status of ./nos."""
        while True:
            try:
                if not os.read(self.fd, 65536):
                    break
            except OSError:
                break
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def close(self):
        try:
            os.kill(self.pid, signal.SIGHUP)
        except OSError:
            pass
        os.close(self.fd)


def shell(**options):
    t = Terminal("bash", "--norc", **options)
    t.expect("$ ")
    return t


def prompt(t, line, answer):
    t.send(line + "\r")
    t.expect("\n")
    t.expect(answer)
    t.expect("$ ")


def test_job_control():
    t = shell()
    prompt(t, "tty", "/dev/")
    t.send("sleep 100\r")
    time.sleep(1)
    t.send("\x1a")
    t.expect("Stopped")
    t.expect("$ ")
    prompt(t, "jobs", "Stopped")
    t.send("fg\r")
    t.expect("sleep 100")
    time.sleep(0.5)
    t.send("\x03")
    t.expect("$ ")
    prompt(t, "echo status $?", "status 130")
    t.send("cat\r")
    time.sleep(0.5)
    t.send("typed\r")
    t.expect("typed")
    t.expect("typed")
    t.send("\x04")
    t.expect("$ ")
    prompt(t, "sleep 0.3 & wait; echo waited", "waited")
    t.send("exit 5\r")
    assert t.status() == 5


def test_line_editing():
    t = shell()
    t.send("echo abX\x7fc\r")
    t.expect("abc")
    t.expect("$ ")
    t.send("echo one\r")
    t.expect("one\r\n")
    t.expect("$ ")
    t.send("\x1b[A\r")
    t.expect("one\r\n")
    t.expect("one\r\n")
    t.send("exit\r")
    assert t.status() == 0


def test_window_size():
    t = shell(rows=31, columns=99)
    prompt(t, "stty size", "31 99")
    t.resize(20, 70)
    time.sleep(1)
    prompt(t, "stty size", "20 70")
    t.send("sh -c 'trap \"echo resized\" WINCH; sleep 1; sleep 2'\r")
    time.sleep(0.7)
    t.resize(25, 80)
    t.expect("resized\r\n")
    t.close()


def test_raw_and_cooked():
    t = shell()
    t.send("stty -echo; read x; stty echo; echo got $x\r")
    t.expect("\n")
    time.sleep(1)
    t.send("secret\r")
    t.expect("got secret")
    prompt(t, "stty -a | grep -c icanon", "1")
    prompt(t, "(stty raw; stty -a; stty sane) | grep -o -e -icanon", "-icanon")
    t.close()


def test_full_screen():
    t = shell(rows=24, columns=80)
    t.send("vi /etc/hostname\r")
    t.expect("/etc/hostname")
    time.sleep(1)
    t.send("iHELLO\x1b:w! /tmp/vi.out\r")
    t.expect("written")
    t.send(":q!\r")
    t.expect("$ ")
    prompt(t, "cat /tmp/vi.out", "HELLO")
    t.send("less /etc/passwd\r")
    t.expect("root:")
    t.send("G")
    t.expect("END")
    t.send("q")
    t.expect("$ ")
    t.send("top -n 1\r")
    t.expect("Tasks:")
    t.expect("$ ")
    t.close()


def test_tmux():
    t = shell(rows=24, columns=80)
    t.send("tmux -f /dev/null new-session 'PS1=inner: bash --norc'\r")
    t.expect("inner:")
    t.send("echo in$((1+1))side\r")
    t.expect("in2side")
    t.send("\x02%")
    time.sleep(2)
    t.send("\x02d")
    t.expect("detached")
    prompt(t, "tmux list-panes | wc -l", "2")
    prompt(t, "tmux kill-server; echo killed", "killed")
    t.send("exit\r")
    assert t.status() == 0


def test_escape_ends_the_machine():
    t = Terminal("sleep", "100")
    time.sleep(3)
    t.send("\x1dx")
    assert t.status() == 137


def main():
    passed = failed = 0
    wanted = sys.argv[2:]
    for name, test in list(globals().items()):
        if not name.startswith("test_") or wanted and not any(w in name for w in wanted):
            continue
        try:
            test()
            passed += 1
            print(f"ok {name}")
        except (AssertionError, OSError) as error:
            failed += 1
            print(f"FAIL {name}: {error}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

"""How the tools that test say what happens: a line when something ends, a line
every half minute while nothing does, and "N passed, N failed" at the end."""
import sys
import threading
import time

QUIET = 25  # seconds without a line until one says what is being waited for


class Report:
    """Counts, and says what happens."""

    def __init__(self, names=()):
        self.names = names
        self.passed = 0
        self.failed = 0
        self.failures = []
        self.start = self.said = time.monotonic()
        self.lock = threading.Lock()
        self.running = {}  # what is being done: since when
        threading.Thread(target=self.watch, daemon=True).start()

    def wants(self, name):
        return not self.names or any(part in name for part in self.names)

    def doing(self, name):
        """What the next lines will be about, until add() ends it; several may go on at once."""
        with self.lock:
            self.running[name] = time.monotonic()

    def done(self, name):
        with self.lock:
            self.running.pop(name, None)

    def add(self, name, passed, failed, text="", seconds=None, begun=None):
        """Something has ended; `begun` is its name as doing() had it, if another."""
        took = f" ({seconds:.1f} s)" if seconds is not None else ""
        verdict = f"FAILED: {failed} of {passed + failed}" if failed else \
            f"ok, {passed}" if passed != 1 else "ok"
        lines = [f"{name}: {verdict}{took}"]
        if failed:
            lines += ["        " + line[:200] for line in text.strip().splitlines()[-40:]]
        with self.lock:
            self.passed += passed
            self.failed += failed
            if failed:
                self.failures.append(name)
            self.running.pop(begun or name, None)
            self.say("\n".join(lines))

    def say(self, text):
        now = time.monotonic()
        minutes, seconds = divmod(int(now - self.start), 60)
        print(f"[{minutes:2}:{seconds:02}] {text}", flush=True)
        self.said = now

    def watch(self):
        while True:
            time.sleep(1)
            with self.lock:
                now = time.monotonic()
                if now - self.said > QUIET and self.running:
                    self.say("at " + ", ".join(f"{name} ({now - since:.0f} s)"
                                               for name, since in self.running.items()))

    def finish(self):
        """The last lines; the exit status."""
        if self.failures:
            print("failed: " + ", ".join(self.failures))
        print(f"{self.passed} passed, {self.failed} failed", flush=True)
        return 1 if self.failed else 0


def count(text):
    """A number of at least one."""
    if int(text) < 1:
        raise ValueError(text)
    return int(text)


class Options:
    """A tool's command line: options with a value, flags, and words."""

    def __init__(self, document, values, flags=()):
        """`values` is {"--seconds": (count, 60)}: how to read it, and what it is otherwise."""
        self.document, self.values = document.strip(), values
        self.flags = {flag: False for flag in flags}
        self.given = {name: otherwise for name, (_, otherwise) in values.items()}
        self.words = []

    def parse(self, arguments):
        arguments = list(arguments)
        while arguments:
            word = arguments.pop(0)
            if word in ("-h", "--help"):
                print(self.document)
                sys.exit(0)
            name, equals, value = word.partition("=")
            if word in self.flags:
                self.flags[word] = True
            elif name in self.values:
                if not equals and not arguments:
                    self.fail(f"{name} needs a value")
                self.given[name] = self.convert(name, value if equals else arguments.pop(0))
            elif word.startswith("-"):
                self.fail(f"unknown option {word}")
            else:
                self.words.append(word)
        return self

    def convert(self, name, text):
        try:
            return self.values[name][0](text)
        except ValueError:
            self.fail(f"{name} {text}: not a value that it takes")

    def fail(self, text):
        print(f"{text}\n{self.document}", file=sys.stderr)
        sys.exit(2)

    def __getitem__(self, name):
        return self.flags[name] if name in self.flags else self.given[name]

    def known_words(self, known, what):
        """The words, which must be among the known ones."""
        unknown = [word for word in self.words if word not in known]
        if unknown:
            print(f"no {what} {' '.join(unknown)}; there are: {' '.join(known)}", file=sys.stderr)
            sys.exit(2)
        return self.words

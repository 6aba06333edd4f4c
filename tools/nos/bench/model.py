"""What the parts of `nos bench` share: rows, figures, requests, meters.

A meter is one module of this package, bench/mN.py, with

    TITLE = "guest instructions"      what a figure is
    SUITES = ("calls", ...)           the suites that it can measure
    def measure(request): ...         returns [Row]

`request` is a Request; request.progress shows how far it is.  A column of a
row is a kernel ("linux", "nos") or, where modules are measured on the host,
an implementation; "nos" is always ours, the first of the others its reference.
"""
import dataclasses
import importlib.util
import math
import os
import sys
import time

from cli import ROOT, usage

FOLDER = os.path.join(ROOT, "build", "bench")

# The suites, the meter that each is measured by if none is named, and what it is.
SUITES = {
    "calls": ("m1", "entry, dispatch, and calls that touch little state"),
    "mm": ("m1", "mapping, protection, faults"),
    "exec": ("m1", "fork, exec, exit, wait"),
    "ipc": ("m1", "pipes, futexes, unix sockets"),
    "sched": ("m1", "yields and switches, threads"),
    "files": ("m1", "descriptors, reading and writing, names"),
    "net": ("m1", "TCP and UDP over loopback"),
    "io_uring": ("m1", "requests in batches"),
    "alloc": ("m4", "NOS's allocators on the host, beside malloc"),
    "frames": ("m4", "fragmentation of frames after ageing, beside a plain buddy system"),
    "locks": ("m4", "NOS's mutex on the host, beside pthread's"),
    "scale": ("m2", "cache lines that processors contend for"),
    "rt": ("m1", "how late a real-time thread wakes"),
    "apps": ("m3", "whole programs, by the clock"),
}
METERS = {
    "m1": "guest instructions, counted by QEMU's -icount",
    "m2": "modelled cache and TLB misses, by a plugin of QEMU",
    "m3": "wall time of whole programs, in pairs of runs",
    "m4": "modules of the kernel compiled for the host, in nanoseconds",
    "m5": "what the kernel counts in an operation",
}


@dataclasses.dataclass
class Figure:
    """One number, or why there is none."""
    value: float | None = None
    low: float | None = None    # the spread, where there is one
    high: float | None = None
    why: str = ""
    extra: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Row:
    """An operation and its figures by column; less is better, if not said."""
    name: str
    suite: str
    figures: dict
    unit: str = ""
    budget: float | None = None
    more_is_better: bool = False
    paired: float | None = None  # the ratio, where it is not that of the figures

    def value(self, column):
        figure = self.figures.get(column)
        return figure.value if figure else None

    def reference(self):
        """The column that "nos" is compared with."""
        return next((name for name in self.figures if name != "nos"), None)

    def missed_by(self):
        """How far our figure is from its budget; at most 0: the budget is met."""
        rest = self.value("nos") - self.budget
        return -rest if self.more_is_better else rest

    def ratio(self):
        """Our cost beside the reference's: below 1 we are better."""
        if self.paired:
            return self.paired
        ours, theirs = self.value("nos"), self.value(self.reference())
        if not ours or not theirs:
            return None
        return theirs / ours if self.more_is_better else ours / theirs


@dataclasses.dataclass
class Request:
    """What is to be measured."""
    suites: list
    name: str = ""              # only rows whose name holds it
    exclude: tuple = ()         # nor these
    kernels: tuple = ("linux", "nos")
    linux: str = "lean"         # "lean", "default" or a kernel file
    pairs: int = 11
    smp: int | None = None      # processors, where the meter lets one choose
    append: tuple = ()          # words for NOS's command line
    progress: object = None


class Progress:
    """A bar on standard error if that is a terminal, else a line now and then."""
    SECONDS = 30

    def __init__(self):
        self.show = sys.stderr.isatty()
        self.said = time.monotonic()

    def at(self, done, total, text):
        if not self.show:
            if time.monotonic() - self.said > self.SECONDS:
                self.said = time.monotonic()
                print(f"{done}/{total} {text}", file=sys.stderr, flush=True)
        else:
            width = 24
            filled = min(width, width * done // total) if total else 0
            sys.stderr.write(f"\r\033[K[{'#' * filled}{'.' * (width - filled)}] "
                             f"{done}/{total} {text[:48]}")
            sys.stderr.flush()

    def clear(self):
        if self.show:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()


def meter(name):
    """The meter's module."""
    if not importlib.util.find_spec(f"bench.{name}"):
        raise usage(f"--meter {name}: there is no such meter yet")
    return importlib.import_module(f"bench.{name}")


def has_meter(name):
    return importlib.util.find_spec(f"bench.{name}") is not None


def geometric_mean(values):
    return math.exp(sum(math.log(value) for value in values) / len(values)) if values else None

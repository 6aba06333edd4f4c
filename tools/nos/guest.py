"""What a guest starts with: the initramfs with init, its job, and modules."""
import os
import stat

from cli import ROOT, Failure

# Modules of Debian's cloud kernel that a guest needs; dependencies follow.
LINUX_MODULES = ("virtio_pci", "virtio_mmio", "virtio_console", "virtio-rng",
                 "virtiofs", "overlay")


class Archive:
    """A cpio archive in the newc format, put together in memory."""

    def __init__(self):
        self.parts = []
        self.inode = 0

    def add(self, name, mode, content=b"", rdev=(0, 0)):
        self.inode += 1
        name_bytes = name.encode() + b"\0"
        fields = (self.inode, mode, 0, 0, 1, 0, len(content), 0, 0,
                  rdev[0], rdev[1], len(name_bytes), 0)
        header = b"070701" + b"".join(b"%08x" % field for field in fields)
        self._add_padded(header + name_bytes)
        self._add_padded(content)

    def _add_padded(self, content):
        self.parts.append(content)
        self.parts.append(b"\0" * (-len(content) % 4))

    def finish(self):
        self.add("TRAILER!!!", 0)
        return b"".join(self.parts)


def read(path):
    with open(path, "rb") as file:
        return file.read()


def read_initramfs(path):
    """A cpio archive, unpacked, padded so that another one can follow."""
    content = read(path)
    if content[:2] == b"\x1f\x8b":
        import gzip
        content = gzip.decompress(content)
    if content[:6] not in (b"070701", b"070702"):
        raise Failure(f"--initramfs {path}: not a cpio archive (plain or gzip)", 2)
    return content + b"\0" * (-len(content) % 512)


def module_files(modules_dir):
    """Paths of LINUX_MODULES with all they depend on, in the order to load."""
    depends = {}
    with open(os.path.join(modules_dir, "modules.dep"), encoding="utf-8") as file:
        for line in file:
            path, _, others = line.partition(":")
            depends[path] = others.split()
    by_name = {os.path.basename(path).split(".ko")[0]: path for path in depends}
    order = []

    def add(path):
        for other in reversed(depends[path]):
            add(other)
        if path not in order:
            order.append(path)

    for name in LINUX_MODULES:
        if name in by_name:
            add(by_name[name])
    return [os.path.join(modules_dir, path) for path in order]


def read_module(path):
    content = read(path)
    if path.endswith(".xz"):
        import lzma
        content = lzma.decompress(content)
    return content


def initramfs(job, modules_dir=None, base=None):
    """The archive: `job` is a list of (key, value) for /job."""
    archive = Archive()
    for name in ("dev", "proc", "sys", "root"):
        archive.add(name, stat.S_IFDIR | 0o755)
    archive.add("dev/console", stat.S_IFCHR | 0o600, rdev=(5, 1))
    archive.add("init", stat.S_IFREG | 0o755, read(os.path.join(ROOT, "build/release/init")))
    if modules_dir:
        archive.add("modules", stat.S_IFDIR | 0o755)
        for path in module_files(modules_dir):
            name = os.path.basename(path).split(".ko")[0] + ".ko"
            archive.add("modules/" + name, stat.S_IFREG | 0o644, read_module(path))
            job = [*job, ("module", "/modules/" + name)]
    text = b"".join(os.fsencode(f"{key}={value}") + b"\0" for key, value in job)
    archive.add("job", stat.S_IFREG | 0o600, text)
    return (read_initramfs(base) if base else b"") + archive.finish()

"""The virtual machine: QEMU's command line, and what it needs beside it."""
import glob
import os

import cli
import packages
from cli import ROOT, Failure

QEMU = "/usr/bin/qemu-system-x86_64"
VIRTIOFSD = "/usr/lib/qemu/virtiofsd"
DEPMOD = "/sbin/depmod"
LINUX_PACKAGES = {DEPMOD: "kmod", VIRTIOFSD: "qemu-system-common"}  # of --kernel linux

# The names of the ports, by number; port 0 is the console.
PORTS = ("console", "control", "stdin", "stdout", "stderr")


def cpu_virtualises():
    """Without VMX or SVM, a /dev/kvm of some clouds only runs special guests."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("flags"):
                return not {"vmx", "svm"}.isdisjoint(line.split())
    return False


def kvm_works():
    """Not only that /dev/kvm is there: that it makes a machine."""
    try:
        import fcntl
        kvm = os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        os.close(fcntl.ioctl(kvm, 0xAE01, 0))  # KVM_CREATE_VM
        return True
    except OSError:
        return False
    finally:
        os.close(kvm)


class Kernel:
    """Which file to boot, and how it likes to be booted."""

    def __init__(self, options):
        self.is_linux = options.kernel == "linux"
        self.file = self.modules_dir = None
        self.words = list(options.append)
        if self.is_linux:
            self.file, self.modules_dir = find_linux()
        elif options.kernel != "nos":
            self.modules_dir = modules_of(options.kernel)
            self.is_linux = self.modules_dir is not None
        if self.is_linux:
            self.file = self.file or options.kernel
            self.words = ["console=ttyS0", "panic=-1",
                          "" if options.log else "quiet"] + self.words
        elif options.kernel == "nos":
            self.file = os.path.join(ROOT, "build", cli.variant(options), "nos.elf")
        else:
            self.file = options.kernel
        if not os.path.exists(self.file):
            raise Failure(f"there is no kernel {os.path.relpath(self.file)}")
        self.command_line = " ".join(word for word in self.words if word)


def modules_of(file):
    """The modules of a Linux by the name of its file, vmlinuz-VERSION; None if there are none."""
    version = os.path.basename(file).removeprefix("vmlinuz-")
    for lib in ("/lib", "/usr/lib"):
        modules = f"{lib}/modules/{version}"
        if os.path.exists(modules + "/modules.dep"):
            return modules
    return None


def find_linux():
    """Debian's cloud kernel and its modules: installed, or unpacked here."""
    for prefix in ("", os.path.join(ROOT, "build/linux")):
        for file in sorted(glob.glob(prefix + "/boot/vmlinuz-*-cloud-amd64"), reverse=True):
            version = os.path.basename(file).removeprefix("vmlinuz-")
            for lib in ("/lib", "/usr/lib"):
                modules = f"{prefix}{lib}/modules/{version}"
                if os.path.exists(modules + "/modules.builtin"):
                    if not os.path.exists(modules + "/modules.dep"):
                        make_modules_dep(prefix, version)
                    return file, modules
    fetch_linux()
    return find_linux()


def make_modules_dep(prefix, version):
    import subprocess
    packages.ensure({DEPMOD: "kmod"})
    if subprocess.run([DEPMOD, "-b", prefix or "/", version], check=False).returncode:
        raise Failure(f"depmod failed for {prefix or '/'}lib/modules/{version}")


def fetch_linux():
    """Downloads and unpacks the package: nothing is installed."""
    import subprocess
    import sys
    where = os.path.join(ROOT, "build/linux")
    os.makedirs(where, exist_ok=True)
    sys.stderr.write("fetching Debian's cloud kernel\n")
    script = ("set -e; name=$(apt-cache depends linux-image-cloud-amd64 | "
              "sed -n 's/.*Depends: \\(linux-image-.*cloud-amd64\\)/\\1/p' | head -1); "
              "[ -n \"$name\" ]; apt-get download -q \"$name\"; dpkg-deb -x \"$name\"_*.deb .; "
              "rm -f *.deb")

    def attempt():
        return subprocess.run(["sh", "-c", script], cwd=where, check=False, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)

    done = attempt()
    # The lists of packages may be absent, or older than what is there to be had.
    if done.returncode and not packages.update():
        done = attempt()
    if done.returncode:
        raise Failure("could not fetch Debian's cloud kernel; run: sudo apt-get install -y "
                      f"linux-image-cloud-amd64\n{done.stdout[-1000:]}".rstrip(), 2)


class Machine:
    """Builds the command line.  `sockets` maps port names to descriptors."""

    def __init__(self, options, kernel):
        self.options = options
        self.kernel = kernel
        self.is_pci = options.machine == "q35"
        self.accel = None  # add_platform() finds out
        self.arguments = []
        self.helpers = []  # commands to start before QEMU
        self.sockets = []  # theirs, to close once all are started

    def add(self, *arguments):
        self.arguments += arguments

    def add_device(self, name, properties="", modern=True):
        if self.is_pci:
            name += "-pci"
            properties += ",disable-legacy=on" if modern else ""
        else:
            name += "-device"
        self.add("-device", name + properties)

    def command(self, initrd, log, sockets, shares):
        options = self.options
        self.arguments = [QEMU, "-nodefaults", "-no-user-config", "-display", "none",
                          "-no-reboot", "-name", "nos"]
        self.add_platform()
        self.add("-smp", str(options.smp), "-m", f"{options.mem >> 10}K")
        self.add_nodes()
        self.add("-kernel", self.kernel.file, "-initrd", initrd)
        if self.kernel.command_line:
            self.add("-append", self.kernel.command_line)
        self.add("-chardev", f"file,id=log,path={quote(log)}", "-serial", "chardev:log")
        self.add("-chardev", f"socket,id=monitor,fd={sockets['monitor']}", "-mon", "monitor")
        self.add("-device", "isa-debug-exit,iobase=0xf4,iosize=4")
        # First, so that its ports are /dev/vport0pN.
        self.add_device("virtio-serial", ",id=ports,max_ports=8")
        for number, name in enumerate(PORTS):
            if name in sockets:
                self.add_port(number, name, sockets[name])
        self.add("-object", "rng-random,id=rng0,filename=/dev/urandom")
        self.add_device("virtio-rng", ",rng=rng0")
        for tag, path, writable in shares:
            if self.kernel.is_linux:
                self.add_virtiofs(tag, path)
            else:
                self.add_9p(tag, path, writable)
        self.add_plugin()
        if options.gdb:
            self.add("-s", "-S")
        return self.arguments

    def add_platform(self):
        options = self.options
        accel = options.accel
        if accel == "auto":
            accel = "kvm" if cpu_virtualises() and kvm_works() else "tcg"
        self.accel = accel
        if accel == "kvm" and not kvm_works():
            raise Failure("--accel kvm: /dev/kvm can't be used here", 2)
        if self.is_pci:
            machine = "q35,usb=off,vmport=off,smbus=off,sata=off"
        else:
            acpi = "on" if self.kernel.is_linux else "off"
            machine = f"microvm,acpi={acpi},rtc=on,isa-serial=on"
            self.add("-global", "virtio-mmio.force-legacy=false")
        if self.kernel.is_linux and not options.initramfs and options.numa < 2:
            machine += ",memory-backend=mem"
            self.add("-object", f"memory-backend-memfd,id=mem,share=on,size={options.mem}")
        self.add("-machine", machine)
        self.add(*(options.accel_arguments or ("-accel", accel)))
        self.add("-cpu", options.cpu or ("host" if accel == "kvm" else "max"))

    def add_nodes(self):
        """--numa: memory and processors in equal parts, neighbours nearer than the others."""
        nodes = self.options.numa
        if nodes < 2:
            return
        part = self.options.mem // nodes & -(16 << 20)
        cpus = [[cpu for cpu in range(self.options.smp) if cpu * nodes // self.options.smp == node]
                for node in range(nodes)]
        shared = self.kernel.is_linux and not self.options.initramfs
        for node in range(nodes):
            size = part if node else self.options.mem - part * (nodes - 1)
            kind = "memory-backend-memfd,share=on" if shared else "memory-backend-ram"
            self.add("-object", f"{kind},id=node{node},size={size}")
            self.add("-numa", ",".join([f"node,nodeid={node},memdev=node{node}",
                                        *(f"cpus={cpu}" for cpu in cpus[node])]))
        for a in range(nodes):
            for b in range(a + 1, nodes):
                self.add("-numa", f"dist,src={a},dst={b},val={20 if b == a + 1 else 30}")

    def add_plugin(self):
        """The plugin of the environment, for NOS under TCG: tools/coverage.py."""
        words = os.environ.get("NOS_QEMU_PLUGIN")
        if words and not self.kernel.is_linux and self.accel == "tcg":
            self.add("-plugin", f"{words},kernel={quote(self.kernel.file)}")

    def add_port(self, number, name, descriptor):
        self.add("-chardev", f"socket,id={name},fd={descriptor}")
        if name == "console":
            self.add("-device", f"virtconsole,bus=ports.0,nr={number},chardev={name}")
        else:
            self.add("-device", f"virtserialport,bus=ports.0,nr={number},chardev={name},"
                                f"name=nos.{name}")

    def add_9p(self, tag, path, writable):
        self.add("-fsdev", f"local,id={tag},path={quote(path)},security_model=none,"
                           f"multidevs=remap,readonly={'off' if writable else 'on'}")
        self.add_device("virtio-9p", f",fsdev={tag},mount_tag={tag}")

    def add_virtiofs(self, tag, path):
        """Debian's cloud kernel has no 9p: a virtiofs daemon serves it."""
        import socket
        if os.getuid():
            raise Failure("--kernel linux needs root, for virtiofsd does")
        packages.ensure({VIRTIOFSD: "qemu-system-common"})
        # An abstract address: no file to leave behind.
        address = f"\0nos-{os.getpid()}-{tag}"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(address)
        listener.listen(1)
        peer = socket.socket(socket.AF_UNIX)
        peer.connect(address)
        self.helpers.append([VIRTIOFSD, f"--fd={listener.fileno()}", "-o",
                             f"source={path},cache=auto,sandbox=chroot,log_level=err"])
        self.sockets += (listener, peer)
        self.add("-chardev", f"socket,id=fs-{tag},fd={peer.fileno()}")
        self.add_device("vhost-user-fs", f",chardev=fs-{tag},tag={tag}", modern=False)


def quote(path):
    """Commas are doubled in QEMU's options."""
    return path.replace(",", ",,")

#!/usr/bin/python3
"""Other ways to start and other machines than `./nos run` uses: GRUB (multiboot2) with a serial
console and an initramfs, several NUMA nodes, and Bochs, a machine that forgives less than QEMU's
emulation and has what that lacks (x2APIC, the TSC's deadline timer, AVX-512, PCIDs).
Usage: machines.py nos|linux [NAME...]"""
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
INIT = """#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mkdir -p /tmp
echo "init on $(/bin/busybox readlink /proc/self/fd/0)"
/bin/busybox sha256sum /bin/busybox
echo "cpus $(/bin/busybox grep -c ^processor /proc/cpuinfo)"
echo "has $(/bin/busybox grep -o 'avx512f\|x2apic' /proc/cpuinfo | /bin/busybox sort -u | /bin/busybox xargs)"
cd /tmp
for t in /tests/*; do
	[ -x $t ] && echo "$t: $($t 2>&1 </dev/null | /bin/busybox tail -n 1)"
done
echo "tlb $(/bin/busybox grep tlb.switches /proc/nos/counters | /bin/busybox xargs)"
/bin/busybox sleep 1
/bin/busybox poweroff -f
"""
MENU = """serial --unit=0 --speed=115200
terminal_output serial
set timeout=0
menuentry nos {
	multiboot2 /boot/nos console=ttyS0
	module2 /boot/initramfs
}
"""
BOCHS = """cpu: model=corei7_skylake_x, count=2, ips=50000000
memory: guest=256, host=256
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=cdrom, path={image}, status=inserted
boot: cdrom
log: {folder}/log
com1: enabled=1, mode=file, dev={folder}/serial
panic: action=fatal
display_library: term
clock: sync=none
"""
BUSYBOX = shutil.which("busybox", path="/bin:/usr/bin")
TESTS = ("signals/context", "process/threads", "process/fork", "memory/protect",
         "memory/switches")


def write(path, text, mode=0o644):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, mode)


def make_image(folder, tests=()):
    """A CD image with GRUB, the kernel, and an initramfs of busybox and some system tests."""
    root = f"{folder}/root"
    write(f"{root}/init", INIT, 0o755)
    for name in ("bin", "proc", "dev", "tests"):
        os.makedirs(f"{root}/{name}", exist_ok=True)
    shutil.copy(BUSYBOX, f"{root}/bin/busybox")
    for name in tests:
        subprocess.run(["gcc", "-O1", "-static", "-pthread", "-I", f"{ROOT}/tests/system", "-o",
                        f"{root}/tests/{os.path.basename(name)}",
                        f"{ROOT}/tests/system/{name}.c"], check=True)
    write(f"{folder}/disc/boot/grub/grub.cfg", MENU)
    subprocess.run(["strip", "-g", "-o", f"{folder}/disc/boot/nos",
                    f"{ROOT}/build/release/nos.elf"], check=True)
    subprocess.run("find . | cpio -o -H newc --quiet >../disc/boot/initramfs", shell=True,
                   cwd=root, check=True)
    subprocess.run(["grub-mkrescue", "-o", f"{folder}/image.iso", f"{folder}/disc"], check=True,
                   capture_output=True)
    return f"{folder}/image.iso"


def boot_qemu(image, *machine):
    """What comes from the serial port."""
    done = subprocess.run(["qemu-system-x86_64", *machine, "-cpu", "max", "-cdrom", image,
                           "-display", "none", "-serial", "stdio", "-no-reboot"],
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False)
    return done.stdout.decode(errors="replace").replace("\r", "")


def boot_bochs(image, folder):
    """The same on Bochs; its debugger is told to go on, and its screen is a terminal of script(1)."""
    write(f"{folder}/bochsrc", BOCHS.format(image=image, folder=folder))
    write(f"{folder}/commands", "c\n")
    subprocess.run(["script", "-qec", f"bochs -q -f {folder}/bochsrc -rc {folder}/commands",
                    "/dev/null"], stdin=subprocess.DEVNULL, capture_output=True, timeout=300,
                   env={**os.environ, "TERM": "xterm"}, check=False)
    with open(f"{folder}/serial", encoding="utf-8", errors="replace") as file:
        return file.read().replace("\r", "")


def expect(text, *wanted):
    with open(BUSYBOX, "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    for want in (digest, "init on /dev/console", *wanted):
        if want not in text:
            raise AssertionError(f"no \"{want}\" in:\n{text}")


def test_grub(folder):
    image = make_image(folder)
    expect(boot_qemu(image, "-machine", "q35", "-m", "128M", "-smp", "2"), "cpus 2")
    expect(boot_qemu(image, "-machine", "pc", "-m", "128M", "-smp", "1"), "cpus 1")


def test_numa(folder):
    image = make_image(folder)
    nodes = [word for node in (0, 1)
             for word in ("-object", f"memory-backend-ram,id=m{node},size=96M", "-numa",
                          f"node,nodeid={node},cpus={2 * node}-{2 * node + 1},memdev=m{node}")]
    expect(boot_qemu(image, "-machine", "q35", "-m", "192M", "-smp", "4", *nodes, "-numa",
                     "dist,src=0,dst=1,val=20"), "cpus 4")


def test_node_of_woken(_):
    """The scheduler's in-kernel test that needs two nodes, on the debug kernel."""
    nodes = [word for node in (0, 1)
             for word in ("-object", f"memory-backend-ram,id=m{node},size=192M", "-numa",
                          f"node,nodeid={node},cpus={2 * node}-{2 * node + 1},memdev=m{node}")]
    done = subprocess.run(["qemu-system-x86_64", "-machine", "q35", "-m", "384M", "-smp", "4",
                           *nodes, "-cpu", "max", "-kernel", f"{ROOT}/build/debug/nos.elf",
                           "-append", "console=ttyS0 nos.selftest=sched_woken_thread",
                           "-display", "none", "-serial", "stdio", "-no-reboot"],
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    text = done.stdout.decode(errors="replace")
    took = re.search(r"ok sched_woken_thread_stays_on_its_node \((\d+) us\)", text)
    if not took or int(took[1]) < 100000:  # it does nothing where it sees one node
        raise AssertionError(text)


def test_bochs(folder):
    image = make_image(folder, TESTS)
    text = boot_bochs(image, folder)
    expect(text, "cpus 2", "has avx512f x2apic",
           *(f"/tests/{os.path.basename(name)}: " for name in TESTS))
    switches = [int(n) for n in re.findall(r"tlb\.switches_(?:behind|kept) (\d+)", text)]
    if text.count(" passed, 0 failed") != len(TESTS) or len(switches) != 2 or \
            min(switches) < 50:  # PCIDs are in use
        raise AssertionError(text)


def main():
    names = sys.argv[2:]
    tests = {name: test for name, test in globals().items() if name.startswith("test_")}
    if sys.argv[1:2] == ["linux"]:
        tests = {}
    failed = 0
    for name, test in tests.items():
        if names and name.removeprefix("test_") not in names:
            continue
        with tempfile.TemporaryDirectory() as folder:
            try:
                test(folder)
                print(f"ok {name}", flush=True)
            except (AssertionError, subprocess.SubprocessError, OSError) as error:
                print(f"FAILED {name}: {error}", flush=True)
                failed += 1
    print(f"{len(tests) - failed} passed, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())

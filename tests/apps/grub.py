#!/usr/bin/python3
"""The kernel started by GRUB (multiboot2), with a serial console and an initramfs of busybox.
Usage: grub.py nos|linux [NAME...]"""
import os
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
INIT = """#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
echo "init on $(/bin/busybox readlink /proc/self/fd/0)"
/bin/busybox sha256sum /bin/busybox
echo "cpus $(/bin/busybox grep -c ^processor /proc/cpuinfo)"
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


def write(path, text, mode=0o644):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, mode)


def make_image(folder):
    """A CD image with GRUB, the kernel and the initramfs."""
    root = os.path.join(folder, "root")
    write(f"{root}/init", INIT, 0o755)
    for name in ("bin", "proc", "dev"):
        os.makedirs(f"{root}/{name}", exist_ok=True)
    shutil.copy(shutil.which("busybox", path="/bin:/usr/bin"), f"{root}/bin/busybox")
    write(f"{folder}/disc/boot/grub/grub.cfg", MENU)
    subprocess.run(["strip", "-g", "-o", f"{folder}/disc/boot/nos",
                    f"{ROOT}/build/release/nos.elf"], check=True)
    subprocess.run("find . | cpio -o -H newc --quiet >../disc/boot/initramfs", shell=True,
                   cwd=root, check=True)
    subprocess.run(["grub-mkrescue", "-o", f"{folder}/nos.iso", f"{folder}/disc"], check=True,
                   capture_output=True)
    return f"{folder}/nos.iso"


def boot(image, *machine):
    """What comes from the serial port."""
    done = subprocess.run(["qemu-system-x86_64", *machine, "-cdrom", image, "-display", "none",
                           "-serial", "stdio", "-no-reboot"], stdin=subprocess.DEVNULL,
                          capture_output=True, timeout=120, check=False)
    return done.stdout.decode(errors="replace").replace("\r", "")


def test_grub(image):
    with open(shutil.which("busybox", path="/bin:/usr/bin"), "rb") as file:
        digest = subprocess.run(["sha256sum"], stdin=file, capture_output=True, text=True,
                                check=True).stdout.split()[0]
    for cpus, machine in ((2, "q35"), (1, "pc")):
        text = boot(image, "-machine", machine, "-cpu", "max", "-m", "128M", "-smp", str(cpus))
        for want in ("init on /dev/console", digest, f"cpus {cpus}"):
            if want not in text:
                raise AssertionError(f"{machine}: no \"{want}\" in:\n{text}")


def main():
    if sys.argv[1:2] == ["linux"]:
        print("0 passed, 0 failed")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        try:
            test_grub(make_image(folder))
        except (AssertionError, subprocess.SubprocessError) as error:
            print(error)
            print("0 passed, 1 failed")
            return 1
    print("1 passed, 0 failed")
    return 0


if __name__ == "__main__":
    sys.exit(main())

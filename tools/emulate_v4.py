"""Run a statically linked x86-64 program on an emulated processor with AVX-512, and print its output.

    python tools/emulate_v4.py VMLINUZ PROGRAM [ARGUMENT ...]

Boots a Linux kernel in Bochs, from a CD image with the program as its init; that takes half a minute to a minute.
Debian packages: bochs bochs-term isolinux syslinux-common xorriso. VMLINUZ is in a package that need not be
installed:

    apt-get download linux-image-6.1.0-53-cloud-amd64-unsigned && dpkg-deb -x linux-image-*.deb linux

The program must end with tcdrain(1), or its last lines are lost. Bochs 2.7 has some bits wrong: compare with a v3 build
that also runs on this machine. A fused multiply-add of doubles is wrong if exactly the first 63 bits cancel; conversions
to float16 round what lies in the middle away from 0; those of uint32 to float and of uint64 to double lose the last bit
of numbers that have the highest one.
"""

import argparse
import os
import pty
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import tty
from pathlib import Path

LOADER = ["/usr/lib/ISOLINUX/isolinux.bin", "/usr/lib/syslinux/modules/bios/ldlinux.c32"]
# Linux considers the compact XSAVE format of Bochs inconsistent, and would disable AVX.
BOOT = "DEFAULT go\nLABEL go\nKERNEL /vmlinuz\nAPPEND initrd=/initrd console=ttyS0 loglevel=1 mitigations=off"
BOOT += " clearcpuid=xsaves,xsavec -- "
IMAGE = ["xorriso", "-as", "mkisofs", "-quiet", "-o", "cd.iso", "-b", "isolinux.bin", "-c", "boot.cat"]
IMAGE += ["-no-emul-boot", "-boot-load-size", "4", "-boot-info-table", "cd"]
MACHINE = """
cpu: model=corei7_skylake_x, count=1, ips=50000000
megs: 128
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest
ata0-master: type=cdrom, path=cd.iso, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev=serial.txt
display_library: term
sound: driver=dummy
speaker: enabled=0
log: bochs.txt
info: action=ignore
error: action=ignore
panic: action=fatal
"""
SCREEN = re.compile(rb'connected to screen "(\S+?)"')
END = re.compile(r"^.*Kernel panic - not syncing: (?:Attempted to kill init! exitcode=0x(\w{8}))?.*\n", re.MULTILINE)


def entry(name: str, mode: int, data: bytes = b"", device: tuple[int, int] = (0, 0)) -> bytes:
    """Return one file of an initramfs (cpio, format newc)."""
    fields = [1, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(name) + 1, 0]
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
    return head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)


def initramfs(program: bytes) -> bytes:
    """Return a file system of /dev/console and /init."""
    files = entry("dev", 0o040755) + entry("dev/console", 0o020600, device=(5, 1)) + entry("init", 0o100755, program)
    return files + entry("TRAILER!!!", 0)


def drain(terminal: int) -> None:
    """Discard what Bochs writes, until it ends: also to its screen, a terminal that it names first."""
    written = b""
    try:
        while data := os.read(terminal, 65536):
            match = SCREEN.search(written + data)
            written = b"" if match else (written + data)[-1000:]
            if match:
                screen = os.open(match[1], os.O_RDWR | os.O_NOCTTY)
                tty.setraw(screen)
                threading.Thread(target=drain, args=(screen,), daemon=True).start()
    except OSError:
        pass


def boot(folder: Path, limit: float) -> str:
    """Return the output on the serial port once init has ended."""
    serial, text = folder / "serial.txt", ""
    master, slave = pty.openpty()
    command = ["bochs", "-q", "-f", "machine.txt", "-rc", "debugger.txt"]
    environment = os.environ | {"TERM": "xterm"}
    with subprocess.Popen(command, cwd=folder, env=environment, stdin=slave, stdout=slave, stderr=slave) as bochs:
        os.close(slave)
        threading.Thread(target=drain, args=(master,), daemon=True).start()
        end = time.monotonic() + limit
        while bochs.poll() is None and time.monotonic() < end and not END.search(text):
            time.sleep(0.5)
            text = serial.read_bytes().decode(errors="replace").replace("\r", "") if serial.exists() else ""
        bochs.kill()
    return text


def emulate(vmlinuz: Path, program: Path, arguments: list[str], limit: float) -> tuple[int, str]:
    """Return the exit status of the program and its output."""
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        (folder / "cd").mkdir()
        for file in LOADER:
            shutil.copy(file, folder / "cd")
        shutil.copy(vmlinuz, folder / "cd" / "vmlinuz")
        (folder / "cd" / "initrd").write_bytes(initramfs(program.read_bytes()))
        (folder / "cd" / "isolinux.cfg").write_text(BOOT + " ".join(arguments) + "\n")
        (folder / "machine.txt").write_text(MACHINE)
        (folder / "debugger.txt").write_text("c\n")  # Debian's Bochs starts in its debugger
        subprocess.run(IMAGE, cwd=folder, check=True, stderr=subprocess.DEVNULL)
        text = boot(folder, limit)
    match = END.search(text)
    if match is None or match[1] is None:
        sys.exit(f"the program did not end; the last that the machine wrote:\n{text[-1000:]}")
    printed = "".join(line for line in text[: match.start()].splitlines(keepends=True) if line[0] != "[")
    code = int(match[1], 16)  # the status times 256, or the signal
    return code >> 8 if code >> 8 else code, printed


def main() -> int:
    """Return the exit status of the program, or the number of the signal that ended it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=float, default=3600, metavar="SECONDS", help="give up after (default: 3600)")
    parser.add_argument("vmlinuz", type=Path)
    parser.add_argument("program", type=Path)
    parser.add_argument("arguments", nargs="*")
    options = parser.parse_args()
    status, printed = emulate(options.vmlinuz, options.program, options.arguments, options.limit)
    print(printed, end="")
    return status


if __name__ == "__main__":
    sys.exit(main())

"""A virtual machine for the length of one command."""

import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import packages
from packages import Missing

QEMU = "qemu-system-x86_64"

STATUS_OVERDUE = 124
STATUS_NOT_UP = 125

# An emulated processor needs 3 s, and half a minute on a machine that compiles meanwhile.
UP_S = 180
# A real one needs less than one; on some hosts it never gets there, although they say that they can.
UP_BY_KVM_S = 15

# Of the environment here: what programs and tests of the workspace look at.
ENVIRONMENT = ("PATH", "LANG", "LD_LIBRARY_PATH", "RUST_BACKTRACE", "RUST_LOG")
ENVIRONMENT_BEGINS = ("CARGO_", "MODEM_BROKER_")

# The port with what the command says: the only one, whichever number its device has.
OUTPUT = "/dev/vport*p1"


@dataclass
class Emulator:
    """QEMU: the one that is installed, or one that is only unpacked."""

    program: str
    options: list
    environment: dict


def emulator():
    """Finds it, or says what is missing on this machine."""
    if platform.machine() != "x86_64":
        raise Missing(f"it has the kernel of an x86-64, this is {platform.machine()}; run it on such a machine")
    if os.geteuid() != 0:
        raise Missing("only root may show it all files of this machine; run it as root")
    if program := shutil.which(QEMU):
        return Emulator(program, [], {})
    with packages.cache() as cache:
        root = cache / "qemu"
        if not root.exists():
            with tempfile.TemporaryDirectory(dir=cache) as unfinished:
                packages.unpacked(lambda: packages.with_dependencies("qemu-system-x86"), Path(unfinished) / "root")
                (Path(unfinished) / "root").rename(root)
    libraries = root / "usr/lib/x86_64-linux-gnu"
    environment = {
        "LD_LIBRARY_PATH": f"{libraries}:{root / 'lib/x86_64-linux-gnu'}",
        "QEMU_MODULE_DIR": str(libraries / "qemu"),
    }
    options = ["-L", str(root / "usr/share/qemu"), "-L", str(root / "usr/share/seabios")]
    return Emulator(str(root / "usr/bin" / QEMU), options, environment)


def run(qemu, boot, command, directory, limit_s, memory_mib):
    """Runs a command and returns its status."""
    for accelerator, up_s in accelerators():
        with tempfile.TemporaryDirectory(prefix="mb-vm-") as share:
            (Path(share) / "inside").write_text(inside(command, directory), encoding="utf-8")
            started = start(qemu, boot, Path(share), memory_mib, accelerator)
            status = attend(started, Path(share), command, (limit_s, up_s))
        if status is not None:
            return status
    return STATUS_NOT_UP


def accelerators():
    """That /dev/kvm is there says little; a machine that does not come up by it comes up by emulation."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    except OSError:
        flags = []
    if ("vmx" in flags or "svm" in flags) and os.access("/dev/kvm", os.R_OK | os.W_OK):
        yield "kvm", UP_BY_KVM_S
    yield "tcg", UP_S


def attend(started, share, command, limits):
    """Waits for the end of a machine; the status of its command, or None when it does not come up."""
    log = share / "console"
    limit_s, up_s = limits
    begin = time.monotonic()
    with started as process:
        try:
            while process.poll() is None and not (share / "up").exists() and time.monotonic() - begin < up_s:
                time.sleep(0.05)
            is_up = (share / "up").exists()
            if is_up:
                process.wait(timeout=limit_s)
        except subprocess.TimeoutExpired:
            explain(f"not done after {limit_s} s: {shlex.join(command)}", log)
            return STATUS_OVERDUE
        finally:
            process.kill()
    status = share / "status"
    if status.exists():
        return int(status.read_text(encoding="utf-8"))
    explain(f"the virtual machine {'broke down' if is_up else 'did not come up'}", log)
    return STATUS_NOT_UP if is_up else None


def explain(problem, log):
    """Says what went wrong, with the last words of the kernel."""
    sys.stdout.flush()
    print(problem, file=sys.stderr)
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    for line in text.splitlines()[-15:]:
        print(f"    {line}", file=sys.stderr)


def inside(command, directory):
    """The script that the machine runs once its files are there."""
    passed = {name: value for name, value in os.environ.items() if name in ENVIRONMENT or name.startswith(ENVIRONMENT_BEGINS)}
    exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in passed.items())
    return f"""{exports}export HOME=/root
cd {shlex.quote(str(directory))}
: >/run/vm/up
{shlex.join(command)} </dev/null >"$(echo {OUTPUT})" 2>&1
echo $? >/run/vm/status
sync
# Nothing else is certain to be installed; QEMU takes a restart for the end.
echo b >/proc/sysrq-trigger
sleep 60
"""


def start(qemu, boot, share, memory_mib, accelerator):
    """Starts a machine: no disk, no network, no screen."""
    processor = "host" if accelerator == "kvm" else "qemu64,+rdrand"
    plan9 = "security_model=none,multidevs=remap"
    command = [
        *(qemu.program, *qemu.options),
        *("-machine", "pc", "-accel", accelerator, "-cpu", processor, "-smp", "1", "-m", str(memory_mib)),
        *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        *("-kernel", str(boot.kernel), "-initrd", str(boot.initramfs)),
        *("-append", "console=ttyS0 loglevel=4 panic=-1"),
        *("-serial", f"file:{share / 'console'}"),
        *("-virtfs", f"local,path=/,mount_tag=here,readonly=on,{plan9}"),
        *("-virtfs", f"local,path={share},mount_tag=run,{plan9}"),
        *("-device", "virtio-serial-pci", "-chardev", "stdio,id=said,signal=off", "-device", "virtserialport,chardev=said"),
    ]
    # What the machine says goes by the standard output; a standard input that ends would close the port for it.
    return subprocess.Popen(command, stdin=subprocess.PIPE, env={**os.environ, **qemu.environment})

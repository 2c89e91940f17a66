"""Debian packages for the virtual machine: downloaded once and unpacked below the target directory, never installed.

What is installed here stays as it is: a QEMU beside other programs of QEMU would have to be of their very version, and nothing
on this machine is to boot another kernel.
"""

import contextlib
import fcntl
import os
import re
import subprocess
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent.parent
CACHE = Path(os.environ.get("CARGO_TARGET_DIR") or PROJECT / "target").absolute() / "vm"

DOWNLOAD_S = 600


class Missing(Exception):
    """Something that the virtual machine needs is not to be had here; what to do is in the text."""


@contextlib.contextmanager
def cache():
    """The directory with everything that was made, for one at a time."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield CACHE


def said_by(command, why, **options):
    """What a program says on its standard output."""
    environment = {**os.environ, "LC_ALL": "C"}
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DOWNLOAD_S,
            check=False,
            env=environment,
            **options,
        )
    except (FileNotFoundError, subprocess.TimeoutExpired) as error:
        raise Missing(f"{why}: {error}") from None
    if done.returncode != 0:
        complaint = (done.stderr.strip().splitlines() or ["no reason told"])[-1]
        raise Missing(f"{why}: {' '.join(command)}: {complaint}")
    return done.stdout


def kernel_package():
    """The package that this one depends on has a number in its name that changes with each release. The one for clouds has no
    USB, which a virtual modem on real drivers needs."""
    name = "linux-image-amd64"
    why = f"there is no package {name} here; Debian for amd64 has it"
    depends = re.search(r"Depends: (linux-image-\S+)", said_by(["apt-cache", "depends", name], why))
    if depends is None:
        raise Missing(why)
    return depends.group(1)


def with_dependencies(name):
    """A package, and what it needs of what is not installed here."""
    command = ["apt-get", "install", "--simulate", "--no-install-recommends", name]
    said = said_by(command, f"{name} and what it needs cannot be found; install it")
    return re.findall(r"^Inst (\S+)", said, re.MULTILINE)


def unpacked(names, directory):
    """Unpacks packages into a directory. `names` says which, once the list of packages can be asked."""
    debs = CACHE / "packages"
    debs.mkdir(exist_ok=True)
    try:
        wanted = download(names(), debs)
    except Missing:
        # The list of packages is not there, or older than what the archive still has.
        said_by(["apt-get", "update"], "the list of packages cannot be read; as root: apt-get update")
        wanted = download(names(), debs)
    for deb in wanted:
        said_by(["dpkg", "-x", str(deb), str(directory)], "a package cannot be unpacked")


def download(names, directory):
    """The files of these packages, downloaded as far as they are not there."""
    found = lambda name: sorted(directory.glob(f"{name}_*.deb"))
    missing = [name for name in names if not found(name)]
    if missing:
        said_by(["apt-get", "download", *missing], "packages cannot be downloaded", cwd=directory)
    return [found(name)[-1] for name in names]

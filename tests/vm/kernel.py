"""The kernel of the virtual machine, and the small file system from which it starts, out of Debian's packages."""

import hashlib
import lzma
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

import packages
from packages import Missing

HERE = Path(__file__).resolve().parent

MODULES = (
    # The way in and out of the machine: its disk, the files of this one, what the command says.
    "virtio_pci",
    "virtio_console",
    "9pnet_virtio",
    "9p",
    "overlay",
    # What tests are about.
    "tun",
    "veth",
    "ppp_generic",
    "ppp_async",
    "crc32c_generic",
    "nf_tables",
    "nft_chain_nat",
    "nft_ct",
    "nft_masq",
    "sch_netem",
)

# Looked up by the kernel under another name, so that nothing depends on it; newer kernels do without.
OPTIONAL = ("crc32c_generic",)


@dataclass
class Boot:
    """What QEMU boots."""

    version: str
    kernel: Path
    initramfs: Path


def prepared(further=()):
    """The kernel with its modules, made if it is not there yet."""
    modules = (*MODULES, *further)
    recipe = hashlib.sha256("\n".join(modules).encode())
    for source in (HERE / "init", Path(__file__)):
        recipe.update(source.read_bytes())
    with packages.cache() as cache:
        directory = cache / f"boot-{recipe.hexdigest()[:16]}"
        if not directory.exists():
            with tempfile.TemporaryDirectory(dir=cache) as unfinished:
                make(modules, Path(unfinished)).rename(directory)
    return Boot((directory / "version").read_text(encoding="utf-8"), directory / "kernel", directory / "initramfs")


def make(modules, directory):
    """Makes a directory with everything that a boot needs."""
    root, made = directory / "root", directory / "made"
    packages.unpacked(lambda: [packages.kernel_package(), "busybox-static"], root)
    made.mkdir()
    image = next((root / "boot").glob("vmlinuz-*"))
    version = image.name.removeprefix("vmlinuz-")
    (made / "version").write_text(version, encoding="utf-8")
    (made / "kernel").write_bytes(uncompressed(image.read_bytes()))
    below = next(path for path in (root / "lib/modules", root / "usr/lib/modules") if path.exists())
    (made / "initramfs").write_bytes(initramfs(root, Tree(below / version), modules))
    return made


def uncompressed(image):
    """The kernel within a bzImage: QEMU starts it at once, while its own unpacking takes an emulated processor seconds."""
    start = image.find(b"\xfd7zXZ\x00")
    if start < 0:
        return image
    try:
        return lzma.LZMADecompressor().decompress(image[start:])
    except lzma.LZMAError:
        return image


class Tree:
    """The modules of a kernel, by their names."""

    def __init__(self, directory):
        self.version = directory.name
        self._built_in = {self.name(line) for line in (directory / "modules.builtin").read_text().splitlines()}
        self._files = {self.name(path): path for path in directory.rglob("*.ko*")}

    @staticmethod
    def name(path):
        """File names have hyphens where names have underscores, or not."""
        return Path(path).name.split(".")[0].replace("-", "_")

    def read(self, name):
        """The octets of a module; none of one that is built in."""
        path = self._files.get(name)
        if path is None:
            if name in self._built_in or name in OPTIONAL:
                return b""
            raise Missing(f"the kernel {self.version} has no module {name}")
        octets = path.read_bytes()
        if path.suffix == ".xz":
            return lzma.decompress(octets)
        if path.suffix != ".ko":
            raise Missing(f"{path.name} is compressed in a way that is not known here")
        return octets

    def closure(self, names):
        """These modules and all that they need, each after what it needs."""
        found = {}

        def add(name):
            name = self.name(name)
            if name in found:
                return
            octets = self.read(name)
            needs = re.search(rb"\0depends=([^\0]+)\0", octets)
            for need in needs.group(1).decode().split(",") if needs else ():
                add(need)
            found[name] = octets

        for name in names:
            add(name)
        return {name: octets for name, octets in found.items() if octets}


def initramfs(root, tree, modules):
    """The file system in memory from which the kernel starts: busybox, the modules, and the script `init`."""
    closure = tree.closure(modules)
    files = [
        ("init", 0o755, (HERE / "init").read_bytes()),
        ("bin/busybox", 0o755, next(path for path in root.glob("**/bin/busybox")).read_bytes()),
        ("modules/order", 0o644, "".join(f"{name}\n" for name in closure).encode()),
    ]
    files += [(f"modules/{name}.ko", 0o644, octets) for name, octets in closure.items()]
    directories = [(name, 0o755, None) for name in ("bin", "modules", "dev", "proc", "sys", "here", "changes", "root")]
    return b"".join(cpio([*directories, *files, ("TRAILER!!!", 0, b"")]))


def cpio(entries):
    """An archive as the kernel unpacks it (Documentation/driver-api/early-userspace/buffer-format.rst, "newc")."""
    padding = lambda length: b"\0" * (-length % 4)
    for inode, (name, mode, content) in enumerate(entries, 1):
        kind = 0o040000 if content is None else 0o100000
        content = content or b""
        path = name.encode() + b"\0"
        # Inode, mode, owner, group, links, time, length, device and its number, both again for nodes, length of the name, sum.
        fields = (inode, kind | mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(path), 0)
        header = b"070701" + b"".join(b"%08x" % field for field in fields)
        yield header + path + padding(len(header) + len(path)) + content + padding(len(content))


"""The initiator's machine: Debian's generic kernel, a tiny initrd and a root file system, all to be booted by QEMU.

The generic kernel, because the cloud one has neither ``scsi_dh_alua`` nor ``ocfs2``. No systemd: ``files/init.sh`` starts udevd,
iscsid and multipathd and becomes the agent through which the tests run commands.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

from e2e.image import debian, vmlinux
from e2e.image.cache import digest, piece

PACKAGES = (
    "e2fsprogs", "iproute2", "iputils-ping", "kmod", "lsscsi", "lvm2", "mount", "multipath-tools", "ocfs2-tools", "open-iscsi",
    "procps", "python3", "sg3-utils", "udev",
)  # fmt: skip
FILES = Path(__file__).parent / "files"
FRAMES = Path(__file__).parent.parent / "lab" / "frames.py"
_ROOT_SIZE = "900M"
_INITRD_MODULES = ("virtio_pci", "virtio_blk", "virtio_console", "virtio_net", "ext4")
_DRIVERS_LEFT_OUT = (
    "sound", "drivers/gpu", "drivers/media", "drivers/infiniband", "drivers/net/wireless", "drivers/net/ethernet", "drivers/usb",
    "drivers/staging", "drivers/iio", "drivers/hwmon", "drivers/bluetooth", "drivers/input", "drivers/platform", "net/wireless",
    "net/mac80211", "net/bluetooth",
)  # fmt: skip


@dataclass(frozen=True)
class GuestImage:
    """The three files that QEMU boots."""

    kernel: Path
    initrd: Path
    root: Path


def guest_image() -> GuestImage:
    """Return the guest's image; build what is missing of it."""
    package = debian.kernel_package()
    kernel = piece("kernel", package, lambda into: _build_kernel(package, into))
    base_key = digest(debian.suite(), *PACKAGES)
    base = piece("guest-base", base_key, lambda into: debian.make_root(into, PACKAGES, variant="essential"))
    inputs = [Path(__file__), FRAMES, *sorted(FILES.iterdir())]
    image = piece("guest", digest(package, base_key, *inputs), lambda into: _build_image(kernel, base, into))
    return GuestImage(kernel / "vmlinux", image / "initrd", image / "root.img")


def _build_kernel(package: str, into: Path) -> None:
    debian.unpack(package, into)
    (compressed,) = into.glob("boot/vmlinuz-*")
    (into / "vmlinux").write_bytes(vmlinux.extract(compressed))
    (modules,) = into.glob("lib/modules/*")
    for drivers in _DRIVERS_LEFT_OUT:
        shutil.rmtree(modules / "kernel" / drivers, ignore_errors=True)
    debian.output("depmod", "-b", str(into), modules.name)


def _build_image(kernel: Path, base: Path, into: Path) -> None:
    root = into / "root"
    debian.output("cp", "-a", str(base), str(root))
    debian.output("cp", "-a", str(kernel / "lib/modules"), str(root / "lib"))
    _put_settings(root)
    _build_initrd(kernel, into)
    image = into / "root.img"
    debian.output("truncate", "-s", _ROOT_SIZE, str(image))
    no_journal = ("-O", "^has_journal", "-E", "lazy_itable_init=0", "-m", "0")
    debian.output("mke2fs", "-q", "-t", "ext4", *no_journal, "-d", str(root), str(image))
    shutil.rmtree(root)


def _put_settings(root: Path) -> None:
    program = root / "usr/lib/e2e"
    program.mkdir()
    shutil.copy(FRAMES, program / "frames.py")
    shutil.copy(FILES / "agent.py", program / "agent.py")
    shutil.copy(FILES / "init.sh", program / "init")
    (program / "init").chmod(0o755)
    shutil.copy(FILES / "multipath.conf", root / "etc/multipath.conf")
    shutil.copy(FILES / "lvmlocal.conf", root / "etc/lvm/lvmlocal.conf")
    _merge_settings(root / "etc/iscsi/iscsid.conf", FILES / "iscsid.conf")
    mtab = root / "etc/mtab"
    mtab.unlink(missing_ok=True)
    mtab.symlink_to("/proc/self/mounts")


def _merge_settings(config: Path, ours: Path) -> None:
    """Put our ``key = value`` lines in the place of Debian's."""

    def key(line: str) -> str:
        return line.partition("=")[0].strip()

    settings = [line for line in ours.read_text("utf-8").splitlines() if "=" in line and not line.startswith("#")]
    keys = {key(line) for line in settings}
    kept = [line for line in config.read_text("utf-8").splitlines() if key(line) not in keys]
    config.write_text("\n".join(kept + settings) + "\n", "utf-8")


def _build_initrd(kernel: Path, into: Path) -> None:
    """Make an initrd of busybox and the modules, in load order, that it takes to see the root disk."""
    tree = into / "initrd.d"
    for folder in ("bin", "modules", "proc", "sys", "dev", "newroot"):
        (tree / folder).mkdir(parents=True)
    shutil.copy(shutil.which("busybox") or "/bin/busybox", tree / "bin/busybox")
    shutil.copy(FILES / "initrd.sh", tree / "init")
    (tree / "init").chmod(0o755)
    (version,) = (modules.name for modules in kernel.glob("lib/modules/*"))
    order: dict[str, None] = {}
    for module in _INITRD_MODULES:
        shown = debian.output("modprobe", "-d", str(kernel), "-S", version, "--show-depends", module)
        for line in shown.splitlines():
            word, path = line.split()[:2]
            if word == "insmod":
                shutil.copy(path, tree / "modules")
                order[Path(path).name] = None
    (tree / "modules/order").write_text("\n".join(order) + "\n", "utf-8")
    debian.output("sh", "-c", "find . | LC_ALL=C sort | cpio -o -H newc --quiet > ../initrd", cwd=tree)
    shutil.rmtree(tree)

"""Raw block devices: what the machine has, and giving one to a pool (XFS, mounted below the state directory).

Rules:

* A device that is mounted, partitioned, or held by another (LVM, RAID, swap) is never offered and never formatted.
* Formatting destroys what is on the device: the caller has asked the operator and says so by ``confirmed``.
* These calls wait for programs; run them in a thread.
"""

from __future__ import annotations

import os
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

from twindisk.errors import ConflictError, ConflictProblem, NotFoundError, NotFoundProblem, RefusedError, RefusedProblem

_SYS_BLOCK = Path("/sys/block")
_SECTOR_BYTES = 512
_IGNORED = ("loop", "ram", "zram", "sr", "fd", "dm-", "md")
_MKFS_LIMIT_S = 300


@dataclass(frozen=True, slots=True)
class Device:
    """A whole block device. ``used_by``: mount point, ``partitions`` or ``holders``; None when it is free."""

    path: Path
    vendor: str
    model: str
    serial: str
    size_bytes: int
    used_by: str | None


def list_devices(sys_block: Path = _SYS_BLOCK, mounts: Path = Path("/proc/self/mounts")) -> tuple[Device, ...]:
    """Return the machine's disks, without loop devices and the like."""
    try:
        names = sorted(entry.name for entry in sys_block.iterdir() if not entry.name.startswith(_IGNORED))
    except OSError:
        return ()
    return tuple(_device(sys_block / name, mounts) for name in names)


def inspect(path: Path) -> Device:
    """Return one device by its path (loop devices too). Raises NotFoundError(DEVICE)."""
    try:
        is_block = stat.S_ISBLK(path.stat().st_mode)
    except OSError:
        is_block = False
    entry = _SYS_BLOCK / path.resolve().name
    if not is_block or not entry.exists():
        raise NotFoundError(NotFoundProblem.DEVICE, name=str(path))
    return _device(entry, Path("/proc/self/mounts"))


def try_inspect(path: str) -> Device | None:
    """Return one device, None when it is gone."""
    try:
        return inspect(Path(path))
    except NotFoundError:
        return None


def format_and_mount(device: Path, where: Path, *, confirmed: bool) -> None:
    """Make an XFS filesystem with reflinks on the device and mount it.

    Raises RefusedError(FORMAT_NOT_CONFIRMED) unless confirmed, ConflictError(DISK_IN_USE) when the device is not free,
    RefusedError(DEVICE_FORMAT) when a program fails.
    """
    found = inspect(device)
    if found.used_by is not None:
        raise ConflictError(ConflictProblem.DISK_IN_USE, name=str(device), used_by=found.used_by)
    if not confirmed:
        raise RefusedError(RefusedProblem.FORMAT_NOT_CONFIRMED, name=str(device), size_bytes=found.size_bytes)
    _run(["mkfs.xfs", "-f", "-q", "-m", "reflink=1", str(device)], device)
    mount(device, where)


def mount(device: Path, where: Path) -> None:
    """Mount the device unless it is mounted there. Raises RefusedError(DEVICE_FORMAT)."""
    if os.path.ismount(where):
        return
    where.mkdir(mode=0o700, parents=True, exist_ok=True)
    _run(["mount", "-t", "xfs", "-o", "noatime", str(device), str(where)], device)


def unmount(where: Path, device: Path) -> None:
    """Unmount what is mounted there. Raises RefusedError(DEVICE_FORMAT)."""
    if os.path.ismount(where):
        _run(["umount", str(where)], device)


def _run(argv: list[str], device: Path) -> None:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=_MKFS_LIMIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RefusedError(
            RefusedProblem.DEVICE_FORMAT, name=str(device), command=argv[0], detail=str(error)
        ) from error
    if done.returncode != 0:
        detail = done.stderr.strip() or f"exit status {done.returncode}"
        raise RefusedError(RefusedProblem.DEVICE_FORMAT, name=str(device), command=argv[0], detail=detail)


def _device(entry: Path, mounts: Path) -> Device:
    path = Path("/dev") / entry.name
    return Device(
        path=path,
        vendor=_word(entry / "device" / "vendor"),
        model=_word(entry / "device" / "model"),
        serial=_word(entry / "device" / "serial") or _word(entry / "serial"),
        size_bytes=int(_word(entry / "size") or 0) * _SECTOR_BYTES,
        used_by=_used_by(entry, path, mounts),
    )


def _used_by(entry: Path, path: Path, mounts: Path) -> str | None:
    try:
        table = mounts.read_text(encoding="utf-8", errors="replace")
    except OSError:
        table = ""
    for line in table.splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == str(path):
            return words[1]
    if any((part / "partition").exists() for part in entry.iterdir() if part.name.startswith(entry.name)):
        return "partitions"
    holders = entry / "holders"
    return "holders" if holders.is_dir() and any(holders.iterdir()) else None


def _word(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""

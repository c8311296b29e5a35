"""``bdconfig``: the disks of pools. A directory on a filesystem made for it is a disk, too."""

from __future__ import annotations

import sys
from typing import Literal

from twindisk.api.schemas import DiskNew
from twindisk.cli.compat.options import Options
from twindisk.cli.connect import run_command
from twindisk.client import NodeClient
from twindisk.errors import ApiError, RefusedProblem
from twindisk.sizes import show_gib

USAGE = """
Usage: bdconfig -l [-c|-e]
       bdconfig -a -d <device or directory> [-g <pool>] [--yes]
       bdconfig -x -d <device or directory>
"""
_LINE = "%-32s %-10s %-18s %-20s %-32s %-16s %-8s %-8s %-12s"


def main() -> None:
    """Run the command."""
    run_command("bdconfig", run)


def run(client: NodeClient, argv: list[str]) -> None:
    """List, add or remove disks. ``--yes`` (ours) formats a block device without asking."""
    confirmed = "--yes" in argv
    options = Options(USAGE, "lceaxd:g:", [word for word in argv if word != "--yes"])
    if "a" in options:
        options.only("adg")
        new = DiskNew(path=options.need("d", "device"), pool=options.get("g"), format=confirmed)
        _add(client, new)
    elif "x" in options:
        options.only("xd")
        client.remove_disk(options.need("d", "device"))
    elif "l" in options:
        options.only("lce")
        if "c" in options and "e" in options:
            options.wrong("-c and -e exclude each other")
        _list(client, "configured" if "c" in options else "unconfigured" if "e" in options else "all")
    else:
        options.wrong("one of -l, -a and -x is needed")


def _add(client: NodeClient, new: DiskNew) -> None:
    try:
        client.add_disk(new)
    except ApiError as error:
        unconfirmed = error.problem == RefusedProblem.FORMAT_NOT_CONFIRMED.value
        if not (unconfirmed and sys.stdin.isatty()):
            raise
        if input(f"All data on {new.path} will be destroyed. Format it? (yes/no) ") != "yes":
            raise
        client.add_disk(new.model_copy(update={"format": True}))


def _list(client: NodeClient, show: Literal["all", "configured", "unconfigured"]) -> None:
    disks = client.disks(show)
    print(_LINE % ("ID", "Vendor", "Model", "SerialNumber", "Name", "Pool", "Size", "Used", "Status"))
    for disk in disks:
        words = (disk.id, disk.vendor, disk.model, disk.serial, disk.name, disk.pool)
        sizes = (show_gib(disk.size_bytes), show_gib(disk.used_bytes))
        print(_LINE % (*(word or "N/A" for word in words), *sizes, disk.status))

"""``vdconfig``: VDisks. Sizes are in GiB."""

from __future__ import annotations

import sys

from twindisk.api.schemas import VDiskChange, VDiskNew
from twindisk.cli.compat.options import Options
from twindisk.cli.connect import run_command
from twindisk.client import NodeClient
from twindisk.errors import ApiError, NotFoundProblem
from twindisk.node.names import new_serial
from twindisk.sizes import parse_size, show_gib

USAGE = """
Usage: vdconfig -l
       vdconfig -a -v <name> -s <size in GB> -g <pool> [-e] [-i <iqn>]
       vdconfig -x -v <name> [-f]
       vdconfig -v <name> -s <size in GB>
       vdconfig -n <serial number|gen> -v <name>
"""
_LINE = "%-24s %-16s %-34s %-10s %-6s %-16s"


def main() -> None:
    """Run the command."""
    run_command("vdconfig", run)


def run(client: NodeClient, argv: list[str]) -> None:
    """List, create, remove or resize VDisks, or give one another serial number."""
    options = Options(USAGE, "laxefv:s:g:i:n:", argv)
    if "a" in options:
        options.only("avsgei")
        _create(client, options)
    elif "x" in options:
        options.only("xvf")
        _remove(client, options)
    elif "l" in options:
        options.only("l")
        vdisks = client.vdisks()
        print(_LINE % ("Name", "Pool", "Serial Number", "Size(GB)", "LUN", "Status"))
        for vdisk in vdisks:
            size = show_gib(vdisk.size_bytes)
            print(_LINE % (vdisk.name, vdisk.pool, vdisk.serial, size, vdisk.lun, vdisk.status))
    elif "n" in options:
        options.only("nv")
        serial = options.need("n", "serial number")
        change = VDiskChange(serial=new_serial() if serial == "gen" else serial)
        client.change_vdisk(options.need("v", "name"), change)
    elif "s" in options:
        options.only("vs")
        client.change_vdisk(options.need("v", "name"), VDiskChange(size=_size(options)))
    else:
        options.wrong("one of -l, -a, -x, -s and -n is needed")


def _create(client: NodeClient, options: Options) -> None:
    # -e asks for 512-byte sectors, which is what every VDisk made here has.
    name, size = options.need("v", "name"), _size(options)
    client.create_vdisk(VDiskNew(name=name, size=size, pool=options.get("g"), iqn=options.get("i")))


def _remove(client: NodeClient, options: Options) -> None:
    name, force = options.need("v", "name"), "f" in options
    if not force:
        known = [vdisk for vdisk in client.vdisks() if vdisk.name == name]
        if not known:
            detail = f"There is no VDisk {name} on this node. List them with: vdconfig -l"
            raise ApiError(404, NotFoundProblem.VDISK.value, "No such VDisk", detail, {"name": name})
        if input(f"Delete VDisk {name} and all its data? (yes/no) ").strip().lower() not in ("y", "yes"):
            sys.stderr.write("vdconfig: nothing was deleted\n")
            sys.exit(1)
    client.remove_vdisk(name, force=force)


def _size(options: Options) -> int:
    return parse_size(options.need("s", "size in GB"), default_unit="G")

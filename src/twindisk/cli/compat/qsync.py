"""``qsync``: mirrors and their roles."""

from __future__ import annotations

import sys

from twindisk.api.schemas import MirrorNew, RoleChange
from twindisk.cli.columns import progress_words
from twindisk.cli.compat.options import Options
from twindisk.cli.connect import run_command
from twindisk.client import NodeClient
from twindisk.errors import ApiError

USAGE = """
Usage: qsync -l [-p]
       qsync -s <vdisk> -d <remote vdisk> -r <mirror ip> [-g <remote pool>]
       qsync -x -s <vdisk> [-f]
       qsync -s <vdisk> -m <master|slave> [-f]
       qsync -m <master|slave> -f
"""
_LINE = "%-18s %-18s %-16s %-14s %-8s %-16s"


def main() -> None:
    """Run the command."""
    run_command("qsync", run)


def run(client: NodeClient, argv: list[str]) -> None:
    """List, make or end mirrors, or switch roles."""
    options = Options(USAGE, "lpxfs:d:r:g:m:", argv)
    if "l" in options:
        options.only("lp")
        _list(client, progress="p" in options)
    elif "x" in options:
        options.only("xsf")
        client.end_mirror(options.need("s", "vdisk"), force="f" in options)
    elif "m" in options:
        options.only("msf")
        _switch(client, options)
    elif "d" in options or "r" in options:
        options.only("sdrg")
        client.add_mirror(
            MirrorNew(
                vdisk=options.need("s", "vdisk"),
                remote=options.need("d", "remote vdisk"),
                peer=options.need("r", "mirror ip"),
                pool=options.get("g"),
            )
        )
    else:
        options.wrong("one of -l, -x, -m and -d is needed")


def _list(client: NodeClient, *, progress: bool) -> None:
    """``progress``: with one more column, which the described product does not have."""
    mirrors = client.mirrors()
    print(_LINE % ("Local", "Remote", "Pool", "Dest Addr", "Role", "Status") + (" Progress" if progress else ""))
    for mirror in mirrors:
        line = _LINE % (mirror.vdisk, mirror.remote, mirror.pool, mirror.peer, mirror.role, mirror.status)
        print(line + (f" {progress_words(mirror)}" if progress else ""))


def _switch(client: NodeClient, options: Options) -> None:
    role = options.need("m", "master|slave")
    if role not in ("master", "slave"):
        options.wrong(f"-m {role}: the role is master or slave")
    change = RoleChange.model_validate({"role": role, "force": "f" in options})
    if "s" in options:
        client.change_role(options.need("s", "vdisk"), change)
        return
    if "f" not in options:
        options.wrong("-s <vdisk> is missing (-f without it switches all VDisks)")
    failed = False
    for mirror in client.mirrors():
        try:
            client.change_role(mirror.vdisk, change)
        except ApiError as error:
            failed = True
            sys.stderr.write(f"qsync: {error.detail}\n")
    if failed:
        sys.exit(1)

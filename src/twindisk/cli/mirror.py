"""``twindisk mirror``."""

from __future__ import annotations

import sys
import time
from typing import Literal

import click
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from twindisk.api.schemas import MirrorNew, MirrorView, RoleChange
from twindisk.brain.status import Status
from twindisk.cli import columns
from twindisk.cli.output import Shell, command

WATCH_S = 0.5
_SETTLED = {Status.ENABLED.value, Status.INVALID_STATE.value}


@click.group()
def mirror() -> None:
    """Mirrors: VDisks that live on two nodes."""


@mirror.command("list")
@command
def list_(shell: Shell) -> None:
    """Show all mirrors."""
    shell.table(
        shell.client.mirrors(), columns.MIRRORS, empty="No mirrors. Make one with: twindisk mirror add VDISK PEER"
    )


@mirror.command("show")
@click.argument("vdisk")
@command
def show(shell: Shell, vdisk: str) -> None:
    """Show a VDisk's mirror."""
    shell.record(shell.client.mirror(vdisk), columns.MIRROR)


@mirror.command("add")
@click.argument("vdisk")
@click.argument("peer")
@click.option("--remote", help="Its name at the peer (default: the same).")
@click.option("--pool", help="The peer's pool (default: of the same name).")
@command
def add(shell: Shell, vdisk: str, peer: str, remote: str | None, pool: str | None) -> None:
    """Mirror VDISK with the node whose mirror address is PEER."""
    made = shell.client.add_mirror(MirrorNew(vdisk=vdisk, peer=peer, remote=remote, pool=pool))
    shell.done(f"VDisk {vdisk} is mirrored with {made.peer}. Follow the copy with: twindisk mirror watch {vdisk}", made)


@mirror.command("end")
@click.argument("vdisk")
@click.option("--force", is_flag=True, help="Even without the peer, or when this copy may be the older one.")
@command
def end(shell: Shell, vdisk: str, force: bool) -> None:  # noqa: FBT001 - click passes it by name
    """End the mirror of VDISK: this node goes on, the peer keeps its copy, withheld."""
    shell.client.end_mirror(vdisk, force=force)
    shell.done(f"The mirror of VDisk {vdisk} is ended.", shell.client.vdisk(vdisk))


@mirror.command("role")
@click.argument("vdisk")
@click.argument("role", type=click.Choice(["master", "slave"]))
@click.option("--force", is_flag=True, help="Become Master although this copy may be out of date.")
@command
def role(shell: Shell, vdisk: str, role: Literal["master", "slave"], force: bool) -> None:  # noqa: FBT001 - by name
    """Give this node's copy of VDISK a role."""
    seen = shell.client.change_role(vdisk, RoleChange(role=role, force=force))
    shell.done(f"VDisk {vdisk} is {seen.role} ({seen.status}).", seen)


@mirror.command("watch")
@click.argument("vdisk")
@command
def watch(shell: Shell, vdisk: str) -> None:
    """Follow VDISK until its copies are equal; exit status 1 when they cannot be."""
    seen = shell.client.mirror(vdisk)
    if shell.json:
        while True:
            sys.stdout.write(seen.model_dump_json() + "\n")
            sys.stdout.flush()
            if seen.status in _SETTLED:
                break
            time.sleep(WATCH_S)
            seen = shell.client.mirror(vdisk)
    else:
        seen = _watch_bar(shell, seen)
        shell.console.print(f"VDisk {vdisk}: {seen.role}, {columns.status_words(seen)}")
    if seen.status != Status.ENABLED.value:
        sys.exit(1)


def _watch_bar(shell: Shell, seen: MirrorView) -> MirrorView:
    words = TextColumn("{task.fields[vdisk]} {task.fields[role]} {task.fields[status]}")
    with Progress(
        words,
        BarColumn(),
        "{task.percentage:>5.1f} %",
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=shell.console,
    ) as progress:
        task = progress.add_task("", total=None, vdisk=seen.vdisk, role=seen.role, status=seen.status)
        while seen.status not in _SETTLED:
            _move(progress, task, seen)
            time.sleep(WATCH_S)
            seen = shell.client.mirror(seen.vdisk)
        progress.update(task, total=1, completed=1, role=seen.role, status=seen.status)
    return seen


def _move(progress: Progress, task: TaskID, seen: MirrorView) -> None:
    progress.update(
        task, total=seen.total_bytes or None, completed=seen.done_bytes or 0, role=seen.role, status=seen.status
    )

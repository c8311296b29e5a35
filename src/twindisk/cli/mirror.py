"""``twindisk mirror``."""

from __future__ import annotations

import sys
import time
from typing import Literal

import click
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from twindisk.api.schemas import MirrorNew, MirrorView, ResolveNew, RoleChange, VerifyNew, VerifyView
from twindisk.brain.status import Status
from twindisk.cli import columns
from twindisk.cli.mirror_diff import diff
from twindisk.cli.output import Shell, command
from twindisk.errors import NotFoundError, NotFoundProblem

WATCH_S = 0.5
_SETTLED = {Status.ENABLED.value, Status.INVALID_STATE.value}


@click.group()
def mirror() -> None:
    """Mirrors: VDisks that live on two nodes."""


mirror.add_command(diff)


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
    seen = shell.client.mirror(vdisk)
    shell.record(seen, columns.MIRROR)
    if not shell.json and (hint := columns.resolve_words(seen)):
        shell.console.print(hint)


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


@mirror.command("resolve")
@click.argument("vdisk")
@click.option("--survivor", required=True, help="The node whose copy goes on: its name or its mirror address.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@command
def resolve(shell: Shell, vdisk: str, survivor: str, yes: bool) -> None:  # noqa: FBT001 - click passes it by name
    """Resolve a split brain of VDISK: the survivor's copy goes on, the other is kept as a VDisk of its own.

    That VDisk is not served until it is released (twindisk vdisk release), and a new copy is filled from the survivor. On either
    node; may be repeated after an error. See before what differs: twindisk mirror diff.
    """
    shell.client.mirror(vdisk)
    shell.confirm(f"Keep the data of {survivor} as VDisk {vdisk} and set the other copy aside?", yes=yes)
    done = shell.client.resolve_mirror(vdisk, ResolveNew(survivor=survivor))
    shell.done(
        f"VDisk {vdisk} goes on with the data of {survivor}. The copy of node {done.node} is VDisk {done.lost} there, not served."
        f" Follow the new copy with: twindisk mirror watch {vdisk}",
        done,
    )


@mirror.command("role")
@click.argument("vdisk")
@click.argument("role", type=click.Choice(["master", "slave"]))
@click.option("--force", is_flag=True, help="Become Master although this copy may be out of date.")
@command
def role(shell: Shell, vdisk: str, role: Literal["master", "slave"], force: bool) -> None:  # noqa: FBT001 - by name
    """Give this node's copy of VDISK a role."""
    seen = shell.client.change_role(vdisk, RoleChange(role=role, force=force))
    shell.done(f"VDisk {vdisk} is {seen.role} ({seen.status}).", seen)


@mirror.command("verify")
@click.argument("vdisk")
@click.option("--repair", is_flag=True, help="Make the copies equal where they differ.")
@click.option(
    "--from",
    "source",
    type=click.Choice(["master", "here", "peer"]),
    default="master",
    help="With --repair: whose copy is right (default: the Master's).",
)
@click.option("--detach", is_flag=True, help="Do not wait for the end.")
@click.option("--cancel", is_flag=True, help="End the verification that is under way.")
@command
def verify(
    shell: Shell, vdisk: str, *, repair: bool, source: Literal["master", "here", "peer"], detach: bool, cancel: bool
) -> None:
    """Compare both copies of VDISK while initiators go on; exit status 1 when they differ, 2 when it ended early.

    Ctrl-C leaves it running: see it with mirror show, end it with --cancel.
    """
    if cancel:
        shell.client.cancel_verify(vdisk)
        shell.done(f"The verification of VDisk {vdisk} is ended.", shell.client.mirror(vdisk))
        return
    seen = shell.client.verify_mirror(vdisk, VerifyNew(repair=source if repair else None))
    if detach:
        shell.done(f"VDisk {vdisk} is being verified. Follow it with: twindisk mirror show {vdisk}", seen)
        return
    found = _verified(shell, seen)
    shell.done(f"VDisk {vdisk}: {columns.found_words(found)}", found)
    if found.ranges and not shell.json:
        shell.table(found.ranges, columns.RANGES, empty="")
    differs = found.differing_bytes and not (found.repair and found.state == "completed")
    sys.exit(1 if differs else 0 if found.state == "completed" else 2)


def _verified(shell: Shell, seen: MirrorView) -> VerifyView:
    """Wait for the end of a verification."""
    with Progress(
        TextColumn("{task.fields[vdisk]} verify"),
        BarColumn(),
        "{task.percentage:>5.1f} %",
        TimeRemainingColumn(),
        console=shell.console,
        disable=shell.json,
    ) as progress:
        task = progress.add_task("", total=100, vdisk=seen.vdisk)
        while seen.verify is not None and seen.verify.state == "running":
            progress.update(task, completed=seen.verify.percent)
            time.sleep(WATCH_S)
            seen = shell.client.mirror(seen.vdisk)
        if seen.verify is None:
            # The node was started anew meanwhile, and knows nothing of it.
            raise NotFoundError(NotFoundProblem.VERIFICATION, name=seen.vdisk, node=shell.client.node().name)
        progress.update(task, completed=seen.verify.percent)
        return seen.verify


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

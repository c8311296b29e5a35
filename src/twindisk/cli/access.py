"""``twindisk initiator`` and ``twindisk chap``: who is let in.

Secrets come from a file, standard input or a hidden prompt, never from the command line, which every user of the machine
can read.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from twindisk.api.schemas import ChapTargetNew, ChapUserNew, ChapView, DiscoveryView, InitiatorsChange, VDiskView
from twindisk.cli import columns
from twindisk.cli.output import Shell, command

ENDED = "Sessions that are not let in any more have ended."


@click.group()
def initiator() -> None:
    """Which initiators are let in to a VDisk, by name; without a list every initiator is.

    Names are compared whole and without regard to case. Who is not on the list can neither log in nor discover the VDisk. Both
    nodes of a mirrored VDisk have the same list. A name can be forged: use it with CHAP where that matters.
    """


@initiator.command("list")
@click.argument("vdisk")
@command
def list_initiators(shell: Shell, vdisk: str) -> None:
    """Show which initiators are let in."""
    seen = shell.client.vdisk(vdisk)
    if shell.json:
        shell.done("", seen)
    else:
        shell.console.print("\n".join(seen.initiators) or "Every initiator is let in.")


@initiator.command("allow")
@click.argument("vdisk")
@click.argument("names", nargs=-1, required=True)
@command
def allow(shell: Shell, vdisk: str, names: tuple[str, ...]) -> None:
    """Let initiators in: put their NAMES on the VDISK's list.

    The first list ends the sessions of all initiators that are not on it: name all that you mean at once.
    """
    changed = shell.client.change_initiators(vdisk, InitiatorsChange(allow=list(names)))
    shell.done(f"VDisk {vdisk} lets in {', '.join(changed.initiators)}. {ENDED}", changed)


@initiator.command("deny")
@click.argument("vdisk")
@click.argument("names", nargs=-1, required=True)
@click.option("--everyone", is_flag=True, help="The last name may go: from then on every initiator is let in.")
@command
def deny(shell: Shell, vdisk: str, names: tuple[str, ...], everyone: bool) -> None:  # noqa: FBT001 - click passes it by name
    """Let initiators in no longer: take their NAMES off the VDISK's list; their sessions end."""
    changed = shell.client.change_initiators(vdisk, InitiatorsChange(deny=list(names), everyone=everyone))
    who = ", ".join(changed.initiators) or "every initiator"
    shell.done(f"VDisk {vdisk} lets in {who}. {ENDED}", changed)


@click.group()
def chap() -> None:
    """CHAP: names and secrets by which initiators prove who they are, and the target to them.

    For one VDisk (--vdisk, on both its nodes) or for discovery (--discovery, on this node alone).
    """


def _where(*, vdisk: str | None, discovery: bool) -> None:
    if (vdisk is None) == (not discovery):
        raise click.UsageError("Say either --vdisk NAME or --discovery.")


VDISK = click.option("--vdisk", help="For this VDisk, on both its nodes.")
DISCOVERY = click.option("--discovery", is_flag=True, help="For discovery sessions with this node.")
SECRET_FILE = click.option(
    "--secret-file",
    type=click.Path(path_type=Path, allow_dash=True),
    help="Read the secret from the first line of this file, - is standard input (default: ask for it).",
)


@chap.command("list")
@VDISK
@DISCOVERY
@command
def list_users(shell: Shell, vdisk: str | None, discovery: bool) -> None:  # noqa: FBT001 - click passes it by name
    """Show the CHAP users, and by which name the target proves itself. Secrets are never shown."""
    _where(vdisk=vdisk, discovery=discovery)
    seen: VDiskView | DiscoveryView = shell.client.discovery() if vdisk is None else shell.client.vdisk(vdisk)
    if shell.json:
        shell.done("", seen)
        return
    rows = [ChapView(name=name, proves="the initiator") for name in seen.chap_users]
    rows += [ChapView(name=seen.chap_target, proves="the target")] if seen.chap_target else []
    shell.table(rows, columns.CHAP, empty="No CHAP users: nobody has to prove who he is.")


@chap.command("set")
@click.argument("user")
@VDISK
@DISCOVERY
@SECRET_FILE
@command
def set_(shell: Shell, user: str, vdisk: str | None, discovery: bool, secret_file: Path | None) -> None:  # noqa: FBT001 - by name
    """Add a CHAP user, or give one a new secret (12 to 255 bytes; some initiators take at most 16).

    Sessions that did not prove what is now asked end: with the first user all sessions, with a new secret those of its user.
    """
    _where(vdisk=vdisk, discovery=discovery)
    new = ChapUserNew(secret=read_secret(secret_file, f"Secret for {user}", ask=not shell.json))
    if vdisk is None:
        shell.done(f"Discovery takes the CHAP user {user}. {ENDED}", shell.client.set_discovery_user(user, new))
    else:
        shell.done(f"VDisk {vdisk} takes the CHAP user {user}. {ENDED}", shell.client.set_chap_user(vdisk, user, new))


@chap.command("remove")
@click.argument("user")
@VDISK
@DISCOVERY
@click.option("--everyone", is_flag=True, help="The last user may go: from then on nobody has to prove who he is.")
@command
def remove(shell: Shell, user: str, vdisk: str | None, discovery: bool, everyone: bool) -> None:  # noqa: FBT001 - by name
    """Remove a CHAP user; its sessions end. The last user takes the target's own name along."""
    _where(vdisk=vdisk, discovery=discovery)
    if vdisk is None:
        seen = shell.client.remove_discovery_user(user, everyone=everyone)
        shell.done(f"Discovery takes the CHAP user {user} no longer. {ENDED}", seen)
    else:
        changed = shell.client.remove_chap_user(vdisk, user, everyone=everyone)
        shell.done(f"VDisk {vdisk} takes the CHAP user {user} no longer. {ENDED}", changed)


@chap.command("set-target")
@click.argument("name")
@VDISK
@DISCOVERY
@SECRET_FILE
@command
def set_target(shell: Shell, name: str, vdisk: str | None, discovery: bool, secret_file: Path | None) -> None:  # noqa: FBT001 - by name
    """Let the target prove itself as NAME to initiators that ask (mutual CHAP); its secret is no user's."""
    _where(vdisk=vdisk, discovery=discovery)
    new = ChapTargetNew(name=name, secret=read_secret(secret_file, f"Secret of the target {name}", ask=not shell.json))
    if vdisk is None:
        shell.done(f"In discovery this node is {name}.", shell.client.set_discovery_target(new))
    else:
        shell.done(f"The target of VDisk {vdisk} is {name}.", shell.client.set_chap_target(vdisk, new))


@chap.command("remove-target")
@VDISK
@DISCOVERY
@command
def remove_target(shell: Shell, vdisk: str | None, discovery: bool) -> None:  # noqa: FBT001 - click passes it by name
    """Let the target prove itself no longer; initiators that ask for it are refused."""
    _where(vdisk=vdisk, discovery=discovery)
    if vdisk is None:
        shell.done("In discovery this node proves nothing.", shell.client.remove_discovery_target())
    else:
        shell.done(f"The target of VDisk {vdisk} proves nothing.", shell.client.remove_chap_target(vdisk))


def read_secret(file: Path | None, prompt: str, *, ask: bool) -> str:
    """Return a secret: the first line of the file, or of standard input when that is no terminal, or what is typed."""
    if file is not None and str(file) != "-":
        try:
            with file.open(encoding="utf-8") as opened:
                return opened.readline().rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
            raise click.UsageError(f"{file}: {reason}.") from None
    if file is not None or not ask or not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    secret: str = click.prompt(prompt, hide_input=True, confirmation_prompt=True)
    return secret

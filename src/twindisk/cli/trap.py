"""``twindisk trap``: SNMP notifications."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import click

from twindisk.cli import columns
from twindisk.cli.output import Shell, command
from twindisk.snmp.mibs import BASE_MODULES, MODULES


@click.group()
def trap() -> None:
    """SNMP notifications: where they go, a test, and the MIB modules."""


@trap.command("list")
@command
def list_(shell: Shell) -> None:
    """Show where SNMP notifications go."""
    traps = shell.client.traps()
    if shell.json:
        shell.done("", traps)
        return
    if traps.destinations:
        who = f", user {traps.user}, engine id {traps.engine_id}" if traps.user else ""
        shell.console.print(f"SNMP version {traps.version}, {traps.security}{who}", soft_wrap=True)
    shell.table(
        traps.destinations,
        columns.TRAPS,
        empty="No destinations. Set TrapAddr in quadstor.conf and run twindisk node reload.",
    )


@trap.command("test")
@command
def test(shell: Shell) -> None:
    """Send a test notification to every destination and say what happened; status 1 if one could not be sent."""
    tested = shell.client.test_traps()
    shell.table(tested, columns.TRAP_TESTS, empty="")
    if any(test.problem for test in tested):
        sys.exit(1)


@trap.command("mibs")
@click.option("--copy-to", type=click.Path(path_type=Path), help="Copy the modules to this directory.")
@click.option("--base", is_flag=True, help="Also the stand-ins for the IETF's modules, for receivers that lack those.")
def mibs(copy_to: Path | None, *, base: bool) -> None:
    """Show or copy the MIB modules that receivers need."""
    for module in (*MODULES, *(BASE_MODULES if base else ())):
        if copy_to is None:
            print(module)
            continue
        try:
            copy_to.mkdir(parents=True, exist_ok=True)
            print(shutil.copyfile(module, copy_to / module.name))
        except OSError as error:
            sys.stderr.write(f"twindisk: {error.filename or copy_to}: {error.strerror}.\n")
            sys.exit(1)

"""Write docs/operating/commands.md from the commands themselves: ``python tools/command_reference.py [--check]``."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import click

from twindisk.cli.main import main as twindisk

PAGE = Path(__file__).resolve().parent.parent / "docs" / "operating" / "commands.md"
COMPATIBLE = ("ndconfig", "qmirrorcheck", "qsync", "spconfig", "bdconfig", "vdconfig")
WIDTH = 100
OPENING = """# Commands

Every command works on the node whose configuration directory `TWINDISK_ETC` names (default `/etc/twindisk`); its
daemon must run. A command that fails says what happened and what to do next, exits with a status other than 0, and has
changed nothing. This page is made by `make docs` from the commands' own help.
"""


def compatible_section(name: str) -> str:
    """One command of the described product: what its module says of it, and its usage."""
    module = import_module(f"twindisk.cli.compat.{name}")
    says = (module.__doc__ or "").strip().splitlines()[0]
    return f"### {name}\n\n{says}\n\n```\n{module.USAGE.strip()}\n```\n"


def modern_sections(command: click.Command, context: click.Context) -> list[str]:
    """``twindisk`` and everything below it, each with its help."""
    own = f"### {context.command_path}\n\n```\n{command.get_help(context)}\n```\n"
    below: list[str] = []
    if isinstance(command, click.Group):
        for name, child in sorted(command.commands.items()):
            deeper = click.Context(child, info_name=name, parent=context, terminal_width=WIDTH, max_content_width=WIDTH)
            below += modern_sections(child, deeper)
    return [own, *below]


def page() -> str:
    """Return the whole page."""
    context = click.Context(twindisk, info_name="twindisk", terminal_width=WIDTH, max_content_width=WIDTH)
    parts = [
        OPENING,
        "## The commands of the described product\n",
        *(compatible_section(name) for name in COMPATIBLE),
        "## twindisk\n",
        *modern_sections(twindisk, context),
    ]
    return "\n".join(parts)


def main() -> None:
    """Write the page, or with ``--check`` say whether it is what it should be."""
    if "--check" in sys.argv[1:]:
        if PAGE.read_text() == page():
            return
        sys.exit(f"{PAGE.name} is not what the commands say; run: make docs")
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(page())


if __name__ == "__main__":
    main()

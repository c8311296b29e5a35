"""Write the manual pages: ``python packaging/manual.py <folder>``.

They are made from the commands' own help, from docs/operating/configuration.md, and from pages.toml for what those do not
say. So they cannot go stale: an option that a usage has and its page has not (or the reverse) is an error here.
"""

from __future__ import annotations

import os
import re
import sys
import time
import tomllib
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
from roff import Page

from twindisk.cli.main import main as twindisk

HERE = Path(__file__).resolve().parent
CONFIGURATION = HERE.parent / "docs" / "operating" / "configuration.md"
COMPATIBLE = ("ndconfig", "qmirrorcheck", "qsync", "spconfig", "bdconfig", "vdconfig")
FILES = {"ndrecv.conf": "## ndrecv.conf", "quadstor.conf": "## quadstor.conf"}
SHOWN_KEYS = 3
DATE = time.strftime("%Y-%m-%d", time.gmtime(int(os.environ.get("SOURCE_DATE_EPOCH") or time.time())))
_USAGE_OPTION = re.compile(r"(?<![\w-])(--?[a-z]+)")
_TABLE_ROW = re.compile(r"^\|(.*)\|$")


def main() -> None:
    """Write all pages."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for page in pages():
        (folder / f"{page.name}.{page.section}").write_text(page.text(), encoding="utf-8")


def pages() -> list[Page]:
    """Return all pages."""
    prose = tomllib.loads((HERE / "pages.toml").read_text("utf-8"))
    nouns = {name: noun for name, noun in twindisk.commands.items() if isinstance(noun, click.Group)}
    return [
        daemon_page(prose["twindiskd"]),
        *(compatible_page(name, prose[name]) for name in COMPATIBLE),
        *(file_page(name, heading, prose[name]["about"]) for name, heading in FILES.items()),
        twindisk_page(sorted(nouns)),
        *(noun_page(name, noun, sorted(nouns)) for name, noun in sorted(nouns.items())),
    ]


def new_page(name: str, section: int, about: str) -> Page:
    """Begin a page with its name."""
    page = Page(name, section, DATE, f"Twindisk {version('twindisk')}")
    page.heading("Name")
    page.paragraph(f"{name} - {about}")
    return page


def see_also(page: Page, others: list[str]) -> None:
    """End a page with where else to look, in the order of sections and names."""
    page.heading("See also")
    page.paragraph(", ".join(f"`{name}`({section})" for name, section in sorted_pages(others)))


def sorted_pages(others: list[str]) -> list[tuple[str, str]]:
    """Split ``name(section)`` and sort by section, then name."""
    pairs = [(one.partition("(")[0], one.partition("(")[2].rstrip(")")) for one in others]
    return sorted(pairs, key=lambda pair: (pair[1], pair[0]))


def daemon_page(prose: dict[str, Any]) -> Page:
    """Return twindiskd(8)."""
    page = new_page("twindiskd", 8, prose["about"])
    page.heading("Synopsis")
    parser = import_module("twindisk.node.daemon").arguments()
    page.lines(parser.format_usage().removeprefix("usage: ").strip())
    page.heading("Description")
    for paragraph in prose["description"]:
        page.paragraph(paragraph)
    page.heading("Options")
    for action in parser._actions:  # noqa: SLF001 - argparse offers no other way to its options
        value = f" <{action.dest}>" if action.nargs != 0 else ""
        page.item(", ".join(f"`{option}`" for option in action.option_strings) + value, sentence(action.help or ""))
    for heading, of in (("Signals", "signals"), ("Exit status", "exit"), ("Files", "files")):
        page.heading(heading)
        for tag, text in prose[of].items():
            page.item(f"`{tag}`" if of != "files" else f"*{tag}*", sentence(text))
    page.heading("Environment")
    page.item("`TWINDISK_ETC`", "The configuration directory, when `--etc` is not given.")
    see_also(page, ["twindisk(1)", "ndrecv.conf(5)", "quadstor.conf(5)", "qsync(8)", "qmirrorcheck(8)", "ndconfig(8)"])
    return page


def compatible_page(name: str, prose: dict[str, Any]) -> Page:
    """Return the page of a command of the described product. Ends unless its options are those of the usage."""
    module = import_module(f"twindisk.cli.compat.{name}")
    usage: str = module.USAGE.strip()
    used, told = set(_USAGE_OPTION.findall(usage)), set(prose["options"])
    if used != told:
        sys.exit(f"pages.toml: {name}: the usage and the page differ in {', '.join(sorted(used ^ told))}")
    says = (module.__doc__ or "").strip().splitlines()[0]
    page = new_page(name, 8, says.partition(": ")[2].partition(".")[0])
    page.heading("Synopsis")
    page.lines("\n".join(line.strip() for line in usage.removeprefix("Usage: ").splitlines()))
    page.heading("Description")
    for paragraph in prose["description"]:
        page.paragraph(paragraph)
    page.paragraph("The daemon twindiskd(8) must run. A command that fails says what happened and what to do next.")
    if prose["options"]:
        page.heading("Options")
    for option, text in prose["options"].items():
        takes = re.search(rf"{option} (<[^>]+>|'<[^>]+>')", usage)
        page.item(f"`{option}`" + (f" {takes[1]}" if takes else ""), text)
    finish_command(page)
    if "example" in prose:
        page.heading("Examples")
        page.lines(prose["example"].strip())
    others = {f"{other}(8)" for other in COMPATIBLE} - {f"{name}(8)"}
    see_also(page, ["twindisk(1)", "twindiskd(8)", *others])
    return page


def finish_command(page: Page) -> None:
    """Add what all commands have in common."""
    page.heading("Exit status")
    page.paragraph("0 when done; another when it failed, and then nothing was changed.")
    page.heading("Environment")
    page.item("`TWINDISK_ETC`", "The configuration directory of the node to work on; */etc/twindisk* when not set.")


def file_page(name: str, heading: str, about: str) -> Page:
    """Return the page of a configuration file, from the tables of its part of configuration.md."""
    parts = re.split(r"^(?=## )", CONFIGURATION.read_text("utf-8"), flags=re.MULTILINE)
    part = next(part for part in parts if part.startswith(heading))
    page = new_page(name, 5, about)
    page.heading("Description")
    page.paragraph(
        f"*/etc/twindisk/{name}* is read by twindiskd(8) when it starts, and anew by `twindisk node reload`."
    )
    page.paragraph(
        "It has lines `KEY=VALUE` and comments after `#`; keys are read without regard to case.",
        "An unknown key is a warning in the log; a value that makes no sense keeps the node from starting and says why.",
    )
    page.heading("Keys")
    for block in part.strip().split("\n\n")[1:]:
        if block.startswith("|"):
            for row in table_rows(block):
                page.item(row[0], sentence(row[1] if len(row) < SHOWN_KEYS else worded(row, block)))
        elif "](" not in block:  # links lead to pages that are not here
            page.paragraph(unwrapped(block))
    see_also(page, ["twindiskd(8)", *(f"{other}(5)" for other in FILES if other != name)])
    return page


def table_rows(block: str) -> list[list[str]]:
    """Return the cells of a table's rows, without its head."""
    rows = [found[1].split("|") for line in block.splitlines() if (found := _TABLE_ROW.match(line))]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def worded(row: list[str], block: str) -> str:
    """Return a row of three cells as a sentence: the meaning, and the default or range."""
    if "range" in block.splitlines()[0]:
        bounds, _, default = row[1].partition(", ")
        return f"{row[2]}. Seconds, {bounds}" + (f"; {default} when not given" if default else "")
    return f"{row[1]}." + (f" Default: {row[2]}" if row[2] else "")


def twindisk_page(nouns: list[str]) -> Page:
    """Return twindisk(1)."""
    page = new_page("twindisk", 1, "one disk that lives on two servers")
    context = click.Context(twindisk, info_name="twindisk")
    page.heading("Synopsis")
    page.lines("twindisk [options] command [arguments]")
    page.heading("Description")
    for paragraph in (twindisk.help or "").split("\n\n"):
        page.paragraph(unwrapped(paragraph))
    options(page, twindisk, context)
    page.heading("Commands")
    for name, command in sorted(twindisk.commands.items()):
        more = f" See `twindisk-{name}`(1)." if name in nouns else ""
        page.item(f"`{name}`", unwrapped(command.help or "").split("\n\n")[0] + more)
    for name, command in sorted(twindisk.commands.items()):
        if name not in nouns:
            subcommand(page, command, context, name)
    finish_command(page)
    see_also(page, [*(f"twindisk-{noun}(1)" for noun in nouns), "twindiskd(8)", *(f"{name}(8)" for name in COMPATIBLE)])
    return page


def noun_page(name: str, noun: click.Group, nouns: list[str]) -> Page:
    """Return the page of one noun of ``twindisk``, with all its commands."""
    context = click.Context(noun, info_name=name, parent=click.Context(twindisk, info_name="twindisk"))
    about = (noun.help or name).splitlines()[0].rstrip(".")
    page = new_page(f"twindisk-{name}", 1, about[0].lower() + about[1:] if about[1].islower() else about)
    page.heading("Synopsis")
    page.lines(f"twindisk {name} command [arguments]")
    page.heading("Commands")
    for below, command in sorted(noun.commands.items()):
        subcommand(page, command, context, below)
    finish_command(page)
    see_also(page, ["twindisk(1)", *(f"twindisk-{other}(1)" for other in nouns if other != name)])
    return page


def subcommand(page: Page, command: click.Command, parent: click.Context, name: str) -> None:
    """Add one command as a part of a section: usage, help, options."""
    context = click.Context(command, info_name=name, parent=parent)
    page.subheading(f"{context.command_path} {' '.join(command.collect_usage_pieces(context))}")
    for paragraph in (command.help or "").split("\n\n"):
        page.paragraph(unwrapped(paragraph))
    options(page, command, context, heading=False)


def options(page: Page, command: click.Command, context: click.Context, *, heading: bool = True) -> None:
    """Add a command's options."""
    if heading:
        page.heading("Options")
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record and isinstance(parameter, click.Option):
            flags, _, value = record[0].partition(" ") if "," not in record[0] else (record[0], "", "")
            tag = ", ".join(f"`{flag}`" for flag in flags.split(", ")) + (f" *{value}*" if value else "")
            page.item(tag, sentence(record[1]))


def sentence(text: str) -> str:
    """Return text with a capital at its beginning and a full stop at its end."""
    text = unwrapped(text)
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "]", ")")) else ".")


def unwrapped(text: str) -> str:
    """Return text on one line, without the marks of click's help."""
    return " ".join(text.replace("\b", "").split())


if __name__ == "__main__":
    main()

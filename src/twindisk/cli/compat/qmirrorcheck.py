"""``qmirrorcheck``: what this node does before it goes on without a peer."""

from __future__ import annotations

from twindisk.api.schemas import CheckNew
from twindisk.cli.compat.options import Options
from twindisk.cli.connect import run_command
from twindisk.client import NodeClient

USAGE = """
Usage: qmirrorcheck -l
       qmirrorcheck -a -t <fence|witness|manual|ignore> -r <mirror ip> [-v '<fence command>' | -v <witness url>]
       qmirrorcheck -x [-t <fence|witness|manual|ignore>] [-r <mirror ip>] [-v '<fence command>' | -v <witness url>]
"""
_LINE = "%-18s %-12s %-40s"
_KINDS = ("fence", "witness", "manual", "ignore")
_VALUES = {"fence": "fence command", "witness": "witness url"}


def main() -> None:
    """Run the command."""
    run_command("qmirrorcheck", run)


def run(client: NodeClient, argv: list[str]) -> None:
    """List, add or remove mirror checks."""
    options = Options(USAGE, "laxt:r:v:", argv)
    kind = options.get("t")
    if kind is not None and kind not in _KINDS:
        options.wrong(f"-t {kind}: the type is fence, witness, manual or ignore")
    if "a" in options:
        options.only("atrv")
        options.need("t", "type")
        value = options.need("v", _VALUES[kind]) if kind in _VALUES else options.get("v") or ""
        client.add_check(
            CheckNew.model_validate({"peer": options.need("r", "mirror ip"), "type": kind, "value": value})
        )
    elif "x" in options:
        options.only("xtrv")
        client.remove_checks(peer=options.get("r"), type_=kind, value=options.get("v"))
    elif "l" in options:
        options.only("l")
        checks = client.checks()
        print(_LINE % ("Mirror Ipaddr", "Type", "Value"))
        for check in checks:
            print(_LINE % (check.peer, check.type, check.value or "N/A"))
    else:
        options.wrong("one of -l, -a and -x is needed")

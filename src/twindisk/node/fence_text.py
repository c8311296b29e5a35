"""What a fence command's line says: its secrets, which logs must not show, and the same line asking for the power state.

Rules:

* Hiding is for logs and screens; the command that runs is never touched. Too much hidden is a blemish, too little a leak.
* A line is only turned into a question when it certainly is one fence agent with one explicit ``off`` or ``reboot``: a wrong guess
  would switch a node off.
"""

from __future__ import annotations

import itertools
import re
import shlex
from typing import Final

HIDDEN: Final = "***"
_SHORTEST_SECRET: Final = 4
"""A shorter one is not looked for in output: it would hide half of it."""

_VALUE: Final = r"""(?:'[^']*'|"(?:\\.|[^"\\])*"|\\.|[^\s'"\\;|&])+"""
_SECRET: Final = re.compile(
    rf"""
    (?P<before>
        (?<!\S)--?[\w-]*(?:passw|passphrase|pwd|secret|token|api-?key|community)[\w-]*(?:=|\s+)(?!-)  # --password=, --passwd
      | (?<!\S)\w*(?:PASSW|SECRET|TOKEN|APIKEY|API_KEY|passw|secret|token)\w*=                          # PASSWORD=... agent
      | (?<!\S)-[pPK](?:\s+(?!-))?                                                                   # -p secret, -psecret
    )(?P<secret>{_VALUE})
    | (?P<login>://[^\s/:@'"]*:)(?P<in_url>[^\s/@'"]+)(?=@)                                        # https://user:secret@host
    | (?P<user>(?<!\S)(?:-u|--user)(?:=|\s+)['"]?[^\s:'"]+:)(?P<of_user>[^\s'"]+)                   # curl -u user:secret
    """,
    re.VERBOSE,
)
_AGENT: Final = re.compile(r"\s*(?:\w+=\S*\s+)*(?:[\w./-]*/)?fence_\w+(?=\s)")
_ACTION: Final = re.compile(r"""(?<!\S)(-o\s*|--action[=\s]\s*)(['"]?)(?:off|reboot)\2(?!\S)""")
_MORE_THAN_ONE_COMMAND: Final = re.compile(r"[;&|`\n<>]|\$\(")


def without_secrets(command: str) -> str:
    """Return a command with its passwords hidden."""
    return _SECRET.sub(_hide, command)


def _hide(found: re.Match[str]) -> str:
    return (found["before"] or found["login"] or found["user"]) + HIDDEN


def output_without_secrets(output: str, command: str) -> str:
    """Return a command's output with the command's own passwords hidden."""
    for found in _SECRET.finditer(command):
        secret = (found["secret"] or found["in_url"] or found["of_user"]).strip("'\"")
        if len(secret) >= _SHORTEST_SECRET:
            output = output.replace(secret, HIDDEN)
    return output


def status_command(command: str) -> str | None:
    """Return the command with its action ``off`` replaced by ``status``; None when it cannot be asked without fencing."""
    if not _AGENT.match(command) or _MORE_THAN_ONE_COMMAND.search(command):
        return None
    question, actions = _ACTION.subn(lambda found: f"{found[1]}status", command)
    return question if actions == 1 and _asks(question) else None


def _asks(command: str) -> bool:
    """Say whether the shell hands ``status`` on as the action: it might have stood inside another argument's quotes."""
    try:
        words = shlex.split(command)
    except ValueError:
        return False
    return any(
        word in ("-ostatus", "--action=status") or (before in ("-o", "--action") and word == "status")
        for before, word in itertools.pairwise(words)
    )

"""docs/operating/notifications.md names everything that operators are told, in the words that they are told it."""

from pathlib import Path

import pytest

from twindisk.brain.effects import Message, Notify, Severity
from twindisk.brain.model import PeerAddress, VDiskName
from twindisk.messages import message_text, path_text
from twindisk.snmp.notification import MESSAGE_BYTES_MAX
from twindisk.snmp.settings import TRAP_KEYS

ROOT = Path(__file__).parent.parent.parent.parent
PAGE = ROOT / "docs/operating/notifications.md"
LOG_ONLY = {Message.TAKEOVER_CONTINUES, Message.ATTACH_REFUSED, Message.UNEXPECTED_REPORT}


@pytest.mark.parametrize("message", sorted(set(Message) - LOG_ONLY))
def test_every_message_is_in_the_table(message: Message) -> None:
    page = PAGE.read_text("utf-8")
    peer = PeerAddress("10.0.13.150")
    told = message_text(
        Notify(severity=Severity.WARNING, message=message, vdisk=VDiskName("M1"), peer=peer, detail="\0")
    )
    for part in told.split("\0"):
        assert part in page


@pytest.mark.parametrize("up", [True, False])
def test_what_is_told_of_paths_is_in_the_table(up: bool) -> None:  # noqa: FBT001 - a parameter by name
    told = path_text("10.0.13.150", "10.0.14.151", "10.0.14.150", up=up)
    assert f"| `{told}` | {'information' if up else 'warning'} |" in PAGE.read_text("utf-8")


def test_what_is_told_of_paths_fits_into_a_notification() -> None:
    longest = ":".join(["ffff"] * 8)
    assert len(path_text(longest, longest, longest, up=False)) <= MESSAGE_BYTES_MAX


@pytest.mark.parametrize("key", sorted(TRAP_KEYS))
def test_every_key_is_in_the_table(key: str) -> None:
    assert f"| `{key}` |" in (ROOT / "docs/operating/configuration.md").read_text("utf-8")

"""What is told reaches the receiver, the log and the list of events; and each start of a node is counted."""

import re
import socket
from pathlib import Path

import pytest

from fakes.nodes import cluster, quiet_log, write_etc
from twindisk.brain.effects import Severity
from twindisk.node.notices import Notices
from twindisk.node.state import State
from twindisk.snmp.notification import NotifyType


@pytest.mark.parametrize(
    ("severity", "type_"),
    [
        (Severity.INFORMATION, NotifyType.INFORMATION),
        (Severity.WARNING, NotifyType.WARNING),
        (Severity.ERROR, NotifyType.ERROR),
    ],
)
def test_an_event_is_sent_and_kept_in_the_same_words(tmp_path: Path, severity: Severity, type_: NotifyType) -> None:
    state, sent = State.open(tmp_path), list[tuple[NotifyType, str]]()
    notices = Notices(state, quiet_log(), lambda *told: sent.append(told))
    notices.tell(severity, "kind", "text", {"vdisk": "M1"})
    assert sent == [(type_, "text")]
    (event,) = state.events()
    assert (event.severity, event.kind, event.text, event.fields) == (severity.value, "kind", "text", {"vdisk": "M1"})
    state.close()


def test_a_notification_goes_out_even_when_it_cannot_be_kept(tmp_path: Path) -> None:
    state, sent = State.open(tmp_path), list[str]()
    state.close()
    notices = Notices(state, quiet_log(), lambda _, text: sent.append(text))
    with pytest.raises(Exception, match="closed database"):
        notices.tell(Severity.ERROR, "kind", "text", {})
    assert sent == ["text"]


async def test_a_node_tells_of_its_last_moments_and_counts_its_starts(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(5)
        async with cluster(tmp_path) as nodes:
            etc = write_etc(tmp_path, "vm10", control_port=nodes.control_port)
            with (etc / "quadstor.conf").open("a") as file:
                file.write(f"TrapAddr=127.0.0.1:{receiver.getsockname()[1]}\nTrapVersion=3\nTrapUser=ops\n")
            for start in (1, 2):
                node = await nodes.start("vm10")
                boots = node.state.node_value("snmp-engine-boots")
                node.notices.tell(Severity.INFORMATION, "kind", f"start {start}", {})
                await nodes.stop("vm10")
                message = receiver.recv(1000)
                assert f"start {start}".encode() in message
                assert boots == str(start)
                assert re.search(bytes((2, 1, start, 2, 1)) + rb"[\0-\x1e]\x04\x03ops", message), "boots, then the time"

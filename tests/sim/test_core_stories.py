"""Two mirror cores without brains, step by step: rules that the simulator found missing."""

from typing import Any

from twindisk._native import SimNode

MS = 1_000_000
SERIAL = "6e" + "0" * 29 + "1"
KEY = bytes(32)


def record(current: int, base: int, role: str) -> dict[str, Any]:
    facts = {"current": current, "base": base, "lineage": [], "epoch": 2, "role": role}
    return {
        **facts,
        "inconsistent": False,
        "ending": False,
        "size_bytes": 1 << 20,
        "active": [],
        "bitmap": [],
        "shared": b"",
        "unbroken": None,
    }


class Pair:
    """Two nodes on a network without delay, disks that are done at once."""

    def __init__(self, first: dict[str, Any], second: dict[str, Any]) -> None:
        self.now_ns = 10**12
        self.nodes = [SimNode(self.now_ns, 200 * MS, 2000 * MS) for _ in range(2)]
        self.reports: list[list[str]] = [[], []]
        for at, (node, stored) in enumerate(zip(self.nodes, (first, second), strict=True)):
            node.add_peer(1 - at, self.now_ns)
            node.add_copy(SERIAL, 1 - at, stored, self.now_ns)

    def connect(self) -> None:
        for at, node in enumerate(self.nodes):
            node.link_up(1 - at, KEY, at == 0, self.now_ns)

    def run(self, duration_ms: int) -> None:
        end_ns = self.now_ns + duration_ms * MS
        while self.now_ns < end_ns:
            self.now_ns += 50 * MS
            for at, node in enumerate(self.nodes):
                for _, beat in node.tick(self.now_ns):
                    answer = self.nodes[1 - at].beat(at, beat, self.now_ns)
                    if answer is not None:
                        node.beat(1 - at, answer, self.now_ns)
            while sum(self._act(at) for at in range(2)):
                pass

    def _act(self, at: int) -> bool:
        actions = self.nodes[at].take_actions()
        for action in actions:
            if action[0] == "send":
                self.nodes[1 - at].receive(at, action[2], self.now_ns)
            elif action[0] == "disk":
                self.nodes[at].disk_done(SERIAL, action[2], None, self.now_ns)
            elif action[0] == "record":
                self.nodes[at].record_taken(SERIAL, action[2], self.now_ns)
            elif action[0] == "report":
                self.reports[at].append(action[2]["kind"])
        return bool(actions)

    def go_alone(self, at: int) -> str | None:
        return self.nodes[at].command(SERIAL, "go_alone", {"generation": 99, "epoch": 3, "fenced": False}, self.now_ns)


def test_going_alone_waits_for_leases_of_the_past_only() -> None:
    pair = Pair(record(77, 0, "master"), record(77, 0, "slave"))
    pair.connect()
    pair.run(500)
    assert pair.go_alone(1) is None
    pair.run(1000)
    assert "alone" not in pair.reports[1]
    pair.run(2000)
    assert "alone" in pair.reports[1]


def test_a_copy_whose_peer_told_that_it_went_on_alone_does_not_do_so_too() -> None:
    pair = Pair(record(78, 77, "master"), record(77, 0, "slave"))
    pair.connect()
    pair.run(500)
    assert pair.go_alone(1) == "the facts have changed"
    assert pair.go_alone(0) is None


def test_a_copy_opened_anew_is_unbroken_only_with_the_generation_it_was_unbroken_with() -> None:
    whole, other, none = (dict(record(7, 0, "slave"), unbroken=at) for at in (7, 6, None))
    target = dict(record(7, 0, "slave"), unbroken=7, inconsistent=True)
    for stored, unbroken in ((whole, True), (other, False), (none, False), (target, False)):
        pair = Pair(stored, record(7, 0, "master"))
        assert pair.nodes[0].facts(SERIAL)["unbroken"] is unbroken
        assert not pair.nodes[1].facts(SERIAL)["unbroken"]

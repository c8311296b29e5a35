"""Two mirror cores without brains: what becomes of a COMPARE AND WRITE whose link is cut at a bad moment."""

from typing import Any

from sim.test_core_stories import KEY, MS, SERIAL, Pair, record

BLOCK = 512
OLD, NEW, OTHER = bytes(BLOCK), b"n" * BLOCK, b"o" * BLOCK
MASTER, SLAVE = 0, 1


class Stage(Pair):
    """A pair with disks that hold data, and a network that can be told to lose what a node says."""

    def __init__(self) -> None:
        super().__init__(record(77, 0, "master"), record(77, 0, "slave"))
        self.disks = [bytearray(1 << 20) for _ in range(2)]
        self.answers: list[list[tuple[str, Any]]] = [[], []]
        self.silent: set[int] = set()
        self.connect()
        self.run(500)
        self.attach("none", "none", 3)

    def attach(self, master: str, slave: str, epoch: int) -> None:
        seqs = [node.facts(SERIAL)["seq"] for node in self.nodes]
        for at, (role, sync) in enumerate((("master", master), ("slave", slave))):
            plan = {"role": role, "sync": sync, "epoch": epoch, "generation": 80 + epoch}
            plan |= {"local_seq": seqs[at], "remote_seq": seqs[1 - at]}
            assert self.nodes[at].command(SERIAL, "attach", plan, self.now_ns) is None
        self.run(1000)

    def cut(self) -> None:
        for at, node in enumerate(self.nodes):
            node.link_down(1 - at, self.now_ns)
        self.settle()

    def swap(self, at: int, compare: bytes, write: bytes) -> None:
        self.nodes[at].host_compare_and_write(SERIAL, 7, 0, compare, write, False, self.now_ns)
        self.settle()

    def alone(self, at: int) -> None:
        decision = {"generation": 99, "epoch": 9, "fenced": True}
        assert self.nodes[at].command(SERIAL, "go_alone", decision, self.now_ns) is None
        self.settle()

    def settle(self) -> None:
        while sum(self._act(at) for at in range(2)):
            pass

    def _act(self, at: int) -> bool:
        actions = self.nodes[at].take_actions()
        for action in actions:
            if action[0] == "send" and at not in self.silent:
                self.nodes[1 - at].receive(at, action[2], self.now_ns)
            elif action[0] == "complete":
                self.answers[at].append((action[3], action[4]))
            elif action[0] == "record":
                self.nodes[at].record_taken(SERIAL, action[2], self.now_ns)
            elif action[0] == "disk":
                self.nodes[at].disk_done(SERIAL, action[2], self._disk(at, action), self.now_ns)
        return bool(actions)

    def _disk(self, at: int, action: tuple[Any, ...]) -> Any:
        kind, disk = action[3], self.disks[at]
        if kind == "read":
            return bytes(disk[action[4] : action[4] + action[5]])
        if kind == "write":
            disk[action[4] : action[4] + len(action[5])] = action[5]
        return None

    def blocks(self) -> list[bytes]:
        return [bytes(disk[:BLOCK]) for disk in self.disks]


def test_both_nodes_compare_and_write_the_same() -> None:
    for at in (MASTER, SLAVE):
        stage = Stage()
        stage.swap(at, OLD, NEW)
        stage.swap(1 - at, OLD, OTHER)
        assert stage.answers[at] == [("done", None)]
        assert stage.answers[1 - at] == [("miscompare", 0)]
        stage.swap(at, NEW[:-1] + b"?", OTHER)
        assert stage.answers[at][1:] == [("miscompare", BLOCK - 1)]
        assert stage.blocks() == [NEW, NEW]


def test_a_slave_that_lost_the_master_while_it_compared_does_not_claim_to_know() -> None:
    stage = Stage()
    stage.silent = {MASTER}
    stage.swap(SLAVE, OLD, NEW)
    assert (stage.blocks(), stage.answers[SLAVE]) == ([NEW, OLD], [])
    stage.cut()
    stage.silent = set()
    for at, node in enumerate(stage.nodes):
        node.link_up(1 - at, KEY, at == 0, stage.now_ns + MS)
    stage.run(500)
    stage.attach("source", "target", 4)
    assert stage.answers[SLAVE] == [("unknown", None)]
    assert stage.blocks() == [NEW, NEW]


def test_a_slave_that_goes_on_alone_compares_anew() -> None:
    stage = Stage()
    stage.silent = {MASTER}
    stage.swap(SLAVE, OLD, NEW)
    stage.cut()
    stage.alone(SLAVE)
    assert stage.answers[SLAVE] == [("done", None)]
    assert stage.blocks()[SLAVE] == NEW


def test_a_master_does_not_compare_with_its_own_bytes() -> None:
    stage = Stage()
    stage.silent = {SLAVE}
    stage.swap(MASTER, OLD, NEW)
    assert (stage.blocks(), stage.answers[MASTER]) == ([NEW, NEW], [])
    stage.cut()
    stage.alone(MASTER)
    assert stage.answers[MASTER] == [("done", None)]
    assert stage.blocks()[MASTER] == NEW

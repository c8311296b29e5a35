"""The engine of a simulated process: the mirror core of both hearts, its link, its disks, its hosts' commands.

It does what the real engine (native/runtime) does around the core, in the same order: actions are carried out until there
are no more; a peer that the core gives up loses its link; the dialer tries again; a silent link is closed.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from twindisk.sim.clock import MS, SECOND
from twindisk.sim.core import sim_node
from twindisk.sim.link import INTERVAL_NS, Link
from twindisk.sim.network import Session
from twindisk.sim.reservations import Guarded, Unit
from twindisk.sim.rights import Rights

if TYPE_CHECKING:
    from twindisk.sim.machine import Machine

TICK_NS: Final = 50 * MS
LEASE_NS: Final = 2 * SECOND

Reply = Callable[[str, Any], None]
"""Takes how a host's command ended: ``data`` with bytes, ``done``, ``miscompare``, ``unknown``, ``overtaken``, ``no-room``, ``no-space``, or
``not-ready`` with the state."""


class Engine:
    """One life of an engine."""

    def __init__(self, machine: "Machine", report: Callable[[dict[str, Any]], None]) -> None:
        self._machine = machine
        self._world = machine.world
        self._report = report
        self._peer = 1 - machine.index
        self.node = sim_node()(self.now_ns, INTERVAL_NS, LEASE_NS)
        self.node.set_pace(*self._world.pace)
        self.link = Link(machine, self.node, self._carry_out)
        self._replies: dict[int, Reply] = {}
        self.units: dict[str, Unit] = {}
        self._count = 0

    @property
    def now_ns(self) -> int:
        """The time."""
        return self._world.clock.now_ns

    # --- copies and peers ---

    def open_copy(self, serial: str, *, mirrored: bool) -> None:
        """Open a copy as its disk has it."""
        stored = self._machine.disks[serial].record
        record = dict(stored.facts, active=stored.active, bitmap=sorted(stored.bitmap.items()))
        record["size_bytes"] = self._world.size_bytes
        record["log_extents"] = self._world.log_extents
        record["shared"] = stored.shared
        record["unbroken"] = self._machine.unbroken.get(serial)
        self.units[serial] = Unit(self, serial)
        self.node.add_copy(serial, self._peer if mirrored else None, record, self.now_ns)
        self._carry_out()

    def close_copy(self, serial: str) -> None:
        """Close a copy; nothing that it was asked for is answered any more."""
        self.node.remove_copy(serial)
        self._carry_out()
        del self.units[serial]

    def add_peer(self) -> None:
        """Begin to keep a link."""
        self.node.add_peer(self._peer, self.now_ns)
        self._machine.later(TICK_NS, self._tick)

    def command(self, serial: str, name: str, arguments: dict[str, Any]) -> str | None:
        """Carry out a decision; return why not."""
        refusal = self.node.command(serial, name, arguments, self.now_ns)
        self._carry_out()
        return refusal

    # --- hosts ---

    def host(self, serial: str, call: str, arguments: tuple[Any, ...], reply: Reply) -> int:
        """Begin a host's command (``host_read``, ``host_write``, ...); return its number."""
        number = self.enlist(reply)
        self.units[serial].came(number)
        self.again(serial, number, call, arguments)
        self._carry_out()
        return number

    @property
    def spares(self) -> bool:
        """Whether a planted bug keeps this node from ending the commands that it should."""
        return self._world.mutant.spares(self._machine.index)

    def known(self, rights: Rights) -> Rights:
        """Return the rights that this node goes by: those of the log, unless a planted bug has it forget some."""
        return self._world.mutant.known(self._machine.index, rights)

    def enlist(self, reply: Reply) -> int:
        """Give a host's command its number."""
        self._count += 1
        self._replies[self._count] = reply
        return self._count

    def again(self, serial: str, number: int, call: str, arguments: tuple[Any, ...]) -> None:
        """Give a command that has a number to the core."""
        blocks = self._machine.disks[serial].seen
        call, arguments = self._world.mutant.asked(self._machine.index, call, arguments, blocks.read)
        getattr(self.node, call)(serial, number, *arguments, self.now_ns)

    def guarded(self, serial: str, asked: Guarded, reply: Reply) -> int:
        """Begin a command that reservations concern; return its number."""
        number = self.units[serial].begin(asked, reply)
        self._carry_out()
        return number

    def units_of(self, serial: str) -> list[Unit]:
        """Return a VDisk's units, of both nodes while they mirror."""
        mirroring = self.node.status(serial)["mode"] == "mirroring"
        daemons = [machine.daemon for machine in self._world.machines] if mirroring else []
        return [self.units[serial], *(daemon.engine.units[serial] for daemon in daemons if daemon is not None)]

    def answer(self, number: int, how: str, what: Any) -> None:
        """Answer a command that the core knows no more."""
        reply = self._replies.pop(number, None)
        if reply is not None:
            reply(how, what)

    def withdraw(self, serial: str, number: int, how: str) -> None:
        """End a command that has not begun with an answer of this node's own."""
        self.node.cancel(serial, number, self.now_ns)
        self.answer(number, how, None)

    def cancel(self, serial: str, number: int) -> None:
        """Give up a host's command: its session is gone."""
        if self._replies.pop(number, None) is not None:
            self.node.cancel(serial, number, self.now_ns)
            self.units[serial].ended(number)
            self._carry_out()

    # --- the link ---

    def arrived(self, session: Session, data: Any) -> None:
        """Take what came over a session."""
        self.link.arrived(session, data)
        self._carry_out()

    def datagram(self, data: bytes) -> None:
        """Take a heartbeat or its answer."""
        answer = self.node.beat(self._peer, data, self.now_ns)
        if answer is not None:
            self._world.network.datagram(self._peer, answer)
        self._carry_out()

    def _tick(self) -> None:
        for _, beat in self.node.tick(self.now_ns):
            self._world.network.datagram(self._peer, beat)
        self._carry_out()
        self.link.tick()
        self._carry_out()
        self._machine.later(TICK_NS, self._tick)

    # --- actions ---

    def _carry_out(self) -> None:
        while actions := self.node.take_actions():
            for action in self._world.mutant.actions(self._machine.index, actions):
                self._act(action)

    def _act(self, action: tuple[Any, ...]) -> None:
        kind = action[0]
        if kind == "disk":
            self._start_disk(action)
        elif kind == "complete":
            self._complete(action)
        elif kind == "record":
            self._machine.note("record %s%s", action[3], " drain" if action[4] else "")
            self.units[action[1]].record(action[2], action[3], drain=action[4])
        elif kind == "turn":
            self.units[action[1]].turn(action[2])
        elif kind == "send":
            self._machine.note("send %s%s", action[3], "" if self.link.stands else " (no link)")
            self.link.send(action[2])
        elif kind == "report":
            self._tell(action[1], action[2])
        elif kind == "peer_up":
            self._tell(None, {"kind": "peer_up"})
        elif kind == "peer_down":
            reason = "silent" if action[2] == "silent" else self.link.loss
            self._tell(None, {"kind": "peer_down", "reason": reason})
            self.link.close(reason)

    def _tell(self, serial: str | None, report: Mapping[str, Any]) -> None:
        told = dict(report, peer=self._world.addresses[self._peer])
        if serial is not None:
            told["vdisk"] = self._world.name_of(serial)
            self._world.checks.mode_seen(self._machine.index, serial)
            if report["kind"] == "verified":
                self._world.verifier.verified(serial, told)
            self._world.faults.told(self._machine, report)
        self._machine.note("report %s", told)
        self._report(told)

    def _start_disk(self, action: tuple[Any, ...]) -> None:
        serial, number = action[1], action[2]
        if self._world.trace.wanted:
            self._note_disk(action)
        if action[3] == "flush":
            self._world.faults.flushing(self._machine, resync=self.node.status(serial)["sync"] != "none")
        life = self._machine.life

        def done(outcome: Any) -> None:
            self._machine.enter(life, self._disk_done, (serial, number, action[3], outcome))

        self._machine.disks[serial].start(action, done)

    def _note_disk(self, action: tuple[Any, ...]) -> None:
        if action[3] in {"write", "sparse"}:
            self._machine.note("disk %s %s %s", action[3], action[4], len(action[5]))
        else:
            self._machine.note("disk %s", action[3:])

    def _disk_done(self, serial: str, number: int, kind: str, outcome: Any) -> None:
        if kind in {"persist", "flush"}:
            self._machine.note("disk %s done", kind)
        self.node.disk_done(serial, number, outcome, self.now_ns)
        self._carry_out()

    def _complete(self, action: tuple[Any, ...]) -> None:
        _, serial, number, how, what = action
        if how == "done":
            if self.units[serial].settled(number):
                return
            self.units[serial].answered(number)
        reply = self._replies.pop(number, None)
        # That an outcome is unknown says nothing about the data.
        if how not in {"not-ready", "unknown", "overtaken"}:
            self._world.checks.answered(self._machine.index, serial)
        if reply is not None:
            reply(how, what)
        self.units[serial].ended(number)

"""An engine without bytes: what one node's native core does for the brain, on abstract copies.

A copy's data is the set of writes it holds. Each durable step of the mirror protocol is one method, so that the world around
it can crash a node or cut the link between any two of them.
"""

from collections import deque
from dataclasses import dataclass, field
from enum import Enum, auto

from twindisk.brain import CopyFacts, VDiskName
from twindisk.brain import effects as ef
from twindisk.brain import events as ev
from twindisk.brain.model import PeerAddress, Role, Sync


class Mode(Enum):
    STOPPED = auto()
    ATTACHED = auto()
    HELD = auto()
    SWITCHED = auto()
    GOING_ALONE = auto()
    ALONE = auto()
    LEAVING = auto()


@dataclass
class Copy:
    """What survives a crash."""

    current: int
    role: Role
    base: int = 0
    lineage: tuple[int, ...] = ()
    epoch: int = 1
    inconsistent: bool = False
    ending: bool = False
    active: bool = False
    data: set[int] = field(default_factory=set)

    def outdate_peer(self, generation: int) -> None:
        if self.base != 0 and not self.ending:
            return
        if self.base == 0:
            self.base = self.current
        else:
            self.lineage = (*self.lineage, self.current)
        self.current = generation
        self.ending = False

    def settle(self, generation: int) -> None:
        self.current, self.base, self.lineage = generation, 0, ()
        self.inconsistent = self.ending = self.active = False


@dataclass
class Volume:
    """One VDisk in a running engine."""

    copy: Copy
    mode: Mode = Mode.STOPPED
    sync: Sync = Sync.NONE
    told: ef.Attach | None = None
    going: ef.GoAlone | None = None
    pending: set[int] = field(default_factory=set)
    leave_told: bool = False
    switch_told: bool = False

    def facts(self, seq: int) -> CopyFacts:
        copy = self.copy
        return CopyFacts(
            current=copy.current,
            base=copy.base,
            lineage=copy.lineage,
            epoch=copy.epoch,
            role=copy.role,
            inconsistent=copy.inconsistent,
            ending=copy.ending,
            active=int(copy.active),
            seq=seq,
        )


class CommandRefusedError(Exception):
    """The engine refuses a command; nothing changed."""


@dataclass
class Engine:
    """The running engine of one node; a crash throws it away."""

    peer: PeerAddress
    volumes: dict[VDiskName, Volume]
    queue: deque[ev.Event] = field(default_factory=deque)
    session: int = 0
    """The link session this engine believes in; 0: none."""
    seqs: dict[VDiskName, int] = field(default_factory=dict)

    def facts(self, name: VDiskName) -> CopyFacts:
        return self.volumes[name].facts(self.seqs.get(name, 1))

    def changed(self, name: VDiskName) -> None:
        self.seqs[name] = self.seqs.get(name, 1) + 1

    def command(self, effect: ef.EngineEffect) -> None:
        volume = self.volumes[effect.vdisk]
        if isinstance(effect, ef.Attach):
            self._attach(effect, volume)
        elif isinstance(effect, ef.GoAlone):
            if volume.copy.inconsistent or volume.mode is Mode.ATTACHED:
                raise CommandRefusedError
            volume.mode, volume.going, volume.told = Mode.GOING_ALONE, effect, None
        elif isinstance(effect, ef.StopServing):
            volume.mode, volume.told, volume.going = Mode.STOPPED, None, None
            volume.pending.clear()
        elif isinstance(effect, ef.Leave):
            if volume.mode is not Mode.ATTACHED:
                raise CommandRefusedError
            volume.mode, volume.leave_told = Mode.LEAVING, True
        elif isinstance(effect, ef.SwitchRoles):
            if volume.mode is not Mode.ATTACHED or volume.sync is not Sync.NONE or volume.copy.role is not Role.MASTER:
                raise CommandRefusedError
            volume.switch_told = True

    def _attach(self, effect: ef.Attach, volume: Volume) -> None:
        if not self.session or volume.mode is Mode.ATTACHED or effect.local_seq != self.facts(effect.vdisk).seq:
            raise CommandRefusedError
        volume.told = effect

    def lose_session(self) -> None:
        """Notice that the link is gone."""
        self.session = 0
        for name, volume in self.volumes.items():
            volume.told = None
            self.hold(name)
        self.queue.append(ev.PeerDown(self.peer))

    def hold(self, name: VDiskName) -> None:
        """An attached copy lost its peer."""
        volume = self.volumes[name]
        volume.switch_told = False
        if volume.mode is Mode.ATTACHED:
            volume.mode = Mode.HELD
            self.changed(name)
            outdated = volume.copy.base != 0 and not volume.copy.ending
            self.queue.append(ev.Held(name, outdated))

    def finish_alone(self, name: VDiskName) -> set[int]:
        """Make the peer outdated, let held writes go on; return them."""
        volume = self.volumes[name]
        going = volume.going
        assert going is not None
        volume.copy.outdate_peer(going.generation)
        volume.copy.epoch, volume.copy.role = going.epoch, Role.MASTER
        volume.mode, volume.going = Mode.ALONE, None
        self.changed(name)
        released, volume.pending = volume.pending, set()
        self.queue.append(ev.Alone(name, len(released)))
        return released

"""Two brains in an abstract world: a link that breaks, fences, crashes, restarts, an operator. Every method is one step.

It checks, after each step: P1 and P6 (whoever can acknowledge holds every acknowledged write), P2 (never two apart), that
``fenced`` is only claimed of a peer that serves nothing, P4 (copies that attach without a resync are equal), and the brain's
own invariants.
"""

from dataclasses import dataclass, field

from twindisk.brain import FreshIds, NodeState, PeerAddress, VDiskName, decide
from twindisk.brain import effects as ef
from twindisk.brain import events as ev
from twindisk.brain.checks import ruling_rule
from twindisk.brain.invariants import broken_invariants
from twindisk.brain.model import Check, CheckKind, Link, Role, Sync
from twindisk.brain.phases import Phase
from unit.brain.pair_engine import CommandRefusedError, Copy, Engine, Mode, Volume

NAMES = (VDiskName("V1"), VDiskName("V2"))
QUIET_ROUNDS = 3
LONGEST_STORY = 20_000
"""Events and effects of one story; more means that something goes round in circles."""
ADDRESSES = (PeerAddress("127.0.1.10"), PeerAddress("127.0.1.11"))
COMMANDS: dict[type[ef.EngineEffect], ev.Command] = {
    ef.ServeSingle: ev.Command.SERVE_SINGLE,
    ef.Attach: ev.Command.ATTACH,
    ef.GoAlone: ev.Command.GO_ALONE,
    ef.StopServing: ev.Command.STOP_SERVING,
    ef.Leave: ev.Command.LEAVE,
    ef.SwitchRoles: ev.Command.SWITCH_ROLES,
}


@dataclass
class FenceJob:
    run: int
    struck: bool = False


@dataclass
class Node:
    index: int
    copies: dict[VDiskName, Copy]
    state: NodeState | None = None
    engine: Engine | None = None
    timers: set[ef.Timer] = field(default_factory=set)
    job: FenceJob | None = None
    ghost: FenceJob | None = None


class World:
    def __init__(self, kind: CheckKind | None, *, split_roles: bool = False) -> None:
        self.kind = kind
        self.session = 0
        self.sessions = 0
        self.cable = True
        self.seed = 0
        self.writes = 0
        self.acked: dict[VDiskName, set[int]] = {name: set() for name in NAMES}
        self.trace: list[tuple[int, object]] = []
        self.nodes = [Node(index, self._new_copies(index, split_roles=split_roles)) for index in (0, 1)]
        for index in (0, 1):
            self.restart(index)

    @staticmethod
    def _new_copies(index: int, *, split_roles: bool) -> dict[VDiskName, Copy]:
        master = {NAMES[0]: 0, NAMES[1]: 1 if split_roles else 0}
        return {name: Copy(100, Role.MASTER if master[name] == index else Role.SLAVE) for name in NAMES}

    # --- nodes ---

    def alive(self, index: int) -> bool:
        return self.nodes[index].engine is not None

    def restart(self, index: int) -> None:
        node = self.nodes[index]
        peer = ADDRESSES[1 - index]
        node.engine = Engine(peer, {name: Volume(copy) for name, copy in node.copies.items()})
        node.state = NodeState(address=ADDRESSES[index])
        checks = (Check(self.kind, "kill" if self.kind is CheckKind.FENCE else ""),) if self.kind else ()
        self.decide(index, ev.ChecksChanged(peer, checks))
        for name in NAMES:
            self.decide(index, ev.VDiskOpened(name, peer, node.engine.facts(name)))

    def crash(self, index: int) -> None:
        node = self.nodes[index]
        node.engine = node.state = node.job = node.ghost = None
        node.timers.clear()
        self.session = 0

    # --- the brain ---

    def decide(self, index: int, event: ev.Event) -> tuple[ef.Effect, ...]:
        node = self.nodes[index]
        assert node.state is not None
        self.seed += 1
        self.trace.append((index, event))
        node.state, effects = decide(node.state, event, self.seed, FreshIds(self.seed.to_bytes(16, "big")))
        assert not broken_invariants(node.state), (broken_invariants(node.state), self.story())
        failed = [failure for effect in effects if (failure := self._run(node, effect)) is not None]
        for failure in failed:
            self.decide(index, failure)
        self.check()
        if isinstance(event, ev.PeerUp):
            self._tell_checks()
        return effects

    def _tell_checks(self) -> None:
        """Let both nodes know each other's mirror check, once the link is up for both."""
        states = [node.state for node in self.nodes]
        peers = [state.peers[ADDRESSES[1 - at]] for at, state in enumerate(states) if state is not None]
        if len(peers) == len(self.nodes) and all(peer.link is Link.UP for peer in peers):
            for index, peer in enumerate(peers):
                self.decide(1 - index, ev.PeerCheckTold(ADDRESSES[index], ruling_rule(peer.checks)))
                self.decide(index, ev.CheckHeard(ADDRESSES[1 - index], ruling_rule(peer.checks)))

    def _run(self, node: Node, effect: ef.Effect) -> ev.CommandFailed | None:
        self.trace.append((node.index, effect))
        if node.engine is None:
            return None
        if isinstance(effect, ef.EngineEffect):
            try:
                node.engine.command(effect)
            except CommandRefusedError:
                return ev.CommandFailed(effect.vdisk, COMMANDS[type(effect)])
            if isinstance(effect, ef.GoAlone) and effect.fenced:
                self._check_fenced(node, effect.vdisk)
            if isinstance(effect, ef.StopServing) and self.both_linked():
                # An attached peer that hears facts knows that it is attached no more.
                self.engine(1 - node.index).hold(effect.vdisk)
                self.exchange(effect.vdisk)
        elif isinstance(effect, ef.StartTimer):
            node.timers.add(effect.timer)
        elif isinstance(effect, ef.CancelTimer):
            node.timers.discard(effect.timer)
        else:
            self._run_outside(node, effect)
        return None

    def _run_outside(self, node: Node, effect: ef.Effect) -> None:
        """Run an effect that is no business of the engine."""
        if isinstance(effect, ef.RunFence):
            node.job, node.ghost = FenceJob(effect.run), None
        elif isinstance(effect, ef.CancelFence):
            node.ghost, node.job = node.job, None
        elif isinstance(effect, ef.Shutdown):
            self.crash(node.index)
        elif isinstance(effect, ef.AskPeerSwitch) and self.alive(1 - node.index):
            self.decide(1 - node.index, ev.SetRole(effect.vdisk, Role.SLAVE, request=effect.request))

    def deliver(self, index: int) -> None:
        engine = self.nodes[index].engine
        if engine is not None and engine.queue:
            self.decide(index, engine.queue.popleft())

    def fire(self, index: int, timer: ef.Timer) -> None:
        self.nodes[index].timers.discard(timer)
        self.decide(index, ev.TimerExpired(timer))

    # --- link ---

    def both_linked(self) -> bool:
        return self.session != 0 and all(n.engine is not None and n.engine.session == self.session for n in self.nodes)

    def connect(self) -> None:
        """A new session begins once both engines have noticed the end of the last."""
        engines = [node.engine for node in self.nodes if node.engine is not None]
        if len(engines) < len(self.nodes) or not self.cable or any(engine.session for engine in engines):
            return
        self.sessions += 1
        self.session = self.sessions
        for engine in engines:
            engine.session = self.session
            engine.queue.append(ev.PeerUp(engine.peer))
        for name in NAMES:
            self.exchange(name)

    def cut(self) -> None:
        self.cable = False
        self.session = 0

    def mend(self) -> None:
        self.cable = True

    def notice(self, index: int) -> None:
        engine = self.nodes[index].engine
        if engine is not None and engine.session and engine.session != self.session:
            engine.lose_session()

    def exchange(self, name: VDiskName) -> None:
        """Both sides tell their facts, unless the VDisk is attached or the link is gone."""
        if not self.both_linked():
            return
        one, two = (self.engine(index) for index in (0, 1))
        if any(e.volumes[name].mode in {Mode.ATTACHED, Mode.LEAVING} for e in (one, two)):
            return
        one.queue.append(ev.PeerFacts(name, one.facts(name), two.facts(name)))
        two.queue.append(ev.PeerFacts(name, two.facts(name), one.facts(name)))

    def engine(self, index: int) -> Engine:
        engine = self.nodes[index].engine
        assert engine is not None
        return engine

    def volumes(self, name: VDiskName) -> tuple[Volume, Volume]:
        return self.engine(0).volumes[name], self.engine(1).volumes[name]

    # --- attach, in two durable steps: the Slave is ready, the Master goes; then the Slave hears of it ---

    def agree(self, name: VDiskName) -> None:
        if not self.both_linked():
            return
        told = [volume.told for volume in self.volumes(name)]
        if told[0] is None or told[1] is None:
            return
        if not self._match(name, told[0], told[1]):
            for index in (0, 1):
                self.engine(index).volumes[name].told = None
                self.engine(index).queue.append(ev.AttachRefused(name, "terms"))
            self.exchange(name)
            return
        for index, plan in ((0, told[0]), (1, told[1])):
            if plan.role is Role.SLAVE:
                self._ready(index, plan)
        for index, plan in ((0, told[0]), (1, told[1])):
            if plan.role is Role.MASTER:
                self._go(index, plan)

    def _match(self, name: VDiskName, one: ef.Attach, two: ef.Attach) -> bool:
        opposite = {
            Sync.NONE: Sync.NONE,
            Sync.SOURCE: Sync.TARGET,
            Sync.TARGET: Sync.SOURCE,
            Sync.FULL_SOURCE: Sync.FULL_TARGET,
            Sync.FULL_TARGET: Sync.FULL_SOURCE,
        }
        seqs = (self.engine(0).facts(name).seq, self.engine(1).facts(name).seq)
        fresh = (one.local_seq, one.remote_seq) == seqs == (two.remote_seq, two.local_seq)
        return fresh and one.role is not two.role and opposite[one.sync] is two.sync and one.epoch == two.epoch

    def _ready(self, index: int, plan: ef.Attach) -> None:
        copy = self.engine(index).volumes[plan.vdisk].copy
        copy.role, copy.epoch = plan.role, plan.epoch
        copy.inconsistent = copy.inconsistent or plan.sync.receives
        self.engine(index).changed(plan.vdisk)

    def _go(self, index: int, plan: ef.Attach) -> None:
        engine = self.engine(index)
        volume = engine.volumes[plan.vdisk]
        volume.copy.role, volume.copy.epoch = plan.role, plan.epoch
        if plan.sync is Sync.NONE:
            mine, other = self.volumes(plan.vdisk)
            assert mine.copy.data == other.copy.data, ("P4", plan.vdisk, self.story())
            volume.copy.settle(volume.copy.current)
        else:
            volume.copy.outdate_peer(plan.generation)
        engine.changed(plan.vdisk)
        self._mirror(index, plan)

    def _mirror(self, index: int, plan: ef.Attach) -> None:
        engine = self.engine(index)
        volume = engine.volumes[plan.vdisk]
        volume.mode, volume.sync, volume.told = Mode.ATTACHED, plan.sync, None
        volume.pending.clear()
        engine.queue.append(ev.Attached(plan.vdisk, plan.role, plan.sync))

    def hear_go(self, name: VDiskName) -> None:
        """The Slave hears that the Master mirrors."""
        if not self.both_linked():
            return
        for index in (0, 1):
            mine, other = self.volumes(name)[index], self.volumes(name)[1 - index]
            plan = mine.told
            if plan is None or plan.role is not Role.SLAVE or other.mode is not Mode.ATTACHED:
                continue
            if mine.copy.epoch == other.copy.epoch:
                self._mirror(index, plan)
                if plan.sync is Sync.NONE:
                    mine.copy.settle(mine.copy.current)

    # --- resync, in three durable steps ---

    def _attached_pair(self, name: VDiskName) -> tuple[int, Volume, Volume] | None:
        """The source's (or Master's) index, its volume and the other's, if both mirror over the present link."""
        if not self.both_linked():
            return None
        pair = self.volumes(name)
        if any(volume.mode is not Mode.ATTACHED for volume in pair):
            return None
        master = next((i for i in (0, 1) if pair[i].copy.role is Role.MASTER), None)
        return None if master is None else (master, pair[master], pair[1 - master])

    def resync_step(self, name: VDiskName) -> None:
        pair = self._attached_pair(name)
        if pair is None or not pair[1].sync.sends:
            return
        master, source, target = pair
        if not source.copy.ending:
            source.copy.ending = True
        elif target.sync.receives:
            target.copy.data = set(source.copy.data)
            target.copy.settle(source.copy.current)
            target.sync = Sync.NONE
            self.engine(1 - master).queue.append(ev.Resynced(name, Role.SLAVE))
        else:
            source.copy.settle(source.copy.current)
            source.sync = Sync.NONE
            self.engine(master).queue.append(ev.Resynced(name, Role.MASTER))

    # --- hand-over and switch ---

    def leave_step(self, index: int, name: VDiskName) -> None:
        engine = self.nodes[index].engine
        if engine is None:
            return
        volume = engine.volumes[name]
        if not volume.leave_told or volume.mode is not Mode.LEAVING or not self.both_linked():
            return
        volume.mode, volume.leave_told = Mode.STOPPED, False
        other = self.engine(1 - index)
        if other.volumes[name].mode in {Mode.ATTACHED, Mode.LEAVING}:
            if other.volumes[name].mode is Mode.ATTACHED:
                other.volumes[name].mode = Mode.HELD
            other.queue.append(ev.PeerLeft(name))
        engine.queue.append(ev.Left(name))

    def switch_step(self, name: VDiskName) -> None:
        if not self.both_linked():
            return
        pair = self.volumes(name)
        for index in (0, 1):
            mine, other = pair[index], pair[1 - index]
            if mine.mode is Mode.ATTACHED and mine.switch_told and other.mode is Mode.ATTACHED:
                mine.mode, mine.switch_told = Mode.SWITCHED, False
                mine.copy.role, mine.copy.epoch = Role.SLAVE, mine.copy.epoch + 1
                self.engine(index).changed(name)
                self.engine(index).queue.append(ev.Switching(name))
                return
            if mine.mode is Mode.SWITCHED and other.mode is Mode.ATTACHED and mine.copy.epoch > other.copy.epoch:
                other.mode = Mode.SWITCHED
                other.copy.role, other.copy.epoch = Role.MASTER, mine.copy.epoch
                self.engine(1 - index).changed(name)
                self.engine(1 - index).queue.append(ev.Switching(name))
                self.exchange(name)
                return

    # --- alone ---

    def finish_alone(self, index: int, name: VDiskName) -> None:
        """``GoAlone`` is done; unfenced, only once the peer's lease is over: it no longer answers as attached."""
        engine = self.nodes[index].engine
        if engine is None or engine.volumes[name].mode is not Mode.GOING_ALONE:
            return
        going = engine.volumes[name].going
        other = self.nodes[1 - index].engine
        leased = other is not None and other.volumes[name].mode in {Mode.ATTACHED, Mode.LEAVING}
        if going is not None and not going.fenced and leased:
            return
        self.acked[name] |= engine.finish_alone(name)
        self.exchange(name)
        self.check()

    # --- fencing ---

    def strike(self, index: int) -> None:
        """A fence command, even one that was cancelled, kills the peer."""
        job = self.nodes[index].job or self.nodes[index].ghost
        if job is not None and not job.struck:
            job.struck = True
            self.crash(1 - index)

    def report_fence(self, index: int, *, late: bool = False) -> None:
        """A run ends: truthfully. A cancelled one may report too."""
        node = self.nodes[index]
        job = node.ghost if late else node.job
        if job is None:
            return
        node.ghost, node.job = (None, node.job) if late else (node.ghost, None)
        result = ev.FenceSucceeded if job.struck else ev.FenceFailed
        self.decide(index, result(ADDRESSES[1 - index], job.run))

    # --- I/O ---

    def write(self, index: int, name: VDiskName) -> None:
        """An initiator writes through one node: acknowledged, held, or refused."""
        engine = self.nodes[index].engine
        if engine is None:
            return
        volume = engine.volumes[name]
        self.writes += 1
        if volume.mode is Mode.ALONE:
            volume.copy.data.add(self.writes)
            self.acked[name].add(self.writes)
        elif volume.mode is Mode.ATTACHED and not volume.switch_told:
            pair = self._attached_pair(name)
            volume.copy.data.add(self.writes)
            if pair is not None:
                for other in pair[1:]:
                    other.copy.data.add(self.writes)
                self.acked[name].add(self.writes)
            else:
                for node in self.nodes:
                    node.copies[name].active = True
                volume.pending.add(self.writes)
        self.check()

    # --- what must hold ---

    def check(self) -> None:
        if self.kind is CheckKind.IGNORE:
            return
        for name in NAMES:
            alone = [n for n in self.nodes if n.engine is not None and n.engine.volumes[name].mode is Mode.ALONE]
            assert len(alone) <= 1, ("P2", name, self.story())
            for node in alone:
                lost = self.acked[name] - node.copies[name].data
                assert not lost, ("P1/P6", name, node.index, lost, self.story())
            pair = self._attached_pair(name) if all(map(self.alive, (0, 1))) else None
            if pair is not None:
                assert self.acked[name] <= pair[1].copy.data, ("P1/P6", name, self.story())

    def _check_fenced(self, node: Node, name: VDiskName) -> None:
        other = self.nodes[1 - node.index].engine
        if other is not None and self.kind is not CheckKind.IGNORE:
            serving = {Mode.ATTACHED, Mode.ALONE}
            assert other.volumes[name].mode not in serving, ("fenced, but it serves", name, self.story())

    def phase(self, index: int, name: VDiskName) -> Phase | None:
        state = self.nodes[index].state
        return state.vdisks[name].phase if state is not None else None

    def story(self) -> str:
        return "\n" + "\n".join(f"{index} {what}" for index, what in self.trace[-80:])

    # --- to rest ---

    def settle(self) -> None:
        """Mend everything and let time pass until nothing moves."""
        self.mend()
        for index in (0, 1):
            if not self.alive(index):
                self.restart(index)
        quiet = 0
        while quiet < QUIET_ROUNDS:
            before = len(self.trace)
            assert before < LONGEST_STORY, ("never comes to rest", self.story())
            self._round()
            quiet = quiet + 1 if len(self.trace) == before else 0

    def _round(self) -> None:
        for index in (0, 1):
            if not self.alive(index):
                self.restart(index)
            node = self.nodes[index]
            node.ghost = None
            self.report_fence(index)
            self.notice(index)
            for timer in sorted(node.timers, key=lambda t: (t.kind, t.subject)):
                if self.alive(index) and timer.kind is not ef.TimerKind.STARTUP_WAIT:
                    self.fire(index, timer)
        self.connect()
        for name in NAMES:
            for _ in range(3):
                while any(n.engine is not None and n.engine.queue for n in self.nodes):
                    self.deliver(0)
                    self.deliver(1)
                if not (self.alive(0) and self.alive(1)):
                    return
                self.agree(name)
                self.hear_go(name)
                self.resync_step(name)
                self.switch_step(name)
                for index in (0, 1):
                    self.finish_alone(index, name)
                    self.leave_step(index, name)

"""The brain's only entry: one event in, the next state and the effects out. Nothing is decided here.

After every event, whatever it was, the fence runs and claims are brought in line with what the VDisks need, and a stopping node with
nothing left to hand over ends.
"""

from collections.abc import Callable
from typing import Any, Final

from twindisk.brain import alone, attaching, claiming, exchange, fencing, leaving, losing, requests, startup
from twindisk.brain import events as ev
from twindisk.brain.effects import Effect, Log, Notify, TimerKind
from twindisk.brain.fresh import FreshIds
from twindisk.brain.model import NodeState, PeerAddress, VDiskName
from twindisk.brain.turn import Turn

# Each handler takes the event class under which it is filed; the table's type cannot say so.
_HANDLERS: Final[dict[type[Any], Callable[[Turn, Any], None]]] = {
    ev.PeerUp: losing.on_peer_up,
    ev.PeerDown: losing.on_peer_down,
    ev.PeerFacts: attaching.on_facts,
    ev.Attached: attaching.on_attached,
    ev.AttachRefused: attaching.on_refused,
    ev.Resynced: attaching.on_resynced,
    ev.Held: losing.on_held,
    ev.Alone: alone.on_alone,
    ev.PeerLeft: losing.on_peer_left,
    ev.Left: leaving.on_left,
    ev.Switching: attaching.on_switching,
    ev.DiskFailed: leaving.on_disk_failed,
    ev.VDiskOpened: startup.on_opened,
    ev.VDiskClosed: startup.on_closed,
    ev.MirrorConfigured: startup.on_configured,
    ev.MirrorRemoved: startup.on_removed,
    ev.ChecksChanged: exchange.on_checks_changed,
    ev.PeerCheckTold: exchange.on_peer_check_told,
    ev.CheckHeard: exchange.on_check_heard,
    ev.FenceSucceeded: fencing.on_fence_succeeded,
    ev.FenceFailed: fencing.on_fence_failed,
    ev.ClaimWon: claiming.on_claim_won,
    ev.ClaimLost: claiming.on_claim_lost,
    ev.ClaimFailed: claiming.on_claim_failed,
    ev.CommandFailed: leaving.on_command_failed,
    ev.SetRole: requests.on_set_role,
    ev.Stop: leaving.on_stop,
}


def decide(state: NodeState, event: ev.Event, now_ns: int, fresh: FreshIds) -> tuple[NodeState, tuple[Effect, ...]]:
    """Decide what an event means; return the next state and the effects, to be run in order.

    ``now_ns`` is CLOCK_BOOTTIME in nanoseconds; ``fresh`` holds ids no other decision was given. Raises
    :class:`~twindisk.brain.phases.IllegalTransition` only if the brain itself is at fault.
    """
    turn = Turn(state, now_ns, fresh)
    if isinstance(event, ev.TimerExpired):
        _on_timer(turn, event)
    else:
        _HANDLERS[type(event)](turn, event)
    for address in sorted(turn.state.peers):
        fencing.reconcile(turn, address)
    for name in sorted(turn.state.vdisks):
        claiming.reconcile(turn, turn.state.vdisks[name])
    leaving.end_if_left(turn)
    words_last = sorted(turn.effects, key=lambda effect: isinstance(effect, Notify | Log))
    return turn.state, tuple(words_last)


def _on_timer(turn: Turn, event: ev.TimerExpired) -> None:
    kind, subject = event.timer.kind, event.timer.subject
    if kind is TimerKind.HEAD_START:
        fencing.on_head_start_over(turn, PeerAddress(subject))
        return
    if kind is TimerKind.CHECKS_WAIT:
        exchange.on_wait_over(turn, PeerAddress(subject))
        return
    if kind is TimerKind.LEAVE_LIMIT:
        leaving.on_leave_limit(turn)
        return
    vdisk = turn.mirrored(VDiskName(subject))
    if vdisk is None:
        return
    if kind is TimerKind.STARTUP_WAIT:
        startup.on_startup_wait_over(turn, vdisk)
    elif kind is TimerKind.SETTLE:
        losing.on_settle_over(turn, vdisk)
    elif kind is TimerKind.CLAIM:
        claiming.on_time_to_claim(turn, vdisk)
    else:
        attaching.consider(turn, vdisk)

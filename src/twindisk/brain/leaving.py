"""Handing over: the daemon stops, or the disk under a copy fails; and commands that the engine refused.

Rules:

1. A stopping node hands over every attached copy and ends when all are handed over, or the time is over.
2. An attach or a switch under way when the order to stop comes is awaited, for ending in the middle of it would look like a
   crash to the peer; it is handed over as soon as it is attached. Everything else serves nothing from then on.
3. A failed disk hands over an attached copy; the copy stays FAILED until it is opened anew.
"""

from dataclasses import replace

from twindisk.brain import attaching
from twindisk.brain.effects import Message, NotReady, Severity, Shutdown, StopServing, TimerKind
from twindisk.brain.events import Command, CommandFailed, DiskFailed, Left, Stop
from twindisk.brain.model import Role, VDisk
from twindisk.brain.phases import ATTACHED, Phase
from twindisk.brain.startup import on_serve_single_failed
from twindisk.brain.turn import Turn

_AWAITED = frozenset({Phase.ATTACHING, Phase.SWITCHING, Phase.LEAVING, Phase.LEFT})


def on_stop(turn: Turn, _event: Stop) -> None:
    """Begin to hand over."""
    if turn.state.stopping:
        return
    turn.state = replace(turn.state, stopping=True)
    for vdisk in list(turn.state.vdisks.values()):
        if vdisk.phase in ATTACHED:
            turn.hand_over(vdisk, Phase.LEAVING)
        elif vdisk.phase not in _AWAITED:
            turn.serve_nothing(vdisk, Phase.LEFT, NotReady.TRANSITIONING, vdisk.role)
    turn.start_timer(TimerKind.LEAVE_LIMIT, "", turn.state.settings.leave_limit_ms)


def on_leave_limit(turn: Turn) -> None:
    """Hand-overs took too long: give them up."""
    if not turn.state.stopping:
        return
    for vdisk in list(turn.state.vdisks.values()):
        if vdisk.phase is not Phase.LEFT:
            if vdisk.phase is Phase.LEAVING:
                turn.warn(Message.HAND_OVER_FAILED, vdisk)
            turn.serve_nothing(vdisk, Phase.LEFT, NotReady.TRANSITIONING)


def on_left(turn: Turn, event: Left) -> None:
    """Note that a hand-over is done."""
    vdisk = turn.vdisk(event.vdisk)
    if vdisk is None:
        return
    if vdisk.phase in {Phase.LEAVING, Phase.FAILED}:
        turn.notify(Severity.INFORMATION, Message.HANDED_OVER, vdisk)
    if vdisk.phase is Phase.LEAVING:
        turn.enter(vdisk, Phase.LEFT)
    elif vdisk.phase is Phase.FAILED:
        turn.emit(StopServing(vdisk.name, NotReady.UNAVAILABLE))
    elif vdisk.phase is not Phase.LEFT:
        turn.unexpected(vdisk, "left")


def end_if_left(turn: Turn) -> None:
    """End the daemon once, when it is stopping and nothing is left to hand over."""
    state = turn.state
    if state.stopping and not state.shut_down and all(v.phase is Phase.LEFT for v in state.vdisks.values()):
        turn.state = replace(state, shut_down=True)
        turn.emit(Shutdown())


def on_disk_failed(turn: Turn, event: DiskFailed) -> None:
    """Hand over if attached; serve nothing."""
    vdisk = turn.vdisk(event.vdisk)
    if vdisk is None or vdisk.phase in {Phase.FAILED, Phase.LEFT}:
        return
    turn.notify(Severity.ERROR, Message.DISK_FAILED, vdisk, f"{event.operation} {event.errno}")
    if vdisk.phase is Phase.LEAVING:
        return
    if vdisk.phase in ATTACHED:
        turn.hand_over(vdisk, Phase.FAILED)
    else:
        phase = Phase.LEFT if turn.state.stopping else Phase.FAILED
        turn.serve_nothing(vdisk, phase, NotReady.UNAVAILABLE)


def on_command_failed(turn: Turn, event: CommandFailed) -> None:
    """Fall back to what the engine still does: it refused a command and changed nothing."""
    vdisk = turn.vdisk(event.vdisk)
    if vdisk is None:
        return
    if event.command is Command.ATTACH:
        attaching.refused(turn, vdisk, "command-failed")
    elif event.command is Command.GO_ALONE:
        _go_alone_failed(turn, vdisk)
    elif event.command is Command.SERVE_SINGLE:
        on_serve_single_failed(turn, vdisk)
    elif event.command is Command.LEAVE:
        _leave_failed(turn, vdisk)
    elif event.command is Command.SWITCH_ROLES and vdisk.phase is Phase.SWITCHING:
        turn.warn(Message.COMMAND_FAILED, vdisk, event.command)
        moved = turn.enter(replace(vdisk, role=Role.MASTER), Phase.IN_SYNC)
        if turn.state.stopping:
            turn.hand_over(moved, Phase.LEAVING)
    else:
        turn.log(Severity.ERROR, Message.COMMAND_FAILED, vdisk, event.command)


def _go_alone_failed(turn: Turn, vdisk: VDisk) -> None:
    if vdisk.phase is Phase.GOING_ALONE:
        turn.notify(Severity.ERROR, Message.GO_ALONE_FAILED, vdisk)
        turn.serve_nothing(vdisk, Phase.STOPPED, NotReady.UNAVAILABLE, Role.SLAVE)


def _leave_failed(turn: Turn, vdisk: VDisk) -> None:
    if vdisk.phase in {Phase.LEAVING, Phase.FAILED}:
        turn.warn(Message.HAND_OVER_FAILED, vdisk)
    if vdisk.phase is Phase.LEAVING:
        turn.serve_nothing(vdisk, Phase.LEFT, NotReady.TRANSITIONING)
    elif vdisk.phase is Phase.FAILED:
        turn.emit(StopServing(vdisk.name, NotReady.UNAVAILABLE))

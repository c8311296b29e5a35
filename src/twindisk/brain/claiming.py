"""Claims at the witness: each VDisk that lost its peer asks to be the one that goes on.

Rules:

1. A claim is under way exactly while its VDisk is DECIDING, the link is down, and both nodes rule by the same witness.
   :func:`reconcile` sees to that after every event, whatever the event was.
2. Only the outcome of the attempt that is current counts. What an older one left at the witness is harmless: it bears the epoch
   of its time (:mod:`twindisk.brain.witness`).
3. The Master claims at once, the Slave after a head start, so that of two live nodes the Master wins.
4. Won: go on alone after the peer's lease, for the peer may live and not have noticed. Lost: stop; the peer may serve.
5. A witness that is not reached decides nothing. I/O held for it is answered not ready, and it is asked again until it
   answers, the peer is back, or the operator decides.
"""

from dataclasses import replace

from twindisk.brain.alone import go_alone
from twindisk.brain.checks import acts_by, witness_of
from twindisk.brain.effects import (
    CancelClaim,
    CancelTimer,
    Message,
    NotReady,
    RunClaim,
    StopServing,
    Timer,
    TimerKind,
)
from twindisk.brain.events import ClaimFailed, ClaimLost, ClaimWon
from twindisk.brain.model import CheckKind, ClaimRun, ClaimStage, Link, NodeState, Role, VDisk, VDiskName
from twindisk.brain.phases import Phase
from twindisk.brain.turn import Turn


def claims(state: NodeState, vdisk: VDisk) -> bool:
    """Whether a VDisk is to ask the witness."""
    peer = None if vdisk.peer is None else state.peers.get(vdisk.peer)
    if peer is None or vdisk.phase is not Phase.DECIDING or peer.link is Link.UP:
        return False
    return acts_by(peer) is CheckKind.WITNESS


def reconcile(turn: Turn, vdisk: VDisk) -> None:
    """Begin or end the claim of a VDisk, as it now needs."""
    wanted = claims(turn.state, vdisk)
    if wanted and vdisk.claim is None:
        _begin(turn, vdisk)
    elif not wanted and vdisk.claim is not None:
        turn.put(replace(vdisk, claim=None))
        end(turn, vdisk)


def end(turn: Turn, vdisk: VDisk) -> None:
    """Have the shell forget a VDisk's claim, if there is one."""
    if vdisk.claim is None:
        return
    if vdisk.claim.stage is ClaimStage.RUNNING:
        turn.emit(CancelClaim(vdisk.name, vdisk.claim.number))
    else:
        turn.emit(CancelTimer(Timer(TimerKind.CLAIM, vdisk.name)))


def _begin(turn: Turn, vdisk: VDisk) -> None:
    if vdisk.role is Role.MASTER:
        _run(turn, vdisk, told=False)
    else:
        turn.put(replace(vdisk, claim=ClaimRun(0, ClaimStage.HEAD_START)))
        turn.start_timer(TimerKind.CLAIM, vdisk.name, turn.state.settings.head_start_ms)


def _run(turn: Turn, vdisk: VDisk, *, told: bool) -> None:
    if vdisk.peer is None:
        return
    peer = turn.peer(vdisk.peer)
    number = peer.runs + 1
    turn.put_peer(replace(peer, runs=number))
    turn.put(replace(vdisk, claim=ClaimRun(number, ClaimStage.RUNNING, told)))
    witness = witness_of(peer.checks)
    turn.emit(
        RunClaim(
            vdisk=vdisk.name,
            peer=peer.address,
            run=number,
            place=witness.command,
            witness=witness.witness,
            owner=turn.state.address,
            epoch=vdisk.facts.epoch,
            attached_epoch=vdisk.attached_epoch,
            limit_ms=turn.state.settings.witness_limit_ms,
        )
    )


def on_time_to_claim(turn: Turn, vdisk: VDisk) -> None:
    """Ask: the Master had its time, or the pause is over."""
    if vdisk.claim is not None and vdisk.claim.stage is not ClaimStage.RUNNING:
        _run(turn, vdisk, told=vdisk.claim.told)


def _finish(turn: Turn, name: VDiskName, number: int) -> tuple[VDisk, ClaimRun] | None:
    """Take an attempt's outcome off the books; None if it is not the current, running one."""
    vdisk = turn.mirrored(name)
    if vdisk is None or vdisk.claim is None:
        return None
    claim = vdisk.claim
    if claim.number != number or claim.stage is not ClaimStage.RUNNING:
        return None
    return turn.put(replace(vdisk, claim=None)), claim


def on_claim_won(turn: Turn, event: ClaimWon) -> None:
    """Go on alone, after the peer's lease."""
    finished = _finish(turn, event.vdisk, event.run)
    if finished is not None:
        vdisk, _ = finished
        turn.warn(Message.PEER_FAILED, vdisk)
        go_alone(turn, vdisk, fenced=False)


def on_claim_lost(turn: Turn, event: ClaimLost) -> None:
    """Become a Slave that serves nothing: the peer goes on."""
    finished = _finish(turn, event.vdisk, event.run)
    if finished is not None:
        vdisk, _ = finished
        turn.warn(Message.CLAIM_LOST, vdisk)
        turn.serve_nothing(vdisk, Phase.STOPPED, NotReady.STANDBY, Role.SLAVE)


def on_claim_failed(turn: Turn, event: ClaimFailed) -> None:
    """Answer what was held, and ask again after a pause."""
    finished = _finish(turn, event.vdisk, event.run)
    if finished is None:
        return
    vdisk, claim = finished
    if not claim.told:
        turn.warn(Message.WITNESS_UNREACHED, vdisk, event.reason)
        turn.emit(StopServing(vdisk.name, NotReady.STANDBY))
    turn.put(replace(vdisk, claim=ClaimRun(claim.number, ClaimStage.PAUSED, told=True)))
    turn.start_timer(TimerKind.CLAIM, vdisk.name, turn.state.settings.witness_retry_ms)

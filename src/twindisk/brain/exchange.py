"""The exchange of mirror checks: what each node tells the other, and copies that wait for it before they attach.

Rules:

1. Copies attach when both nodes know each other's checks: a pair in sync that had not exchanged them would stop at the next loss of
   its peer. Only an attach waits; that copies do not fit is found at once.
2. They wait a bounded time after the link came up. If it is over, operators are told and the copies attach: a ControlPort that is
   blocked must not keep the data from being mirrored.
3. What the peer tells counts only while the link is up.
"""

from dataclasses import replace

from twindisk.brain import attaching
from twindisk.brain.checks import compare, ruling_rule, stop_deciding
from twindisk.brain.effects import Message, Severity, TimerKind
from twindisk.brain.events import CheckHeard, ChecksChanged, PeerCheckTold
from twindisk.brain.model import Link, PeerAddress
from twindisk.brain.turn import Turn


def begin(turn: Turn, address: PeerAddress) -> None:
    """Give the exchange its time, if it is needed and the link is up."""
    peer = turn.peer(address)
    if peer.link is Link.UP and not peer.exchanged:
        turn.start_timer(TimerKind.CHECKS_WAIT, address, turn.state.settings.checks_wait_ms)


def on_checks_changed(turn: Turn, event: ChecksChanged) -> None:
    """Keep the new list. If another check rules, VDisks that are deciding stop; else what runs runs on."""
    before = turn.peer(event.peer)
    same = ruling_rule(before.checks) == ruling_rule(event.checks)
    turn.put_peer(replace(before, checks=event.checks, heard=before.heard and same, waited=before.waited and same))
    compare(turn, event.peer)
    if not same:
        begin(turn, event.peer)
        stop_deciding(turn, event.peer)


def on_peer_check_told(turn: Turn, event: PeerCheckTold) -> None:
    """Keep what rules at the peer, unless the link is down: then nothing is agreed to."""
    before = turn.peer(event.peer)
    if before.link is Link.UP:
        turn.put_peer(replace(before, their_rule=event.rule, told=True))
        compare(turn, event.peer)
        _attach_if_over(turn, event.peer)


def on_check_heard(turn: Turn, event: CheckHeard) -> None:
    """Note that the peer knows what rules here, if that is still what it was told."""
    peer = turn.peer(event.peer)
    if event.rule == ruling_rule(peer.checks):
        turn.put_peer(replace(peer, heard=True))
        _attach_if_over(turn, event.peer)


def on_wait_over(turn: Turn, address: PeerAddress) -> None:
    """Attach without the exchange, and say what that means."""
    peer = turn.peer(address)
    if peer.link is Link.UP and not peer.exchanged:
        turn.put_peer(replace(peer, waited=True))
        turn.notify_of_peer(Severity.WARNING, Message.CHECKS_NOT_EXCHANGED, address)
        _consider_all(turn, address)


def _attach_if_over(turn: Turn, address: PeerAddress) -> None:
    if turn.peer(address).exchanged:
        _consider_all(turn, address)


def _consider_all(turn: Turn, address: PeerAddress) -> None:
    for vdisk in list(turn.with_peer(address)):
        attaching.consider(turn, vdisk)

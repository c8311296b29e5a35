"""What became of this node's copies that gave way after a split brain, so that an order that was carried out may be repeated.

It holds until the copies part again, or the VDisk that the copy became is removed: after that the same order is another one.
"""

from __future__ import annotations

from typing import Final

from twindisk.node.state import State

_PREFIX: Final = "gave-way:"


def lost_of(state: State, serial: str) -> str | None:
    """Return the VDisk that the former copy of a VDisk became when it last gave way."""
    return state.node_value(_PREFIX + serial)


def remember(state: State, serial: str, lost: str) -> None:
    """Keep it, in the transaction that makes the copy another VDisk."""
    state.set_node_value(_PREFIX + serial, lost)


def forget(state: State, serial: str) -> None:
    """Forget it: the copies have parted again."""
    state.set_node_value(_PREFIX + serial, None)


def forget_lost(state: State, name: str) -> None:
    """Forget it of all copies that became a VDisk, which is removed."""
    for key, lost in state.node_values(_PREFIX).items():
        if lost == name:
            state.set_node_value(key, None)

"""Which copies hold every answered change now, so that the shell remembers it beyond the life of the process. Pure.

Rules:

* A copy is worth remembering from the moment that it serves: equal to its peer, or Master. The engine has the last word
  (``CopyFacts.unbroken``), for it may have gone on to another state by then.
* It is to be forgotten as soon as it is another's target, has no mirror, or cannot be relied upon.
* In any other phase nothing changes: the copy stands still, and what it holds, it holds.
"""

from typing import Final

from twindisk.brain.model import NodeState, VDiskName
from twindisk.brain.phases import Phase

_WHOLE: Final = frozenset({Phase.IN_SYNC, Phase.SOURCE, Phase.ALONE})
_NOT_WHOLE: Final = frozenset({Phase.SINGLE, Phase.TARGET, Phase.FAILED, Phase.INVALID})


def to_remember(before: NodeState, after: NodeState) -> list[VDiskName]:
    """Return the VDisks whose copies came to serve by one decision."""
    return _entered(before, after, _WHOLE)


def is_whole(state: NodeState, name: VDiskName) -> bool:
    """Whether a copy serves, equal to its peer or as Master."""
    vdisk = state.vdisks.get(name)
    return vdisk is not None and vdisk.phase in _WHOLE


def to_forget(before: NodeState, after: NodeState) -> list[VDiskName]:
    """Return the VDisks whose copies are no longer to be relied upon after one decision."""
    return _entered(before, after, _NOT_WHOLE)


def _entered(before: NodeState, after: NodeState, phases: frozenset[Phase]) -> list[VDiskName]:
    return [
        name
        for name, vdisk in after.vdisks.items()
        if vdisk.phase in phases and ((known := before.vdisks.get(name)) is None or known.phase is not vdisk.phase)
    ]

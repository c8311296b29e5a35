"""The brain: every decision about roles, fencing and going on alone, as one pure function.

``decide(state, event, now_ns, fresh) -> (state, effects)``. No socket, file, clock or random source in here, and no
sentence: reasons are enums, texts are made at the edge (:mod:`twindisk.messages`). The rules are in docs/protocols/brain.md.
"""

from twindisk.brain.decide import decide
from twindisk.brain.fresh import FreshIds
from twindisk.brain.model import CopyFacts, NodeState, PeerAddress, Settings, VDiskName

__all__ = ["CopyFacts", "FreshIds", "NodeState", "PeerAddress", "Settings", "VDiskName", "decide"]

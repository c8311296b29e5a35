"""The texts of the brain's messages and refusals: the edge where enums become sentences.

Rules:

1. The texts of the first group are those that operators' tools know (docs/operating); they never change.
2. Every member of :class:`~twindisk.brain.effects.Message` and :class:`~twindisk.brain.effects.Refusal` has a text.
"""

from typing import Final

from twindisk.brain.effects import Log, Message, Notify, Refusal

_MESSAGES: Final[dict[Message, str]] = {
    Message.SWITCHING_TO_MASTER: "VDisk {vdisk} switching over to master role",
    Message.PEER_FAILED: "VDisk {vdisk} peer has failed",
    Message.MANUAL_MASTER: "Manual fencing and VDisk {vdisk} in master role. Continuing writes",
    Message.FENCE_FAILED: "Fencing VDisk {vdisk} peer failed. Cannot take over as master",
    Message.TAKEOVER_CONTINUES: "peer takeover, continuing with write command",
    # Ours.
    Message.WENT_ALONE_UNCHECKED: (
        "VDisk {vdisk} lost its peer and the mirror check is ignore: continuing without knowing whether the peer does too"
    ),
    Message.STOPPED_WITHOUT_CHECKS: "VDisk {vdisk} lost its peer and no mirror check is configured. Serving stopped",
    Message.AWAITS_OPERATOR: "Manual fencing and VDisk {vdisk} in slave role. Waiting for qsync -m master",
    Message.CHECKS_MAY_PART: (
        "Mirror checks with peer {peer} may let both nodes go on when the link breaks: {detail}."
        " Configure the same on both: fence, witness or manual"
    ),
    Message.CHECKS_DIFFER: (
        "Mirror checks with peer {peer} differ: {detail}. The node with the weaker check would stop when the link breaks, and one"
        " whose check is a witness that the peer does not ask. Configure the same on both"
    ),
    Message.CHECKS_NOT_EXCHANGED: (
        "This node and peer {peer} could not tell each other their mirror checks. A VDisk that loses its peer now is not served."
        " See that the ControlPort can be reached between both mirror addresses"
    ),
    Message.STOPPED_WITHOUT_SHARED_WITNESS: (
        "VDisk {vdisk} lost its peer, and the peer {peer} is not known to ask the same witness. Serving stopped"
    ),
    Message.STOPPED_WITHOUT_AGREEMENT: (
        "VDisk {vdisk} lost its peer, and the mirror check was changed, or is not known to the peer {peer}, or the peer has a"
        " stricter one. Serving stopped: the peer may go on"
    ),
    Message.CLAIM_LOST: "VDisk {vdisk} lost its peer {peer}, and the witness let the peer go on. Serving stopped",
    Message.WITNESS_UNREACHED: (
        "VDisk {vdisk} lost its peer, and the witness cannot be asked: {detail}. Serving stopped until it can, or the peer is back"
    ),
    Message.FORCED_MASTER: "VDisk {vdisk} forced into master role by the operator",
    Message.STARTED_ALONE: "VDisk {vdisk} peer did not connect and is known to be out of date. Serving alone",
    Message.PEER_CONNECTED: "VDisk {vdisk} mirrors with peer {peer}",
    Message.LINK_UP: "Link to peer {peer} is up",
    Message.LINK_LOST: "Link to peer {peer} lost: {detail}",
    Message.PEER_HANDED_OVER: "VDisk {vdisk} peer handed over",
    Message.HANDED_OVER: "VDisk {vdisk} handed over to peer {peer}",
    Message.HAND_OVER_FAILED: "VDisk {vdisk} could not be handed over to peer {peer}. The peer goes on by its mirror checks",
    Message.RESYNC_STARTED: "VDisk {vdisk} resync started",
    Message.RESYNC_ENDED: "VDisk {vdisk} resync ended",
    Message.RESYNC_INTERRUPTED: "VDisk {vdisk} resync interrupted",
    Message.ROLES_SWITCHED: "VDisk {vdisk} switched to {detail} role",
    Message.SPLIT_BRAIN: "VDisk {vdisk} split brain: this node and peer {peer} went on apart. Serving stopped",
    Message.COPIES_MISMATCH: "VDisk {vdisk} cannot mirror with peer {peer}: {detail}",
    Message.DISK_FAILED: "VDisk {vdisk} disk failed: {detail}",
    Message.GO_ALONE_FAILED: "VDisk {vdisk} could not mark its peer out of date. Serving stopped",
    Message.ATTACH_REFUSED: "VDisk {vdisk} attach refused: {detail}",
    Message.COMMAND_FAILED: "VDisk {vdisk} engine refused: {detail}",
    Message.UNEXPECTED_REPORT: "VDisk {vdisk} unexpected report: {detail}",
}

_REFUSALS: Final[dict[Refusal, str]] = {
    Refusal.NO_SUCH_VDISK: "there is no such VDisk",
    Refusal.NOT_MIRRORED: "the VDisk is not mirrored",
    Refusal.RESYNC_PENDING: "a resync is pending",
    Refusal.CHECKS_RUNNING: "the mirror checks are running, or the copies are about to attach; try again",
    Refusal.PEER_PRESENT: "the peer is connected",
    Refusal.NEEDS_FORCE: "this copy may be out of date; -f takes it nevertheless",
    Refusal.COPY_INCONSISTENT: "this copy is blank, or a resync into it has not ended",
    Refusal.INVALID_STATE: "the copies do not match",
    Refusal.DISK_FAILED: "the disk under this copy failed",
    Refusal.STOPPING: "the node is stopping",
}


def message_text(effect: Notify | Log) -> str:
    """Return the text of a message, without severity."""
    return _MESSAGES[effect.message].format(vdisk=effect.vdisk, peer=effect.peer, detail=effect.detail)


def versions_text(peer: str, theirs: int, ours: int) -> str:
    """Return why there is no link with a peer of another version, and what to do."""
    who = "the peer" if theirs < ours else "this node"
    return (
        f"Peer {peer} speaks mirror protocol {theirs}, this node {ours}: upgrade {who}."
        " Nothing is mirrored between them until both speak the same"
    )


def path_text(peer: str, own: str, theirs: str, *, up: bool) -> str:
    """Return that a path to a peer is down, and what to look at, or that it is back. It fits into a notification."""
    path = f"Path {own} to {theirs} of peer {peer}"
    if up:
        return f"{path} is up again"
    return f"{path} is down. The mirror goes on over the others. Check its cable, switch, addresses and DataPort"


def refusal_text(refusal: Refusal) -> str:
    """Return why a request was refused, as a clause."""
    return _REFUSALS[refusal]

"""Sentences about verifications: why one cannot be begun or ended (:mod:`twindisk.sentences`), and what one found."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

from twindisk.brain.effects import Severity
from twindisk.errors import NotFoundProblem, RefusedProblem
from twindisk.sizes import show_exactly

VERIFY_SENTENCES: Final[dict[StrEnum, tuple[int, str, str]]] = {
    RefusedProblem.VERIFY_ON_SLAVE: (
        409,
        "Not the Master",
        "VDisk {vdisk} is {role} on node {node}, and the Master verifies. Give this command on the node with the mirror address {peer}.",
    ),
    RefusedProblem.VERIFY_NOT_IN_SYNC: (
        409,
        "Copies not in sync",
        "The copies of VDisk {vdisk} are not in sync ({status}): there is nothing to compare yet. Wait for Enabled: twindisk mirror watch {vdisk}",
    ),
    RefusedProblem.VERIFY_RUNS: (
        409,
        "Verification under way",
        "VDisk {vdisk} is being verified already. Follow it with: twindisk mirror show {vdisk}, or end it with: twindisk mirror verify {vdisk} --cancel",
    ),
    NotFoundProblem.VERIFICATION: (
        404,
        "No verification",
        "VDisk {name} is not being verified on node {node}.",
    ),
}


def told(vdisk: str, found: Mapping[str, Any], right: str) -> tuple[Severity, str, str]:
    """Return severity, kind and text of what a verification found; ``right``: whose copy counted for repairs, in words."""
    compared, differing = show_exactly(found["compared_bytes"]), found["differing_bytes"]
    whole = found["state"] == "completed"
    early = "" if whole else f" The verification was {found['state']} at {show_exactly(found['done_bytes'])}."
    if not differing:
        if whole:
            return (
                Severity.INFORMATION,
                "verified",
                f"VDisk {vdisk} verified: both copies are equal, {compared} compared",
            )
        return (
            Severity.INFORMATION,
            "verify-ended-early",
            f"VDisk {vdisk} verification {found['state']}, no difference so far",
        )
    ranges, more = found["ranges"], " or more" if found["truncated"] else ""
    where = f"{differing} bytes in {len(ranges)}{more} ranges, the first at byte {ranges[0][0]}"
    if whole and found["repair"] is not None:
        text = f"VDisk {vdisk} copies differed: {where}. Both are now what {right} held"
        return Severity.WARNING, "verify-repaired", text
    return (
        Severity.ERROR,
        "verify-differs",
        f"VDisk {vdisk} copies differ: {where}.{early} Choose the good copy: twindisk mirror verify {vdisk} --repair",
    )

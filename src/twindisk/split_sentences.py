"""Sentences about copies that parted: why they cannot be compared, or made one."""

from enum import StrEnum
from typing import Final

from twindisk.errors import InvalidProblem, RefusedProblem

SPLIT_SENTENCES: Final[dict[StrEnum, tuple[int, str, str]]] = {
    RefusedProblem.DIFF_MIRRORS: (
        409,
        "Copies mirror",
        "VDisk {vdisk} on node {node} mirrors with its peer {peer} (it is {phase}), so nothing has parted. To compare both copies: twindisk mirror verify {vdisk}",
    ),
    RefusedProblem.DIFF_UNRELATED: (
        409,
        "Copies not related",
        "The copies of VDisk {vdisk} on node {node} and its peer {peer} have no common past that both know, or one is blank or of another size: nobody knows where they differ. They can only be compared as a whole.",
    ),
    InvalidProblem.SURVIVOR: (
        422,
        "No such survivor",
        "'{value}' names neither this node ({address}) nor its peer ({peer}), or both. Give the mirror address of the node whose data are to be kept.",
    ),
    RefusedProblem.NOT_SPLIT: (
        409,
        "No split brain",
        "VDisk {vdisk} on node {node} is no split brain (it is {phase}), and only that is resolved. If qsync -l shows Invalid state! on both nodes for another reason, end the mirror on the node whose data you keep (qsync -x -s {vdisk} -f), remove the VDisk on the other, and mirror anew.",
    ),
    RefusedProblem.SETTING_ASIDE: (
        409,
        "Copy being set aside",
        "The former copy of VDisk {vdisk} on node {node} is becoming VDisk {lost}, which has not ended. See why with: twindisk vdisk show {vdisk}, then give the command twindisk mirror resolve again.",
    ),
    RefusedProblem.SET_ASIDE_FAILED: (
        500,
        "Copy not set aside",
        "The copy of VDisk {vdisk} on node {node} gives way, but that has not ended ({detail}). Nothing is lost and nothing of it is served. Repair what is wrong and give the same command again, or restart twindiskd there.",
    ),
}

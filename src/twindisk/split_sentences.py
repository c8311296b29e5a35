"""Sentences about copies that parted: why they cannot be compared."""

from enum import StrEnum
from typing import Final

from twindisk.errors import RefusedProblem

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
}

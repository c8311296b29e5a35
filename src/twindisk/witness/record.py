"""What stands in a witness's keys, as bytes (docs/formats/witness.md). Anything else is a problem, never a guess."""

from __future__ import annotations

import json
from typing import Any, Final

from twindisk.brain.witness import Claim
from twindisk.errors import WitnessError, WitnessProblem

VERSION: Final = 1
IDENTITY_KEY: Final = "identity"
_VALUE_BYTES_MAX: Final = 4096
_EPOCH_MAX: Final = (1 << 64) - 1


def slot_key(serial: str, slot: int) -> str:
    """Return the key of a VDisk's slot."""
    return f"{serial}-{slot:08d}"


def claim_bytes(claim: Claim, *, vdisk: str, node: str) -> bytes:
    """Return a claim as it is written; the names are for people who look."""
    return _bytes({"owner": claim.owner, "epoch": claim.epoch, "vdisk": vdisk, "node": node})


def read_claim(value: bytes) -> Claim:
    """Return what is written in a slot. Raises WitnessError(BAD_VALUE)."""
    found = _read(value)
    owner, epoch = found.get("owner"), found.get("epoch")
    if not isinstance(owner, str) or not owner or type(epoch) is not int or not 0 <= epoch <= _EPOCH_MAX:
        raise WitnessError(WitnessProblem.BAD_VALUE, detail="a claim without owner or epoch")
    return Claim(owner, epoch)


def identity_bytes(witness: str) -> bytes:
    """Return a witness's name as it is written."""
    return _bytes({"witness": witness})


def read_identity(value: bytes) -> str:
    """Return a witness's name. Raises WitnessError(BAD_VALUE)."""
    witness = _read(value).get("witness")
    if not isinstance(witness, str) or not witness:
        raise WitnessError(WitnessProblem.BAD_VALUE, detail="a witness without a name")
    return witness


def _bytes(fields: dict[str, Any]) -> bytes:
    return json.dumps({"version": VERSION, **fields}).encode() + b"\n"


def _read(value: bytes) -> dict[str, Any]:
    try:
        found = json.loads(value[:_VALUE_BYTES_MAX])
    except ValueError:
        raise WitnessError(WitnessProblem.BAD_VALUE, detail="something that is no JSON") from None
    if not isinstance(found, dict) or found.get("version") != VERSION:
        raise WitnessError(WitnessProblem.BAD_VALUE, detail="a version that this node does not know")
    return found

"""What a node does with a witness: get to know it, try it, claim at it. Each within a time limit.

Rules:

1. A witness has a name, written once by whoever comes first. Two nodes share a witness exactly if they found the same name,
   whatever URL each of them uses. Before a claim the name is read again: at the same place something else may be by now.
2. A store is taken as a witness only if it was seen to refuse to write a key twice.
3. A write whose answer was lost may be asked for again, and find what it wrote itself: that is no second writer.
"""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path

from twindisk.brain.witness import Claim, Verdict, Walk
from twindisk.errors import WitnessError, WitnessProblem
from twindisk.witness.accounts import read_accounts
from twindisk.witness.hints import Hints, Spent
from twindisk.witness.place import EtcdPlace, read_place
from twindisk.witness.record import (
    IDENTITY_KEY,
    claim_bytes,
    identity_bytes,
    read_claim,
    read_identity,
    slot_key,
)
from twindisk.witness.store import Store, open_store


async def meet(place: str, etc: Path, limit_s: float) -> str:
    """Try a witness and give it a name if it has none; return the name. Raises InvalidError, ConfigError, WitnessError."""
    try:
        async with asyncio.timeout(limit_s), open_store(place, etc) as store:
            await _try(store)
            name = secrets.token_hex(16)
            found = await store.write_once(IDENTITY_KEY, identity_bytes(name))
            return name if found is None else read_identity(found)
    except TimeoutError:
        raise _too_late(place, limit_s) from None


async def try_witness(place: str, etc: Path, limit_s: float) -> str | None:
    """Try a witness as it is; return its name, None if it has none. Raises InvalidError, ConfigError, WitnessError."""
    try:
        async with asyncio.timeout(limit_s), open_store(place, etc) as store:
            await _try(store)
            found = await store.read(IDENTITY_KEY)
            return None if found is None else read_identity(found)
    except TimeoutError:
        raise _too_late(place, limit_s) from None


def sends_password_openly(place: str, etc: Path) -> bool:
    """Return whether the account's password goes to this witness in clear text. Raises InvalidError, ConfigError."""
    where = read_place(place)
    plain = isinstance(where, EtcdPlace) and where.endpoints[0].startswith("http:")
    return plain and read_accounts(etc).etcd_user is not None


async def _try(store: Store) -> None:
    """Write a key of our own twice: the second time must be refused and show what was written the first time."""
    key, first, second = (f"trial-{secrets.token_hex(8)}", *(secrets.token_hex(8).encode() for _ in range(2)))
    found = await store.write_once(key, first)
    try:
        again = await store.write_once(key, second)
        if found not in (None, first) or again != first or await store.read(key) != first:
            raise WitnessError(WitnessProblem.NOT_EXCLUSIVE, detail="a second write to the same key was taken")
    finally:
        await store.remove(key)


async def claim(
    place: str,
    etc: Path,
    limit_s: float,
    *,
    witness: str,
    walk: Walk,
    serial: str,
    vdisk: str,
    node: str,
    hints: Hints,
) -> tuple[Verdict, Claim]:
    """Claim; return WON or LOST, and whose claim decides. Raises InvalidError, ConfigError, WitnessError: not known, ask again.

    ``hints`` are of this node's claims before; what is learnt is added, also by a claim that comes too late.
    """
    mine = claim_bytes(walk.mine, vdisk=vdisk, node=node)
    try:
        async with asyncio.timeout(limit_s), open_store(place, etc, hints) as store:
            name = await store.read(IDENTITY_KEY)
            if name is None or read_identity(name) != witness:
                raise WitnessError(WitnessProblem.ANOTHER, detail=place)
            spent = hints.spent.get((witness, serial))
            if spent is not None:
                there = await store.read(slot_key(serial, spent.slot))
                if there is not None and read_claim(there) == spent.claim:
                    walk.skip(spent.slot, spent.claim)
            while True:
                found = await store.write_once(slot_key(serial, walk.slot), mine)
                if found is None:
                    return walk.written(), walk.mine
                standing = read_claim(found)
                verdict = walk.taken(standing)
                if verdict is not Verdict.NEXT:
                    return verdict, standing
                hints.spent[witness, serial] = Spent(walk.slot - 1, standing)
    except TimeoutError:
        raise _too_late(place, limit_s) from None


def _too_late(place: str, limit_s: float) -> WitnessError:
    return WitnessError(WitnessProblem.UNREACHABLE, detail=f"{place}: no answer within {limit_s:g} s")

"""Who is let in: pure changes of an :class:`Admission`, each checked.

Rules:

* No name listed: every initiator. No CHAP user: no authentication. Whoever removes the last one says that it is meant.
* A secret has 12 to 255 bytes (RFC 7143 §9.2.1), and the target's own is no user's; the engine holds to the same.
* Nor is it a user's of another VDisk or of discovery: who may ask the one to prove itself could pass its answer off as that user's.
* No error carries a secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from twindisk.errors import (
    InvalidError,
    InvalidProblem,
    NotFoundError,
    NotFoundProblem,
    RefusedError,
    RefusedProblem,
)
from twindisk.node.records import Admission, Credential

_INITIATOR = re.compile(
    r"iqn\.[0-9]{4}-(?:0[1-9]|1[0-2])\.[\x21-\x7e]+|eui\.[0-9a-f]{16}|naa\.[0-9a-f]{16}(?:[0-9a-f]{16})?"
)
_INITIATOR_BYTES_MAX = 223
_CHAP_NAME = re.compile(r"[\x21-\x2e\x30-\x7e]{1,255}")
_SECRET_BYTES_MIN = 12
_SECRET_BYTES_MAX = 255


def check_initiator(name: str) -> str:
    """Return an initiator's name in lower case: iSCSI names have no case (RFC 3722). Raises InvalidError(INITIATOR)."""
    name = name.strip().lower()
    if len(name.encode()) > _INITIATOR_BYTES_MAX or _INITIATOR.fullmatch(name) is None:
        raise InvalidError(InvalidProblem.INITIATOR, value=name)
    return name


def check_credential(name: str, secret: str) -> Credential:
    """Return a CHAP name with its secret. Raises InvalidError(CHAP_NAME, CHAP_SECRET)."""
    if _CHAP_NAME.fullmatch(name) is None:
        raise InvalidError(InvalidProblem.CHAP_NAME, value=name)
    fits = _SECRET_BYTES_MIN <= len(secret.encode()) <= _SECRET_BYTES_MAX
    if not fits or not secret.isprintable():
        raise InvalidError(InvalidProblem.CHAP_SECRET, name=name)
    return Credential(name, secret)


def check(admission: Admission) -> Admission:
    """Return rules that came from elsewhere, checked as if they were made here. Raises InvalidError."""
    made = Admission()
    made = change_initiators(made, allow=admission.initiators)
    for user in admission.users:
        made = with_user(made, user.name, user.secret)
    return made if admission.own is None else with_own(made, admission.own.name, admission.own.secret)


def change_initiators(
    admission: Admission, *, allow: Iterable[str] = (), deny: Iterable[str] = (), everyone: bool = False
) -> Admission:
    """List names and take names off the list.

    Raises InvalidError(INITIATOR), NotFoundError(INITIATOR), RefusedError(LAST_INITIATOR) unless ``everyone``.
    """
    added, removed = [check_initiator(name) for name in allow], [check_initiator(name) for name in deny]
    for name in removed:
        if name not in admission.initiators:
            raise NotFoundError(NotFoundProblem.INITIATOR, name=name)
    kept = {*admission.initiators, *added} - set(removed)
    if removed and not kept and not everyone:
        raise RefusedError(RefusedProblem.LAST_INITIATOR, name=removed[0])
    return replace(admission, initiators=tuple(sorted(kept)))


def with_user(admission: Admission, name: str, secret: str) -> Admission:
    """Add a CHAP user, or give one a new secret. Raises InvalidError(CHAP_NAME, CHAP_SECRET, CHAP_SHARED)."""
    user = check_credential(name, secret)
    others = [other for other in admission.users if other.name != name]
    return _checked(replace(admission, users=tuple(sorted([*others, user], key=lambda one: one.name))))


def without_user(admission: Admission, name: str, *, everyone: bool) -> Admission:
    """Remove a CHAP user; the last one takes the target's own credential along.

    Raises NotFoundError(CHAP_USER), RefusedError(LAST_USER) unless ``everyone``.
    """
    kept = tuple(user for user in admission.users if user.name != name)
    if len(kept) == len(admission.users):
        raise NotFoundError(NotFoundProblem.CHAP_USER, name=name)
    if not kept and not everyone:
        raise RefusedError(RefusedProblem.LAST_USER, name=name)
    return replace(admission, users=kept, own=admission.own if kept else None)


def with_own(admission: Admission, name: str, secret: str) -> Admission:
    """Let the target prove itself too (mutual CHAP). Raises InvalidError, RefusedError(OWN_WITHOUT_USERS)."""
    own = check_credential(name, secret)
    if not admission.users:
        raise RefusedError(RefusedProblem.OWN_WITHOUT_USERS, name=name)
    return _checked(replace(admission, own=own))


def without_own(admission: Admission) -> Admission:
    """Let the target prove itself no longer. Raises NotFoundError(CHAP_TARGET)."""
    if admission.own is None:
        raise NotFoundError(NotFoundProblem.CHAP_TARGET)
    return replace(admission, own=None)


def shares_secret(admission: Admission, others: Iterable[Admission]) -> bool:
    """Return whether a side of ``admission`` proves itself by a secret by which the opposite side of one of the others does."""
    users = {user.secret for user in admission.users}
    own = set() if admission.own is None else {admission.own.secret}
    return any(
        (other.own is not None and other.own.secret in users) or any(user.secret in own for user in other.users)
        for other in others
    )


def check_apart(before: Admission, changed: Admission, others: Iterable[Admission]) -> None:
    """Refuse a change that has a target and a user of different VDisks, or of discovery, share a secret.

    Raises InvalidError(CHAP_REUSED). What was so before may stay, so that nothing else becomes impossible to change.
    """
    others = tuple(others)
    if shares_secret(changed, others) and not shares_secret(before, others):
        raise InvalidError(InvalidProblem.CHAP_REUSED)


def _checked(admission: Admission) -> Admission:
    own = admission.own
    if own is not None and any(user.secret == own.secret for user in admission.users):
        raise InvalidError(InvalidProblem.CHAP_SHARED, name=own.name)
    return admission

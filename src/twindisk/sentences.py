"""Sentences for people, made from errors' fields: what happened, to which VDisk and node, what to do next.

One table row per problem: the HTTP status, a title that never changes, and the sentence with its fields in braces. A
problem without a row, or a row without a problem, fails a test.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from twindisk.brain.effects import Refusal
from twindisk.config_sentences import CONFIG_SENTENCES
from twindisk.errors import (
    ApiError,
    ConfigError,
    ConflictError,
    ConflictProblem,
    EngineClosedError,
    EngineCorruptError,
    EngineError,
    EngineExistsError,
    EngineInvalidError,
    EngineNotFoundError,
    EngineRefusedError,
    InvalidError,
    InvalidProblem,
    NotFoundError,
    NotFoundProblem,
    PeerError,
    PeerProblem,
    RefusedError,
    RefusedProblem,
    StateError,
    TwindiskError,
    UnreachableError,
    WitnessError,
)
from twindisk.messages import refusal_text
from twindisk.sizes import show_exactly
from twindisk.split_sentences import SPLIT_SENTENCES
from twindisk.verify_sentences import VERIFY_SENTENCES
from twindisk.witness.sentences import WITNESS_SENTENCES


@dataclass(frozen=True, slots=True)
class Told:
    """An error as people and programs are told it (RFC 9457)."""

    status: int
    problem: str
    title: str
    detail: str
    fields: Mapping[str, Any]


SENTENCES: dict[StrEnum, tuple[int, str, str]] = {
    **WITNESS_SENTENCES,
    **CONFIG_SENTENCES,
    **VERIFY_SENTENCES,
    **SPLIT_SENTENCES,
    InvalidProblem.NAME: (
        422,
        "Bad name",
        "'{value}' cannot be a {noun}'s name: 1 to 64 letters, digits, '.', '_' and '-', beginning with a letter or digit.",
    ),
    InvalidProblem.SIZE: (
        422,
        "Bad size",
        "'{value}' is no size. Write bytes, or a number with K, M, G or T, such as 10G or 1.5T.",
    ),
    InvalidProblem.SIZE_TOO_SMALL: (
        422,
        "Too small",
        "A VDisk of {value_size} is too small: the least is {least_size}.",
    ),
    InvalidProblem.SIZE_TOO_LARGE: (422, "Too large", "A VDisk of {value_size} is too large: the most is {most_size}."),
    InvalidProblem.BLOCK_SIZE: (
        422,
        "No such block size",
        "A VDisk has blocks of 512 or of 4096 bytes, not of {value}.",
    ),
    InvalidProblem.SHRINK: (
        422,
        "Cannot shrink",
        "VDisk {vdisk} has {size_bytes_size} and cannot shrink to {value_size}. Give a larger size.",
    ),
    InvalidProblem.SERIAL: (
        422,
        "Bad serial number",
        "'{value}' is no serial number: 32 hex digits beginning with 6e.",
    ),
    InvalidProblem.IQN: (
        422,
        "Bad iSCSI name",
        "'{value}' is no iSCSI name. Write iqn.YYYY-MM.reversed.domain:name, at most 223 bytes.",
    ),
    InvalidProblem.ADDRESS: (
        422,
        "Bad address",
        "'{value}' is no IP address. Give the peer's mirror address (RecvAddr in its ndrecv.conf).",
    ),
    InvalidProblem.CHECK: (
        422,
        "Bad mirror check",
        "A {kind} check with the command '{value}' makes no sense: fence needs one line of command, witness a URL, manual and ignore take none.",
    ),
    InvalidProblem.WITNESS: (422, "Bad witness", "'{value}' is no place of a witness: {detail}."),
    InvalidProblem.PATH: (422, "Bad path", "'{value}' is no absolute path."),
    InvalidProblem.REQUEST: (422, "Bad request", "The request is not valid: {detail}."),
    InvalidProblem.INITIATOR: (
        422,
        "Bad initiator name",
        "'{value}' is no initiator's name. Give it as the initiator does: iqn.YYYY-MM.reversed.domain:name, eui. or naa. and hex digits.",
    ),
    InvalidProblem.CHAP_NAME: (
        422,
        "Bad CHAP name",
        "'{value}' cannot be a CHAP name: 1 to 255 letters, digits and signs, without spaces and '/'.",
    ),
    InvalidProblem.CHAP_SECRET: (
        422,
        "Bad CHAP secret",
        "The secret for {name} must have 12 to 255 bytes and no control characters (some initiators take at most 16).",
    ),
    InvalidProblem.CHAP_SHARED: (
        422,
        "CHAP secret shared",
        "The target ({name}) and a user must not have the same secret. Choose another one.",
    ),
    InvalidProblem.CHAP_REUSED: (
        422,
        "CHAP secret reused",
        "A target must not have the secret of a user, be it another VDisk's or one for discovery. Choose another secret.",
    ),
    NotFoundProblem.INITIATOR: (404, "Initiator not listed", "Initiator {name} is not on the list."),
    NotFoundProblem.CHAP_USER: (404, "No such CHAP user", "There is no CHAP user {name}."),
    NotFoundProblem.CHAP_TARGET: (404, "No mutual CHAP", "The target has no CHAP name of its own."),
    RefusedProblem.LAST_INITIATOR: (
        409,
        "Last initiator",
        "{name} is the last on the list, and without a list every initiator is let in. Allow another one first, or say --everyone.",
    ),
    RefusedProblem.LAST_USER: (
        409,
        "Last CHAP user",
        "{name} is the last CHAP user, and without one nobody has to prove who he is. Add another one first, or say --everyone.",
    ),
    RefusedProblem.OWN_WITHOUT_USERS: (
        409,
        "No CHAP user",
        "The target can prove itself only to who has proven himself. Add a CHAP user first: twindisk chap set",
    ),
    NotFoundProblem.VDISK: (
        404,
        "No such VDisk",
        "There is no VDisk {name} on node {node}. List them with: twindisk vdisk list",
    ),
    NotFoundProblem.POOL: (
        404,
        "No such pool",
        "There is no pool {name} on node {node}. List them with: twindisk pool list",
    ),
    NotFoundProblem.DISK: (
        404,
        "No such disk",
        "There is no disk {name} on node {node}. List them with: twindisk disk list",
    ),
    NotFoundProblem.MIRROR: (
        404,
        "Not mirrored",
        "VDisk {name} on node {node} is not mirrored. List the mirrors with: twindisk mirror list",
    ),
    NotFoundProblem.PEER_MIRROR: (
        404,
        "Not mirrored with this peer",
        "VDisk {name} on node {node} is not mirrored with {peer}.",
    ),
    NotFoundProblem.CHECK: (
        404,
        "No such mirror check",
        "Node {node} has no such mirror check for {name}. List them with: twindisk check list",
    ),
    NotFoundProblem.TRIED_CHECK: (
        404,
        "No check to try",
        "Node {node} has neither a fence command nor a witness for {name}. Add one with: twindisk check add",
    ),
    NotFoundProblem.FENCE_CHECK: (
        404,
        "No fence command",
        "Node {node} has no fence command for {name}. Add one with: twindisk check add PEER fence --command '...'",
    ),
    NotFoundProblem.DEVICE: (
        404,
        "No such device",
        "{name} is neither a directory nor a block device of this machine.",
    ),
    NotFoundProblem.ROUTE: (404, "No such resource", "There is nothing at {name}."),
    ConflictProblem.VDISK_EXISTS: (409, "VDisk exists", "Node {node} has a VDisk {name} already. Choose another name."),
    ConflictProblem.POOL_EXISTS: (409, "Pool exists", "Node {node} has a pool {name} already."),
    ConflictProblem.DISK_EXISTS: (409, "Disk exists", "{name} is a disk of node {node} already."),
    ConflictProblem.CHECK_EXISTS: (409, "Mirror check exists", "Node {node} has this {kind} check for {peer} already."),
    ConflictProblem.MIRROR_EXISTS: (
        409,
        "Already mirrored",
        "VDisk {vdisk} on node {node} is mirrored with {peer} already. End that mirror first: qsync -x -s {vdisk}",
    ),
    ConflictProblem.IQN_IN_USE: (
        409,
        "iSCSI name in use",
        "VDisk {vdisk} on node {node} has the iSCSI name {name} already.",
    ),
    ConflictProblem.SERIAL_IN_USE: (
        409,
        "Serial number in use",
        "VDisk {vdisk} on node {node} has the serial number {name} already.",
    ),
    ConflictProblem.POOL_IN_USE: (
        409,
        "Pool in use",
        "Pool {name} on node {node} has {disks} disk(s). Remove them first: bdconfig -x -d <disk>",
    ),
    ConflictProblem.DISK_IN_USE: (409, "Disk in use", "{name} is in use by {used_by}. Free it first."),
    ConflictProblem.DIRECTORY_NOT_EMPTY: (
        409,
        "Directory not empty",
        "{name} is not empty ({found} lies there). Give an empty directory, best on a filesystem of its own.",
    ),
    ConflictProblem.PEER_VDISK_DIFFERS: (
        409,
        "VDisks differ",
        "VDisk {vdisk} exists on node {node} and its {what} differs ({ours}, not {theirs}). Remove it there or mirror to another name.",
    ),
    ConflictProblem.PEER_VDISK_MIRRORED: (
        409,
        "Already mirrored",
        "VDisk {vdisk} on node {node} is mirrored with {peer} already. End that mirror on that node first: qsync -x -s {vdisk}",
    ),
    RefusedProblem.SELF_MIRROR: (
        409,
        "Same node",
        "Source and destination are the same host: {peer} is node {node} itself. Give the other node's mirror address.",
    ),
    RefusedProblem.NOT_MIRROR_ADDRESS: (
        409,
        "Not the mirror address",
        "Node {node} is known by its mirror address {peer}; {address} is another address of it. Give {peer}.",
    ),
    RefusedProblem.CHECK_NOT_TAKEN: (
        409,
        "Mirror check not taken",
        "Node {node} has no link to {peer} and takes no news of its mirror check. {peer} tells it again by itself while its link is up.",
    ),
    RefusedProblem.NO_RECV_ADDRESS: (
        409,
        "No mirror address",
        "Node {node} cannot take part in mirroring: set RecvAddr in ndrecv.conf, put the pair's secret beside it, and restart twindiskd.",
    ),
    RefusedProblem.RECV_BIND: (
        409,
        "Mirror address not bound",
        "Node {node} cannot listen on its mirror address {address}. Give the address to an interface, or correct RecvAddr in ndrecv.conf.",
    ),
    RefusedProblem.POOL_EMPTY: (
        409,
        "Pool has no disk",
        "Pool {pool} on node {node} has no usable disk. Add one: bdconfig -a -d <device> -g {pool}",
    ),
    RefusedProblem.NO_SPACE: (
        409,
        "No space",
        "Pool {pool} on node {node} has only {free_bytes_size} free. Add a disk: bdconfig -a -d <device> -g {pool}",
    ),
    RefusedProblem.VDISK_MIRRORED: (
        409,
        "VDisk is mirrored",
        "VDisk {vdisk} on node {node} is mirrored with {peer}. End the mirror first: qsync -x -s {vdisk}",
    ),
    RefusedProblem.VDISK_IN_USE: (
        409,
        "VDisk in use",
        "VDisk {vdisk} on node {node} has {sessions} session(s), one from {initiator}. Log the initiators out first, or force it.",
    ),
    RefusedProblem.VDISK_FAILED: (
        409,
        "VDisk not served",
        "VDisk {vdisk} on node {node} is not served ({detail}). See: twindisk vdisk show {vdisk}",
    ),
    RefusedProblem.RESIZE_ON_SLAVE: (
        409,
        "Resize on the Slave",
        "VDisk {vdisk} on node {node} is not the Master. Resize it on its peer {peer}.",
    ),
    RefusedProblem.RESIZE_MIRRORED: (
        409,
        "Resize of a mirrored VDisk",
        "VDisk {vdisk} on node {node} is mirrored with {peer} and cannot be resized meanwhile. End the mirror (qsync -x -s {vdisk}), resize, and mirror again.",
    ),
    RefusedProblem.RESYNC_PENDING: (
        409,
        "Resync pending",
        "VDisk {vdisk} on node {node} has a resync pending. Wait until qsync -l shows Enabled, then try again.",
    ),
    RefusedProblem.ROLE_CHANGE: (
        409,
        "Role change refused",
        "VDisk {vdisk} on node {node} cannot become {role}: {reason_words}.",
    ),
    RefusedProblem.ROLE_NOT_REACHED: (
        409,
        "Role not reached",
        "VDisk {vdisk} on node {node} is not {role} yet (it is {phase}): the change of roles lasts, or another one came between. See qsync -l; ask again if it stays so.",
    ),
    RefusedProblem.ACCESS_CHANGE: (
        409,
        "Access not changed",
        "Access to VDisk {vdisk} cannot be changed on node {node}, which does not serve it now (it is {phase}). Change it on its peer {peer} if that one serves it, or wait until qsync -l shows Enabled.",
    ),
    RefusedProblem.FORMAT_NOT_CONFIRMED: (
        409,
        "Formatting not confirmed",
        "All data on {name} ({size_bytes_size}) would be destroyed. Confirm it with --yes.",
    ),
    RefusedProblem.DEVICE_FORMAT: (500, "Device not usable", "{command} failed on {name}: {detail}"),
    RefusedProblem.NOT_CURRENT: (
        409,
        "Copy not surely current",
        "VDisk {vdisk} on node {node} may be older than its peer's copy on {peer} (it is {phase}). End the mirror on the other node. If that node is lost for good: qsync -x -s {vdisk} -f, then twindisk vdisk release {vdisk}.",
    ),
    RefusedProblem.BUSY: (409, "Node busy", "Node {node} is busy with another change. Try again."),
    RefusedProblem.WITHHELD: (
        409,
        "VDisk withheld",
        "VDisk {vdisk} on node {node} is withheld: it was the copy of a mirrored VDisk that went on without it. Remove it, or serve it with: twindisk vdisk release {vdisk}",
    ),
    RefusedProblem.SERIAL_FIXED: (
        409,
        "Serial number fixed",
        "VDisk {vdisk} on node {node} keeps its serial number: initiators know the disk by it. Create a new VDisk and copy the data.",
    ),
    RefusedProblem.NO_TRAP_DESTINATION: (
        409,
        "No trap destination",
        "Node {node} sends no SNMP notifications: set TrapAddr in quadstor.conf and run twindisk node reload.",
    ),
    RefusedProblem.UNAUTHORIZED: (
        401,
        "Not authorized",
        "The request is not signed with this node's secret, or its time is off. Compare the secret files and the clocks of both nodes.",
    ),
    PeerProblem.UNREACHABLE: (
        502,
        "Cannot connect to peer",
        "Cannot connect to peer {peer} ({detail}). Check that twindiskd runs there and that RecvAddr and ControlPort agree.",
    ),
    PeerProblem.UNAUTHORIZED: (
        502,
        "Peer does not trust this node",
        "Peer {peer} does not accept this node's signature. Compare the secret files and the clocks of both nodes.",
    ),
    PeerProblem.REFUSED: (409, "Peer refused", "Peer {peer} refused: {detail}"),
    PeerProblem.BAD_ANSWER: (
        502,
        "Peer's answer lost",
        "Peer {peer} gave no usable answer ({detail}). Look at its state before you try again.",
    ),
}

_ENGINE: tuple[tuple[type[EngineError], int, str], ...] = (
    (EngineNotFoundError, 404, "engine-not-found"),
    (EngineExistsError, 409, "engine-exists"),
    (EngineRefusedError, 409, "engine-refused"),
    (EngineInvalidError, 422, "engine-invalid"),
    (EngineCorruptError, 500, "engine-corrupt"),
    (EngineClosedError, 503, "engine-closed"),
    (EngineError, 500, "engine-failed"),
)


def tell(error: TwindiskError) -> Told:
    """Return what people and programs are told about an error."""
    if isinstance(error, ApiError):
        return Told(error.status, error.problem, error.title, error.detail, error.fields)
    if isinstance(error, EngineError):
        return _tell_engine(error)
    if isinstance(error, UnreachableError):
        detail = f"twindiskd does not answer on {error.socket}. Start it, or point TWINDISK_ETC at the node you mean."
        return Told(503, "daemon-unreachable", "No daemon", detail, {"socket": error.socket})
    if isinstance(
        error,
        ConfigError
        | StateError
        | InvalidError
        | NotFoundError
        | ConflictError
        | RefusedError
        | PeerError
        | WitnessError,
    ):
        status, title, sentence = SENTENCES[error.problem]
        return Told(status, error.problem.value, title, sentence.format_map(_Words(error.fields)), error.fields)
    return Told(500, "internal", "Internal error", str(error), {})


def _tell_engine(error: EngineError) -> Told:
    status, problem = next((status, problem) for kind, status, problem in _ENGINE if isinstance(error, kind))
    about = " ".join(
        words for words in (error.vdisk and f"VDisk {error.vdisk}:", error.peer and f"peer {error.peer}:") if words
    )
    detail = f"{about} {error.problem}".strip()
    if isinstance(error, EngineCorruptError):
        detail += (
            ". Do not use this copy: remove the VDisk on this node and mirror it from the peer, or restore a backup"
        )
    if error.errno is not None:
        detail += f" ({os.strerror(error.errno)})"
    fields = {"vdisk": error.vdisk, "peer": error.peer, "errno": error.errno}
    return Told(status, problem, "The engine refused", f"{detail}.", {k: v for k, v in fields.items() if v is not None})


class _Words(dict[str, Any]):
    """An error's fields for a sentence: ``x_size`` is the field x as a size, a missing one is a question mark."""

    def __missing__(self, key: str) -> str:
        if key == "reason_words":
            return refusal_text(Refusal(self["reason"]))
        value = self.get(key.removesuffix("_size"))
        return show_exactly(value) if key.endswith("_size") and isinstance(value, int) else "?"

"""Every error Twindisk raises on purpose.

Rules:

* An error carries fields, never a sentence. ``twindisk.sentences`` makes the sentence at the edge (REST problem, CLI, log).
* ``problem`` is an enum member: tests and callers compare it, people never see it alone.
* An operation that raises one of these has changed nothing, unless its documentation says otherwise.

::

    TwindiskError
     ├─ EngineError              raised by the native core (twindisk._native)
     │   ├─ EngineNotFoundError  no such VDisk, peer or copy
     │   ├─ EngineExistsError    it is there already
     │   ├─ EngineRefusedError   not in this state of the VDisk
     │   ├─ EngineInvalidError   an argument makes no sense
     │   ├─ EngineIoError        a system call failed
     │   ├─ EngineCorruptError   both metadata slots of a copy are unreadable
     │   └─ EngineClosedError    after shutdown()
     ├─ ConfigError              a configuration file
     ├─ StateError               the state directory or its database
     ├─ InvalidError             a value in a request
     ├─ NotFoundError            a request names something that is not there
     ├─ ConflictError            a request names something that is there already, or is in use
     ├─ RefusedError             a request that the present state forbids
     ├─ PeerError                the peer could not be asked, or said no
     ├─ WitnessError             a witness could not be asked, or cannot be one
     ├─ ApiError                 a problem (RFC 9457) that the daemon answered, as the client sees it
     └─ UnreachableError         no daemon answers
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, TypeAlias

Field: TypeAlias = str | int | bool | None
"""What an error's field may hold; anything richer would not survive the way through REST."""


class TwindiskError(Exception):
    """Base of all errors of this package."""


class EngineError(TwindiskError):
    """The native core refused or failed; it has changed nothing.

    ``problem``: a short lower-case phrase that names what is wrong (``"copy is inconsistent"``).
    ``vdisk``: the VDisk's name, None when the call is about none.
    ``peer``: the peer's mirror address, None when the call is about none.
    ``errno``: the system call's error number, None unless one failed.
    """

    def __init__(
        self, problem: str, vdisk: str | None = None, peer: str | None = None, errno: int | None = None
    ) -> None:
        super().__init__(problem, vdisk, peer, errno)
        self.problem = problem
        self.vdisk = vdisk
        self.peer = peer
        self.errno = errno


class EngineNotFoundError(EngineError):
    """The engine knows no such VDisk, peer or copy."""


class EngineExistsError(EngineError):
    """The VDisk, peer or copy is there already."""


class EngineRefusedError(EngineError):
    """The state of the VDisk does not permit the call."""


class EngineInvalidError(EngineError):
    """An argument makes no sense (size 0, serial that is not 32 hex digits, ...)."""


class EngineIoError(EngineError):
    """A system call failed; ``errno`` is set."""


class EngineCorruptError(EngineError):
    """Both metadata slots of a copy are unreadable: the copy is not to be used."""


class EngineClosedError(EngineError):
    """The engine was shut down."""


class _FieldsError(TwindiskError):
    """An error made of a problem and named fields."""

    def __init__(self, problem: StrEnum, **fields: Field) -> None:
        super().__init__(problem, fields)
        self.problem = problem
        self.fields: Mapping[str, Field] = fields

    def __str__(self) -> str:
        told = ", ".join(f"{name}={value!r}" for name, value in self.fields.items() if value is not None)
        return f"{self.problem.value}: {told}" if told else self.problem.value


class ConfigProblem(StrEnum):
    """What is wrong with a configuration file. Fields: file, line, key, value, and what the sentence needs."""

    NO_DIRECTORY = "config-no-directory"
    UNREADABLE = "config-unreadable"
    NOT_KEY_VALUE = "config-not-key-value"
    BAD_ADDRESS = "config-bad-address"
    BAD_REDIRECT = "config-bad-redirect"
    BAD_PATH = "config-bad-path"
    PATH_ADDRESS = "config-path-bad-address"
    PATH_FAMILIES = "config-path-two-families"
    PATH_ADDRESS_TWICE = "config-path-address-twice"
    PATH_TWICE = "config-path-twice"
    TOO_MANY_PATHS = "config-too-many-paths"
    BAD_NUMBER = "config-bad-number"
    BAD_CHOICE = "config-bad-choice"
    BAD_HOST = "config-bad-host"
    BAD_ENGINE_ID = "config-bad-engine-id"
    NEEDS_KEY = "config-needs-key"
    SHORT_PASSPHRASE = "config-short-passphrase"  # noqa: S105 - words about a secret, not a secret
    SHORT_HASH = "config-short-hash"
    NO_SECRET = "config-no-secret"  # noqa: S105 - a word about a secret, not a secret
    SECRET_EXPOSED = "config-secret-exposed"  # noqa: S105 - the same


class ConfigError(_FieldsError):
    """A configuration file cannot be used."""


class StateProblem(StrEnum):
    """What is wrong with the state directory. Fields: directory, pid, version."""

    LOCKED = "state-locked"
    UNUSABLE = "state-unusable"
    NEWER_SCHEMA = "state-newer-schema"
    CORRUPT = "state-corrupt"


class StateError(_FieldsError):
    """The node's state cannot be opened."""


class InvalidProblem(StrEnum):
    """What is wrong with a value. Fields: value, and what the sentence needs."""

    NAME = "invalid-name"
    SIZE = "invalid-size"
    SIZE_TOO_SMALL = "invalid-size-too-small"
    SIZE_TOO_LARGE = "invalid-size-too-large"
    BLOCK_SIZE = "invalid-block-size"
    SHRINK = "invalid-shrink"
    SERIAL = "invalid-serial"
    IQN = "invalid-iqn"
    ADDRESS = "invalid-address"
    CHECK = "invalid-check"
    WITNESS = "invalid-witness"
    PATH = "invalid-path"
    SURVIVOR = "invalid-survivor"
    REQUEST = "invalid-request"
    INITIATOR = "invalid-initiator"
    CHAP_NAME = "invalid-chap-name"
    CHAP_SECRET = "invalid-chap-secret"  # noqa: S105 - a word about a secret, not a secret
    CHAP_SHARED = "chap-secret-shared"
    CHAP_REUSED = "chap-secret-reused"


class InvalidError(_FieldsError):
    """A value that could not be right in any state."""


class NotFoundProblem(StrEnum):
    """What is not there. Fields: name, node."""

    VDISK = "vdisk-not-found"
    POOL = "pool-not-found"
    DISK = "disk-not-found"
    MIRROR = "mirror-not-found"
    PEER_MIRROR = "peer-mirror-not-found"
    CHECK = "check-not-found"
    FENCE_CHECK = "fence-check-not-found"
    TRIED_CHECK = "tried-check-not-found"
    DEVICE = "device-not-found"
    ROUTE = "route-not-found"
    INITIATOR = "initiator-not-found"
    CHAP_USER = "chap-user-not-found"
    CHAP_TARGET = "chap-target-not-found"
    VERIFICATION = "verification-not-found"


class NotFoundError(_FieldsError):
    """Something named in a request does not exist."""


class ConflictProblem(StrEnum):
    """What is there already or in use. Fields: name and what the sentence needs."""

    VDISK_EXISTS = "vdisk-exists"
    POOL_EXISTS = "pool-exists"
    DISK_EXISTS = "disk-exists"
    CHECK_EXISTS = "check-exists"
    MIRROR_EXISTS = "mirror-exists"
    IQN_IN_USE = "iqn-in-use"
    SERIAL_IN_USE = "serial-in-use"
    POOL_IN_USE = "pool-in-use"
    DISK_IN_USE = "disk-in-use"
    DIRECTORY_NOT_EMPTY = "directory-not-empty"
    PEER_VDISK_DIFFERS = "peer-vdisk-differs"
    PEER_VDISK_MIRRORED = "peer-vdisk-mirrored"


class ConflictError(_FieldsError):
    """The request contradicts what is there."""


class RefusedProblem(StrEnum):
    """Why a request is refused now. Fields: vdisk, node and what the sentence needs."""

    SELF_MIRROR = "mirror-to-self"
    NOT_MIRROR_ADDRESS = "not-the-mirror-address"
    CHECK_NOT_TAKEN = "check-not-taken"
    NO_RECV_ADDRESS = "no-recv-address"
    RECV_BIND = "recv-bind-error"
    POOL_EMPTY = "pool-has-no-disk"
    NO_SPACE = "pool-no-space"
    VDISK_MIRRORED = "vdisk-mirrored"
    VDISK_IN_USE = "vdisk-in-use"
    VDISK_FAILED = "vdisk-failed"
    RESIZE_ON_SLAVE = "resize-on-slave"
    RESIZE_MIRRORED = "resize-mirrored"
    RESYNC_PENDING = "resync-pending"
    ROLE_CHANGE = "role-change-refused"
    ROLE_NOT_REACHED = "role-not-reached"
    ACCESS_CHANGE = "access-change-refused"
    FORMAT_NOT_CONFIRMED = "format-not-confirmed"
    DEVICE_FORMAT = "device-format-failed"
    NOT_CURRENT = "copy-not-current"
    BUSY = "node-busy"
    WITHHELD = "vdisk-withheld"
    SERIAL_FIXED = "serial-fixed"
    NO_TRAP_DESTINATION = "no-trap-destination"
    UNAUTHORIZED = "not-authorized"
    LAST_INITIATOR = "last-initiator"
    LAST_USER = "last-chap-user"
    OWN_WITHOUT_USERS = "chap-target-without-users"
    VERIFY_ON_SLAVE = "verify-on-slave"
    VERIFY_NOT_IN_SYNC = "verify-not-in-sync"
    VERIFY_RUNS = "verify-runs"
    DIFF_MIRRORS = "diff-mirrors"
    DIFF_UNRELATED = "diff-unrelated"
    NOT_SPLIT = "not-split"
    SETTING_ASIDE = "copy-being-set-aside"
    SET_ASIDE_FAILED = "copy-not-set-aside"


class RefusedError(_FieldsError):
    """The request is well-formed and cannot be done in the present state."""


class PeerProblem(StrEnum):
    """Why the peer could not do its part. Fields: peer, detail, told (the peer's own problem)."""

    UNREACHABLE = "peer-unreachable"
    UNAUTHORIZED = "peer-unauthorized"
    REFUSED = "peer-refused"
    BAD_ANSWER = "peer-bad-answer"


class PeerError(_FieldsError):
    """The peer's part of an operation failed."""


class WitnessProblem(StrEnum):
    """What is wrong with a witness. Fields: detail."""

    UNREACHABLE = "witness-unreachable"
    DENIED = "witness-denied"
    NO_ACCOUNT = "witness-no-account"
    TLS = "witness-bad-ca-file"
    NOT_EXCLUSIVE = "witness-not-exclusive"
    NO_LINKS = "witness-no-links"
    BAD_ANSWER = "witness-bad-answer"
    BAD_VALUE = "witness-bad-value"
    ANOTHER = "witness-another"


class WitnessError(_FieldsError):
    """A witness could not be asked, or what was found there cannot be one. What was to be written may be written."""


class ApiError(TwindiskError):
    """A problem document (RFC 9457) that the daemon answered.

    ``status``: HTTP status. ``problem``: the document's ``type`` without its prefix, the value of one of the enums
    above. ``title``, ``detail``: sentences. ``fields``: the document's other members.
    """

    def __init__(self, status: int, problem: str, title: str, detail: str, fields: Mapping[str, Any]) -> None:
        super().__init__(status, problem, title, detail)
        self.status = status
        self.problem = problem
        self.title = title
        self.detail = detail
        self.fields = fields

    def __str__(self) -> str:
        return self.detail or self.title


class UnreachableError(TwindiskError):
    """No daemon answers on the node's socket. ``socket``: its path."""

    def __init__(self, socket: str) -> None:
        super().__init__(socket)
        self.socket = socket

"""The C interface of libiscsi, as far as we use it (``iscsi/iscsi.h`` and ``iscsi/scsi-lowlevel.h``).

Only this module knows C types. Rules:

* A callback must never raise: ctypes would print the exception and go on.
* What C keeps a pointer to (callbacks, data of a write) must be kept alive by Python until the command is answered.
"""

import ctypes
import ctypes.util
from ctypes import c_char_p, c_int, c_size_t, c_ubyte, c_uint32, c_void_p
from functools import cache

from twindisk.initiator.answers import Sense
from twindisk.initiator.errors import LibraryMissingError

SESSION_DISCOVERY = 1
SESSION_NORMAL = 2

TRANSFER_NONE = 0
TRANSFER_READ = 1
TRANSFER_WRITE = 2

STATUS_GOOD = 0
STATUS_CHECK_CONDITION = 0x02
STATUS_LOCAL = 0x0F000000  # and above: libiscsi's own (cancelled, error, timeout), not the target's

COMMAND_CALLBACK = ctypes.CFUNCTYPE(None, c_void_p, c_int, c_void_p, c_void_p)


class Data(ctypes.Structure):
    """``struct iscsi_data``: data of a write."""

    _fields_ = (("size", c_size_t), ("data", c_char_p))


class _TaskHead(ctypes.Structure):
    """``struct scsi_task`` up to the data it received."""

    _fields_ = (
        ("status", c_int),
        ("cdb_size", c_int),
        ("xfer_dir", c_int),
        ("expxferlen", c_int),
        ("cdb", c_ubyte * 16),
        ("residual_status", c_int),
        ("residual", c_size_t),
        ("sense", c_uint32 * 4),
        ("datain_size", c_int),
        ("datain", c_void_p),
    )


class _Portal(ctypes.Structure):
    """``struct iscsi_target_portal``: a linked list."""


class _Target(ctypes.Structure):
    """``struct iscsi_discovery_address``: a linked list."""


_Portal._fields_ = (("next", ctypes.POINTER(_Portal)), ("portal", c_char_p))
_Target._fields_ = (("next", ctypes.POINTER(_Target)), ("name", c_char_p), ("portals", ctypes.POINTER(_Portal)))

_PROTOTYPES: dict[str, tuple[type | None, list[type]]] = {
    "iscsi_create_context": (c_void_p, [c_char_p]),
    "iscsi_destroy_context": (c_int, [c_void_p]),
    "iscsi_set_session_type": (c_int, [c_void_p, c_int]),
    "iscsi_set_targetname": (c_int, [c_void_p, c_char_p]),
    "iscsi_set_header_digest": (c_int, [c_void_p, c_int]),
    "iscsi_set_immediate_data": (c_int, [c_void_p, c_int]),
    "iscsi_set_initial_r2t": (c_int, [c_void_p, c_int]),
    "iscsi_set_isid_random": (c_int, [c_void_p, c_uint32, c_uint32]),
    "iscsi_set_noautoreconnect": (None, [c_void_p, c_int]),
    "iscsi_connect_async": (c_int, [c_void_p, c_char_p, COMMAND_CALLBACK, c_void_p]),
    "iscsi_login_async": (c_int, [c_void_p, COMMAND_CALLBACK, c_void_p]),
    "iscsi_logout_async": (c_int, [c_void_p, COMMAND_CALLBACK, c_void_p]),
    "iscsi_discovery_async": (c_int, [c_void_p, COMMAND_CALLBACK, c_void_p]),
    "iscsi_task_mgmt_lun_reset_async": (c_int, [c_void_p, c_uint32, COMMAND_CALLBACK, c_void_p]),
    "iscsi_scsi_command_async": (
        c_int,
        [c_void_p, c_int, c_void_p, COMMAND_CALLBACK, ctypes.POINTER(Data), c_void_p],
    ),
    "iscsi_get_fd": (c_int, [c_void_p]),
    "iscsi_which_events": (c_int, [c_void_p]),
    "iscsi_service": (c_int, [c_void_p, c_int]),
    "iscsi_get_error": (c_char_p, [c_void_p]),
    "scsi_create_task": (c_void_p, [c_int, c_char_p, c_int, c_int]),
    "scsi_free_scsi_task": (None, [c_void_p]),
}


@cache
def load() -> ctypes.CDLL:
    """Load the shared library and declare what we call. Raises :class:`LibraryMissingError`."""
    name = ctypes.util.find_library("iscsi")
    if name is None:
        raise LibraryMissingError("libiscsi")
    library = ctypes.CDLL(name)
    for function, (result, arguments) in _PROTOTYPES.items():
        declared = getattr(library, function)
        declared.restype = result
        declared.argtypes = arguments
    return library


def data_in(task: int) -> bytes:
    """Return what a finished task received."""
    head = _TaskHead.from_address(task)
    return ctypes.string_at(head.datain, head.datain_size) if head.datain and head.datain_size > 0 else b""


def sense(task: int) -> Sense:
    """Return the sense data of a task that ended with CHECK CONDITION (SenseLength first, RFC 7143 §11.4.7.2)."""
    return Sense.parse(data_in(task)[2:])


def discovered(address: int | None) -> list[tuple[str, list[str]]]:
    """Return what a discovery found: target names with their portals (``host:port,group``)."""
    found: list[tuple[str, list[str]]] = []
    target = ctypes.cast(address, ctypes.POINTER(_Target)) if address else None
    while target:
        portals = []
        portal = target.contents.portals
        while portal:
            portals.append(portal.contents.portal.decode())
            portal = portal.contents.next
        found.append((target.contents.name.decode(), portals))
        target = target.contents.next
    return found

"""The typed client of a node's REST API, over its UNIX socket. Used by the commands, the web console and tests.

Every method returns what ``api.schemas`` describes. A problem that the daemon answers is an ApiError; no daemon is an
UnreachableError.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, TypeAdapter

from twindisk.api.schemas import (
    API_PREFIX,
    ChapTargetNew,
    ChapUserNew,
    CheckNew,
    CheckTrialNew,
    CheckTrialView,
    CheckView,
    DiffView,
    DiscoveryView,
    DiskNew,
    DiskView,
    EventPage,
    InitiatorsChange,
    MirrorNew,
    MirrorView,
    NodeView,
    PoolNew,
    PoolView,
    ReloadView,
    ResolvedView,
    ResolveNew,
    RoleChange,
    StatusView,
    TrapsView,
    TrapTestView,
    VDiskChange,
    VDiskNew,
    VDiskView,
    VerifyNew,
)
from twindisk.errors import ApiError, UnreachableError

TIMEOUT_S = 60.0
_PROBLEM_FROM = 400
_OWN_MEMBERS = {"type", "title", "status", "detail"}
_BASE = "http://twindiskd" + API_PREFIX

T = TypeVar("T")


class NodeClient:
    """Talks to the node whose control socket it is given."""

    def __init__(self, socket_path: Path) -> None:
        self._socket_path = socket_path
        self._http = httpx.Client(transport=httpx.HTTPTransport(uds=str(socket_path), verify=False), timeout=TIMEOUT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def node(self) -> NodeView:
        """Return the node itself."""
        return self._get("/node", NodeView)

    def reload(self) -> ReloadView:
        """Have the node read its configuration files anew."""
        return self._post("/node/reload", None, ReloadView)

    def status(self) -> StatusView:
        """Return everything at a glance."""
        return self._get("/status", StatusView)

    def events(
        self,
        *,
        after: int | None = None,
        before: int | None = None,
        since_ms: int = 0,
        vdisk: str | None = None,
        limit: int = 100,
    ) -> EventPage:
        """Return a page of events, oldest first: the first ones after ``after``, or the last ones before ``before``."""
        wanted = {"after": after, "before": before, "since_ms": since_ms, "vdisk": vdisk, "limit": limit}
        return self._get("/events", EventPage, **{key: value for key, value in wanted.items() if value is not None})

    def traps(self) -> TrapsView:
        """Return where SNMP notifications go."""
        return self._get("/traps", TrapsView)

    def test_traps(self) -> list[TrapTestView]:
        """Send a test notification to every destination."""
        return self._post("/traps/test", None, list[TrapTestView])

    def pools(self) -> list[PoolView]:
        """Return all pools."""
        return self._get("/pools", list[PoolView])

    def pool(self, name: str) -> PoolView:
        """Return a pool."""
        return self._get(f"/pools/{_part(name)}", PoolView)

    def add_pool(self, new: PoolNew) -> PoolView:
        """Add a pool."""
        return self._post("/pools", new, PoolView)

    def remove_pool(self, name: str) -> None:
        """Remove a pool without disks."""
        self._ask("DELETE", f"/pools/{_part(name)}")

    def disks(self, show: Literal["all", "configured", "unconfigured"] = "configured") -> list[DiskView]:
        """Return the disks of pools, the devices of none, or both."""
        return self._get("/disks", list[DiskView], show=show)

    def add_disk(self, new: DiskNew) -> DiskView:
        """Give a directory or a block device to a pool."""
        return self._post("/disks", new, DiskView)

    def remove_disk(self, name: str) -> None:
        """Take a disk (by id, path or device) out of its pool."""
        self._ask("DELETE", "/disks", params={"name": name})

    def vdisks(self) -> list[VDiskView]:
        """Return all VDisks."""
        return self._get("/vdisks", list[VDiskView])

    def vdisk(self, name: str) -> VDiskView:
        """Return a VDisk."""
        return self._get(f"/vdisks/{_part(name)}", VDiskView)

    def create_vdisk(self, new: VDiskNew) -> VDiskView:
        """Create a VDisk."""
        return self._post("/vdisks", new, VDiskView)

    def change_vdisk(self, name: str, change: VDiskChange) -> VDiskView:
        """Let a VDisk grow."""
        return self._read(self._ask("PATCH", f"/vdisks/{_part(name)}", change), VDiskView)

    def remove_vdisk(self, name: str, *, force: bool = False) -> None:
        """Remove a VDisk and its data."""
        self._ask("DELETE", f"/vdisks/{_part(name)}", params={"force": force})

    def release_vdisk(self, name: str) -> VDiskView:
        """Serve a withheld VDisk again."""
        return self._post(f"/vdisks/{_part(name)}/release", None, VDiskView)

    def change_initiators(self, name: str, change: InitiatorsChange) -> VDiskView:
        """Let initiators in to a VDisk, or no longer."""
        return self._read(self._ask("PATCH", f"/vdisks/{_part(name)}/initiators", change), VDiskView)

    def set_chap_user(self, name: str, user: str, new: ChapUserNew) -> VDiskView:
        """Add a CHAP user to a VDisk, or give one a new secret."""
        return self._read(self._ask("PUT", f"/vdisks/{_part(name)}/chap/users/{_part(user)}", new), VDiskView)

    def remove_chap_user(self, name: str, user: str, *, everyone: bool = False) -> VDiskView:
        """Remove a CHAP user of a VDisk."""
        path = f"/vdisks/{_part(name)}/chap/users/{_part(user)}"
        return self._read(self._ask("DELETE", path, params={"everyone": everyone}), VDiskView)

    def set_chap_target(self, name: str, new: ChapTargetNew) -> VDiskView:
        """Let a VDisk's target prove itself."""
        return self._read(self._ask("PUT", f"/vdisks/{_part(name)}/chap/target", new), VDiskView)

    def remove_chap_target(self, name: str) -> VDiskView:
        """Let a VDisk's target prove itself no longer."""
        return self._read(self._ask("DELETE", f"/vdisks/{_part(name)}/chap/target"), VDiskView)

    def discovery(self) -> DiscoveryView:
        """Return who may hold discovery sessions."""
        return self._get("/discovery", DiscoveryView)

    def set_discovery_user(self, user: str, new: ChapUserNew) -> DiscoveryView:
        """Add a CHAP user for discovery, or give one a new secret."""
        return self._read(self._ask("PUT", f"/discovery/chap/users/{_part(user)}", new), DiscoveryView)

    def remove_discovery_user(self, user: str, *, everyone: bool = False) -> DiscoveryView:
        """Remove a CHAP user for discovery."""
        path = f"/discovery/chap/users/{_part(user)}"
        return self._read(self._ask("DELETE", path, params={"everyone": everyone}), DiscoveryView)

    def set_discovery_target(self, new: ChapTargetNew) -> DiscoveryView:
        """Let this node prove itself in discovery sessions."""
        return self._read(self._ask("PUT", "/discovery/chap/target", new), DiscoveryView)

    def remove_discovery_target(self) -> DiscoveryView:
        """Let this node prove itself no longer in discovery sessions."""
        return self._read(self._ask("DELETE", "/discovery/chap/target"), DiscoveryView)

    def mirrors(self) -> list[MirrorView]:
        """Return all mirrors."""
        return self._get("/mirrors", list[MirrorView])

    def mirror(self, vdisk: str) -> MirrorView:
        """Return a VDisk's mirror."""
        return self._get(f"/mirrors/{_part(vdisk)}", MirrorView)

    def add_mirror(self, new: MirrorNew) -> MirrorView:
        """Mirror a VDisk with a peer."""
        return self._post("/mirrors", new, MirrorView)

    def verify_mirror(self, vdisk: str, new: VerifyNew) -> MirrorView:
        """Begin to compare both copies of a VDisk."""
        return self._post(f"/mirrors/{_part(vdisk)}/verify", new, MirrorView)

    def cancel_verify(self, vdisk: str) -> None:
        """End a verification before its time."""
        self._ask("DELETE", f"/mirrors/{_part(vdisk)}/verify")

    def diff_mirror(self, vdisk: str) -> Iterator[DiffView]:
        """Return where the copies differ that parted, part by part."""
        from_bytes: int | None = 0
        while from_bytes is not None:
            found = self._get(f"/mirrors/{_part(vdisk)}/diff", DiffView, from_bytes=from_bytes)
            yield found
            from_bytes = found.next_bytes

    def resolve_mirror(self, vdisk: str, new: ResolveNew) -> ResolvedView:
        """Resolve a split brain."""
        return self._post(f"/mirrors/{_part(vdisk)}/resolve", new, ResolvedView)

    def end_mirror(self, vdisk: str, *, force: bool = False) -> None:
        """End a VDisk's mirror."""
        self._ask("DELETE", f"/mirrors/{_part(vdisk)}", params={"force": force})

    def change_role(self, vdisk: str, change: RoleChange) -> MirrorView:
        """Switch roles."""
        return self._post(f"/mirrors/{_part(vdisk)}/role", change, MirrorView)

    def checks(self) -> list[CheckView]:
        """Return all mirror checks."""
        return self._get("/checks", list[CheckView])

    def add_check(self, new: CheckNew) -> CheckView:
        """Add a mirror check."""
        return self._post("/checks", new, CheckView)

    def remove_checks(self, *, peer: str | None, type_: str | None, value: str | None) -> list[CheckView]:
        """Remove every mirror check that matches; None matches any."""
        wanted = {"peer": peer, "type": type_, "value": value}
        params = {key: value for key, value in wanted.items() if value is not None}
        return self._read(self._ask("DELETE", "/checks", params=params), list[CheckView])

    def try_checks(self, trial: CheckTrialNew) -> list[CheckTrialView]:
        """Try fence commands; waits as long as they take, which the node bounds."""
        return self._read(self._ask("POST", "/checks/trial", trial, timeout_s=None), list[CheckTrialView])

    def _get(self, path: str, expect: type[T], **params: str | int) -> T:
        return self._read(self._ask("GET", path, params=params), expect)

    def _post(self, path: str, body: BaseModel | None, expect: type[T]) -> T:
        return self._read(self._ask("POST", path, body), expect)

    def _ask(
        self,
        method: str,
        path: str,
        body: BaseModel | None = None,
        params: dict[str, Any] | None = None,
        timeout_s: float | None = TIMEOUT_S,
    ) -> httpx.Response:
        content = None if body is None else body.model_dump_json(exclude_none=True).encode()
        try:
            response = self._http.request(
                method,
                _BASE + path,
                content=content,
                params=params or None,
                headers={"content-type": "application/json"} if content is not None else None,
                timeout=timeout_s,
            )
        except httpx.TransportError as error:
            raise UnreachableError(str(self._socket_path)) from error
        if response.status_code >= _PROBLEM_FROM:
            raise _problem(response)
        return response

    def _read(self, response: httpx.Response, expect: type[T]) -> T:
        return TypeAdapter(expect).validate_json(response.content)


def _part(name: str) -> str:
    return quote(name, safe="")


def _problem(response: httpx.Response) -> ApiError:
    try:
        document = response.json()
        return ApiError(
            response.status_code,
            str(document["type"]).rpartition(":")[2],
            str(document["title"]),
            str(document["detail"]),
            {key: value for key, value in document.items() if key not in _OWN_MEMBERS},
        )
    except (ValueError, KeyError, TypeError):
        detail = f"twindiskd answered with HTTP status {response.status_code} and no explanation."
        return ApiError(response.status_code, "unknown", "Unknown problem", detail, {})

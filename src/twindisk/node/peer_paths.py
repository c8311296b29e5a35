"""How requests get to peers: over the path that worked last, or over another one while that is down.

Rules:

* Another path is tried only when no connection could be made: nothing was done then. What was sent once is never sent again.
* All paths to a peer share the time for connecting. Each has a short while first, so that one that is down delays a request little.
* A node with further paths keeps no connection for its next request. On one whose path has gone down since, the request would be
  lost, and nobody would know whether it was carried out.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping

import httpx

from twindisk.config import NodeConfig
from twindisk.errors import PeerError, PeerProblem

QUICK_S = 0.5
"""How long the first try on each of several paths may take. A network of one's own connects in a millisecond."""
_CONNECTIONS_MAX = 100
_KEPT_MAX = 20

_Path = tuple[str, str]
"""This node's address and the peer's."""


class PeerPaths:
    """Sends requests to peers' ControlPort, from the address that belongs to the path."""

    def __init__(self, config: NodeConfig) -> None:
        self._config = config
        self._http = {own: _client(config, own) for own in (config.recv_address or "", *config.further_addresses)}
        self._last: dict[str, _Path] = {}

    async def close(self) -> None:
        """Close all connections."""
        await asyncio.gather(*(http.aclose() for http in self._http.values()))

    async def request(
        self, peer: str, method: str, path: str, content: bytes, headers: Mapping[str, str]
    ) -> httpx.Response:
        """Ask a peer. Raises PeerError: UNREACHABLE when no path made a connection, BAD_ANSWER when one did but no answer came."""
        candidates = self._paths(peer)
        failed: dict[_Path, httpx.TransportError] = {}
        for limit_s in self._limits_s(len(candidates)):
            for candidate in candidates:
                try:
                    response = await self._send(candidate, limit_s, method, path, content, headers)
                except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                    failed[candidate] = error
                except httpx.HTTPError as error:
                    detail = str(error) or type(error).__name__
                    raise PeerError(PeerProblem.BAD_ANSWER, peer=peer, detail=detail) from error
                else:
                    self._last[peer] = candidate
                    return response
            # Who refused has answered; who was silent may have been slow.
            candidates = [candidate for candidate in candidates if isinstance(failed[candidate], httpx.ConnectTimeout)]
        raise PeerError(PeerProblem.UNREACHABLE, peer=peer, detail=_detail(failed))

    def _paths(self, peer: str) -> list[_Path]:
        """Return the paths to a peer: the one that worked last, the main one, the further ones."""
        main = (self._config.recv_address or "", peer)
        return list(dict.fromkeys((self._last.get(peer, main), main, *self._config.paths_to(peer))))

    def _limits_s(self, paths: int) -> tuple[float, ...]:
        """Return how long each of so many paths may take to connect, first and once more."""
        share_s = self._config.peer.connect_s / paths
        return (share_s,) if paths == 1 else (QUICK_S, share_s - QUICK_S)

    async def _send(
        self, over: _Path, limit_s: float, method: str, path: str, content: bytes, headers: Mapping[str, str]
    ) -> httpx.Response:
        own, theirs = over
        host = f"[{theirs}]" if ":" in theirs else theirs
        times = self._config.peer
        return await self._http[own].request(
            method,
            f"http://{host}:{self._config.control_port}{path}",
            content=content,
            headers=headers,
            timeout=httpx.Timeout(times.receive_s, connect=limit_s, write=times.send_s),
        )


def _client(config: NodeConfig, own: str) -> httpx.AsyncClient:
    """Return a client that connects from one of this node's addresses."""
    transport = httpx.AsyncHTTPTransport(
        local_address=own or None,
        limits=httpx.Limits(
            max_connections=_CONNECTIONS_MAX, max_keepalive_connections=0 if config.paths else _KEPT_MAX
        ),
        verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
    )
    return httpx.AsyncClient(transport=transport, trust_env=False)


def _detail(failed: Mapping[_Path, httpx.TransportError]) -> str:
    """Return why no connection could be made; by path, if there are several."""
    reasons = {f"{own} to {theirs}": str(error) or type(error).__name__ for (own, theirs), error in failed.items()}
    if len(reasons) == 1:
        return next(iter(reasons.values()))
    return "; ".join(f"{path}: {reason}" for path, reason in reasons.items())

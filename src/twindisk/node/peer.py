"""The REST client to a peer: signed requests in the name of our mirror address, signed answers checked.

Which path they take is :mod:`twindisk.node.peer_paths`' business; a node is known by its mirror address on all of them.

Every failure is a PeerError that names the peer: UNREACHABLE (nothing was done), UNAUTHORIZED (the secrets differ or the
clocks are far apart), REFUSED (with the peer's own problem and sentence), BAD_ANSWER (whether it was done is not known).
"""

from __future__ import annotations

import json
import time
from typing import TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ValidationError

from twindisk.api.peer_schemas import (
    PEER_PREFIX,
    AccessChange,
    CheckTold,
    GaveWay,
    GiveWay,
    Hashes,
    HashesAsk,
    Hello,
    MirrorEnd,
    MirrorOffer,
    Nothing,
    PeerVDisk,
    Suspects,
    SuspectsAsk,
    SwitchAnswer,
)
from twindisk.brain.effects import Refusal
from twindisk.config import NodeConfig
from twindisk.errors import PeerError, PeerProblem, RefusedError, RefusedProblem
from twindisk.node.peer_paths import PeerPaths
from twindisk.node.state import State
from twindisk.signing import ANSWER_HEADER, answer_is_genuine, new_nonce, sign_request

_UNAUTHORIZED = 401
_REFUSED_FROM = 400

Answer = TypeVar("Answer", bound=BaseModel)


class PeerClient:
    """Asks peers. Without mirror address or secret every call raises RefusedError(NO_RECV_ADDRESS)."""

    def __init__(self, config: NodeConfig, state: State) -> None:
        self._config = config
        self._state = state
        self._paths = PeerPaths(config)

    async def close(self) -> None:
        """Close all connections."""
        await self._paths.close()

    async def hello(self, peer: str) -> Hello:
        """Ask who the peer is."""
        return await self._ask(peer, "GET", "/hello", None, Hello)

    async def offer_mirror(self, peer: str, offer: MirrorOffer) -> None:
        """Have the peer make a blank copy."""
        await self._ask(peer, "POST", "/mirrors", offer, Nothing)

    async def end_mirror(self, peer: str, remote: str, end: MirrorEnd) -> None:
        """Have the peer end the mirror of its VDisk."""
        await self._ask(peer, "POST", f"/mirrors/{quote(remote, safe='')}/end", end, Nothing)

    async def vdisk(self, peer: str, remote: str) -> PeerVDisk:
        """Ask how the peer's copy stands."""
        return await self._ask(peer, "GET", f"/mirrors/{quote(remote, safe='')}", None, PeerVDisk)

    async def tell_check(self, peer: str, told: CheckTold) -> None:
        """Tell which of our mirror checks rules when we lose the peer; it knows it when this returns."""
        await self._ask(peer, "POST", "/check", told, Nothing)

    async def change_access(self, peer: str, remote: str, change: AccessChange) -> None:
        """Have the peer take an access mode and an admission for its VDisk."""
        await self._ask(peer, "POST", f"/mirrors/{quote(remote, safe='')}/access", change, Nothing)

    async def suspects(self, peer: str, remote: str, ask: SuspectsAsk) -> Suspects:
        """Ask in which chunks the peer's copy may differ from ours."""
        return await self._ask(peer, "POST", f"/mirrors/{quote(remote, safe='')}/suspects", ask, Suspects)

    async def hashes(self, peer: str, remote: str, ask: HashesAsk) -> Hashes:
        """Ask for hashes of chunks of the peer's copy."""
        return await self._ask(peer, "POST", f"/mirrors/{quote(remote, safe='')}/hashes", ask, Hashes)

    async def give_way(self, peer: str, remote: str, ask: GiveWay) -> GaveWay:
        """Have the peer set its copy of a split VDisk aside."""
        return await self._ask(peer, "POST", f"/mirrors/{quote(remote, safe='')}/give-way", ask, GaveWay)

    async def survive(self, peer: str, remote: str, ask: GiveWay) -> None:
        """Have the peer say that its copy of a split VDisk goes on."""
        await self._ask(peer, "POST", f"/mirrors/{quote(remote, safe='')}/survive", ask, Nothing)

    async def switch_to_slave(self, peer: str, vdisk: str) -> Refusal | None:
        """Have the peer's copy of our VDisk become Slave; return its refusal, None when it does."""
        mirror = self._state.mirror(vdisk)
        remote = vdisk if mirror is None else mirror.remote
        answer = await self._ask(peer, "POST", f"/mirrors/{quote(remote, safe='')}/switch", None, SwitchAnswer)
        return None if answer.refusal is None else Refusal(answer.refusal)

    async def _ask(self, peer: str, method: str, path: str, body: BaseModel | None, expect: type[Answer]) -> Answer:
        secret, sender = self._config.secret, self._config.recv_address
        if secret is None or sender is None:
            raise RefusedError(RefusedProblem.NO_RECV_ADDRESS, node=self._config.node_name)
        content = b"" if body is None else body.model_dump_json().encode()
        path = PEER_PREFIX + path
        stamp = sign_request(
            secret,
            sender=sender,
            time_s=int(time.time()),
            nonce=new_nonce(),
            method=method,
            path=path,
            body=content,
        )
        headers = {"content-type": "application/json", **stamp.headers()}
        response = await self._paths.request(peer, method, path, content, headers)
        if response.status_code == _UNAUTHORIZED:
            raise PeerError(PeerProblem.UNAUTHORIZED, peer=peer)
        signature = response.headers.get(ANSWER_HEADER, "")
        if not answer_is_genuine(
            secret, nonce=stamp.nonce, status=response.status_code, body=response.content, signature=signature
        ):
            raise PeerError(PeerProblem.BAD_ANSWER, peer=peer, detail="the answer is not signed with our secret")
        return _read_answer(peer, response, expect)


def _read_answer(peer: str, response: httpx.Response, expect: type[Answer]) -> Answer:
    if response.status_code >= _REFUSED_FROM:
        try:
            problem = json.loads(response.content)
            told = {"problem": str(problem["type"]), "detail": str(problem["detail"])}
        except (ValueError, KeyError, TypeError):
            told = {"problem": "unknown", "detail": f"HTTP status {response.status_code}"}
        raise PeerError(PeerProblem.REFUSED, peer=peer, told=told["problem"].rpartition(":")[2], detail=told["detail"])
    try:
        return expect.model_validate_json(response.content)
    except ValidationError as error:
        raise PeerError(PeerProblem.BAD_ANSWER, peer=peer, detail=f"{error.error_count()} wrong members") from error

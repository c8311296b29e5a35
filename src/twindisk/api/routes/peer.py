"""What the peer may ask. Every request here has passed the signature (``api.peer_auth``), which names its sender."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request

from twindisk.api import views
from twindisk.api.peer_schemas import (
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
from twindisk.api.routes.dependencies import RunningNode
from twindisk.node import checks, differing, mirror_accept, resolving

router = APIRouter(tags=["peer"])


def _sender(request: Request) -> str:
    sender = request.scope["twindisk.sender"]
    if not isinstance(sender, str):
        raise TypeError("the request did not pass the signature")
    return sender


Sender = Annotated[str, Depends(_sender)]


@router.get("/hello")
async def hello(node: RunningNode) -> Hello:
    """Say who this node is."""
    return Hello(
        node_id=node.node_id,
        node_name=node.config.node_name,
        version=views.version(),
        address=node.config.recv_address or "",
    )


@router.post("/check")
async def hear_check(node: RunningNode, sender: Sender, told: CheckTold) -> Nothing:
    """Hear by which mirror check the sender goes on without this node."""
    await checks.hear_peer(node, sender, told)
    return Nothing()


@router.post("/mirrors")
async def accept_mirror(node: RunningNode, sender: Sender, offer: MirrorOffer) -> Nothing:
    """Make a blank copy of the sender's VDisk."""
    async with node.change(for_peer=True):
        await mirror_accept.accept(node, sender, offer)
    return Nothing()


@router.get("/mirrors/{name}")
async def get_mirror(node: RunningNode, sender: Sender, name: str) -> PeerVDisk:
    """Say how our copy stands."""
    return mirror_accept.stands(node, sender, name)


@router.post("/mirrors/{name}/end")
async def end_mirror(node: RunningNode, sender: Sender, name: str, end: MirrorEnd) -> Nothing:
    """End the mirror of a VDisk."""
    async with node.change(for_peer=True):
        await mirror_accept.end(node, sender, name, end)
    return Nothing()


@router.post("/mirrors/{name}/access")
async def change_access(node: RunningNode, sender: Sender, name: str, change: AccessChange) -> Nothing:
    """Take the access mode and the admission of a VDisk that the other node was told."""
    async with node.change(for_peer=True):
        await mirror_accept.take_access(node, sender, name, change)
    return Nothing()


@router.post("/mirrors/{name}/switch")
async def switch(node: RunningNode, sender: Sender, name: str) -> SwitchAnswer:
    """Make our copy the Slave."""
    refusal = await mirror_accept.switch(node, sender, name)
    return SwitchAnswer(refusal=None if refusal is None else refusal.value)


@router.post("/mirrors/{name}/suspects")
async def tell_suspects(node: RunningNode, sender: Sender, name: str, ask: SuspectsAsk) -> Suspects:
    """Say in which chunks our copy may differ from the sender's."""
    return await differing.tell_suspects(node, sender, name, ask)


@router.post("/mirrors/{name}/hashes")
async def tell_hashes(node: RunningNode, sender: Sender, name: str, ask: HashesAsk) -> Hashes:
    """Say the hashes of chunks of our copy."""
    return await differing.tell_hashes(node, sender, name, ask)


@router.post("/mirrors/{name}/give-way")
async def give_way(node: RunningNode, sender: Sender, name: str, ask: GiveWay) -> GaveWay:
    """Set our copy of a split VDisk aside, for the sender's goes on."""
    async with node.change(for_peer=True):
        mirror_accept.mirrored_with(node, sender, name, ask.serial)
        resolved = await resolving.give_way(node, name)
    return GaveWay(lost=resolved.lost, node=resolved.node)


@router.post("/mirrors/{name}/survive")
async def survive(node: RunningNode, sender: Sender, name: str, ask: GiveWay) -> Nothing:
    """Say that our copy of a split VDisk goes on, for the sender's is to be set aside."""
    async with node.change(for_peer=True):
        resolving.survive(node, sender, name, ask)
    return Nothing()

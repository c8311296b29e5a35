"""Pools: named sets of disks. A pool with disks cannot be removed; a disk's VDisks keep the disk, and so the pool."""

from __future__ import annotations

from twindisk.errors import ConflictError, ConflictProblem, NotFoundError, NotFoundProblem
from twindisk.node.context import Node
from twindisk.node.names import check_name
from twindisk.node.records import Pool


def add(node: Node, name: str) -> Pool:
    """Add an empty pool. Raises InvalidError(NAME), ConflictError(POOL_EXISTS)."""
    check_name(name, "pool")
    if any(pool.name.lower() == name.lower() for pool in node.state.pools()):
        raise ConflictError(ConflictProblem.POOL_EXISTS, name=name, node=node.config.node_name)
    node.state.add_pool(name)
    node.log.info("pool added", pool=name)
    return Pool(name)


def remove(node: Node, name: str) -> Pool:
    """Remove a pool without disks. Raises NotFoundError(POOL), ConflictError(POOL_IN_USE)."""
    pool = find(node, name)
    disks = node.state.disks(name)
    if disks:
        raise ConflictError(ConflictProblem.POOL_IN_USE, name=name, disks=len(disks), node=node.config.node_name)
    node.state.remove_pool(name)
    node.log.info("pool removed", pool=name)
    return pool


def find(node: Node, name: str) -> Pool:
    """Return a pool. Raises NotFoundError(POOL)."""
    if not node.state.has_pool(name):
        raise NotFoundError(NotFoundProblem.POOL, name=name, node=node.config.node_name)
    return Pool(name)


def default(node: Node, name: str | None, *, make: bool = False) -> str:
    """Return the pool a request means: the one it names, or the node's default pool, made when ``make`` says so."""
    if name:
        return find(node, name).name
    if make and not node.state.has_pool(node.config.default_pool):
        add(node, node.config.default_pool)
    return find(node, node.config.default_pool).name

"""The mirror core and the links that the simulated nodes run: the product's, or a library of the same make with bugs planted in it."""

import importlib.util
import os
from functools import cache
from importlib.machinery import ExtensionFileLoader
from typing import Any, Final

from twindisk import _native as product
from twindisk._native import SimBundle, SimNode

LIBRARY: Final = "TWINDISK_PLANTED_CORE"
"""Environment variable: the path of a library to take the core from; unset: the product's own."""


@cache
def _native() -> Any:
    path = os.environ.get(LIBRARY)
    if not path:
        return product
    loader = ExtensionFileLoader("_native", path)
    spec = importlib.util.spec_from_loader("_native", loader)
    if spec is None:
        raise ImportError(f"{path} is no native module")
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def sim_node() -> type[SimNode]:
    """Return the class of the cores of this process's runs."""
    node: type[SimNode] = _native().SimNode
    return node


def sim_bundle() -> type[SimBundle]:
    """Return the class of their links' ends."""
    bundle: type[SimBundle] = _native().SimBundle
    return bundle

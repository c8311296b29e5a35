"""Twindisk: one disk that lives on two servers, offered over iSCSI by both."""

from importlib.metadata import version
from typing import Final

__version__: Final = version("twindisk")

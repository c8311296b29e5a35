"""The MIB modules that receivers of notifications need, as files.

``base`` holds stand-ins for the modules of the IETF that ours build on, with only what ours need of them: some
distributions ship net-snmp without the IETF's files. Never install them beside the real ones.
"""

from pathlib import Path
from typing import Final

_HERE: Final = Path(__file__).parent

MODULES: Final = (_HERE / "QUADSTOR-REG.mib", _HERE / "QUADSTOR.mib")
BASE_MODULES: Final = tuple(
    _HERE / "base" / f"{name}.txt"
    for name in ("SNMPv2-SMI", "SNMPv2-TC", "SNMPv2-CONF", "SNMPv2-MIB", "DISMAN-EVENT-MIB")
)

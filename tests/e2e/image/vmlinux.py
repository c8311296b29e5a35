"""The ELF kernel inside a compressed kernel image, for QEMU's direct boot (PVH): emulation need not decompress it.

The header's fields are those of the x86 boot protocol (Linux Documentation/arch/x86/boot.rst): at 0x1f1 the number of 512-byte
setup sectors, at 0x248 the payload's offset behind them, at 0x24c its length; both little-endian, in bytes.
"""

import lzma
import struct
import subprocess
import zlib
from pathlib import Path

_ELF = b"\x7fELF"
_ZLIB_WITH_GZIP_HEADER = 31


def extract(image: Path) -> bytes:
    """Return the uncompressed kernel of a bzImage."""
    data = image.read_bytes()
    setup_sectors = data[0x1F1] or 4
    offset, length = struct.unpack_from("<II", data, 0x248)
    start = (setup_sectors + 1) * 512 + offset
    kernel = _decompressed(data[start : start + length])
    if not kernel.startswith(_ELF):
        message = f"{image}: no ELF kernel inside"
        raise ValueError(message)
    return kernel


def _decompressed(payload: bytes) -> bytes:
    if payload.startswith(b"\xfd7zXZ\0"):
        return lzma.LZMADecompressor().decompress(payload)
    if payload.startswith(b"\x1f\x8b"):
        return zlib.decompressobj(_ZLIB_WITH_GZIP_HEADER).decompress(payload)
    for magic, tool in ((b"\x28\xb5\x2f\xfd", "zstd"), (b"\x02\x21\x4c\x18", "lz4")):
        if payload.startswith(magic):
            # The last four bytes are the length of what comes out, not the compressor's.
            return subprocess.run([tool, "-dcq"], input=payload[:-4], capture_output=True, check=True).stdout
    return payload

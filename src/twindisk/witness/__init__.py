"""The I/O of the mirror check ``witness``: three kinds of store that write a key only if nobody has (docs/formats/witness.md).

What is written, and what it means, is decided in :mod:`twindisk.brain.witness`.
"""

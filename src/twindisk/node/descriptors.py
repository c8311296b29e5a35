"""Open files: a copy keeps one descriptor for each GiB that it has allocated (docs/formats/vdisk-segments.md)."""

import resource


def raise_descriptor_limit() -> int:
    """Let this process open as many files as the system allows it at all; return that number."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard

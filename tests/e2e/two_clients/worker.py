"""Run in a guest: ``worker.py NAME DIRECTORY STOP_FILE`` shares a directory with another guest's worker until STOP_FILE is there.

Again and again it takes the cluster-wide lock, draws the next number from the shared counter and adds a line to the shared list.
Every eighth time it also writes, without a lock, a file of its own with random content. It prints a line for each step; its
standard library is Debian's python3-minimal.

No O_APPEND: OCFS2 (Linux 6.1) looks for the file's end before it asks the other machine for it, on any shared disk: two machines
overwrite each other's lines. ``fstat`` does ask.

* ``drew NUMBER SECONDS``: a number is its own; at this time by the guest's monotonic clock
* ``wrote FILE SHA256``: a file is on the disk with this content
"""

import fcntl
import hashlib
import os
import sys
import time

COUNTER_BYTES = 20
FILE_BYTES = 192 << 10
FILE_EVERY = 8


def draw(counter: int, shared_list: int, name: str) -> int:
    """Return the next number and note it in the list; the counter is on the disk before the lock is let go."""
    fcntl.flock(counter, fcntl.LOCK_EX)
    try:
        number = int(os.pread(counter, COUNTER_BYTES, 0) or b"0") + 1
        os.pwrite(counter, b"%0*d" % (COUNTER_BYTES, number), 0)
        os.pwrite(shared_list, f"{name} {number}\n".encode(), os.fstat(shared_list).st_size)
        os.fsync(counter)
    finally:
        fcntl.flock(counter, fcntl.LOCK_UN)
    return number


def write_file(path: str) -> str:
    """Write a file of random content and return its SHA-256."""
    content = os.urandom(FILE_BYTES)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    if os.write(descriptor, content) != len(content):
        raise OSError(f"short write to {path}")
    os.fsync(descriptor)
    os.close(descriptor)
    return hashlib.sha256(content).hexdigest()


def main(name: str, directory: str, stop_file: str) -> None:
    """Work until told to stop."""
    counter = os.open(f"{directory}/counter", os.O_RDWR | os.O_CREAT, 0o644)
    shared_list = os.open(f"{directory}/list", os.O_WRONLY | os.O_CREAT, 0o644)
    steps = 0
    while not os.access(stop_file, os.F_OK):
        number = draw(counter, shared_list, name)
        print(f"drew {number} {time.monotonic():.3f}", flush=True)
        if steps % FILE_EVERY == 0:
            path = f"{directory}/{name}-{number}"
            print(f"wrote {path} {write_file(path)}", flush=True)
        steps += 1


if __name__ == "__main__":
    main(*sys.argv[1:])

"""A daemon may open as many files as its copies have segments."""

import resource
import subprocess
import sys


def test_the_soft_limit_becomes_the_hard_one() -> None:
    program = (
        "import resource\n"
        "from twindisk.node.descriptors import raise_descriptor_limit\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 4096))\n"
        "print(raise_descriptor_limit(), *resource.getrlimit(resource.RLIMIT_NOFILE))\n"
    )
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert hard >= 4096
    printed = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert printed.split() == ["4096", "4096", "4096"]

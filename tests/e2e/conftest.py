"""The end-to-end lab as fixtures. Everything here needs root: namespaces, loop devices, another root."""

import os
from collections.abc import Iterator

import pytest

from e2e.image.guest import GuestImage
from e2e.image.node import NodeRoot, our_packages
from e2e.lab.lab import Lab, build_images, running_lab


@pytest.fixture(scope="session")
def images() -> tuple[GuestImage, NodeRoot]:
    """What the machines boot from; what is missing is built."""
    if os.geteuid() != 0:
        pytest.fail("the end-to-end tests make network namespaces and machines: run them as root")
    if not our_packages():
        pytest.fail("dist/ holds no package to install on the machines: run `make deb`")
    return build_images()


@pytest.fixture(scope="module")
def lab(images: tuple[GuestImage, NodeRoot], request: pytest.FixtureRequest) -> Iterator[Lab]:
    """A lab of its own for each module; when one of its tests failed, the daemons' last words are shown."""
    failed_before = request.session.testsfailed
    with running_lab(images) as lab:
        yield lab
        if request.session.testsfailed > failed_before:
            for machine in (lab.vm10, lab.vm11):
                print(f"--- last words of {machine.name}\n{machine.log()[-4000:]}")

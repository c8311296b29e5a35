"""The Python environment that the package brings, below ``/usr/lib/twindisk``.

Debian's own FastAPI and pydantic are too old, so the dependencies come from PyPI: just those of ``requirements.lock``, by
their hashes. It is a virtual environment of the system's Python, made by hand because ``venv`` would write the staging
directory into it. A command is a small script run by that environment's Python, isolated (``-I``) from whatever the caller's
environment says about Python.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from tree import FILE_MODE, PROGRAM_MODE, Tree

HOME = "/usr/lib/twindisk"
SYSTEM_PYTHON = "/usr/bin/python3"
_COMMAND = """\
#!{home}/bin/python3 -I
import sys

from {module} import {function}

sys.exit({function}())
"""


def system_python() -> tuple[int, int]:
    """Return the version of the system's Python, for which the package is made: major, minor."""
    told = subprocess.run(
        [SYSTEM_PYTHON, "-c", "import sys; print(*sys.version_info[:2])"], capture_output=True, text=True, check=True
    )
    major, minor = told.stdout.split()
    return int(major), int(minor)


def build(tree: Tree, wheel: Path, lock: Path, commands: dict[str, str], machine: str) -> None:
    """Lay out the environment with the dependencies and our own wheel.

    ``commands``: ``module:function`` by the command's name. ``machine``: the processor as wheels call it, such as x86_64.
    """
    major, minor = system_python()
    tree.write(f"{HOME}/pyvenv.cfg", "home = /usr/bin\ninclude-system-site-packages = false\n")
    tree.link(f"{HOME}/bin/python3", f"../../../bin/python{major}.{minor}")
    packages = tree.at(f"{HOME}/lib/python{major}.{minor}/site-packages")
    _install_dependencies(packages, lock, f"{major}.{minor}", machine)
    with zipfile.ZipFile(wheel) as archive:
        # Its list of crates names folders of the machine that built it.
        archive.extractall(packages, [name for name in archive.namelist() if "/sboms/" not in name])
    for file in packages.rglob("*"):
        if file.is_file():
            file.chmod(FILE_MODE)
    for name, entry in commands.items():
        module, _, function = entry.partition(":")
        text = _COMMAND.format(home=HOME, module=module, function=function)
        tree.write(f"{HOME}/bin/{name}", text, PROGRAM_MODE)
        tree.link(f"/usr/bin/{name}", f"../lib/twindisk/bin/{name}")
    for library in native_modules(tree):
        subprocess.run(["strip", "--strip-unneeded", str(library)], check=True)
    _check(packages, f"{major}.{minor}")


def native_modules(tree: Tree) -> list[Path]:
    """Return the environment's shared libraries."""
    return sorted(tree.root.rglob("*.so"))


def licences(tree: Tree) -> list[tuple[str, str, str]]:
    """Return name, version and licence of every bundled Python package but ours."""
    found = []
    for metadata in sorted(tree.root.rglob("*.dist-info/METADATA")):
        fields: dict[str, str] = {}
        for line in metadata.read_text("utf-8").split("\n\n", 1)[0].splitlines():
            key, colon, value = line.partition(": ")
            if colon and key == "Classifier" and value.startswith("License :: "):
                fields.setdefault("classified", value.rsplit(" :: ", 1)[1])
            elif colon:
                fields.setdefault(key, value)
        licence = (
            fields.get("License-Expression") or fields.get("classified") or fields.get("License") or "see its file"
        )
        if fields["Name"] != "twindisk":
            found.append((fields["Name"], fields["Version"], licence))
    return found


def _install_dependencies(packages: Path, lock: Path, version: str, machine: str) -> None:
    platforms = [*(f"manylinux_2_{minor}_{machine}" for minor in (34, 28, 24, 17)), f"manylinux2014_{machine}"]
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-compile",
        "--no-deps",
    ]
    chosen = ["--only-binary=:all:", "--require-hashes", f"--python-version={version}", "--implementation=cp"]
    places = [*(f"--platform={platform}" for platform in platforms), f"--target={packages}", f"--requirement={lock}"]
    subprocess.run([*pip, *chosen, *places], check=True)
    shutil.rmtree(packages / "bin", ignore_errors=True)


def _check(packages: Path, version: str) -> None:
    """End with a sentence unless everything that a package in here requires is in here, in a version that will do."""
    found = {canonicalize_name(one.metadata["Name"]): one for one in distributions(path=[str(packages)])}
    wrong = []
    for one in found.values():
        for requirement in map(Requirement, one.requires or []):
            if requirement.marker and not requirement.marker.evaluate({"extra": "", "python_version": version}):
                continue
            there = found.get(canonicalize_name(requirement.name))
            if there is None or there.version not in requirement.specifier:
                wrong.append(f"{one.metadata['Name']} needs {requirement}, the lock file has {there and there.version}")
    if wrong:
        sys.exit("make deb: " + "; ".join(wrong) + ". Write the lock file anew: packaging/lock.sh")

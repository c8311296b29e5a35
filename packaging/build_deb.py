"""Build the Debian packages: ``python packaging/build_deb.py --wheel <twindisk wheel> --out dist``.

Two packages come out. ``twindisk`` holds the daemon, the commands and their Python environment; ``twindisk-quadstor-paths``
links the described product's paths to them. No root is needed, and one wheel gives the same bytes each time
(``SOURCE_DATE_EPOCH``, or the commit's own time).
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import tempfile
import tomllib
from pathlib import Path

import control
import environment
from tree import Tree

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
MAIN = "twindisk"
PATHS = "twindisk-quadstor-paths"
NOT_OF_THE_PRODUCT = {"twindisk", "twindiskd"}


def main() -> None:
    """Build both packages."""
    parser = argparse.ArgumentParser(description="Build the Debian packages.")
    parser.add_argument("--wheel", type=Path, required=True, help="twindisk's wheel")
    parser.add_argument("--out", type=Path, required=True, help="where the packages go")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    commands = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    with tempfile.TemporaryDirectory(prefix="twindisk-deb-") as place:
        main_tree, paths_tree = Tree(Path(place) / MAIN), Tree(Path(place) / PATHS)
        lay_out_main(main_tree, options.wheel, commands)
        lay_out_paths(paths_tree, sorted(set(commands) - NOT_OF_THE_PRODUCT))
        pack(main_tree, control.main_package(main_tree), options.out)
        pack(paths_tree, control.paths_package(), options.out)


def lay_out_main(tree: Tree, wheel: Path, commands: dict[str, str]) -> None:
    """Lay out the package with the daemon and the commands."""
    environment.build(tree, wheel, HERE / "requirements.lock", commands, control.machine())
    for name in ("ndrecv.conf", "quadstor.conf"):
        tree.write(f"/etc/twindisk/{name}", (HERE / "etc" / name).read_text())
    tree.folder("/var/lib/twindisk", 0o700)
    tree.write("/lib/systemd/system/twindiskd.service", (HERE / "twindiskd.service").read_text())
    manual(tree)
    documents(tree, MAIN)
    bundled = [*environment.licences(tree), *control.crates()]
    lines = (f"{name} {version}: {licence}\n" for name, version, licence in bundled)
    tree.write(f"/usr/share/doc/{MAIN}/bundled-software", "".join(lines))


def lay_out_paths(tree: Tree, commands: list[str]) -> None:
    """Lay out the package with the described product's paths."""
    for name in commands:
        tree.link(f"/quadstor/bin/{name}", f"/usr/bin/{name}")
    tree.link("/quadstor/etc", "/etc/twindisk")
    documents(tree, PATHS)


def manual(tree: Tree) -> None:
    """Add the manual pages, made by the system's Python from the packaged commands."""
    (packages,) = tree.at(f"{environment.HOME}/lib").glob("*/site-packages")
    with tempfile.TemporaryDirectory(prefix="twindisk-man-") as place:
        subprocess.run(
            [environment.SYSTEM_PYTHON, "-B", str(HERE / "manual.py"), place],
            env={**os.environ, "PYTHONPATH": str(packages), "SOURCE_DATE_EPOCH": str(commit_time_s())},
            check=True,
        )
        for page in sorted(Path(place).iterdir()):
            tree.compressed(f"/usr/share/man/man{page.suffix[1:]}/{page.name}", page.read_text("utf-8"))


def documents(tree: Tree, package: str) -> None:
    """Add what every package has below ``/usr/share/doc``."""
    tree.write(f"/usr/share/doc/{package}/copyright", (HERE / "copyright").read_text())
    tree.compressed(f"/usr/share/doc/{package}/changelog", control.changelog(ROOT / "CHANGELOG.md", commit_time_s()))
    overrides = HERE / f"{package}.lintian-overrides"
    if overrides.exists():
        tree.write(f"/usr/share/lintian/overrides/{package}", overrides.read_text())


def pack(tree: Tree, fields: dict[str, str], out: Path) -> None:
    """Write the package of a laid-out tree."""
    fields = {**fields, "Installed-Size": str(tree.size_kib())}
    files = sorted(path for path in tree.root.rglob("*") if path.is_file() and not path.is_symlink())
    sums = "".join(
        f"{hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()}  {path.relative_to(tree.root)}\n"
        for path in files
    )
    tree.write("/DEBIAN/control", "".join(f"{key}: {value}\n" for key, value in fields.items()))
    tree.write("/DEBIAN/md5sums", sums)
    settings = sorted(f"/{path.relative_to(tree.root)}\n" for path in files if path.is_relative_to(tree.root / "etc"))
    if settings:
        tree.write("/DEBIAN/conffiles", "".join(settings))
    if fields["Package"] == MAIN:
        for script in ("postinst", "prerm", "postrm"):
            tree.write(f"/DEBIAN/{script}", (HERE / "scripts" / script).read_text(), 0o755)
    tree.settle(commit_time_s(), frozenset({"/var/lib/twindisk"}))
    name = f"{fields['Package']}_{fields['Version']}_{fields['Architecture']}.deb"
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-Zxz", "--build", str(tree.root), str(out / name)],
        env={**os.environ, "SOURCE_DATE_EPOCH": str(commit_time_s())},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    print(out / name)  # noqa: T201 - what was made


def commit_time_s() -> int:
    """Return the time stamp of everything in the packages, in seconds since 1970."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given:
        return int(given)
    told = subprocess.run(
        ["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
    return int(told or 0)


if __name__ == "__main__":
    main()

"""Print the Python requirements of pyproject.toml, one a line: the package's own and those of development."""

import sys
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).parent.parent / "pyproject.toml"


def requirements(pyproject: Path) -> list[str]:
    """Return the requirements that a development environment needs, as pip takes them."""
    project = tomllib.loads(pyproject.read_text())["project"]
    return [*project["dependencies"], *project["optional-dependencies"]["dev"]]


if __name__ == "__main__":
    sys.stdout.write("\n".join(requirements(PYPROJECT)) + "\n")

"""The shape of the code: short files, short functions, telling names, nothing left to do."""

import ast
import re
from pathlib import Path

from tidy.project import files, text

FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 70
CODE = (".py", ".pyi", ".rs", ".sh")
FORBIDDEN_NAMES = {"util", "utils", "helper", "helpers", "manager", "managers", "common", "misc", "stuff"}
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK|todo!|unimplemented!|dbg!)(?![\w-])")


def words(name: str) -> set[str]:
    """Split ``snake_case`` and ``CamelCase`` into lower-case words."""
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    tree = ast.parse(text(path))
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def test_no_file_of_code_is_longer_than_500_lines() -> None:
    too_long = {str(path): lines for path in files(*CODE) if (lines := len(text(path).splitlines())) > FILE_LINES_MAX}
    assert too_long == {}


def test_no_function_is_longer_than_70_lines() -> None:
    too_long = {
        f"{path}:{function.lineno} {function.name}": lines
        for path in files(".py")
        for function in functions(path)
        if (lines := (function.end_lineno or 0) - function.lineno + 1) > FUNCTION_LINES_MAX
    }
    assert too_long == {}


def test_names_say_what_a_thing_is() -> None:
    vague = [str(path) for path in files(*CODE) if any(words(part) & FORBIDDEN_NAMES for part in path.parts)]
    for path in files(".py"):
        classes = [node.name for node in ast.walk(ast.parse(text(path))) if isinstance(node, ast.ClassDef)]
        vague += [f"{path}: {name}" for name in classes if words(name) & FORBIDDEN_NAMES]
    for path in files(".rs"):
        types = re.findall(r"\b(?:struct|enum|trait|mod)\s+(\w+)", text(path))
        vague += [f"{path}: {name}" for name in types if words(name) & FORBIDDEN_NAMES]
    assert vague == []


def test_nothing_is_left_to_do() -> None:
    here = Path(__file__).name
    left = [
        f"{path}:{number}"
        for path in files(*CODE, ".toml", ".md")
        if path.name != here
        for number, line in enumerate(text(path).splitlines(), 1)
        if UNFINISHED.search(line)
    ]
    assert left == []


def test_every_module_opens_with_what_it_is_for() -> None:
    silent = [
        str(path) for path in files(".py") if path.parts[0] == "src" and not ast.get_docstring(ast.parse(text(path)))
    ]
    silent += [str(path) for path in files(".rs") if "src" in path.parts and not text(path).startswith("//!")]
    assert silent == []


def test_no_file_names_a_place_of_one_machine() -> None:
    # Built from parts, so that this file passes its own test.
    places = re.compile(
        "|".join(["/ro" + "ot/", "/ho" + r"me/\w", "/wo" + "rk/", "artifac" + "tory", "crates" + r"\.io/api"])
    )
    naming = [
        f"{path}:{number}"
        for path in files(*CODE, ".toml", ".md", ".lock", "")
        for number, line in enumerate(text(path).splitlines(), 1)
        if places.search(line)
    ]
    assert naming == []

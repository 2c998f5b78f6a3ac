"""The house stands as docs/map.md draws it: rooms exist, imports point one way, nothing is too long."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAP = (ROOT / "docs" / "map.md").read_text()

FILE_LINES = 500
FUNCTION_LINES = 60
# What a simulator may know of the product: how time, names and chance are handed in.
LENT_TO_SIMULATORS = {"atalaia", "atalaia.clock", "atalaia.ids", "atalaia.ambient"}

# What fails a test without the word assert: pytest's own, and what the browser tests expect of a page.
ASSERTING = frozenset({"raises", "warns", "fail", "expect"})


def read_order() -> dict[str, int]:
    """Read the map's order line: from the name of a room to its height, 0 at the bottom."""
    found = re.search(r"Imports point one way:(.+?)\.\n", MAP, re.DOTALL)
    assert found, "docs/map.md has no line 'Imports point one way: `…` ← `…`.'"
    return {
        name: height
        for height, names in enumerate(found[1].split("←"))
        for name in " ".join(re.findall(r"`([^`]+)`", names)).split()
    }


def read_rooms() -> list[str]:
    """Read every path that the map's table names, relative to the checkout."""
    paths: list[str] = []
    for row in re.findall(r"^\| (`.+?) \| (.+) \|$", MAP, re.MULTILINE):
        first, *others = re.findall(r"`([^`]+)`", row[0])
        folder = first if first.endswith("/") else first.rpartition("/")[0] + "/"
        paths += [first, *(folder + name for name in others)]
        for name in re.findall(r"`([\w./]+(?:\.py|/))`", row[1]):
            for one in name.split():
                paths.append(one if one.startswith("atalaia/") else folder + one)
        for names in re.findall(r"`([\w./]+(?: [\w./]+)+)`", row[1]):
            paths += [folder + one for one in names.split()]
    return sorted(set(paths))


ORDER = read_order()


def python_files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


@cache
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Answer every imported module with its line, also those inside functions; `from a import b` is `a.b`."""
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def room(module: str) -> str:
    """Answer the room of `atalaia.events.log`: `events`."""
    return module.split(".")[1] if "." in module else ""


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def crossings() -> Iterator[tuple[str, str, str]]:
    """Answer (place, from room, to room) for each import from one room of the product into another."""
    for path in python_files("atalaia"):
        here = room(module_of(path))
        for line, target in imports(path):
            there = room(target) if target.startswith("atalaia.") else ""
            if here and there and here != there and not there.startswith("__"):
                yield f"{path.relative_to(ROOT)}:{line}", here, there


def test_every_room_is_in_the_order():
    rooms = {path.stem for path in (ROOT / "atalaia").iterdir() if path.suffix in ("", ".py")}
    unknown = {name for name in rooms if not name.startswith("__")} - set(ORDER)
    assert not unknown, f"docs/map.md's order line does not say where {sorted(unknown)} stand"


def test_imports_point_one_way():
    wrong = [
        f"{place}: {here} imports {there}"
        for place, here, there in crossings()
        if here in ORDER and there in ORDER and ORDER[there] > ORDER[here]
    ]
    assert not wrong, "\n".join(wrong)


def test_rooms_side_by_side_do_not_import_each_other_in_a_circle():
    beside: dict[tuple[str, str], str] = {
        (here, there): place for place, here, there in crossings() if ORDER.get(here) == ORDER.get(there)
    }
    circles = [
        f"{place}, {beside[there, here]}"
        for (here, there), place in beside.items()
        if (there, here) in beside
    ]
    assert not circles, "\n".join(circles)


def test_connectors_do_not_know_each_other():
    wrong: list[str] = []
    for path in python_files("atalaia/connectors"):
        here = path.relative_to(ROOT / "atalaia" / "connectors").parts
        for line, target in imports(path):
            there = target.split(".")[2:3] if target.startswith("atalaia.connectors.") else []
            folder = ROOT / "atalaia" / "connectors" / (there[0] if there else "-")
            if len(here) > 1 and folder.is_dir() and there != [here[0]]:
                wrong.append(f"{path.relative_to(ROOT)}:{line}: imports {target}")
    assert not wrong, "\n".join(wrong)


def test_only_the_demo_knows_the_simulators():
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: imports {target}"
        for path in python_files("atalaia")
        for line, target in imports(path)
        if target.split(".")[0] == "simulators" and "atalaia/cli/demo/" not in str(path)
    ]
    assert not wrong, "\n".join(wrong)


def test_simulators_know_nothing_of_the_product_but_time_and_chance():
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: imports {target}"
        for path in python_files("simulators")
        for line, target in imports(path)
        if target.split(".")[0] == "atalaia" and ".".join(target.split(".")[:2]) not in LENT_TO_SIMULATORS
    ]
    assert not wrong, "\n".join(wrong)


def test_the_product_and_the_simulators_do_not_import_tests():
    wrong = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in python_files("atalaia", "simulators")
        for line, target in imports(path)
        if target.split(".")[0] == "tests"
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("path", read_rooms())
def test_what_the_map_names_exists(path: str):
    assert (ROOT / path).exists(), f"docs/map.md names {path}, which is not there"


def test_files_and_functions_are_short():
    long: list[str] = []
    for path in python_files("atalaia", "simulators", "tests", "bin", "tools"):
        name = path.relative_to(ROOT)
        if "migrations/versions" in str(name):
            continue  # a record of what was done, which nobody edits any more
        lines = len(path.read_text().splitlines())
        if lines >= FILE_LINES:
            long.append(f"{name}: {lines} lines, at most {FILE_LINES - 1}")
        for node in ast.walk(parse(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > FUNCTION_LINES:
                    long.append(
                        f"{name}:{node.lineno}: {node.name} has {length} lines, at most {FUNCTION_LINES}"
                    )
    assert not long, "\n".join(long)


def claims(helpers: frozenset[str], node: ast.AST) -> bool:
    """Answer whether something in here can fail by itself: an assertion, or a helper that makes one."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.Assert):
            return True
        if isinstance(inner, ast.Call):
            name = inner.func.attr if isinstance(inner.func, ast.Attribute) else getattr(inner.func, "id", "")
            if name in ASSERTING | helpers:
                return True
    return False


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    yield from (
        node for node in ast.walk(parse(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )


def test_every_test_asserts_what_it_claims():
    paths = python_files("tests")
    checks = [one for path in paths for one in functions(path) if one.name.lstrip("_").startswith("check")]
    # A helper counts by its name only when it is one of the tests' own and itself asserts something.
    helpers: frozenset[str] = frozenset()
    while (more := frozenset(one.name for one in checks if claims(helpers, one))) != helpers:
        helpers = more
    silent = [
        f"{path.relative_to(ROOT)}:{one.lineno}: {one.name}"
        for path in paths
        for one in functions(path)
        if one.name.startswith("test_") and not claims(helpers, one)
    ]
    assert not silent, "\n".join(silent)

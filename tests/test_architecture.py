"""The import directions and the purity of the core, read off the syntax trees."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ALLOWED = {
    "simulation": {"simulation"},
    "experiments": {"simulation", "experiments"},
    "server": {"simulation", "experiments", "server"},
}
PURE_MODULES = {
    "__future__", "collections", "dataclasses", "datetime", "difflib", "enum", "functools", "hashlib", "itertools",
    "json", "math", "operator", "orjson", "random", "re", "string", "types", "typing", "unicodedata",
}  # fmt: skip
"""What the pure core may import beside itself. Everything else (time, os, asyncio, logging, ...) is the shell's."""
SHELL = ("simulation/runtime/", "simulation/llm/")
MODULE_RANDOMNESS = {"random", "choice", "choices", "randint", "shuffle", "sample", "seed", "gauss", "uniform"}


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield node.module or ""


@pytest.mark.parametrize("package", ALLOWED)
def test_imports_run_one_way(package):
    for path in sources(package):
        for name in imports(path):
            top = name.partition(".")[0]
            assert top not in ALLOWED or top in ALLOWED[package], f"{path} imports {name}"
            assert top not in ("tests", "config", "logs", "benchmarks"), f"{path} imports {name}"


def pure() -> list[Path]:
    return [path for path in sources("simulation") if not path.relative_to(ROOT).as_posix().startswith(SHELL)]


@pytest.mark.parametrize("path", pure(), ids=lambda path: path.name)
def test_the_core_is_pure(path):
    for name in imports(path):
        top = name.partition(".")[0]
        assert top in PURE_MODULES or top == "simulation", f"{path} imports {name}"
        assert not name.startswith(("simulation.runtime", "simulation.llm")), f"{path} imports {name}"
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in ("open", "print", "input", "exec", "eval"), f"{path}:{node.lineno}"
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            asks_the_time = node.value.id in ("datetime", "date") and node.attr in ("now", "utcnow", "today")
            assert not asks_the_time, f"{path}:{node.lineno}"
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "random":
            assert _is_a_parameter(path, node) or node.attr not in MODULE_RANDOMNESS, f"{path}:{node.lineno}"


def _is_a_parameter(path: Path, use: ast.Attribute) -> bool:
    """A generator handed in or made from the seed may be called `random`; the module may not be imported as that."""
    return "import random" not in path.read_text(encoding="utf-8")


def test_the_pure_part_is_not_empty():
    assert {"room.py", "state.py", "pacing.py", "casting.py", "codec.py"} <= {path.name for path in pure()}


def test_nothing_but_apply_writes_to_a_state():
    """Assignments to attributes of a state stand in state.py alone."""
    for path in pure():
        if path.name == "state.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            targets = node.targets if isinstance(node, ast.Assign) else []
            for target in targets:
                assert not (isinstance(target, ast.Attribute) and _names_state(target.value)), f"{path}:{node.lineno}"


def _names_state(node: ast.expr) -> bool:
    is_name = isinstance(node, ast.Name) and node.id == "state"
    return is_name or (isinstance(node, ast.Attribute) and node.attr == "state")


def test_broad_excepts_stand_at_the_named_task_boundaries_alone():
    found = []
    for package in ALLOWED:
        for path in sources(package):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ExceptHandler) and (
                    node.type is None
                    or (isinstance(node.type, ast.Name) and node.type.id in ("Exception", "BaseException"))
                ):
                    line = path.read_text(encoding="utf-8").splitlines()[node.lineno - 1]
                    assert "task boundary" in line, f"{path}:{node.lineno}"
                    found.append(path.relative_to(ROOT).as_posix())
    assert set(found) <= {
        "simulation/runtime/session.py",
        "server/hub.py",
        "server/websocket.py",
        "server/workforce/desk.py",
    }


def test_the_page_never_takes_text_for_markup():
    for path in (ROOT / "server" / "static").rglob("*.js"):
        text = path.read_text(encoding="utf-8")
        for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
            assert word not in text, f"{path} uses {word}"

"""The tests themselves: what they may see and change of the package, and that every promise has one."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parent


MAY_REACH_IN = re.compile(
    r"(?<!\bself)(?<!\bcls)(?<!\bos)\._[a-zA-Z]|\.(self|cls|os)\._[a-zA-Z]"
    r"|(^\s|\bimport\b)[\w\s,(]*(?<!\w)_[a-zA-Z]\w*[\w\s,]*(#|$)"
    r"|\b(setattr|delattr|patch|object)\(",
    re.MULTILINE,
)
"""What a test has in its text that reaches in; of the others this is said without taking them apart."""


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def reaching_in(path: Path) -> Iterator[tuple[int, str]]:
    """Line and text of what a test takes from the inside of others, or replaces of ours."""
    text = path.read_text("utf-8")
    if not MAY_REACH_IN.search(text):
        return
    ours, nodes = {"daemon"}, list(ast.walk(ast.parse(text, str(path))))
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in ("daemon", "tests"):
            yield from ((node.lineno, alias.name) for alias in node.names if is_private(alias.name))
            if (node.module or "").startswith("daemon"):
                ours |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            ours |= {alias.asname for alias in node.names if alias.asname and alias.name.startswith("daemon")}
    for node in nodes:
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            # Private names of `os`, as os._exit, are documented ones.
            if not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls", "os")):
                yield node.lineno, ast.unparse(node)
        elif isinstance(node, ast.Call) and node.args and replaces(node.func):
            target = node.args[0]
            while isinstance(target, ast.Attribute):
                target = target.value
            name = target.id if isinstance(target, ast.Name) else ""
            named = str(target.value) if isinstance(target, ast.Constant) else ""
            if name in ours or named.startswith("daemon."):
                yield node.lineno, ast.unparse(node)


def replaces(function: ast.expr) -> bool:
    """Whether a function puts something else in the place of an attribute."""
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    return name in ("setattr", "delattr", "patch", "object")


def test_no_test_reaches_into_the_inside_of_the_package_or_replaces_a_part_of_it() -> None:
    found = {
        f"{path.relative_to(TESTS.parent)}": [f"{line}: {text}" for line, text in reaching_in(path)]
        for path in TESTS.rglob("*.py")
    }
    guilty = {path: places for path, places in found.items() if places}
    assert not guilty, f"what a test must change is an argument, what it must see is public: {guilty}"


def test_reaching_in_is_found_in_every_spelling(tmp_path: Path) -> None:
    test = tmp_path / "test_it.py"
    test.write_text(
        "import os\n"
        "import daemon.logs as ours\n"
        "from daemon.watching import scan, _hidden\n"
        "from unittest import mock\n"
        "def test_it(monkeypatch):\n"
        "    ours.filter._rules.clear()\n"
        "    monkeypatch.setattr(scan, 'LIMIT', 3)\n"
        "    monkeypatch.setattr(ours.filter, 'LIMIT', 3)\n"
        "    monkeypatch.setattr('daemon.watching.scan.LIMIT', 3)\n"
        "    mock.patch('daemon.logs.escaped')\n"
        "    mock.patch.object(scan, 'LIMIT')\n"
        "    setattr(scan, 'LIMIT', 3)\n"
        "    monkeypatch.setattr(os, 'stat', None)\n"
        "    os._exit(0)\n"
        "    scan.__doc__\n"
    )
    guilty = [3, 6, 7, 8, 9, 10, 11, 12]
    assert sorted(line for line, _ in reaching_in(test)) == guilty
    lines = test.read_text().splitlines()
    assert all(MAY_REACH_IN.search(lines[number - 1]) for number in guilty)
    assert MAY_REACH_IN.search("from tests.web.places import (\n    CALL,\n    _hidden,\n)\n")


def test_every_fault_in_the_table_has_the_tests_that_it_names() -> None:
    _, _, table = (TESTS.parent / "CONTRIBUTING.md").read_text("utf-8").partition("## Faults and their tests")
    rows = "".join(line for line in table.splitlines(keepends=True) if line.startswith("| "))
    named = set(re.findall(r"`([^`]+)`", rows))
    texts = (path.read_text("utf-8") for path in TESTS.rglob("*.py"))
    functions = {name for text in texts for name in re.findall(r"^ *def (\w+)\(", text, re.MULTILINE)}
    paths = {name for name in named if "/" in name}
    # Some are the cases of one test, which are functions as well.
    missing = {name for name in named - paths if not functions & {name, f"test_{name}"}}
    missing |= {path for path in paths if not (TESTS.parent / path).exists()}
    missing |= {file for file in re.findall(r"\btest_\w+", rows) if not list(TESTS.rglob(f"{file}.py"))}
    assert named
    assert not missing, f"CONTRIBUTING.md names tests that are not there: {sorted(missing)}"

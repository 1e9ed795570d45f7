"""The layout of the code: which part may import which, and what no module is called."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "daemon"

NOTHING: frozenset[str] = frozenset()
BASE = frozenset({"errors", "models", "backoff", "files", "sightings", "signing", "text", "turns"})
STAGES = frozenset({"watching", "intake", "originals", "analysis", "rules", "alerts", "periodic"})
"""In the order in which data goes through them. A stage never imports another one: what two of them share is
rows in storage, a record in models, or is handed in by runtime."""
ALL_BELOW_RUNTIME = (
    BASE
    | STAGES
    | {"backups", "config", "costs", "deepgram", "documents", "engine", "export", "logs", "metrics", "status"}
    | {"storage", "web"}
)

# The parts of `daemon` and the other parts that each may import.
MAY_IMPORT = {
    "__init__": NOTHING,
    "__main__": frozenset({"cli", "version"}),
    "errors": NOTHING,
    "models": NOTHING,
    "backoff": NOTHING,
    "files": frozenset({"errors", "models"}),
    "sightings": frozenset({"models"}),
    "signing": NOTHING,
    "text": NOTHING,
    "version": NOTHING,
    "turns": NOTHING,
    "log_lines": NOTHING,
    "logs": frozenset({"log_lines"}),
    "engine": frozenset({"errors"}),
    "config": BASE,
    "storage": BASE | {"version"},
    "backups": BASE | {"storage"},
    "deepgram": BASE | {"config"},
    "costs": BASE | {"config", "deepgram"},
    "export": BASE,
    "metrics": BASE | {"config", "storage"},
    "documents": BASE | {"config", "deepgram", "export", "rules", "storage"},
    "status": BASE | {"config", "storage", "watching"},
    "web": BASE
    | {"alerts", "config", "costs", "deepgram", "documents", "engine", "export", "logs", "metrics", "status"}
    | {"storage"},
    "watching": BASE | {"config", "storage"},
    "intake": BASE | {"config", "storage"},
    "originals": BASE | {"config", "storage"},
    "analysis": BASE | {"config", "storage", "deepgram"},
    "rules": BASE | {"config"},
    "alerts": BASE | {"config", "storage"},
    "periodic": BASE | {"config", "storage"},
    "runtime": ALL_BELOW_RUNTIME,
    "cli": ALL_BELOW_RUNTIME | {"runtime", "version"},
}
# What is still to be parted. To become empty.
EXCEPTIONS: dict[str, frozenset[str]] = {}

# Not Python modules: what the package ships beside its code.
DATA_FOLDERS = {"samples", "schema"}

FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "manager", "managers", "common", "misc"}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def module_name(path: Path) -> str:
    """`daemon/analysis/analyze.py` is `analysis.analyze`, `daemon/config/__init__.py` is `config`."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


@functools.cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), str(path))


@functools.cache
def nodes(module: ast.Module) -> list[ast.AST]:
    """All of a module, found once for all that look through it."""
    return list(ast.walk(module))


def imported_modules(path: Path) -> Iterator[tuple[int, str]]:
    """Line and dotted name below `daemon` of what a module imports from `daemon`, also inside functions."""
    package = ["daemon", *path.relative_to(PACKAGE).parent.parts]
    for node in nodes(tree(path)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level > len(package):
                raise AssertionError(f"{path}:{node.lineno}: imports from outside the package")
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            names = [f"{origin}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            if name == "daemon" or name.startswith("daemon."):
                yield node.lineno, name.removeprefix("daemon").removeprefix(".")


def is_allowed(importer: str, imported: str) -> bool:
    part, other = importer.partition(".")[0], imported.partition(".")[0]
    if other in (part, "", "__version__"):
        return True
    extra = EXCEPTIONS.get(importer, NOTHING)
    if any(imported == module or imported.startswith(module + ".") for module in extra):
        return True
    return other in MAY_IMPORT[part]


def violations() -> list[str]:
    return [
        f"{path.relative_to(PACKAGE.parent)}:{line}: {module_name(path)} must not import daemon.{imported}"
        for path in modules()
        if module_name(path).partition(".")[0] in MAY_IMPORT
        for line, imported in imported_modules(path)
        if not is_allowed(module_name(path), imported)
    ]


def test_every_part_of_the_package_has_its_place_in_the_table() -> None:
    parts = {module_name(path).partition(".")[0] for path in modules()}
    unknown = sorted(parts - set(MAY_IMPORT) - DATA_FOLDERS)
    assert not unknown, (
        f"daemon has new parts {unknown}: say in MAY_IMPORT of tests/test_layout.py what each may import"
    )


def test_imports_point_one_way() -> None:
    found = violations()
    assert not found, "\n".join(["imports against the direction of the flow:", *found])


def test_no_stage_may_import_another_stage() -> None:
    for stage in STAGES:
        assert not MAY_IMPORT[stage] & STAGES


@pytest.mark.parametrize(
    ("importer", "imported", "allowed"),
    [
        ("models", "errors", False),
        ("config.load", "models.Recording", True),
        ("config.load", "logs.register_secret", False),
        ("intake.settle", "intake.arrivals", True),
        ("intake.settle", "deepgram.client", False),
        ("analysis.ledger", "deepgram.client.Reply", True),
        ("analysis.ledger", "alerts.deliver.step", False),
        ("deepgram.client", "storage.queue", False),
        ("alerts.deliver", "__version__", True),
        ("engine.server", "models", False),
        ("runtime.service", "cli.main", False),
        ("runtime.service", "watching.scan", True),
        ("cli.run", "runtime.service", True),
    ],
)
def test_the_table_means_what_it_says(importer: str, imported: str, allowed: bool) -> None:
    assert is_allowed(importer, imported) == allowed


def test_imports_are_found_in_every_spelling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "PACKAGE", tmp_path)
    module = tmp_path / "watching" / "settle.py"
    module.parent.mkdir()
    module.write_text(
        "import daemon.deepgram.client\n"
        "from daemon import alerts, __version__\n"
        "from daemon.storage import results\n"
        "from . import scan\n"
        "from ..analysis import retry\n"
        "from .. import runtime\n"
        "import daemonic, os\n"
        "def late():\n"
        "    from daemon.cli import main\n"
    )
    assert [name for _, name in imported_modules(module)] == [
        "deepgram.client",
        "alerts",
        "__version__",
        "storage.results",
        "watching.scan",
        "analysis.retry",
        "runtime",
        "cli.main",
    ]
    assert [line.partition(": ")[0].rpartition(":")[2] for line in violations()] == ["1", "2", "5", "6", "9"]


def test_no_modules_import_each_other() -> None:
    names = {module_name(path) for path in modules()}
    imports = {
        module_name(path): {
            # `from daemon.config import models` names a module, `from daemon.models import iso` part of one.
            imported if imported in names else imported.rpartition(".")[0]
            for _, imported in imported_modules(path)
        }
        for path in modules()
    }
    # Taking out again and again what imports nothing that is left leaves the circles alone.
    left = dict(imports)
    while ends := [name for name, imported in left.items() if not (imported & left.keys()) - {name}]:
        for name in ends:
            del left[name]
    assert not left, f"these import each other, or what does: {sorted(left)}"


def test_modules_are_named_after_what_they_do() -> None:
    everywhere = [*PACKAGE.rglob("*.py"), *Path(__file__).parent.rglob("*.py")]
    found = [str(path) for path in everywhere if FORBIDDEN_NAMES & {path.stem, path.parent.name}]
    assert not found, f"a name that says nothing: {found}"


def test_no_code_relies_on_a_connection_as_a_transaction() -> None:
    # `with db.conn` commits, but begins only with the first write: what was read before may be old by then.
    pattern = re.compile(r"\bwith\s+\w*(db|database)\.conn\b")
    found = [
        f"{path.relative_to(PACKAGE.parent)}:{number}"
        for path in modules()
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1)
        if pattern.search(line)
    ]
    assert not found, f"use the transaction of storage.database: {found}"


PURE_OF_OS = {"DirEntry", "PathLike", "environ", "fsdecode", "fsencode", "getpid", "stat_result"}
"""What `os` has that asks no file system."""
FILE_METHODS = {
    *("chmod", "exists", "glob", "is_dir", "is_file", "is_mount", "is_symlink", "iterdir", "lstat", "mkdir"),
    *("open", "read_bytes", "read_text", "resolve", "rmdir", "samefile", "stat", "touch", "unlink"),
    *("write_bytes", "write_text"),
}
"""Methods of `Path` that ask the file system, and that nothing else here has."""
ASKING = {
    "storage.database",
    "storage.lock",
    "storage.migrations",
    "storage.private_file",
    "storage.sqlite_errors",
}
"""Parts of storage that ask the file system: for the database's own file, and for what the package ships."""


def file_functions(module: ast.Module) -> frozenset[str]:
    """What a module imports from `daemon.files`, by the names that it has there."""
    return frozenset(
        alias.asname or alias.name
        for node in nodes(module)
        if isinstance(node, ast.ImportFrom) and node.module == "daemon.files"
        for alias in node.names
    )


def file_access(part: ast.AST, functions: frozenset[str]) -> Iterator[int]:
    """The lines of a part of a module that ask the file system; `functions` are names that do so."""
    for node in ast.walk(part):
        match node:
            case ast.Attribute(value=ast.Name(id="os"), attr=name) if name not in PURE_OF_OS:
                yield node.lineno
            case ast.Call(func=ast.Attribute(attr=name)) if name in FILE_METHODS:
                yield node.lineno
            case ast.Call(func=ast.Name(id=name)) if name in {"open", *functions}:
                yield node.lineno


def transactions(module: ast.Module) -> Iterator[ast.AST]:
    """What a module does within a transaction."""
    functions = {node.name: node for node in nodes(module) if isinstance(node, ast.FunctionDef)}
    for node in nodes(module):
        match node:
            case ast.Call(ast.Name("in_transaction")):
                change = node.args[1]
                yield functions[change.id] if isinstance(change, ast.Name) else change
            case ast.With():
                opened = [item.context_expr for item in node.items]
                if any(
                    isinstance(each, ast.Call) and ast.unparse(each.func) == "transaction" for each in opened
                ):
                    yield from node.body


def asks_in_transactions(path: Path) -> list[int]:
    """The lines that ask the file system where a database may be locked: all of storage, and transactions."""
    module, name = tree(path), module_name(path)
    functions = file_functions(module)
    is_storage = name.startswith("storage.") and name not in ASKING
    parts = [module] if is_storage else transactions(module)
    return [line for part in parts for line in file_access(part, functions)]


def test_no_file_system_is_asked_while_the_database_may_be_locked() -> None:
    # A share that hangs would hold the lock for as long, and with it everybody who has something to store.
    found = [
        f"{path.relative_to(PACKAGE.parent)}:{line}"
        for path in modules()
        for line in asks_in_transactions(path)
    ]
    assert not found, f"gather what the file system says before the transaction: {found}"


def test_questions_to_the_file_system_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "PACKAGE", tmp_path)
    text = """
import os
from daemon.files import stamp
def take_in(db):
    os.lstat("/a")
    with transaction(db):
        os.fsencode("/a")
        if os.path.exists("/a"):
            stamp("/a")
        with open("/a") as file:
            Path("/a").is_dir()
    def write():
        os.lstat("/b")
    in_transaction(db, write)
    in_transaction(db, lambda: os.lstat("/c"))
"""
    for part, lines in (("intake", [8, 9, 10, 11, 13, 15]), ("storage", [5, 8, 9, 10, 11, 13, 15])):
        module = tmp_path / part / "take.py"
        module.parent.mkdir()
        module.write_text(text)
        assert sorted({*asks_in_transactions(module)}) == lines


OWNERS = {"recordings": "storage.queue", "alerts": "storage.outbox", "webhooks": "storage.outbox"}
"""The tables with a state, each with the one module that writes it."""


@functools.cache
def statements(module: ast.Module) -> list[tuple[int, bool, str]]:
    """What may be SQL: its line, whether it is a call, and its text on one line."""
    found = []
    for node in nodes(module):
        match node:
            case ast.Constant(value=str(text)):
                sql = text
            case ast.JoinedStr() | ast.Call(ast.Attribute(_, "insert" | "update" | "upsert" | "replace")):
                sql = ast.unparse(node).replace("\\n", " ")
            case _:
                continue
        found.append((node.lineno, isinstance(node, ast.Call), " ".join(sql.split())))
    return found


def state_writes(module: ast.Module, table: str) -> list[int]:
    """The lines of SQL that may write the state of a table; of one that is put together, all may."""
    update = re.compile(rf"\bUPDATE {table} SET\b((?!\bWHERE\b).)*?(\bstate =|{{)")
    insert = re.compile(rf"\bINTO {table} \([^)]*(\bstate\b|{{)")
    table_object = re.compile(rf"table\(['\"]{table}['\"]\)\.(insert|update|upsert|replace)")
    return [
        line
        for line, is_call, sql in statements(module)
        if (
            table_object.match(sql[sql.find("table(") :])
            if is_call
            else update.search(sql) or insert.search(sql)
        )
    ]


@pytest.mark.parametrize("table", OWNERS)
def test_a_state_is_written_in_one_file(table: str) -> None:
    found = [
        f"{path.relative_to(PACKAGE.parent)}:{line}"
        for path in modules()
        if module_name(path) != OWNERS[table]
        for line in state_writes(tree(path), table)
    ]
    assert not found, f"every change of {table}.state belongs into {OWNERS[table]}: {found}"


@pytest.mark.parametrize(
    ("code", "is_found"),
    [
        ("db.execute('UPDATE recordings SET state = 1')", True),
        ("db.execute('UPDATE recordings SET name = ?,'\n ' state = ? WHERE id = ?')", True),
        ("db.execute(f'UPDATE recordings SET {columns} WHERE id = ?')", True),
        ("db.execute('INSERT INTO recordings (path,\\n state) VALUES (?, ?)')", True),
        ("db.execute(f'INSERT INTO recordings ({columns}) VALUES ({places})')", True),
        ("db.table('recordings').update(1, values)", True),
        ("db.execute('UPDATE recordings SET not_before = ? WHERE state = 1')", False),
        ("db.execute('INSERT INTO recordings_fts (state) VALUES (?)')", False),
        ("db.execute('SELECT state FROM recordings')", False),
        ("db.table('folders').insert({'state': 1})", False),
    ],
)
def test_sql_that_writes_a_state_is_found(code: str, is_found: bool) -> None:
    assert bool(state_writes(ast.parse(code), "recordings")) == is_found

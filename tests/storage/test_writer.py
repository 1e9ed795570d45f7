"""Threads that write at the same time: what waits shares a commit, and a failure is nobody else's."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from daemon.errors import StoreBusyError, StoreError
from daemon.storage.database import open_database, transaction
from daemon.storage.writer import Writer
from tests.databases import new_database
from tests.servers import wait_until

Change = Callable[[sqlite3.Connection], object]
LONG = 60.0


@dataclass
class Store:
    """A database file with a table of names, and its writer, which never commits before it has to."""

    path: Path
    by_function: bool = False
    statements: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        with closing(self.connect()) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("CREATE TABLE names (name TEXT PRIMARY KEY, content BLOB)")
            connection.execute(
                "CREATE TABLE others (name TEXT REFERENCES names DEFERRABLE INITIALLY DEFERRED)"
            )
        self.writer = Writer(self.connect, most_seconds=3600)

    def connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA foreign_keys=ON")
        connection.set_trace_callback(self.statements.append)
        return connection

    def names(self) -> set[str]:
        with closing(sqlite3.connect(self.path)) as connection:
            return {name for (name,) in connection.execute("SELECT name FROM names")}

    def together(self, **changes: Change) -> dict[str, BaseException | None]:
        """Make the changes in this order, each in a thread, all waiting in the queue before the first begins.

        Returns what each raised.
        """
        raised: dict[str, BaseException | None] = {}

        def write(name: str, change: Change) -> None:
            try:
                if self.by_function:
                    self.writer.write(change, LONG)
                else:
                    with self.writer.writing(LONG) as connection:
                        change(connection)
                raised[name] = None if name in self.names() else LookupError(name)
            except Exception as error:  # noqa: BLE001 - looked at by the test
                raised[name] = error

        threads = []
        # This thread's own change is lost with the others', if they are.
        with suppress(StoreBusyError, sqlite3.Error), self.writer.writing(LONG):
            for name, change in changes.items():
                threads.append(threading.Thread(target=write, args=(name, change)))
                threads[-1].start()
                wait_until(lambda: self.writer.waiting == len(threads), seconds=LONG)
            self.statements.clear()
        for thread in threads:
            thread.join(LONG)
        return raised


def adding(name: str, content: str = "''") -> Change:
    return lambda connection: connection.execute(f"INSERT INTO names VALUES ('{name}', {content})")  # noqa: S608


@pytest.fixture(params=[False, True], ids=["by each", "by one"])
def store(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Store]:
    store = Store(tmp_path / "names.db", request.param)
    yield store
    store.writer.leave()


def test_what_waits_shares_one_commit_and_is_on_the_disk_as_its_thread_goes_on(store: Store) -> None:
    names = [f"n{number}" for number in range(8)]
    assert store.together(**{name: adding(name) for name in names}) == dict.fromkeys(names)
    assert store.statements.count("COMMIT") == 1
    assert store.names() == {*names}


def test_a_change_that_fails_is_undone_alone(store: Store) -> None:
    def half(connection: sqlite3.Connection) -> None:
        adding("half")(connection)
        raise ValueError("its own fault")

    raised = store.together(a=adding("a"), half=half, twice=adding("a"), b=adding("b"))
    assert raised.pop("a") is None
    assert raised.pop("b") is None
    assert {name: type(error) for name, error in raised.items()} == {
        "half": ValueError,
        "twice": sqlite3.IntegrityError,
    }
    assert store.statements.count("COMMIT") == 1
    assert store.names() == {"a", "b"}


def full(connection: sqlite3.Connection) -> None:
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages + 8}")
    adding("full", "zeroblob(10000000)")(connection)


def silently_full(connection: sqlite3.Connection) -> None:
    with pytest.raises(sqlite3.OperationalError):
        full(connection)
    # SQLite has ended the transaction: alone, this would be committed at once.
    adding("after")(connection)
    connection.execute("DELETE FROM names WHERE name = 'after'")


@pytest.mark.parametrize("change", [full, silently_full])
def test_a_full_disk_that_ends_the_transaction_is_told_to_all_whose_changes_it_took(
    store: Store, change: Change
) -> None:
    raised = store.together(a=adding("a"), full=change, b=adding("b"))
    assert isinstance(raised["a"], StoreBusyError)
    assert isinstance(raised["full"], sqlite3.OperationalError)
    assert raised["b"] is None
    assert store.names() == {"b"}


def test_a_commit_that_fails_is_told_to_all_and_the_next_begins_anew(store: Store) -> None:
    def dangling(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO others VALUES ('nobody')")

    raised = store.together(a=adding("a"), dangling=dangling, b=adding("b"))
    assert {type(error) for error in raised.values()} == {sqlite3.IntegrityError}
    assert store.names() == set()
    assert store.together(c=adding("c")) == {"c": None}


def test_who_gives_up_waiting_leaves_no_turn_that_nobody_takes(store: Store) -> None:
    gave_up: list[bool] = []

    def impatient() -> None:
        with pytest.raises(StoreBusyError, match="locked"), store.writer.writing(0.05):
            pass
        gave_up.append(True)

    threads = [threading.Thread(target=impatient) for _ in range(3)]
    with store.writer.writing(LONG):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LONG)
    assert gave_up == [True] * 3
    assert store.together(a=adding("a")) == {"a": None}


def test_a_database_that_vanished_before_the_first_write_is_not_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "earshot.db"
    with closing(new_database(path)), closing(open_database(path)) as db:
        pass
    with closing(open_database(path)) as db:
        path.unlink()
        with pytest.raises(StoreError, match="cannot be opened"), transaction(db):
            pass
        assert not path.exists()
        new_database(path).close()
        with pytest.raises(StoreError, match="another file"), transaction(db):
            pass


def test_an_urgent_change_comes_first_and_its_commit_waits_for_no_other(store: Store) -> None:
    threads = []
    with store.writer.writing(LONG):
        for name, urgent in (("later", False), ("first", True)):
            write = partial(store.writer.write, adding(name), LONG, urgent=urgent)
            threads.append(threading.Thread(target=write))
            threads[-1].start()
            wait_until(lambda: store.writer.waiting == len(threads), seconds=LONG)
        store.statements.clear()
    for thread in threads:
        thread.join(LONG)
    done = [each for each in store.statements if each.startswith(("INSERT", "COMMIT"))]
    assert [each.partition("(")[2][:6] or each for each in done] == ["'first", "COMMIT", "'later", "COMMIT"]

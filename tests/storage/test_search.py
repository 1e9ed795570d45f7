"""The full-text index: words as rules cut them, also in scripts without blanks, and by any program's SQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from daemon.rules.phrases import has_phrase
from daemon.storage.connection import Database
from daemon.storage.database import memory_database, open_database, rows, transaction
from daemon.storage.migrations import saying_progress
from daemon.storage.views import search
from daemon.text import UNSPACED, spaced_out
from tests.storage.stores import add, schema_before

EDGES = "".join(chr(ord(edge) + step) for edge in UNSPACED.replace("-", "") for step in (-1, 0, 1))
"""The first and last characters of each script without blanks, and their neighbours."""

TEXTS = (
    "I saw Dr. Miller at the café; he can't pay by credit-card.",
    "契約を解約したいです。VIP顧客",
    "我想取消订单",
    "我 想 取 消 订 单",
    "ฉันต้องการยกเลิกบริการ",
    "यह करें।",
    "Die Straße in MASSEN, schön.",
    "a" * 199 + "取消" + "b" * 250 + EDGES,
    "",
)
WORDS = (
    *("dr miller", "cafe", "CAFÉ", "credit card", "can't", "解約", "解約したい", "顧客", "取消", "取 消"),
    *("ยกเลิก", "ยกเลก", "करें", "कर", "strasse", "STRAẞE", "massen", "schon", "schön", "ー", "nothing"),
)


@pytest.fixture
def db() -> Iterator[Database]:
    with closing(memory_database()) as database:
        yield database


def say(db: Database, text: str) -> int:
    (number,) = add(db)
    with transaction(db):
        db.execute("UPDATE recordings SET transcript = ?, summary = ? WHERE id = ?", (text, text[:9], number))
    return number


def intact(db: Database) -> None:
    """The index has exactly what the tables have."""
    with transaction(db):
        db.execute("INSERT INTO recordings_fts (recordings_fts, rank) VALUES ('integrity-check', 1)")


def found(db: Database, words: str) -> set[int]:
    return {row["id"] for row in search(db, f'"{words}"', 100)}


def test_search_finds_all_in_which_a_rule_would_find_the_phrase(db: Database) -> None:
    numbers = {say(db, text): text for text in TEXTS}
    for words in WORDS:
        said = {number for number, text in numbers.items() if has_phrase(words, text)}
        assert said <= found(db, words), words
    expected = {"cafe": {0}, "取消": {2, 3, 7}, "解約": {1}, "ยกเลก": set(), "कर": set(), "schon": {6}}
    first = min(numbers)
    assert {words: {number - first for number in found(db, words)} for words in expected} == expected


def test_the_best_come_first_and_of_very_many_the_newest(db: Database) -> None:
    best = say(db, "refund, refund")
    newest = say(db, "someone spoke of many other things and then of a refund")
    assert [row["id"] for row in search(db, "refund", 2)] == [best, newest]
    assert [row["id"] for row in search(db, "refund", 2, most_ranked=1)] == [newest, best]
    assert [row["id"] for row in search(db, "refund", 1, most_ranked=1)] == [newest]


def test_a_word_of_a_script_without_blanks_is_shown_as_it_is_written(db: Database) -> None:
    say(db, TEXTS[1])
    (hit,) = search(db, "解約", 1)
    assert hit["snippet"] == "契約を[解約]したいです。VIP顧客"


def test_the_index_follows_any_program_that_changes_or_deletes_rows(tmp_path: Path) -> None:
    path = tmp_path / "earshot.db"
    with closing(open_database(path)) as db:
        numbers = [say(db, text) for text in TEXTS]
        intact(db)
        with closing(sqlite3.connect(path)) as other:
            other.execute("UPDATE recordings SET transcript = '我要退款' WHERE id = ?", (numbers[1],))
            other.execute("DELETE FROM recordings WHERE id = ?", (numbers[2],))
            other.commit()
            match = "SELECT rowid FROM recordings_fts WHERE recordings_fts MATCH ?"
            # The documented form of own SQL: the characters as a phrase.
            assert other.execute(match, ('"退 款"',)).fetchall() == [(numbers[1],)]
            assert other.execute(match, ('"で す"',)).fetchall() == []
        intact(db)


def test_sql_and_python_cut_the_same_characters(db: Database) -> None:
    number = say(db, EDGES)
    (shown,) = rows(db, "SELECT transcript FROM recordings_text WHERE id = ?", (number,))
    assert shown["transcript"] == spaced_out(EDGES)


def test_what_was_stored_before_is_found_after_the_upgrade(tmp_path: Path) -> None:
    path = tmp_path / "earshot.db"
    with closing(open_database(path, schema=schema_before(tmp_path, "024"))) as db:
        numbers = [
            db.execute(
                "INSERT INTO recordings (path, folder, name, state, first_seen_at, source, transcript)"
                " VALUES ('/r', '/r', 'n.wav', 'done', 'x', ?, ?) RETURNING id",
                (text.encode(), text),
            ).fetchone()[0]
            for text in TEXTS
        ]
    with closing(open_database(path)) as db:
        assert found(db, "取消") == {numbers[2], numbers[3], numbers[7]}
        intact(db)


def test_a_long_change_of_the_tables_says_that_it_goes_on(
    db: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[int] = []
    count = """
        WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 300000) SELECT max(x) FROM n
    """
    with saying_progress(db, tmp_path, lambda: calls.append(1), every_seconds=0.0):
        rows(db, count)
    assert calls
    assert f"bringing the tables up to date path={tmp_path}" in caplog.text
    said = len(calls)
    rows(db, count)
    assert len(calls) == said


def test_a_word_in_very_many_places_of_one_transcript_is_found_and_marked(db: Database) -> None:
    """SQLite's own snippet takes minutes for so many places."""
    text = "yes " * 60_000 + "goodbye " + "no " * 10_000
    say(db, text)
    for words, marked in (("yes", "[yes]"), ("goodbye", "[goodbye]"), ("goodbye no", "[goodbye] [no]")):
        (hit,) = search(db, words, 5)
        assert marked in hit["snippet"]
    say(db, "取消" * 30_000)
    (hit,) = search(db, "取消", 5)
    assert hit["snippet"].startswith("[取消]")

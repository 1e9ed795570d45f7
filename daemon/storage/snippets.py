"""The piece of a recording's text around what a search found in it."""

from __future__ import annotations

from collections.abc import Iterator

from daemon.storage.connection import Database
from daemon.storage.database import rows, value
from daemon.storage.filters import match_expression
from daemon.text import BREAK, spaced_out

LONG = 40_000
"""In characters. SQLite compares each place of a word with every other one: ten times as many take a hundred
times as long."""

PIECE = 2_000

_TOKENS = "unicode61 remove_diacritics 2 categories 'L* N* Co M*'"
"""As the index has it."""


def snippet(db: Database, words: str, recording_id: int, marks: tuple[str, str], length: int) -> str | None:
    """Return at most `length` words with `marks` around what was found; None without the words."""
    wanted = match_expression(words)
    found = rows(db, "SELECT transcript, summary, name FROM recordings WHERE id = ?", (recording_id,))
    text = (found[0]["transcript"] or "") if found else ""
    if len(text) > LONG:
        others = (found[0]["summary"] or "", found[0]["name"])
        cut = _of_pieces(db, wanted, [*_pieces(text), *others], marks, length)
    else:
        sql = (
            "SELECT snippet(recordings_fts, -1, ?, ?, '…', ?) FROM recordings_fts"
            " WHERE recordings_fts MATCH ? AND rowid = ?"
        )
        cut = value(db, sql, (*marks, length, wanted, recording_id))
    # What the index puts around the characters of scripts without blanks is not part of the text.
    return None if cut is None else cut.replace(BREAK, "")


def _pieces(text: str) -> Iterator[str]:
    start = 0
    while start < len(text):
        end = text.rfind(" ", start, start + PIECE) + 1 if start + PIECE < len(text) else len(text)
        # A text without blanks is cut anywhere.
        end = end or start + PIECE
        yield text[start:end]
        start = end


def _of_pieces(
    db: Database, wanted: str, pieces: list[str], marks: tuple[str, str], length: int
) -> str | None:
    """Return the snippet of the first piece with all words, else of the first with one of them."""
    db.execute("DROP TABLE IF EXISTS temp.pieces")
    db.execute(f'CREATE VIRTUAL TABLE temp.pieces USING fts5 (text, tokenize="{_TOKENS}")')
    db.conn.executemany("INSERT INTO temp.pieces (text) VALUES (?)", ((spaced_out(each),) for each in pieces))
    said = "SELECT snippet(pieces, -1, ?, ?, '…', ?) FROM temp.pieces WHERE pieces MATCH ?"
    cut: str | None = None
    for expression in (wanted, wanted.replace(") AND (", ") OR (")):
        cut = cut or value(db, f"{said} ORDER BY rowid LIMIT 1", (*marks, length, expression))
    db.execute("DROP TABLE temp.pieces")
    return cut

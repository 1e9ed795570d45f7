"""Plain text and Markdown: a conversation to read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from daemon.export.document import Document
from daemon.export.facts import facts, labels
from daemon.export.turns import Turn, turns
from daemon.text import shown_clock

_MARKUP = re.compile(r"([\\`*_\[\]<>&|~$#@^=])")
_LINK = re.compile(r"(?<=:)//|(?<=www)\.", re.IGNORECASE)
_LINE_START = re.compile(r"^(\s*)([-+]|\d+(?=[.)]))")


def txt(document: Document) -> str:
    """Return a recording as plain text: its name, its facts, what was said by turns."""
    lines = [document.recording["name"], *(f"{name}: {value}" for name, value in facts(document))]
    lines = [*map(_one_line, lines), ""]
    lines += [_one_line(f"{_when_and_who(turn)}{turn.text}") for turn in turns(document)]
    return "\n".join(lines) + "\n"


def markdown(document: Document) -> str:
    """Return a recording as Markdown, in which nothing that was said is markup."""
    recording = document.recording
    lines = [f"# {_escaped(recording['name'])}", ""]
    lines += [f"- {name}: {_escaped(value)}" for name, value in facts(document)]
    if recording["summary"]:
        lines += ["", "## Summary", "", _escaped(recording["summary"])]
    for title, rows, label in (("Intents", "intents", "intent"), ("Topics", "topics", "topic")):
        if recording[rows]:
            lines += [
                "",
                f"## {title}",
                "",
                *(f"- {_escaped(each)}" for each in labels(recording[rows], label)),
            ]
    if spoken := turns(document):
        lines += ["", "## Transcript"]
    for turn in spoken:
        who = " ".join(filter(None, (_clock(turn), turn.speaker)))
        lines += ["", f"**{_escaped(who)}:** {_escaped(turn.text)}" if who else _escaped(turn.text)]
    return "\n".join(lines) + "\n"


def apart(texts: Iterable[str]) -> Iterator[str]:
    """Yield several recordings' texts with an empty line, and a rule, between them."""
    between = ""
    for text in texts:
        yield between + text
        between = "\n---\n\n"


def _when_and_who(turn: Turn) -> str:
    when = f"[{_clock(turn)}] " if turn.start is not None else ""
    return when + (f"{turn.speaker}: " if turn.speaker is not None else "")


def _clock(turn: Turn) -> str:
    return "" if turn.start is None else shown_clock(turn.start)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _escaped(text: str) -> str:
    line = _MARKUP.sub(r"\\\1", _one_line(text))
    return _LINE_START.sub(r"\1\\\2", _LINK.sub(lambda found: f"\\{found[0]}", line))

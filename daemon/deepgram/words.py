"""The single words of a reply, with their times: what captions are cut from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from daemon.deepgram.reply import parse_body
from daemon.deepgram.values import clean_text, entries_of, mapping, positive, whole_number
from daemon.errors import DoubtfulReplyError
from daemon.models import Word

MAX_WORDS = 1_000_000
"""Some 90 hours of speech, as much as is kept of a transcript."""


def read_words(body: bytes, names: Sequence[str]) -> tuple[Word, ...]:
    """Return the words of a stored reply, channel by channel; what has no usable time is left out.

    `names` are those of the channels. A reply that cannot be read has no words.
    """
    try:
        reply = parse_body(body)
    except DoubtfulReplyError:
        return ()
    words: list[Word] = []
    channels = reply["results"]["channels"]
    for number, channel in enumerate(channels):
        name = names[number] if number < len(names) else None
        if name is None and len(channels) > 1:
            name = f"channel {number}"
        words += _words(channel, number, name, MAX_WORDS - len(words))
    return tuple(words)


def _words(channel: Mapping[str, Any], number: int, name: str | None, room: int) -> Iterator[Word]:
    alternatives = entries_of(channel.get("alternatives"))
    entries = entries_of(mapping(alternatives[0] if alternatives else None).get("words"))
    last = 0.0
    for entry in map(mapping, entries[:room]):
        text = clean_text(entry.get("punctuated_word")) or clean_text(entry.get("word"))
        start, end = positive(entry.get("start")), positive(entry.get("end"))
        if not text or start is None or end is None or start < last:
            continue
        last = start
        speaker = whole_number(entry.get("speaker"))
        spoken_by = name or (None if speaker is None else f"speaker {speaker}")
        yield Word(" ".join(text.split()), start, max(start, end), spoken_by, number)

"""Read a stored recording for exports: its row, all that belongs to it, and the words of its reply."""

from __future__ import annotations

from collections.abc import Sequence

from daemon.config.models import Config, Rule
from daemon.config.times import zone_of
from daemon.deepgram.words import read_words
from daemon.export.document import Document
from daemon.export.formats import rendered
from daemon.models import Match
from daemon.rules.match import matches
from daemon.storage.connection import Database
from daemon.storage.results import stored_conversations, stored_reply
from daemon.storage.views import recording


def document(
    db: Database, config: Config | None, recording_id: int, *, rules: Sequence[Rule] = ()
) -> Document | None:
    """Return the recording, None when there is none (any more), with what these rules look at in it.

    Without a configuration that can be used, channels have numbers, and times are the system's.
    """
    found = recording(db, recording_id)
    if found is None:
        return None
    folders = config.watch if config else ()
    names = next((folder.channels for folder in folders if folder.name == found["folder"]), ())
    reply = stored_reply(db, recording_id)
    words = () if reply is None else read_words(reply, names)
    zone = zone_of(config.timezone if config else None)
    return Document(found, words, _matches(db, recording_id, rules), zone)


def render(config: Config, db: Database, recording_id: int, name: str) -> str | None:
    """Return a recording as a file of this format, None when there is none (any more)."""
    found = document(db, config, recording_id)
    return None if found is None else rendered(name, found)


def _matches(db: Database, recording_id: int, rules: Sequence[Rule]) -> tuple[Match, ...]:
    if not rules:
        return ()
    stored = stored_conversations(db, [recording_id])
    return tuple(match for _, conversation in stored for match in matches(rules, conversation))

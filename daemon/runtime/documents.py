"""Read a stored recording for exports: its row, all that belongs to it, and the words of its reply."""

from __future__ import annotations

from sqlite_utils import Database

from daemon.config.models import Config
from daemon.deepgram.words import read_words
from daemon.export.document import Document
from daemon.export.formats import rendered
from daemon.storage.results import stored_reply
from daemon.storage.views import recording


def document(db: Database, config: Config, recording_id: int) -> Document | None:
    """Return the recording, None when there is none (any more)."""
    found = recording(db, recording_id)
    if found is None:
        return None
    reply = stored_reply(db, recording_id)
    if reply is None:
        return Document(found)
    names = next((folder.channels for folder in config.watch if folder.name == found["folder"]), ())
    return Document(found, read_words(reply, names))


def render(config: Config, db: Database, recording_id: int, name: str) -> str | None:
    """Return a recording as a file of this format, None when there is none (any more)."""
    found = document(db, config, recording_id)
    return None if found is None else rendered(name, found)

"""What filters name that there is not, with the nearest that there is: a typing error is no empty answer."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Sequence

from daemon.storage.connection import Database
from daemon.storage.filters import Filters, distinct, matching_ids, metadata_values
from daemon.text import pattern_matches

MOST_COMPARED = 2000
"""Names among which the nearest is looked for: comparing takes long."""


def unknown_names(db: Database, filters: Filters, folders: Collection[str] = ()) -> Iterator[str]:
    """Yield a sentence for each folder, intent, topic and piece of metadata of which there is none.

    `folders` are those of the configuration: they are known, though nothing may have come into them yet.
    """
    if filters.folder is not None:
        yield from _unknown_folder(db, filters.folder, folders)
    for kind, patterns in (("intent", filters.intents), ("topic", filters.topics)):
        if patterns:
            labels = distinct(db, f"{kind}s", kind)
            yield from (_none_fits(f"no {kind} is", each, labels) for each in _unfit(patterns, labels))
    for key, pattern in filters.where:
        values = metadata_values(db, key)
        if not values:
            keys = distinct(db, "metadata_values", "key")
            yield f"no recording has metadata called {key}{_nearest(key, keys)}"
        else:
            yield from (_none_fits(f"no {key} is", each, values) for each in _unfit((pattern,), values))


def _unknown_folder(db: Database, folder: str, configured: Collection[str]) -> Iterator[str]:
    below = folder.rstrip("/") + "/"
    known = [*distinct(db, "folders", "path"), *distinct(db, "recordings", "folder"), *configured]
    if any(each == folder or each.startswith(below) for each in known):
        return
    if not matching_ids(db, Filters(folder=folder), limit=1):
        yield f"nothing has come from a folder {folder}{_nearest(folder, list(dict.fromkeys(known)))}"


def _unfit(patterns: Sequence[str], texts: Sequence[str]) -> list[str]:
    return [each for each in patterns if not any(pattern_matches(each, text) for text in texts)]


def _none_fits(start: str, pattern: str, texts: Sequence[str]) -> str:
    return f"{start} like {pattern}{_nearest(pattern, texts)}"


def _nearest(wanted: str, known: Sequence[str]) -> str:
    """Return the end of a sentence: what may have been meant, or what there is."""
    plain = wanted.strip("*?").casefold()
    compared = {text.casefold(): text for text in known[:MOST_COMPARED]}
    words = {word: text for folded, text in compared.items() for word in folded.split()}
    close = difflib.get_close_matches(plain, words | compared, n=1)
    parts = [text for folded, text in compared.items() if plain and plain in folded]
    if near := (words | compared)[close[0]] if close else next(iter(parts), None):
        return f"; did you mean {near}?"
    some = ", ".join(sorted(known)[:3])
    return f"; there are {some}{' and others' if len(known) > 3 else ''}" if some else ""

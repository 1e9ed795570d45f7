"""What commands that only show need of a configuration; read without judging it, so also of a faulty one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from daemon.config.document import LARGEST_FILE_BYTES, DocumentError, read_document
from daemon.config.short_forms import full_form
from daemon.config.times import zone_of
from daemon.config.variables import expand_variables

if TYPE_CHECKING:
    from daemon.config.models import Config

_LINE = re.compile(r"^database:.*", re.MULTILINE)


@dataclass(frozen=True)
class Glance:
    """Where the database is, None if unknown; the zone of times; the folders, and what their names say.

    `has_variables`: what it says depends on the environment.
    Judging the whole configuration takes longer than what these commands do: half a second with alerts.
    """

    database: Path | None
    zone: tzinfo = UTC
    folders: tuple[str, ...] = ()
    filename_patterns: tuple[str, ...] = ()
    has_variables: bool = True


def glance_of(config: Config) -> Glance:
    """Return the same of a configuration that was judged already."""
    patterns = (each.filename_pattern for each in config.watch if each.filename_pattern)
    folders = (str(each.path) for each in config.watch)
    return Glance(config.database, zone_of(config.timezone), tuple(folders), tuple(patterns))


def glance_at(file: Path, env: Mapping[str, str]) -> Glance:
    """Read what is there; a file that cannot be read names no database, the usual one may be another's."""
    try:
        with file.open("rb") as opened:
            text = opened.read(LARGEST_FILE_BYTES).decode("utf-8", "replace")
    except (OSError, ValueError):
        return Glance(None)
    plain = _data(file, text)
    data, unset = expand_variables(plain, env)
    full = full_form(data, file.absolute().parent, env)
    watched = full["watch"] if isinstance(full["watch"], list) else []
    folders = [each for each in watched if isinstance(each, dict)]
    return Glance(
        next((Path(path) for path in _texts([full.get("database")])), None),
        zone_of(*_texts([full.get("timezone")])),
        _texts(each.get("path") for each in folders),
        _texts(each.get("filename_pattern") for each in folders),
        bool(unset) or data != plain,
    )


def _texts(values: Iterable[Any]) -> tuple[str, ...]:
    return tuple(value for value in values if isinstance(value, str) and value.strip())


def _data(file: Path, text: str) -> dict[str, Any]:
    with suppress(DocumentError):
        return read_document(file).data
    with suppress(ValueError, yaml.YAMLError):
        if line := _LINE.search(text):
            return {"database": yaml.safe_load(line[0])["database"]}
    return {}

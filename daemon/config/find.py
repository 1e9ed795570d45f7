"""Finds the database of a configuration, even one that cannot be used."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from daemon.config.document import LARGEST_FILE_BYTES, DocumentError, read_document
from daemon.config.short_forms import full_form
from daemon.config.variables import expand_variables

_LINE = re.compile(r"^database:.*", re.MULTILINE)


def database_of(file: Path, env: Mapping[str, str]) -> Path | None:
    """The path of the configuration's database, even if the file has errors; None if unknown.

    Of a file that cannot be read it is unknown: the usual place may be that of another configuration.
    """
    try:
        with file.open("rb") as opened:
            text = opened.read(LARGEST_FILE_BYTES).decode("utf-8", "replace")
    except (OSError, ValueError):
        return None
    named, _ = expand_variables({"database": _named(file, text)}, env)
    database = full_form(named, file.absolute().parent, env).get("database")
    return Path(database) if isinstance(database, str) and database.strip() else None


def _named(file: Path, text: str) -> Any:
    try:
        return read_document(file).data.get("database")
    except DocumentError:
        pass
    try:
        line = _LINE.search(text)
        return yaml.safe_load(line[0])["database"] if line else None
    except (ValueError, yaml.YAMLError):
        return None

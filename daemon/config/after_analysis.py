"""What happens to an original after its analysis: `after_success` and `after_failure`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Keep:
    """The original stays where it is."""


@dataclass(frozen=True, slots=True)
class Delete:
    """The original is deleted."""


@dataclass(frozen=True, slots=True)
class MoveTo:
    """The original is moved into this folder, which must be there already."""

    folder: Path


KEEP = Keep()
AfterSuccess = Keep | Delete | MoveTo
AfterFailure = Keep | MoveTo


def parse_after_success(value: Any) -> AfterSuccess:
    """Reads `after_success`; ValueError says what to write."""
    if value == "delete":
        return Delete()
    return _keep_or_move(value, "must be keep, delete or {move_to: FOLDER}")


def parse_after_failure(value: Any) -> AfterFailure:
    """Reads `after_failure`; ValueError says what to write."""
    return _keep_or_move(value, "must be keep or {move_to: FOLDER}")


def _keep_or_move(value: Any, text: str) -> AfterFailure:
    if isinstance(value, Keep | MoveTo):
        return value
    if value == "keep":
        return KEEP
    if isinstance(value, dict) and list(value) == ["move_to"]:
        folder = value["move_to"]
        if isinstance(folder, str) and folder.strip() and "\0" not in folder:
            return MoveTo(Path(folder))
    raise ValueError(text)

"""Estimates how long recordings are and what they would cost, before anything is sent."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from daemon.config.models import Config
from daemon.costs.length import Length, guessed, length_of
from daemon.deepgram.request import Request, requests_by_folder
from daemon.deepgram.upload import OpenFile
from daemon.files import reading
from daemon.models import Cost


def expected(file: OpenFile | None, request: Request) -> Cost:
    """The probable cost of this file; `file` is None for a hosted one: its length is unknown."""
    if file is None:
        return request.expected_cost(None)
    return request.expected_cost(length_of(file.descriptor, file.path, file.size_bytes).usual)


@dataclass(slots=True)
class Range:
    """A sum with guessed parts: the usual value, and the bounds it surely lies between."""

    usual: float = 0.0
    least: float = 0.0
    most: float = 0.0

    def add(self, usual: float, least: float, most: float) -> None:
        """Add one more part."""
        self.usual += usual
        self.least += least
        self.most += most


@dataclass(slots=True)
class Estimate:
    """The sum over recordings. `guessed` counts those whose length could not be read, `unknown` hosted ones,
    whose length is not known at all.

    `usd` is None if the price of a model is unknown.
    """

    recordings: int
    unknown: int
    guessed: int
    hours: Range
    usd: Range | None


def estimate(rows: Iterable[Mapping[str, Any]], config: Config) -> tuple[Estimate, list[int]]:
    """The estimate for rows (id, folder, source, is_url, size_bytes), and ids of those not missing."""
    requests = requests_by_folder(config)
    places = {folder.name: folder for folder in config.watch}
    total, ids = Estimate(0, 0, 0, Range(), Range()), []
    for row in rows:
        source, folder = os.fsdecode(row["source"]), places.get(row["folder"])
        length = None
        if not row["is_url"]:
            root = folder.place_of(source) if folder else "/"
            length = length_at(root, source, row["size_bytes"] or 0)
            if length is None:
                continue
        ids.append(row["id"])
        total.recordings += 1
        total.unknown += length is None
        if length:
            _add(total, length, requests.get(row["folder"]) or requests[None])
    return total, ids


def length_at(root: str, path: str, size_bytes: int) -> Length | None:
    """Return the length of the file at `path`, below `root`; guessed without permission, None if missing."""
    try:
        with reading(root, path) as descriptor:
            return length_of(descriptor, path, os.fstat(descriptor).st_size)
    except PermissionError:
        return guessed(path, size_bytes)
    except OSError:
        return None


def _add(total: Estimate, length: Length, request: Request) -> None:
    parts = (length.usual, length.least, length.most)
    total.guessed += length.least < length.most
    total.hours.add(*(seconds / 3600 for seconds in parts))
    channels = len(request.channels) or 1
    costs = [request.price.expected_usd(seconds, channels) for seconds in parts]
    known = [cost for cost in costs if cost is not None]
    if len(known) < len(costs):
        total.usd = None
    elif total.usd is not None:
        total.usd.add(*known)

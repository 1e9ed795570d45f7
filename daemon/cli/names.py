"""What `earshot check --file NAME` shows: what each folder's `filename_pattern` reads in a name."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from daemon.cli.output import local_time
from daemon.logs import escaped

if TYPE_CHECKING:
    from daemon.config.models import Config, WatchFolder


def readings_of(config: Config, name: str) -> list[dict[str, Any]]:
    """Return what folders read in a name: those that hold the path, else all with a pattern."""
    path = os.path.normpath(os.path.join(os.getcwd(), name))  # noqa: PTH109, PTH118 - may not be UTF-8
    inside = [folder for folder in config.watch if path.startswith(f"{str(folder.path).rstrip('/')}/")]
    if inside:
        return [_reading(config, folder, os.path.relpath(path, folder.path)) for folder in inside]
    folders = [folder for folder in config.watch if folder.filename_pattern is not None]
    return [_reading(config, folder, name.lstrip("/")) for folder in folders or config.watch]


def print_readings(readings: list[dict[str, Any]]) -> None:
    """Print them, one folder after another."""
    for reading in readings:
        click.echo(f"{escaped(reading['folder'])}: {escaped(_sentence(reading))}")
        moment = reading["recorded_at"]
        if moment:
            click.echo(f"  recorded_at:  {local_time(moment)} ({moment})")
        for name, value in reading["metadata"].items():
            click.echo(f"  {name + ':':<14}{escaped(value)}")


def _reading(config: Config, folder: WatchFolder, relative: str) -> dict[str, Any]:
    from daemon.config.filenames import facts_reader
    from daemon.config.times import zone_of
    from daemon.watching.names import is_inside, recording_names

    facts = facts_reader(folder.filename_pattern, zone_of(folder.timezone or config.timezone))(relative)
    is_taken = recording_names(folder)(relative) and is_inside(relative, recursive=folder.recursive)
    return {
        "folder": folder.name,
        "pattern": folder.filename_pattern,
        "is_taken": is_taken,
        "fits": None if folder.filename_pattern is None else facts.stopped_at is None,
        "stopped_at": facts.stopped_at,
        "recorded_at": facts.recorded_at,
        "metadata": facts.metadata,
    }


def _sentence(reading: dict[str, Any]) -> str:
    taken = "" if reading["is_taken"] else "a file of this name is not taken; "
    if reading["pattern"] is None:
        return f"{taken}there is no filename_pattern"
    if reading["fits"]:
        return f"{taken}it fits {reading['pattern']}"
    return f"{taken}it does not fit {reading['pattern']}: {reading['stopped_at']}"

"""What an engine is started with."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

PROGRESS_PATH = "/progress"
"""Where an engine tells the process that started it how far its requests are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """`models`: the folders that workers load models from, the first for speech; `workers` None: as many as
    fit.

    `knows_all_languages`: the speech model knows more than English. `examples`: phrases by the names of
    custom intents and topics. `hosts`: from where recordings and texts
    may be fetched. `uploads`: the folder on disk for recordings while they are worked on; None finds one.
    """

    models: tuple[str, ...] = ()
    device: str = "auto"
    knows_all_languages: bool = True
    workers: int | None = None
    examples: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    hosts: tuple[str, ...] = ()
    uploads: str | None = None

    @property
    def model_bytes(self) -> int:
        """How large the models' files are together."""
        files = (each for folder in self.models for each in Path(folder).rglob("*"))
        return sum(file.stat().st_size for file in files if file.is_file())

    def to_json(self) -> bytes:
        """Return it as one line, for `from_json`."""
        return json.dumps(asdict(self)).encode() + b"\n"


def from_json(line: bytes) -> Settings:
    """Return the settings in a line of `to_json`."""
    values: dict[str, Any] = json.loads(line)
    lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
    examples = {name: tuple(phrases) for name, phrases in values["examples"].items()}
    return Settings(**{**values, **lists, "examples": examples})

"""config.example.yaml: it loads as it is, and says of every key what the models say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args, get_origin

import yaml
from pydantic import BaseModel

from daemon.alerts.targets import open_targets
from daemon.config.load import load_config
from daemon.config.models import Config
from daemon.config.secrets import api_key

EXAMPLE = Path(__file__).parents[2] / "config.example.yaml"
ENV = {"HOME": "/home/ear"}

Location = tuple[str | int, ...]


def with_every_key() -> str:
    """The example with each `#key: value` taken in; prose has a blank after its `#`."""
    return re.sub(r"(?m)^( *)#(?=[a-z])", r"\1", EXAMPLE.read_text("utf-8"))


def with_every_condition(text: str) -> str:
    """Conditions have no defaults: they are in a rule at the end, commented out as a whole."""
    start, marker, rule = text.partition("    # - name: every condition\n")
    assert marker
    return start + re.sub(r"(?m)^( *)# ", r"\1", marker + rule)


def fields_of(model: type[BaseModel]) -> dict[str, Any]:
    """The fields of a model by the names that the file has for them."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def mapping_models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models inside an annotation: a model itself, a tuple or dict of them, or one that may be None."""
    if isinstance(annotation, type) and get_origin(annotation) is None:
        if issubclass(annotation, BaseModel):
            yield annotation
    else:
        for part in get_args(annotation):
            yield from mapping_models(part)


def every_mapping(
    model: type[BaseModel], value: Any, where: Location = ()
) -> Iterator[tuple[type[BaseModel], dict[str, Any], Location]]:
    """Each mapping in the data that has a model, with the model."""
    yield model, value, where
    for key, child in value.items():
        assert key in fields_of(model), f"{(*where, key)} is no key of earshot"
        for inner in mapping_models(fields_of(model)[key].annotation):
            parts: Any = [((), child)]
            if isinstance(child, list):
                parts = [((index,), item) for index, item in enumerate(child)]
            elif get_origin(fields_of(model)[key].annotation) is dict:
                parts = [((name,), item) for name, item in child.items()]
            for extra, part in parts:
                # A mapping that is null by default has its keys in the prose above it.
                if part is None:
                    continue
                yield from every_mapping(inner, part, (*where, key, *extra))


def test_the_example_loads_as_it_is() -> None:
    config = load_config(EXAMPLE, env=ENV)
    assert [str(folder.path) for folder in config.watch] == ["/srv/recordings"]
    assert len(config.alerts.rules) == 2
    assert config.analyzer.api_key_file is None


def test_the_example_needs_the_credential_and_no_other_file_or_variable(tmp_path: Path) -> None:
    (tmp_path / "deepgram_api_key").write_text("a-key", encoding="ascii")
    env = ENV | {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    config = load_config(EXAMPLE, env=env)
    assert api_key(config, env=env) == "a-key"
    assert [target.destination for target in open_targets(config, env)] == ["team"]


def test_the_example_names_the_database_where_the_unit_lets_the_service_write() -> None:
    unit = (EXAMPLE.parent / "systemd/earshot.service").read_text("utf-8")
    assert "\nStateDirectory=earshot\n" in unit
    for state in ({}, {"STATE_DIRECTORY": "/var/lib/earshot"}):
        assert load_config(EXAMPLE, env=ENV | state).database == Path("/var/lib/earshot/earshot.db")


def test_every_commented_key_shows_its_default(tmp_path: Path) -> None:
    full = tmp_path / "config.yaml"
    full.write_text(with_every_key(), "utf-8")
    as_it_is, complete = load_config(EXAMPLE, env=ENV), load_config(full, env=ENV)
    assert complete == as_it_is


def test_every_condition_can_be_taken_as_the_example_shows_it(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(with_every_condition(EXAMPLE.read_text("utf-8")), "utf-8")
    when = load_config(file, env=ENV).alerts.rules[-1].when
    assert not [name for name, value in when if value is None]


def test_every_key_is_in_the_example() -> None:
    found: dict[type[BaseModel], set[str]] = {}
    for model, value, _where in every_mapping(Config, yaml.safe_load(with_every_condition(with_every_key()))):
        found.setdefault(model, set()).update(value)
    missing = {
        f"{model.__name__}.{field}"
        for model, keys in found.items()
        for field in fields_of(model).keys() - keys
    }
    assert not missing
    assert len(found) == 13


def test_every_commented_key_has_a_sentence_above_it() -> None:
    lines = EXAMPLE.read_text("utf-8").splitlines()
    repeated = {"model", "language", "features", "custom_intents", "custom_topics"}
    repeated |= {"custom_intents_mode", "custom_topics_mode"}
    for above, line in pairwise(lines):
        match = re.match(r" *#([a-z_]+):", line)
        if match and not (line.endswith(": null") and match[1] in repeated):
            assert re.match(r" *# .*\.$", above), line

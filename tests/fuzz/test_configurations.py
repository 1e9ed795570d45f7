"""Whatever a configuration says: it is taken, or each fault is told with its line, and no secret."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml

from daemon.config.load import load_config
from daemon.config.models import Config
from daemon.errors import ConfigError
from tests.fuzz.conftest import Fuzz
from tests.fuzz.mutation import ROOT, mutated, mutated_bytes

SECRET = "Zq7Xw9Kv3Rt5Yp1M"
ENVIRONMENT = {"KEY": SECRET, "STATE_DIRECTORY": "/var/lib/earshot", "HOME": "/root"}
FULL = f"""\
database: /var/lib/earshot/earshot.db
min_free: 64MB
timezone: Europe/Berlin
watch:
  - /srv/recordings/voicemail
  - path: /srv/recordings/support
    recursive: true
    include: ["*.wav", "*.mp3"]
    exclude: ["*.part"]
    method: auto
    rescan: 60s
    settle: 2s
    done_marker: "{{name}}.done"
    existing: skip
    after_success: {{move_to: /srv/done}}
    filename_pattern: "{{recorded_at:%Y%m%d-%H%M%S}}_{{agent}}"
    channels: [customer, agent]
    tags: [support]
    analyzer: {{language: en-GB}}
analyzer:
  base_url: https://api.deepgram.com
  api_key: ${{KEY}}
  features: [summary, topics, intents, sentiment]
  custom_intents: [cancel subscription]
  options: {{smart_format: true, keyterm: [a, b]}}
  concurrency: 10
  timeout: 11m
alerts:
  destinations:
    team: slack://{SECRET}/{SECRET}/{SECRET}
    ops: {{urls: ["mailto://me:{SECRET}@mail.example.com"], quiet_hours: "22:00-07:00"}}
  operations: [ops]
  cooldown: 10m
  burst: {{limit: 10, window: 10m}}
  digest: {{at: "08:00", every: day, notify: [team]}}
  rules:
    - name: unhappy caller
      when: {{average_sentiment: negative, not: {{intent: "*"}}}}
      notify: [team]
    - name: churn risk
      when: {{any: [{{intent: ["cancel*"]}}, {{all: [{{phrase: refund}}, {{duration_above: 5m}}]}}]}}
      folders: [/srv/recordings/support]
      severity: critical
      notify: [team, ops]
"""
DOCUMENTS = (FULL, (ROOT / "config.example.yaml").read_text("utf-8"))
LINES = [line for text in DOCUMENTS for line in text.splitlines() if SECRET not in line]


def faults(file: Path, content: bytes) -> list[str]:
    """The lines that say what is wrong, none where the configuration is taken; each is fit to be printed."""
    file.write_bytes(content)
    try:
        assert isinstance(load_config(file, env=ENVIRONMENT), Config)
    except ConfigError as error:
        lines = re.split(rb"\r\n|\r|\n|\x85|\xe2\x80[\xa8\xa9]", content)
        assert error.problems
        for problem in error.problems:
            assert problem.problem
            assert problem.line is None or 1 <= problem.line <= len(lines) + 1, str(problem)
            assert problem.file == str(file)
        return [str(problem) for problem in error.problems]
    return []


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.yaml"


def test_the_corpus_itself_is_taken(file: Path) -> None:
    assert faults(file, FULL.encode()) == []


def test_a_damaged_text_is_taken_or_its_faults_are_told(file: Path, fuzz: Fuzz) -> None:
    def check(random: Random) -> None:
        lines = random.choice(DOCUMENTS).splitlines()
        for _ in range(random.randint(0, 4)):
            at = random.randrange(len(lines))
            match random.randrange(4):
                case 0:
                    del lines[at]
                case 1:
                    lines.insert(at, random.choice(LINES))
                case 2:
                    lines[at] = " " * random.randint(0, 8) + lines[at].lstrip()
                case _:
                    old, new = random.choice(":-[{\"' "), random.choice("\t:*&!|>%@`{[#\x00")
                    lines[at] = lines[at].replace(old, new, 1)
        content = "\n".join(lines or [""]).encode()
        faults(file, mutated_bytes(content, random, most=2) if random.random() < 0.3 else content)

    fuzz(check, 60)


def test_wrong_values_in_the_right_form_are_told(file: Path, fuzz: Fuzz) -> None:
    documents = [yaml.safe_load(text) for text in DOCUMENTS]

    def check(random: Random) -> None:
        document = mutated(random.choice(documents), documents, random, most=4)
        faults(file, yaml.safe_dump(document, allow_unicode=random.random() < 0.5).encode("utf-8", "replace"))

    fuzz(check, 60)


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The way to each value of a document that is no container."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield from places(each, (*path, key))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from places(each, (*path, index))
    else:
        yield path


ADDRESSES = (
    f"slack://{SECRET}/{SECRET}/{SECRET}",
    f"https://user:{SECRET}@example.com/{SECRET}?key={SECRET}",
    f"mailto://{SECRET}:{SECRET}@example.com",
)
ALL_PLACES = list(places(yaml.safe_load(FULL)))


def test_an_address_with_secrets_is_repeated_nowhere_wherever_it_was_written(file: Path, fuzz: Fuzz) -> None:
    def check(random: Random) -> None:
        document = yaml.safe_load(FULL)
        place = random.choice(ALL_PLACES)
        inner = document
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = random.choice(ADDRESSES)
        for line in faults(file, yaml.safe_dump(document).encode()):
            assert SECRET not in line, place

    fuzz(check, 30)

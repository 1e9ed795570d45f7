"""Intents that rules name are asked for, wherever in a rule they stand."""

from __future__ import annotations

from pathlib import Path

from daemon.config.load import load_config
from daemon.deepgram.request import build_request

CONFIG = """\
watch: [/srv/a]
analyzer: {custom_intents: [first]}
alerts:
  destinations: {team: json://localhost/}
  rules:
    - name: r
      notify: team
      when:
        intent: [plain, "wild*"]
        any: [{intent: in any}, {all: [{intent: [in all, "First"]}]}]
        not: {intent: under not, topic: billing}
"""


def test_intents_under_any_all_and_not_are_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(CONFIG)
    asked = build_request(load_config(file, env={"HOME": "/home/ear"}), None).parameters
    intents = [value for name, value in asked if name == "custom_intent"]
    assert [intent.casefold() for intent in intents] == ["first", "plain", "in any", "in all", "under not"]
    assert not [name for name, _ in asked if name.startswith("custom_topic")]

"""The languages: those of Whisper, by the codes that clients send."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from daemon.engine.languages import KNOWN, is_multilingual, language_of
from daemon.engine.weights import find


def test_the_languages_are_those_that_the_library_knows() -> None:
    from faster_whisper.tokenizer import _LANGUAGE_CODES

    assert set(_LANGUAGE_CODES) == KNOWN


@pytest.mark.parametrize(
    ("code", "language"),
    [
        ("en", "en"),
        ("en-GB", "en"),
        ("pt-BR", "pt"),
        ("zh-Hant", "zh"),
        ("nb", "no"),
        ("tlh", None),
        ("", None),
    ],
)
def test_a_code_is_a_language_whatever_its_region(code: str, language: str | None) -> None:
    assert language_of(code) == language


def test_a_model_for_all_languages_is_known_by_its_vocabulary(tmp_path: Path) -> None:
    assert not is_multilingual(find("tiny.en"))
    (tmp_path / "vocabulary.json").write_text(json.dumps([str(number) for number in range(51_866)]))
    assert is_multilingual(tmp_path)

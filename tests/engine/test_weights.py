"""Where models are looked for, and what counts as one."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from daemon.engine.weights import MODELS, changed_files, find, is_complete, share_folders
from daemon.errors import EarshotError


def sparse_model(name: str, place: Path) -> Path:
    """A folder with every file of a model in its size, without content."""
    place.mkdir(parents=True)
    for file in MODELS[name].files:
        with (place / file.name).open("wb") as output:
            output.truncate(file.size_bytes)
    return place


def test_a_model_is_found_in_the_environment_and_in_the_caches_of_service_and_user() -> None:
    env = {"CACHE_DIRECTORY": "/var/cache/earshot:/var/cache/more", "HOME": "/home/ann"}
    assert list(map(str, share_folders(env))) == [
        f"{sys.prefix}/share/earshot/models",
        "/var/cache/earshot/models",
        "/home/ann/.cache/earshot/models",
    ]
    assert str(share_folders({"HOME": "/home/ann", "XDG_CACHE_HOME": "/big"})[1]) == "/big/earshot/models"


def test_the_first_folder_with_the_whole_model_counts(tmp_path: Path) -> None:
    cut, whole = (
        sparse_model("tiny.en", tmp_path / "cut/tiny.en"),
        sparse_model("tiny.en", tmp_path / "b/tiny.en"),
    )
    (cut / "model.bin").write_bytes(b"too short")
    assert find("tiny.en", [tmp_path / "none", cut.parent, whole.parent]) == whole


def test_a_model_that_is_missing_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(
        EarshotError, match=r"the model base is not installed; .* earshot engine --install base"
    ):
        find("base", [tmp_path])


def test_the_folder_of_a_user_is_a_model_when_it_is_whole(tmp_path: Path) -> None:
    for name in ("model.bin", "config.json", "tokenizer.json"):
        with pytest.raises(EarshotError, match=f"no CTranslate2 model, {name} is missing"):
            find(str(tmp_path), [])
        (tmp_path / name).touch()
    assert find(str(tmp_path), []) == tmp_path


@pytest.mark.parametrize("name", ["large", "some/model", "Systran/faster-whisper-small@main"])
def test_a_name_that_says_nothing_is_refused_with_what_may_be_written(name: str) -> None:
    with pytest.raises(EarshotError, match=f"no model is called {re.escape(name)}; name base, tiny.en, "):
        find(name, [])


def test_a_model_of_a_hub_is_known_by_its_revision(tmp_path: Path) -> None:
    name = "Systran/faster-whisper-small@" + 40 * "a"
    with pytest.raises(EarshotError, match="earshot engine --install Systran"):
        find(name, [tmp_path])
    place = tmp_path / name.replace("/", "+")
    place.mkdir()
    for file in ("model.bin", "config.json", "tokenizer.json"):
        (place / file).touch()
    assert find(name, [tmp_path]) == place


def test_a_file_with_other_content_is_seen_by_its_hash(tmp_path: Path) -> None:
    place = sparse_model("sentences", tmp_path / "sentences")
    assert is_complete("sentences", place)
    assert changed_files(MODELS["sentences"], place) == ["model.onnx"]
    assert changed_files(MODELS["sentences"], find("sentences")) == []

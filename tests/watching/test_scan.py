"""The walk over a folder, with everything that people and programs leave in one."""

import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.files import fresh_stamp, stamp
from daemon.watching import scan
from daemon.watching.names import is_ignored_directory
from daemon.watching.scan import Walker, entry_stamp


def walker(root: Path, *, recursive: bool = True) -> Walker:
    return Walker(str(root), recursive=recursive, is_ignored=is_ignored_directory)


def paths(walks: Walker) -> list[str]:
    return sorted(f"{directory}/{file.name}" for directory, files in walks.walk() for file in files)


def names(root: Path, *, recursive: bool = True) -> list[str]:
    return [path.removeprefix(f"{root}/") for path in paths(walker(root, recursive=recursive))]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "sub/deep").mkdir(parents=True)
    for name in ("a.wav", "sub/c.wav", "sub/deep/d.WAV"):
        (root / name).write_bytes(b"x")
    return root


def test_files_are_found_in_all_directories_or_only_the_first(tree: Path) -> None:
    assert names(tree) == ["a.wav", "sub/c.wav", "sub/deep/d.WAV"]
    assert names(tree, recursive=False) == ["a.wav"]


def test_only_regular_files_count(tree: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.wav").write_bytes(b"x")
    (tree / "link.wav").symlink_to(outside / "secret.wav")
    (tree / "linked").symlink_to(outside)
    (tree / "loop").symlink_to(tree)
    os.mkfifo(tree / "fifo.wav")
    (tree / "dir.wav").mkdir()
    (tree / "dir.wav/in.wav").write_bytes(b"x")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tree / "socket.wav"))
        assert names(tree) == ["a.wav", "dir.wav/in.wav", "sub/c.wav", "sub/deep/d.WAV"]
        for name in ("link.wav", "fifo.wav", "dir.wav", "socket.wav"):
            assert stamp(str(tree / name)) is None
            assert fresh_stamp(str(tree), str(tree / name)) is None


def test_a_folder_that_is_itself_a_link_is_followed(tree: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tree)
    assert names(link) == ["a.wav", "sub/c.wav", "sub/deep/d.WAV"]


def test_hidden_directories_are_left_out(tree: Path) -> None:
    for directory in (".stversions", "@eaDir", "#recycle"):
        (tree / directory).mkdir()
        (tree / directory / "x.wav").write_bytes(b"x")
    assert names(tree) == ["a.wav", "sub/c.wav", "sub/deep/d.WAV"]


@pytest.mark.parametrize(
    "name", [b"new\nline.wav", b"\xff\xfe.wav", b"n" * 251 + b".wav", b"-rf $(id) %s.wav"]
)
def test_any_name_the_kernel_allows_comes_out_as_it_is(tmp_path: Path, name: bytes) -> None:
    path = os.fsencode(tmp_path) + b"/" + name
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
    [(directory, [found])] = list(walker(tmp_path).walk())
    stamped = entry_stamp(directory, found)
    assert stamped
    assert os.fsencode(stamped.path) == path


def test_a_directory_vanishing_meanwhile_is_no_trouble(tree: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(20):
        (tree / f"dir{number}").mkdir()
        (tree / f"dir{number}/x.wav").write_bytes(b"x")
    walk = walker(tree).walk()
    next(walk)
    for number in range(20):
        (tree / f"dir{number}/x.wav").unlink(missing_ok=True)
        (tree / f"dir{number}").rmdir()
    list(walk)
    assert not caplog.records


def test_an_unreadable_directory_is_logged_once_and_the_others_go_on(
    tree: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.scandir

    def refusing(path: str) -> Iterator[os.DirEntry[str]]:
        if path.rstrip("/").endswith("/sub/deep"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", refusing)
    walks = walker(tree)
    for _ in range(3):
        assert paths(walks) == [f"{tree}/a.wav", f"{tree}/sub/c.wav"]
        assert walks.unreadable == {f"{tree}/sub/deep"}
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert walks.directories == 2


def test_a_large_directory_comes_in_chunks(tmp_path: Path) -> None:
    for number in range(1201):
        (tmp_path / f"{number}.wav").touch()
    sizes = [len(files) for _, files in walker(tmp_path).walk()]
    assert sum(sizes) == 1201
    assert max(sizes) == scan.SCAN_CHUNK

"""Every way in which programs write files, with the programs themselves, by events and by polling.

All of them at once into one running service. Each has to end in exactly one recording of exactly the bytes
that the file has in the end, and asking the API for it once.
"""

from __future__ import annotations

import mmap
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from tests.programs import program
from tests.watching.places import METHODS, Act, Outcome, Place, run, watched_writing

SETTLE_SECONDS = 0.6
OLD = 1_000_000_000_000_000_000
"""A time in the year 2001, in nanoseconds: what copies keep, and what no clock here says."""

# Each writer is told where to write; names and contents that it is given by `source` or `expect` must arrive.


def cp(place: Place) -> None:
    run("cp", place.source("a.wav"), place.path)


def cp_that_keeps_old_times(place: Place) -> None:
    source = place.source("a.wav")
    os.utime(source, ns=(OLD, OLD))
    run("cp", "-p", source, place.path)


def slow_append_by_one_handle(place: Place) -> None:
    content = place.source("a.raw").read_bytes()
    with writer("sh", "-c", 'cat > "$1"', "sh", place.path / "a.raw") as pipe:
        for piece in (content[:1000], content[1000:]):
            pipe.write(piece)
            pipe.flush()
            place.outlast_settling()


def append_reopened_for_each_piece(place: Place) -> None:
    """For longer than the settle time, but never quiet for so long."""
    run("split", "--number=12", place.source("a.raw"), place.outside / "piece.")
    script = f'for piece; do cat "$piece" >> a.raw; sleep {SETTLE_SECONDS / 5}; done'
    run("sh", "-c", script, "sh", *sorted(place.outside.glob("piece.*")), cwd=place.path)


def sox_while_it_records(place: Place) -> None:
    """Its header has no length until the end."""
    options = ["-t", "raw", "-r", "8000", "-e", "signed", "-b", "16", "-c", "1", "-"]
    with writer(program("sox"), *options, place.path / "a.wav") as pipe:
        for _ in range(2):
            # More than sox keeps for itself.
            pipe.write(place.content(seconds=2))
            pipe.flush()
            place.outlast_settling()
    place.expect("a.wav", (place.path / "a.wav").read_bytes())


@contextmanager
def writer(*command: str | Path) -> Iterator[IO[bytes]]:
    """A program that writes what it is given."""
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        yield process.stdin
    assert process.returncode == 0


def mv_within_the_file_system(place: Place) -> None:
    run("mv", place.source("a.wav"), place.path)


def mv_from_another_file_system(place: Place) -> None:
    here = place.path.stat().st_dev
    others = (Path(each) for each in ("/dev/shm", "/tmp", "/var/tmp"))
    other = next((each for each in others if each.is_dir() and each.stat().st_dev != here), None)
    if other is None:
        pytest.skip("there is no second file system at /dev/shm or /tmp")
    with tempfile.TemporaryDirectory(dir=other) as temporary:
        run("mv", place.source("a.wav", under=Path(temporary)), place.path)


def rsync_of_a_new_file(place: Place) -> None:
    run(program("rsync"), "-t", place.source("a.wav"), place.path)


def rsync_over_what_is_there(place: Place) -> None:
    _over(place, "--ignore-times")


def rsync_in_place(place: Place) -> None:
    run(program("rsync"), "--inplace", place.source("a.wav"), place.path)


def rsync_in_place_over_what_is_there(place: Place) -> None:
    _over(place, "--ignore-times", "--inplace")


def _over(place: Place, *options: str) -> None:
    run(program("rsync"), *options, place.source("a.wav"), place.path)
    place.wait()
    run(program("rsync"), *options, place.source("a.wav"), place.path)


def hard_link(place: Place) -> None:
    """Another name of the same bytes: a recording of its own, which is not paid for."""
    first = place.drop("a.wav")
    place.expect("b.wav", first.read_bytes())
    run("ln", first, place.path / "b.wav")


def link_to_a_file(place: Place) -> None:
    """Links are not followed: what is written to its target is none of ours, wherever that is."""
    inside, outside = place.drop("a.wav"), place.outside / "target.wav"
    outside.write_bytes(place.content())
    run("ln", "-s", inside, place.path / "link.wav")
    run("ln", "-s", outside, place.path / "other.wav")
    outside.write_bytes(place.content())


def link_to_a_directory(place: Place) -> None:
    inside, outside = place.path / "real", place.outside / "elsewhere"
    inside.mkdir()
    outside.mkdir()
    run("ln", "-s", inside, place.path / "to-inside")
    run("ln", "-s", outside, place.path / "to-outside")
    run("cp", place.source("a.wav", arrives_as="real/a.wav"), place.path / "to-inside")
    (outside / "b.wav").write_bytes(place.content())


def links_to_the_directory_above(place: Place) -> None:
    """Two of them are a tree without end for whoever follows."""
    run("ln", "-s", "..", place.path / "one")
    run("ln", "-s", ".", place.path / "two")
    run("cp", place.source("a.wav"), place.path)


def temporary_name_that_is_renamed(place: Place) -> None:
    for name in ("a.wav", "b.wav"):
        temporary = place.path / (f"{name}.part" if name == "a.wav" else f".{name}.Xy12Zq")
        run("cp", place.source(name), temporary)
        place.outlast_settling()
        run("mv", temporary, place.path / name)


def truncated_and_rewritten(place: Place) -> None:
    place.drop("a.wav")
    run("sh", "-c", 'cat "$1" > a.wav', "sh", place.source("a.wav"), cwd=place.path)


def truncated_only(place: Place) -> None:
    """The kernel reports no close: it is the next listing that finds it."""
    file = place.drop("a.raw")
    place.expect("a.raw", file.read_bytes()[:900])
    run("truncate", "--size=900", file)


def touch_and_chmod(place: Place) -> None:
    file = place.drop("a.wav")
    run("touch", file)
    run("chmod", "600", file)


def open_for_writing_without_a_write(place: Place) -> None:
    file = place.drop("a.wav")
    run("sh", "-c", 'exec 3<> "$1"; sleep 0.2', "sh", file)


def memory_map(place: Place) -> None:
    """Without a write call; it is not complete while it is mapped, although it is closed."""
    content = place.expect("a.wav", place.content(seconds=1))
    with (place.path / "a.wav").open("w+b") as file:
        file.truncate(len(content))
        mapping = mmap.mmap(file.fileno(), len(content))
    half = len(content) // 2
    mapping[:half] = content[:half]
    place.outlast_settling()
    mapping[half:] = content[half:]
    mapping.close()


def fallocate_and_fill(place: Place) -> None:
    """It has its full size from the first moment on."""
    content = place.expect("a.wav", place.content(seconds=1))
    half = len(content) // 2
    with (place.path / "a.wav").open("wb", buffering=0) as file:
        os.posix_fallocate(file.fileno(), 0, len(content))
        file.write(content[:half])
        place.outlast_settling()
        file.write(content[half:])


def sparse_and_fill(place: Place) -> None:
    content = place.expect("a.wav", place.content(seconds=1))
    with (place.path / "a.wav").open("wb", buffering=0) as file:
        file.truncate(len(content))
        place.outlast_settling()
        file.write(content)


def nameless_file_that_is_linked_in(place: Place) -> None:
    """Its close is reported under a name that it never had."""
    try:
        descriptor = os.open(place.path, os.O_TMPFILE | os.O_WRONLY)
    except OSError as error:
        pytest.skip(f"no O_TMPFILE here: {error}")
    try:
        os.write(descriptor, place.expect("a.wav", place.content()))
        # With `src_dir_fd`, or it would link the link itself.
        os.link(f"/proc/self/fd/{descriptor}", place.path / "a.wav", src_dir_fd=descriptor)
    finally:
        os.close(descriptor)


def new_directories_and_cp(place: Place) -> None:
    run("mkdir", "-p", place.path / "x/y/z")
    run("cp", place.source("a.wav", arrives_as="x/y/z/a.wav"), place.path / "x/y/z")


def full_directory_moved_in(place: Place) -> None:
    for name in ("tree/a.wav", "tree/deep/b.wav"):
        place.source(name)
    run("mv", place.outside / "tree", place.path)
    place.wait()
    place.drop("tree/c.wav")
    place.drop("tree/deep/d.wav")


def directories_renamed_after_they_were_filled(place: Place) -> None:
    for number in range(20):
        (place.path / f"new{number}").mkdir()
        source = place.source(f"{number}.wav", arrives_as=f"call{number}/{number}.wav")
        shutil.copy(source, place.path / f"new{number}")
        (place.path / f"new{number}").rename(place.path / f"call{number}")
    place.wait()
    for number in range(20):
        source = place.source(f"{number}-later.wav", arrives_as=f"call{number}/{number}-later.wav")
        shutil.copy(source, place.path / f"call{number}")


def cp_of_a_tree(place: Place) -> None:
    for number in range(60):
        place.source(f"tree/{number % 6}/{number % 5}/{number}.wav")
    run("cp", "-r", place.outside / "tree", place.path)


def mv_out(place: Place) -> None:
    run("mv", place.drop("a.wav"), place.outside)


def rename_within(place: Place) -> None:
    (place.path / "deep").mkdir()
    run("mv", place.drop("a.wav"), place.path / "deep/b.wav")
    place.expected["deep/b.wav"] = place.expected.pop("a.wav")


def delete(place: Place) -> None:
    run("rm", place.drop("a.wav"))


def delete_and_write_again(place: Place) -> None:
    """The new file may get the inode of the old one."""
    run("rm", place.drop("a.wav"))
    run("cp", place.source("a.wav"), place.path)


def name_that_is_not_utf8(place: Place) -> None:
    source = place.source("a.wav", arrives_as="caf\\xe9.wav")
    run("sh", "-c", 'cp "$1" "$(printf "caf\\351.wav")"', "sh", source, cwd=place.path)


WRITERS: list[Act] = [
    cp,
    cp_that_keeps_old_times,
    slow_append_by_one_handle,
    append_reopened_for_each_piece,
    sox_while_it_records,
    mv_within_the_file_system,
    mv_from_another_file_system,
    rsync_of_a_new_file,
    rsync_over_what_is_there,
    rsync_in_place,
    rsync_in_place_over_what_is_there,
    hard_link,
    link_to_a_file,
    link_to_a_directory,
    links_to_the_directory_above,
    temporary_name_that_is_renamed,
    truncated_and_rewritten,
    truncated_only,
    touch_and_chmod,
    open_for_writing_without_a_write,
    memory_map,
    fallocate_and_fill,
    sparse_and_fill,
    nameless_file_that_is_linked_in,
    new_directories_and_cp,
    full_directory_moved_in,
    directories_renamed_after_they_were_filled,
    cp_of_a_tree,
    mv_out,
    rename_within,
    delete,
    delete_and_write_again,
    name_that_is_not_utf8,
]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Outcome]:
    """What became of all of them, by method and name."""
    return watched_writing(
        tmp_path_factory.mktemp("writers"),
        {writer.__name__: writer for writer in WRITERS},
        settle_seconds=SETTLE_SECONDS,
        unreported=[truncated_only.__name__],
    )


@pytest.mark.parametrize("writer", WRITERS, ids=lambda writer: writer.__name__)
@pytest.mark.parametrize("method", METHODS)
def test_each_way_of_writing_ends_in_one_recording_of_what_was_written(
    outcomes: dict[tuple[str, str], Outcome], method: str, writer: Act
) -> None:
    """Without a listing in the folder that is watched by events, and none more after one."""
    assert outcomes[method, writer.__name__].is_one_recording_each()

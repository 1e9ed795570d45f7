"""Folders that are mounted, unmounted, moved, forbidden and replaced while they are watched.

The kernel reports none of this. All of it happens at once, to folders of one running service: none may lose
a recording, analyze one twice, or disturb another folder.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from daemon.models import iso
from tests.harness import wav
from tests.programs import need_mounts, restricted
from tests.watching.mounts import bind, mount, mount_by_fuse, mounts_undone, unmount
from tests.watching.places import Act, Outcome, Place, run, side_by_side, watching

EVENTS = {"method": "events", "rescan": "1h"}
"""The folder is not listed unless something was noticed."""
LISTED = {"method": "events", "rescan": "1s"}
POLL = {"method": "poll", "rescan": "0.3s"}
AUTO = {"method": "auto", "rescan": "0.5s"}


# What happens to a folder


def mounted_over(place: Place) -> None:
    """The files below vanish and come back; what comes while they are hidden is another folder's."""
    place.drop("a.wav")
    mount("tmpfs", place.path)
    place.drop("b.wav")
    place.drop("c.wav")
    unmount(place.path)
    place.drop("d.wav")
    place.drop("e.wav")


def share_not_yet_mounted(place: Place) -> None:
    """A share that appears over its empty mount point; its old files are no news."""
    place.expected["old.wav"].append("skipped existing")
    bind(place.outside / "share", place.path)
    place.drop("a.wav")
    place.drop("b.wav")


def share_that_goes_and_comes(place: Place) -> None:
    """Unmounted, its empty mount point remains: nothing is gone, and nothing is new when it is back."""
    place.expected["old.wav"].append("skipped existing")
    place.drop("a.wav")
    unmount(place.path)
    place.wait_available(False)
    # Somebody else writes to the share meanwhile.
    shutil.copy(place.source("b.wav"), place.outside / "share")
    bind(place.outside / "share", place.path)
    place.wait()
    place.drop("c.wav")


def a_share_with_old_files(folder: Path, outside: Path) -> None:
    need_mounts()
    (outside / "share").mkdir()
    mount("tmpfs", outside / "share")
    (outside / "share/old.wav").write_bytes(wav(str(folder)))


def a_mounted_share_with_old_files(folder: Path, outside: Path) -> None:
    a_share_with_old_files(folder, outside)
    bind(outside / "share", folder)


def mounted_below(place: Place) -> None:
    """A mount in a subfolder, made and undone: the listing finds its files."""
    (place.path / "sub").mkdir()
    place.drop("sub/a.wav")
    mount("tmpfs", place.path / "sub")
    place.drop("sub/b.wav")
    place.drop("sub/deep/c.wav")
    unmount(place.path / "sub")
    place.drop("sub/d.wav")


def moved_away_and_made_again(place: Place) -> None:
    """What is written into the old folder, wherever it is now, is none of ours."""
    place.drop("a.wav")
    place.path.rename(place.outside / "away")
    (place.outside / "away/stray.wav").write_bytes(place.content())
    place.path.mkdir()
    place.drop("b.wav")
    place.drop("c.wav")
    (place.outside / "away/late.wav").write_bytes(place.content())


def moved_away_and_back(place: Place) -> None:
    place.drop("a.wav")
    place.path.rename(place.outside / "away")
    place.wait_available(False)
    shutil.copy(place.source("b.wav"), place.outside / "away")
    (place.outside / "away").rename(place.path)
    place.wait()
    place.drop("c.wav")


def removed_and_made_again(place: Place) -> None:
    place.drop("a.wav")
    run("rm", "-rf", place.path)
    place.wait_available(False)
    place.path.mkdir()
    place.drop("b.wav")
    place.drop("c.wav")


def link_that_points_elsewhere(place: Place) -> None:
    place.drop("a.wav")
    (place.outside / "second").mkdir()
    shutil.copy(place.source("b.wav"), place.outside / "second")
    run("ln", "-sfn", place.outside / "second", place.path)
    place.wait()
    place.drop("c.wav")


def a_link_as_folder(folder: Path, outside: Path) -> None:
    (outside / "first").mkdir()
    folder.rmdir()
    folder.symlink_to(outside / "first")


WRITE_ONLY = 0o300
"""The mode of a directory that may be written to and not be listed."""


def forbidden(place: Place) -> None:
    """Nothing in it is gone while it may not be read."""
    place.drop("a.wav")
    place.path.chmod(WRITE_ONLY)
    place.wait_available(False)
    shutil.copy(place.source("b.wav"), place.path)
    place.path.chmod(0o700)
    place.wait()
    place.drop("c.wav")


def forbidden_at_first(place: Place) -> None:
    """The service starts without it."""
    place.wait_available(False)
    place.path.chmod(0o700)
    place.drop("a.wav")
    place.drop("b.wav")


def a_forbidden_folder(folder: Path, outside: Path) -> None:
    folder.chmod(WRITE_ONLY)


def subfolder_forbidden(place: Place) -> None:
    """The others go on; it is read as soon as it may be."""
    place.drop("opened/a.wav")
    (place.path / "opened").chmod(WRITE_ONLY)
    (place.path / "closed").mkdir(mode=WRITE_ONLY)
    place.wait_listing()
    place.drop("c.wav")
    for name in ("opened/d.wav", "closed/e.wav"):
        shutil.copy(place.source(Path(name).name, arrives_as=name), place.path / name)
    (place.path / "opened").chmod(0o700)
    (place.path / "closed").chmod(0o700)
    place.wait()
    place.drop("closed/f.wav")
    place.drop("opened/g.wav")


def changed_by_others(place: Place) -> None:
    """A share to which another host writes: no event tells of it, and its server may die."""
    server = mount_by_fuse(place.outside / "share", place.path)
    try:
        place.wait_listing()
        shutil.copy(place.source("a.wav"), place.outside / "share")
        place.wait()
        place.drop("b.wav")
        server.kill()
        server.wait()
        place.wait_available(False)
        shutil.copy(place.source("c.wav"), place.outside / "share")
        unmount(place.path)
        server = mount_by_fuse(place.outside / "share", place.path)
        place.wait_available(True)
        place.wait()
        shutil.copy(place.source("d.wav"), place.outside / "share")
        place.wait()
    finally:
        unmount(place.path)
        server.wait()


def share_below_changed_by_others(place: Place) -> None:
    """A local folder in which a share is mounted later: from then on all of it is polled."""
    place.drop("a.wav")
    (place.path / "sub").mkdir()
    server = mount_by_fuse(place.outside / "share", place.path / "sub")
    try:
        place.book.wait(
            lambda: place.book.folder(place.path)["method"] == "poll", lambda: f"polling of {place.path}"
        )
        shutil.copy(place.source("b.wav", arrives_as="sub/b.wav"), place.outside / "share")
        place.wait()
        place.drop("c.wav")
    finally:
        unmount(place.path / "sub")
        server.wait()
    place.drop("sub/d.wav")


def an_empty_share(folder: Path, outside: Path) -> None:
    (outside / "share").mkdir()


def nothing(folder: Path, outside: Path) -> None:
    pass


@dataclass(frozen=True)
class Fate:
    """What happens to a watched folder, `before` the service starts and then, by how it is watched."""

    act: Act
    before: Callable[[Path, Path], None] = nothing
    settings: dict[str, dict[str, str]] = field(default_factory=lambda: {"events": EVENTS, "poll": POLL})


FATES = [
    Fate(mounted_over),
    Fate(share_not_yet_mounted, before=a_share_with_old_files),
    Fate(share_that_goes_and_comes, before=a_mounted_share_with_old_files),
    Fate(mounted_below, settings={"events": LISTED, "poll": POLL}),
    Fate(moved_away_and_made_again),
    Fate(moved_away_and_back),
    Fate(removed_and_made_again),
    Fate(link_that_points_elsewhere, before=a_link_as_folder),
    Fate(forbidden),
    Fate(forbidden_at_first, before=a_forbidden_folder),
    Fate(subfolder_forbidden, settings={"events": LISTED, "poll": POLL}),
    Fate(changed_by_others, before=an_empty_share, settings={"auto": AUTO}),
    Fate(share_below_changed_by_others, before=an_empty_share, settings={"auto": AUTO}),
]
CASES = [(fate, method) for fate in FATES for method in fate.settings]
NAMES = [f"{method}-{fate.act.__name__}" for fate, method in CASES]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Outcome]]:
    """What became of all of them, by name, after all is listed once more."""
    top = tmp_path_factory.mktemp("mounting")
    with mounts_undone(top):
        acts: dict[str, Act] = {}
        watch = []
        for name, (fate, method) in zip(NAMES, CASES, strict=True):
            folder, outside = top / "watched" / name, top / "outside" / name
            folder.mkdir(parents=True)
            outside.mkdir(parents=True)
            watch.append({"path": str(folder), "settle": "0.2s", **fate.settings[method]})
            acts[name] = prepared(fate, folder, outside)
        with watching(top, watch, prefix=restricted()) as (book, api):
            places = {name: Place(book, top / "watched" / name, top / "outside" / name) for name in NAMES}
            ended = side_by_side({name: (acts[name], places[name]) for name in NAMES})
            whole = [name for name in NAMES if ended[name].exception() is None]
            since = iso(datetime.now(UTC))
            book.service.reload()
            again = side_by_side({name: (partial(finish, since), places[name]) for name in whole})
            asked = Counter(call.sha256 for call in api.calls)
            yield {
                name: Outcome(again.get(name, ended[name]), dict(place.expected), place.found(), asked)
                for name, place in places.items()
            }


def prepared(fate: Fate, folder: Path, outside: Path) -> Act:
    """What is to happen, after what it needs was made; skipped where that cannot be."""
    try:
        fate.before(folder, outside)
    except pytest.skip.Exception as reason:
        why = str(reason)
        return lambda _: pytest.skip(why)
    return fate.act


def finish(since: str, place: Place) -> None:
    """Wait for a listing after that moment, and for one more recording."""
    place.book.wait_listing(place.path, since)
    place.drop("last.wav")


@pytest.mark.parametrize("name", NAMES)
def test_whatever_becomes_of_a_folder_each_recording_in_it_is_analyzed_once(
    outcomes: dict[str, Outcome], name: str
) -> None:
    """What vanishes is not gone, what comes back is not new, and what is new is found again afterwards."""
    assert outcomes[name].is_one_recording_each()

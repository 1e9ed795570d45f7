"""What is listed when."""

from pathlib import Path

import pytest

from daemon.watching.listing import AGAIN_SECONDS, Listing, Listings
from daemon.watching.scan import Walker


@pytest.fixture
def listings(tmp_path: Path) -> Listings:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/x.wav").touch()
    return Listings(Walker(str(tmp_path), recursive=True, is_ignored=lambda name: False))


def take(listings: Listings, now: float, look_seconds: float = 0.0) -> Listing | None:
    """The listing that is due, taken to its end."""
    listing = listings.current(now, 10.0, look_seconds)
    if listing:
        list(listing.chunks)
        listings.end()
    return listing


def test_the_whole_folder_comes_again_and_again(listings: Listings) -> None:
    assert [bool(take(listings, now)) for now in (0.0, 1.0, 9.9, 10.0, 12.0, 20.0)] == [
        True,
        False,
        False,
        True,
        False,
        True,
    ]
    assert listings.seconds_until_due(21.0) == 9.0


def test_known_files_are_looked_at_as_often_as_asked(listings: Listings) -> None:
    taken = [take(listings, now, 25.0) for now in (0.0, 10.0, 20.0, 30.0, 40.0)]
    assert [listing.names_only for listing in taken if listing] == [False, True, True, False, True]


def test_after_a_new_start_everything_is_looked_at(listings: Listings) -> None:
    take(listings, 0.0, 60.0)
    listings.start_over(1.0)
    listing = take(listings, 1.0, 60.0)
    assert listing
    assert not listing.names_only


def test_a_directory_that_appears_is_listed_at_once_and_once_more(listings: Listings, tmp_path: Path) -> None:
    take(listings, 0.0)
    for name in ("a", "a/b"):
        listings.appeared(f"{tmp_path}/{name}", 1.0)
    listing = listings.current(1.0, 10.0, 0.0)
    assert listing
    assert not listing.is_full
    assert [(directory, len(files)) for directory, files in listing.chunks] == [(f"{tmp_path}/a/b", 1)]
    listings.end()
    assert take(listings, 1.0 + AGAIN_SECONDS / 2) is None
    assert take(listings, 1.0 + AGAIN_SECONDS)
    assert listings.is_idle(2.5)

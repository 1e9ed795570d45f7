"""Of a hosted recording's address rows and messages show host and name; the whole is kept unseen."""

from __future__ import annotations

import pytest

from daemon.models import hosted_name, shown_address

SHOWN = [
    ("https://example.com/calls/one.mp3?key=s3cr3t", "https://example.com/…/one.mp3", "one.mp3"),
    ("https://example.com/one.mp3#x", "https://example.com/one.mp3", "one.mp3"),
    ("http://me:pw@example.com:81/a/b/one.mp3/", "http://example.com:81/…/one.mp3", "one.mp3"),
    ("https://a@b@example.com/one.mp3", "https://example.com/one.mp3", "one.mp3"),
    ("https://example.com/?key=s3cr3t", "https://example.com/", "example.com"),
    ("https://example.com?key=a/b", "https://example.com", "example.com"),
    ("https://example.com", "https://example.com", "example.com"),
    ("https://x://me:pw@example.com", "https://x:/example.com", "example.com"),
    ("https://example.com/call@home.mp3", "https://example.com/call@home.mp3", "call@home.mp3"),
]


@pytest.mark.parametrize(("address", "shown", "name"), SHOWN)
def test_host_and_name_of_an_address_are_shown(address: str, shown: str, name: str) -> None:
    assert (shown_address(address), hosted_name(address)) == (shown, name)

"""Addresses in dropped files: what browsers, Finder and people write, and what must never come out."""

from __future__ import annotations

import plistlib

import pytest

from daemon.config.filenames import is_list
from daemon.intake.addresses import MOST_ADDRESSES, NoAddressesError, addresses

URL = "https://example.com/calls/anna%201.mp3?key=s3cr3t"
SHORTCUT = f"[InternetShortcut]\r\nIconIndex=0\r\nURL={URL}\r\n[Other]\r\nURL=https://example.com/no\r\n"


@pytest.mark.parametrize(
    "content",
    [
        SHORTCUT.encode(),
        SHORTCUT.encode("utf-8-sig"),
        SHORTCUT.encode("utf-16"),
        SHORTCUT.upper().replace(URL.upper(), URL).encode(),
        f"[{{000214A0}}]\nProp3=19,2\n[InternetShortcut]\nURL = {URL}\n".encode(),
        f"[InternetShortcut]\nTitle=B\xfcro\nURL={URL}\n".encode("latin-1"),
    ],
)
def test_a_windows_shortcut_holds_one_address(content: bytes) -> None:
    assert addresses("a.URL", content).usable == [URL]


@pytest.mark.parametrize("form", [plistlib.FMT_XML, plistlib.FMT_BINARY])
def test_a_macos_shortcut_holds_one_address(form: plistlib.PlistFormat) -> None:
    assert addresses("a.webloc", plistlib.dumps({"URL": URL}, fmt=form)).usable == [URL]


def test_a_list_holds_an_address_a_line_each_taken_once() -> None:
    content = f"# calls\n\n  {URL}  \r\nhttp://example.com/2\n{URL}\n#{URL}x\n"
    assert addresses("a.urls", content.encode()).usable == [URL, "http://example.com/2"]


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("a.urls", b"", "no address in it"),
        ("a.urls", b"# nothing\n", "no address in it"),
        ("a.url", b"URL=https://example.com/\n", "no address in it"),
        ("a.webloc", plistlib.dumps({"URL": 7}), "no address in it"),
        ("a.webloc", plistlib.dumps(["https://example.com"]), "no address in it"),
        ("a.webloc", b"bplist00 and then nothing", "no shortcut that can be read"),
        ("a.webloc", b"<?xml version='1.0'?><plist><dict><key>URL", "no shortcut that can be read"),
        ("a.webloc", b'<!DOCTYPE p [<!ENTITY a "b">]><plist><string>&a;</string></plist>', "can be read"),
        ("a.url", b"[InternetShortcut]\nURL=file:///etc/passwd\n", "no address in it is an http"),
        ("a.urls", b"ftp://s3cr3t@example.com/1\n", "no address in it is an http"),
        ("a.urls", b"https:///no/host\n", "no address in it is an http"),
        ("a.urls", b"https://host:99999/\n", "no address in it is an http"),
        ("a.urls", b"https://host/a b\n", "no address in it is an http"),
        ("a.urls", b"\x00\x01\xff\xfe\n", "no address in it is an http"),
        ("a.urls", b"https://host/" + b"x" * 9000, "no address in it is an http"),
        ("a.urls", b"".join(b"https://h/%d\n" % n for n in range(MOST_ADDRESSES + 1)), "at most 10000"),
    ],
)
def test_what_is_no_address_of_a_recording_is_refused_without_repeating_it(
    name: str, content: bytes, part: str
) -> None:
    with pytest.raises(NoAddressesError) as raised:
        addresses(name, content)
    assert part in str(raised.value)
    assert "s3cr3t" not in str(raised.value)


def test_of_a_list_what_is_of_use_is_taken_and_the_rest_counted() -> None:
    found = addresses("a.urls", b"https://example.com/1\nfile:///etc/passwd\nhttps://example.com/2\n")
    assert (found.usable, found.refused) == (["https://example.com/1", "https://example.com/2"], 1)


def test_lists_are_known_by_their_ending() -> None:
    assert all(map(is_list, ("a.url", "a.WEBLOC", "b.x.urls", "/d/a.url")))
    assert not any(map(is_list, ("a.wav", ".url", "url", "a.urls.bak")))

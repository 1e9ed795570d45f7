"""Dropped shortcuts and lists of addresses: usable addresses come out, or one line why not."""

from __future__ import annotations

import plistlib
from random import Random

from hypothesis import example, given
from hypothesis import strategies as st

from daemon.config.addresses import BadAddressError, usable_address
from daemon.intake.url_lists import MOST_ADDRESSES, addresses
from tests.fuzz.conftest import Fuzz
from tests.fuzz.mutation import mutated_bytes

SECRET = "s3cr3t-t0ken-in-the-path"
ADDRESS = f"https://user:{SECRET}@calls.example.com:8443/a/{SECRET}/one%20call.mp3?key={SECRET}#t=1"
FILES = {
    "a.url": [
        f"[InternetShortcut]\r\nURL={ADDRESS}\r\nIconIndex=0\r\n".encode(),
        f"[InternetShortcut]\nURL={ADDRESS}\n".encode("utf-16"),
        f"[{{000214A0}}]\nProp3=19,2\n[InternetShortcut]\nurl = {ADDRESS}".encode(),
    ],
    "a.webloc": [
        plistlib.dumps({"URL": ADDRESS}),
        plistlib.dumps({"URL": ADDRESS}, fmt=plistlib.FMT_BINARY),
        plistlib.dumps({"URL": [ADDRESS], "more": {"URL": 1}}),
    ],
    "a.urls": [
        f"# a list\n{ADDRESS}\n\nhttp://[::1]/b.wav\nftp://x/y\nhttps://exämple.com/ü.mp3\n".encode(),
        "\ufeffhttps://a.example/1.wav\r\nhttps://a.example/2.wav\r\n".encode(),
        b"http://"
        + b"a" * 9000
        + b".example/x.wav\nhttps://[::1/x.wav\nhttps://a:99999/x.wav\nhttps://a:b/x.wav",
    ],
}
PARTS = "https:// http:// HTTP:// ftp: // a.example [::1] [ ] @ : :0 :65536 / ? # % %00 ä 。 \\ x"
PIECES = st.sampled_from([*PARTS.split(), *" \t\r\n\x00\x85\u2028\ud800"])


def assert_usable_or_one_line(name: str, content: bytes) -> None:
    try:
        found = addresses(name, content)
    except BadAddressError as error:
        assert str(error).isprintable()
        assert SECRET not in str(error)
        return
    assert 1 <= len(found.usable) + len(found.refused) <= MOST_ADDRESSES
    assert len(set(found.usable)) == len(found.usable)
    for reason in found.refused:
        assert len(reason) < 300
        assert f"user:{SECRET}" not in reason
    for address in found.usable:
        assert address.isprintable()
        assert " " not in address
        assert address.lower().startswith(("http://", "https://"))


def test_a_damaged_or_hostile_file_is_read_or_refused(fuzz: Fuzz) -> None:
    def check(random: Random) -> None:
        name = random.choice(list(FILES))
        # Sometimes of another kind than its name says.
        kind = name if random.random() < 0.9 else random.choice(list(FILES))
        assert_usable_or_one_line(name, mutated_bytes(random.choice(FILES[kind]), random))

    fuzz(check, 2000)


@given(st.sampled_from(list(FILES)), st.binary(max_size=300))
@example("a.webloc", b"bplist00")
def test_any_bytes_are_read_or_refused(name: str, content: bytes) -> None:
    assert_usable_or_one_line(name, content)


@given(st.lists(PIECES, max_size=12).map("".join))
def test_whether_an_address_is_taken_is_decided_for_any_text(text: str) -> None:
    try:
        address = usable_address(text, ())
    except BadAddressError as error:
        assert str(error).isprintable()
        return
    assert address.isprintable()
    assert address.lower().startswith(("http://", "https://"))
    assert "@" not in address.split("/")[2]
    assert_usable_or_one_line("a.urls", text.encode("utf-8", "surrogatepass"))

"""Whether a file looks cut off is told of any bytes, soon, and never by an error."""

from __future__ import annotations

import time
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.intake.truncation import Flaw, flaw
from tests.fuzz.conftest import Fuzz
from tests.fuzz.mutation import mutated_bytes
from tests.intake.test_truncation import CUT, WHOLE, box

FILES = [*WHOLE.values(), *(content for content, _ in CUT.values())]


def told(path: Path, content: bytes) -> Flaw | None:
    path.write_bytes(content)
    started = time.process_time()
    found = flaw(str(path.parent), str(path))
    assert time.process_time() - started < 1.0
    if found is not None:
        assert found.reason.isprintable(), found.reason
    return found


def test_a_damaged_container_is_whole_or_has_a_reason(tmp_path: Path, fuzz: Fuzz) -> None:
    def check(random: Random) -> None:
        content = mutated_bytes(random.choice(FILES), random)
        if random.random() < 0.3:
            content += mutated_bytes(random.choice(FILES), random)
        told(tmp_path / "file", content)

    fuzz(check, 600)


HEADS = (b"RIFF", b"RF64", b"BW64", b"OggS", b"\0\0\0\x18ftyp", b"\0\0\0\0mdat", b"")


@given(st.sampled_from(HEADS), st.binary())
def test_any_bytes_are_whole_or_have_a_reason(
    tmp_path_factory: pytest.TempPathFactory, head: bytes, rest: bytes
) -> None:
    told(tmp_path_factory.getbasetemp() / "any-bytes", head + rest)


@pytest.mark.parametrize(
    "content",
    [
        box(b"free") * 200_000,
        b"RIFF\xff\xff\x00\x00WAVE" + b"LIST\x00\x00\x00\x00" * 5000,
        b"OggS" * 300_000,
        box(b"wide") + b"\x00\x00\x00\x01mdat" + b"\xff" * 8,
    ],
    ids=["parts of nothing", "chunks of nothing", "pages of nothing", "a part without end"],
)
def test_many_parts_take_no_time(tmp_path: Path, content: bytes) -> None:
    told(tmp_path / "file", content)

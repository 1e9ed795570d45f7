"""Changes documents and files as an enemy or an accident would: the form stays, what is in it does not."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

ROOT = Path(__file__).parents[2]
RECORDED = (ROOT / "tests" / "data" / "deepgram", ROOT.parent / "shared" / "data" / "deepgram")
"""Replies as the API gave them; the second folder is not part of the repository and may be missing."""

PLANTED = (b"\xff\xff\xff\xff", bytes(8), b"\n", b"&#64;", b"\xef\xbb\xbf")
HOSTILE: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 10**9, 2**31, 2**63 - 1, 2**63, 2**64, -(2**63) - 1, 10**400),
    *(0.0, -0.0, 0.5, -0.333, 1.0000001, -1.5, 5e-324, 1e308, -1e308, 1e-9),
    *("", " ", "\x00", "\ud800", "\udfff\ud800", "\u202e", "a\x00b", "\n", "NaN", "true", "0", "null", "{}"),
    *("success", "failure", "unsupported_language", "English", "negative", "x" * 600, "word " * 200),
    *([], {}, [[]], [{}], [None], {"": None}, {"\x00": 0}, [[[[[[[[]]]]]]]]),
)
Place = tuple[Any, Any]


def recorded() -> list[dict[str, Any]]:
    """Every recorded document that is an object."""
    documents = []
    for folder in RECORDED:
        for path in sorted(folder.rglob("*.json")):
            content = json.loads(path.read_text("utf-8"))
            if isinstance(content, dict):
                documents.append(content)
    return documents


def mutated(document: Any, others: Sequence[Any], random: Random, *, most: int = 8) -> Any:
    """A copy with one to `most` changes, some of them with parts of `others`."""
    copy = {"": _copied(document)}
    for _ in range(random.randint(1, most)):
        container, key = random.choice(list(_places(copy)))
        random.choice(_CHANGES)(container, key, random, others)
    return copy.get("")


def mutated_bytes(content: bytes, random: Random, *, most: int = 6) -> bytes:
    """A copy that is cut, doubled, overwritten or with other bytes in it, in one to `most` places."""
    changed = bytearray(content)
    for _ in range(random.randint(1, most)):
        at = random.randint(0, len(changed))
        end = min(len(changed), at + random.choice((0, 1, 1, 2, 4, 8, 64, 4096)))
        match random.randrange(6):
            case 0:
                del changed[at:]
            case 1:
                del changed[at:end]
            case 2:
                changed[at:at] = changed[at:end]
            case 3:
                changed[at:end] = random.choice((b"\x00", b"\xff")) * (end - at)
            case 4:
                changed[at:end] = random.randbytes(end - at)
            case _:
                changed[at:at] = random.choice(
                    (b"\xff\xff\xff\xff", b"\x00" * 8, b"\n", b"&#64;", b"\xef\xbb\xbf")
                )
    return bytes(changed)


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(each) for key, each in value.items()}
    return [_copied(each) for each in value] if isinstance(value, list) else value


def _places(value: Any) -> Iterator[Place]:
    """Each place in a document: the container, and the key or index in it."""
    pending = [value]
    while pending:
        container = pending.pop()
        keys = list(container) if isinstance(container, dict) else range(len(container))
        for key in keys:
            yield container, key
            if isinstance(container[key], dict | list):
                pending.append(container[key])


def _replace(container: Any, key: Any, random: Random, _: Sequence[Any]) -> None:
    container[key] = _copied(random.choice(HOSTILE))


def _delete(container: Any, key: Any, random: Random, _: Sequence[Any]) -> None:
    del container[key]
    if not container:
        container.update({"": None}) if isinstance(container, dict) else container.append(None)


def _double(container: Any, key: Any, random: Random, _: Sequence[Any]) -> None:
    value = container[key]
    if isinstance(value, list) and len(value) < 500:
        container[key] = value * random.choice((2, 3, 20))
    elif isinstance(value, str) and len(value) < 5000:
        container[key] = value * random.choice((2, 30))


def _nudge(container: Any, key: Any, random: Random, _: Sequence[Any]) -> None:
    value = container[key]
    if isinstance(value, int | float) and not isinstance(value, bool):
        change: Callable[[Any], Any] = random.choice(
            (lambda n: -n, lambda n: n + 1, lambda n: n - 1, lambda n: n * 10**6, lambda n: [n], str)
        )
        container[key] = change(value)


def _graft(container: Any, key: Any, random: Random, others: Sequence[Any]) -> None:
    donor, where = random.choice(list(_places({"": random.choice(others)})))
    container[key] = _copied(donor[where])


def _rename(container: Any, key: Any, random: Random, _: Sequence[Any]) -> None:
    if isinstance(container, dict):
        container[random.choice(("", "segments", "\ud800", key + "s", key.upper()))] = container.pop(key)


def _bury(container: Any, key: Any, random: Random, _: Sequence[Any]) -> None:
    for _level in range(random.choice((1, 2, 30))):
        container[key] = [container[key]] if random.random() < 0.5 else {str(key): container[key]}


_CHANGES = (_replace, _delete, _double, _nudge, _graft, _rename, _bury, *(_replace, _delete, _nudge, _graft))

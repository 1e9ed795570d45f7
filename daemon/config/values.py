"""Checks of single values. Each returns the value, or raises ValueError saying what to write."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from ipaddress import ip_network
from string import Formatter
from typing import TypeVar

_Value = TypeVar("_Value")
ENGINE_MODELS = ("base", "tiny.en")
"""The speech models that the embedded engine can fetch by itself."""
_HUB_MODEL = re.compile(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}")
_HEADER = re.compile(r"[A-Za-z][A-Za-z0-9-]*")
_LISTEN_HELP = "write HOST:PORT such as 127.0.0.1:8765, or the whole path of a Unix socket"
_MARKER_FIELDS = re.compile(r"\{(?:name|stem)\}")


def not_blank(value: _Value) -> _Value:
    """Refuses text without a visible character and text with a NUL; leaves other types alone."""
    if isinstance(value, str):
        if not value.strip():
            raise ValueError("must not be empty")
        if "\0" in value:
            raise ValueError("must not contain a NUL character")
    return value


def more_than_nothing(seconds: float) -> float:
    """Refuses a duration of zero, with which things would never wait or end."""
    if seconds <= 0:
        raise ValueError("must be longer than 0s")
    return seconds


def no_switch(value: object) -> object:
    """Refuses true and false as numbers: Python reads 1 and 0, but nobody means that."""
    if isinstance(value, bool):
        raise ValueError("must be a number")
    return value


def number_or_auto(value: object) -> int | None:
    """Returns the whole number from 1 to 64, or None for `auto`."""
    if value == "auto":
        return None
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 64:
        raise ValueError("must be auto, or a whole number from 1 to 64")
    return value


def with_a_word(phrase: str) -> str:
    """Refuses a phrase without a letter or digit: nobody can say it."""
    if not any(character.isalnum() for character in phrase):
        raise ValueError("has no word in it; write what is said, such as credit card")
    return phrase


def known_language(code: str) -> str:
    """Refuses language codes whose form Deepgram refuses."""
    if not code.strip():
        raise ValueError("must not be empty; write a code such as en, en-GB or de")
    if "_" in code:
        raise ValueError("must have a hyphen, not an underscore: en-GB")
    return code


def usable_ending(value: str) -> str:
    """Returns what files end in after the last dot, without the dot; refuses what is no ending."""
    ending = value.removeprefix(".")
    if not ending or "." in ending or "/" in ending or "*" in ending:
        raise ValueError("must be what names end in after their last dot, such as wav")
    return ending


def unlike_each_other(names: tuple[str, ...]) -> tuple[str, ...]:
    """Refuses a name that is given twice."""
    if len(set(names)) != len(names):
        raise ValueError("has a name twice; every channel needs a name of its own")
    return names


def usable_engine_model(name: str) -> str:
    """Refuses what is neither a model that the engine knows, nor a folder, nor a hub name with a revision."""
    path = os.path.expanduser(name)  # noqa: PTH111
    if name in ENGINE_MODELS or os.path.isabs(path) or _HUB_MODEL.fullmatch(name):  # noqa: PTH117
        return path
    raise ValueError(
        f"must be {', '.join(ENGINE_MODELS)}, the whole path of a folder with a model, or "
        "OWNER/NAME@REVISION of a hub, with all 40 digits of the revision"
    )


def usable_marker(template: str) -> str:
    """Refuses a `done_marker` that does not name its recording, or is the recording itself."""
    try:
        fields = [field for field in Formatter().parse(template) if field[1] is not None]
    except ValueError:
        raise ValueError("has a brace without its partner; write a name such as {name}.done") from None
    if len(fields) != 1 or fields[0][1:] not in (("name", "", None), ("stem", "", None)):
        raise ValueError("must have {name} or {stem} once and nothing else in braces, such as {name}.done")
    if template in ("{name}", "{stem}"):
        raise ValueError("would be the recording itself; write a name such as {name}.done")
    if "/" in template:
        raise ValueError("must be a name without slashes; the marker lies beside the recording")
    return template


def usable_metrics_file(path: _Value) -> _Value:
    """Refuses a name that node_exporter would not read."""
    if not str(path).endswith(".prom"):
        raise ValueError("must end with .prom; node_exporter reads no other files")
    return path


def listen_address(value: str) -> tuple[str, int] | None:
    """Host and port of `HOST:PORT`, None for the path of a Unix socket; ValueError for what is neither."""
    if value.startswith("/"):
        return None
    host, _, port = value.rpartition(":")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not host or not port.isascii() or not port.isdecimal() or int(port) > 65535 or not host.isprintable():
        raise ValueError(f"is no address to listen on; {_LISTEN_HELP}")
    if ":" in host and f"[{host}]" not in value:
        raise ValueError(f"must have an IPv6 address in brackets: [{host}]:{port}")
    return host, int(port)


def usable_listen(value: str) -> str:
    """Refuses what is neither HOST:PORT nor the path of a Unix socket."""
    listen_address(value)
    return value


def usable_header(name: str) -> str:
    """Refuses what is no name of an HTTP header, and those that any client sends."""
    if not _HEADER.fullmatch(name):
        raise ValueError("is no name of a header; write the one that your proxy sets, such as X-Remote-User")
    if name.lower() in ("host", "cookie", "origin", "authorization", "user-agent", "referer"):
        raise ValueError("is sent by every client; write the one that your proxy sets, such as X-Remote-User")
    return name


def usable_proxy(value: str) -> str:
    """Refuses what is neither an IP address, nor a network, nor `unix`."""
    try:
        return value if value == "unix" else str(ip_network(value))
    except ValueError:
        raise ValueError(
            "must be an IP address such as 127.0.0.1, a network such as 10.1.0.0/24, or unix"
        ) from None


def marker_name(template: str, name: str) -> str:
    """The name of the done marker of the file `name`, by the folder's `done_marker`."""
    stem, dot, _ = name.rpartition(".")
    return template.format(name=name, stem=stem if dot and stem else name)


def marker_names(template: str | None) -> Callable[[str], bool]:
    """A test for names: true for done markers, even if their recordings are not there."""
    if template is None:
        return lambda _: False
    before, after = (re.escape(part.format()) for part in _MARKER_FIELDS.split(template))
    pattern = re.compile(f"{before}.+{after}", re.DOTALL)
    return lambda name: pattern.fullmatch(name) is not None

"""Logging set-up: one handler on stderr that lets nothing secret or forged pass, as text or as JSON.

Secrets are registered when they are read, and replaced in all that is logged later, by earshot or by a
library. Names of files are left out where the configuration says so.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import re
import sys
import threading
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import TracebackType
from typing import TextIO
from urllib.parse import quote, quote_plus, unquote, unquote_plus

from daemon.log_lines import HIDDEN, Line, file_names, json_line, keys_and_values, read_call, without_names

logger = logging.getLogger(__name__)

SHORTEST_SECRET = 6
"""In characters. Shorter strings are parts of ordinary words: hiding them would make logs unreadable."""

OWN_LOGGER = "daemon"
TALKATIVE = (
    "apprise",
    "asyncio",
    "httpcore",
    "httpx",
    "oauthlib",
    "requests_oauthlib",
    "urllib3",
    "watchdog",
)
"""Libraries that log addresses, headers or every file event below WARNING."""

_PLAIN_WORD = re.compile(r"[A-Za-z]?[a-z]+(?:[-_.][a-z]+)*")
_URL = re.compile(r"://\S+")
"""What follows a scheme. Searching for the scheme too would take quadratic time on a long word."""
_NEVER = re.compile(r"(?!)")
_LINE_BREAKS_KEPT = re.compile(r"([\n\t])")
_PRIORITIES = {logging.CRITICAL: 2, logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6}
"""Priorities of syslog; other levels get 7 (debug)."""
_UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode categories: controls, formats (bidi, zero width), surrogates, line and paragraph separators."""


class Redaction(logging.Filter):
    """Rewrites a record before it is formatted: registered secrets become `***`, control characters become
    escapes, and a value after `key=` is quoted if it has a blank, a quote or `=` in it.

    Works on what is written in the end, so a secret in an argument or in an exception is found too. A
    traceback keeps its line breaks; the formatter indents its lines, so that none looks like one of the log.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._anywhere: set[str] = set()
        self._in_urls: set[str] = set()
        self._anywhere_pattern = _NEVER
        self._in_urls_pattern = _NEVER
        self._looked_for: tuple[str, ...] | None = ()
        self.roots: tuple[str, ...] | None = None
        """The folders below which names are left out; None: names are written."""

    def register(self, text: str) -> None:
        """Hide this text from now on, in every spelling a URL or an exception may give it."""
        text = text.strip()
        if "://" in text:
            anywhere, in_urls = _secret_parts(text)
        else:
            anywhere, in_urls = {text}, set[str]()
        with self._lock:
            self._anywhere |= _spellings(anywhere)
            self._in_urls |= _spellings(in_urls)
            self._anywhere_pattern = _any_of(self._anywhere)
            self._in_urls_pattern = _any_of(self._in_urls)
            is_ascii = all(map(str.isascii, self._anywhere))
            self._looked_for = tuple(map(str.lower, self._anywhere)) if is_ascii else None

    def clean(self, text: str) -> str:
        """The text without any registered secret."""
        if self._may_hide(text):
            text = self._anywhere_pattern.sub(HIDDEN, text)
        if "://" not in text:
            return text
        return _URL.sub(lambda url: self._in_urls_pattern.sub(HIDDEN, url[0]), text)

    def _may_hide(self, text: str) -> bool:
        """Whether a secret may be in a text: nearly none has one, and the pattern takes ten times as long.

        Only of ASCII it is known that letters are equal in any case when their small ones are.
        """
        if self._looked_for is None or not text.isascii():
            return True
        return any(map(text.lower().__contains__, self._looked_for))

    def _is_harmless(self, text: str) -> bool:
        """Whether nothing in a text has to be hidden or escaped, nor was something quoted that had to be."""
        is_plain = text.isascii() and text.isprintable() and "\\" not in text and "://" not in text
        return is_plain and not self._may_hide(text)

    def filter(self, record: logging.LogRecord) -> bool:
        """Cleans a record in place; False, to drop it, for a library's below WARNING."""
        if record.levelno < logging.WARNING and not _is_own(record.name):
            return False
        line, names = self._read(record)
        record.__dict__["line"] = line
        record.msg = line.text
        record.args = None
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = _escaped_lines(self._nameless(self.clean(record.exc_text), names))
            # Otherwise a second handler with its own formatter would write the exception with its secrets.
            record.exc_info = None
        if record.stack_info:
            record.stack_info = _escaped_lines(self._nameless(self.clean(record.stack_info), names))
        return True

    def _read(self, record: logging.LogRecord) -> tuple[Line, list[str]]:
        """Return what the call says, clean, and the names of files in it."""
        message, values = str(record.msg), record.args
        if not values or not isinstance(values, tuple):
            message, values = _formatted(record), ()
        names = [] if self.roots is None else file_names(keys_and_values(message, values))

        def clean(text: str) -> str:
            return escaped(self.clean(self._nameless(text, names)))

        try:
            # Nearly every line is harmless as a whole, and then each part of it is.
            as_it_is = read_call(message, values, str) if values and self.roots is None else None
            if as_it_is and self._is_harmless(as_it_is.text):
                return as_it_is, names
            line = read_call(message, values, clean) if values else Line(clean(message), clean(message))
        except Exception:  # noqa: BLE001 - logging would print the arguments to stderr as they are
            text = clean(f"{message} (arguments do not fit: {values!r})")
            return Line(text, text), names
        # Once more as a whole: an address may be put together of the message and its values.
        text = self.clean(line.text)
        return line if text == line.text else replace(line, text=text, event=self.clean(line.event)), names

    def _nameless(self, text: str, names: Iterable[str]) -> str:
        return text if self.roots is None else without_names(text, names, self.roots)


_redaction = Redaction()


def register_secret(text: str) -> None:
    """Hide this in the log from now on: a key, a password, or an Apprise URL and its secret parts.

    Strings shorter than six characters are not registered.
    """
    _redaction.register(text)


def redacted(text: str) -> str:
    """The text with every registered secret replaced, for errors that are stored or printed."""
    return _redaction.clean(text)


def escaped(text: str) -> str:
    r"""The text on one line: controls, line breaks, bidi characters and stray bytes as \xNN or \uNNNN."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        _escape(character) if unicodedata.category(character) in _UNPRINTABLE else character
        for character in text
    )


def arrange(log_format: str, *, nameless_below: Iterable[str] | None) -> None:
    """Write lines as `text` or `json` from now on, with names of files or, given their folders, without."""
    _redaction.roots = None if nameless_below is None else tuple(nameless_below)
    _Lines.writes_json = log_format == "json"


def writes_json() -> bool:
    """Return whether each line is a JSON object."""
    return _Lines.writes_json


def set_up(level: str, *, stream: TextIO | None = None, env: Mapping[str, str] = os.environ) -> None:
    """Log to `stream` (stderr) from `level` up, libraries from WARNING up.

    Called again, it replaces what it set up before.
    """
    handler = _OwnHandler(stream or sys.stderr)
    handler.setFormatter(_Lines(journal=env.get("JOURNAL_STREAM"), stream=handler.stream))
    handler.addFilter(_redaction)
    root = logging.getLogger()
    for previous in [each for each in root.handlers if isinstance(each, _OwnHandler)]:
        root.removeHandler(previous)
    root.addHandler(handler)
    wanted = logging.getLevelNamesMapping()[level.upper()]
    for name in ("", *TALKATIVE):
        logging.getLogger(name or None).setLevel(max(wanted, logging.WARNING))
    logging.getLogger(OWN_LOGGER).setLevel(wanted)
    logging.captureWarnings(True)


def log_uncaught() -> None:
    """Log exceptions that end a thread or the process: Python would print them with secrets."""
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_in_thread


class _OwnHandler(logging.StreamHandler[TextIO]):
    """Has its own type: a second `set_up` can find and replace it."""


class _Lines(logging.Formatter):
    """One line per record, its traceback indented below, or as one JSON object.

    The journal adds the time itself, and reads the priority of a line from `<N>` at its start.
    """

    writes_json = False

    def __init__(self, *, journal: str | None, stream: TextIO) -> None:
        super().__init__(("" if journal else "%(asctime)s %(levelname)s ") + "%(name)s: %(message)s")
        # JOURNAL_STREAM is inherited with the environment: it may mean another stderr than this one.
        self._with_priority = journal is not None and journal == _device_and_inode(stream)

    def format(self, record: logging.LogRecord) -> str:
        """The record as text without a final line break."""
        text = _as_json(record) if self.writes_json else super().format(record).replace("\n", "\n    ")
        if not self._with_priority:
            return text
        priority = f"<{_PRIORITIES.get(record.levelno, 7)}>"
        return priority + text.replace("\n", "\n" + priority)


def _is_own(name: str) -> bool:
    return name in (OWN_LOGGER, "__main__") or name.startswith(OWN_LOGGER + ".")


def _formatted(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 - logging would print the arguments to stderr as they are
        return f"{record.msg} (arguments do not fit: {record.args!r})"


def _as_json(record: logging.LogRecord) -> str:
    line = record.__dict__.get("line") or Line(record.getMessage(), record.getMessage())
    exception = "\n".join(filter(None, (record.exc_text, record.stack_info)))
    return json_line(
        line, created=record.created, level=record.levelname, logger=record.name, exception=exception
    )


def _secret_parts(url: str) -> tuple[set[str], set[str]]:
    """The texts to hide everywhere, and the plain words to hide only inside URLs.

    Split by hand: Apprise puts tokens in place of host and port, and `urlsplit` would change or refuse
    those. A plain word ("alerts") may be a secret topic, but is also an everyday word in other lines.
    """
    _, _, rest = url.partition("://")
    located, _, query = rest.partition("?")
    authority, *segments = re.split(r"[/#]", located)
    userinfo, _, host = authority.rpartition("@")
    user, _, password = userinfo.partition(":")
    values = [pair.partition("=")[2] for pair in query.split("&")]
    parts = {user, *segments, *values}
    if not _is_real_host(host, has_password=bool(password)):
        parts |= {host, *host.split(":")}
    words = {part for part in parts if _PLAIN_WORD.fullmatch(part)}
    anywhere = (parts - words) | {url, rest, userinfo, password}
    if userinfo:
        # As HTTP basic authentication sends it.
        anywhere.add(base64.b64encode(unquote(userinfo).encode()).decode())
    return anywhere, words


def _is_real_host(host: str, *, has_password: bool) -> bool:
    return (
        has_password or "." in host or host.startswith("[") or host.partition(":")[0].lower() == "localhost"
    )


def _spellings(secrets: Iterable[str]) -> set[str]:
    """Each secret as it is, decoded, URL-encoded in both ways, and as `repr` and JSON write it."""
    found: set[str] = set()
    for secret in secrets:
        for plain in {secret, unquote(secret), unquote_plus(secret)}:
            found |= {plain, quote(plain), quote(plain, safe=""), quote_plus(plain)}
            found |= {repr(plain)[1:-1], json.dumps(plain, ensure_ascii=False)[1:-1]}
    return {each for each in found if len(each) >= SHORTEST_SECRET}


def _any_of(secrets: set[str]) -> re.Pattern[str]:
    if not secrets:
        return _NEVER
    # Longest first: a whole URL before the token in it. In any letter case: hosts and %2F may have changed.
    longest_first = sorted(secrets, key=lambda secret: (-len(secret), secret))
    return re.compile("|".join(map(re.escape, longest_first)), re.IGNORECASE)


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        # os.fsdecode turns a byte 0xNN that is not UTF-8 into U+DCNN.
        code -= 0xDC00
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def _escaped_lines(text: str) -> str:
    return "".join(part if part in ("\n", "\t") else escaped(part) for part in _LINE_BREAKS_KEPT.split(text))


def _device_and_inode(stream: TextIO) -> str | None:
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return None
    return f"{status.st_dev}:{status.st_ino}"


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        logger.critical("uncaught exception", exc_info=(kind, error, trace))


def _log_uncaught_in_thread(arguments: threading.ExceptHookArgs) -> None:
    if arguments.exc_value is not None and not isinstance(arguments.exc_value, SystemExit):
        name = arguments.thread.name if arguments.thread else "unknown"
        trace = (arguments.exc_type, arguments.exc_value, arguments.exc_traceback)
        logger.critical("uncaught exception thread=%s", name, exc_info=trace)

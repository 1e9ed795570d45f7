"""Everything that can go wrong between a request and a usable reply, mapped once to our errors.

The statuses and texts are those of https://developers.deepgram.com/docs/errors and of replies seen in the
issues of Deepgram's SDKs; bodies come in two JSON shapes, as plain text, and as a proxy's HTML.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, unquote

import httpx

from daemon.errors import (
    AccountError,
    AnalysisError,
    DoubtfulReplyError,
    RateLimitedError,
    RecordingError,
    ServiceDownError,
    TemporaryError,
)
from daemon.models import hosted_name, shown_address

MAX_RETRY_AFTER = 900.0
"""Seconds; the longest wait, even when a service asks for more."""
MAX_MESSAGE = 300
SHORTEST_HIDDEN = 6
"""Characters. Shorter parts of an address are not hidden in a message: other words contain them too."""
GATEWAY_TIMEOUTS = (504, 524)
"""The request was passed on and may still be running; 524 is Cloudflare's own status."""

_ABOUT_THE_RECORDING = re.compile(r"corrupt or unsupported data|failed to process audio|REMOTE_CONTENT", re.I)
_ADDRESS = re.compile(r"https?://[^\s\"'<>]+", re.I)
_ABOUT_THE_REQUEST = re.compile(
    r"INVALID_QUERY_PARAMETER|INVALID_JSON|deserialize|parameter|model|language|tier|not supported"
    r"|keyterm|keyword|redact|diari[sz]|callback",
    re.I,
)


def error_of_status(
    status: int,
    body: bytes,
    headers: Mapping[str, str],
    *,
    request_id: str | None = None,
    address: str | None = None,
) -> AnalysisError:
    """Return the error for a status other than 200; `address` is that of a hosted recording."""
    code, text, named = _said(body)
    text = _without_path(text, address) if address else text
    error = _error_of(status, code, text, retry_after(headers))
    error.request_id = request_id or named
    if isinstance(error, DoubtfulReplyError):
        error.body = body
    return error


def _error_of(status: int, code: str, text: str, wait: float | None) -> AnalysisError:
    said = f"{status} {text}".strip() if text.startswith(code) else f"{status} {code} {text}".strip()
    if status == 401:
        return AccountError(
            "key", f"the API key is refused ({said}); put a valid key where the configuration says"
        )
    if status == 403:
        # The project may not use this model: other folders may ask for another one.
        text = f"the API key may not do this ({said}); check its rights and the model"
        return AccountError("key", text, of_request=True)
    if status == 402:
        return AccountError("credit", f"the account is out of credit ({said}); top it up")
    if status == 429:
        return RateLimitedError(f"too many requests at once ({said})", retry_after=wait)
    if status in (400, 411, 413, 415):
        return _refusal(status, code, text, said)
    if status in GATEWAY_TIMEOUTS:
        return DoubtfulReplyError(f"the service gave up on it ({said})")
    if status in (408, 409, 422, 425, 499):
        return TemporaryError(f"the upload did not arrive whole ({said})", retry_after=wait)
    if status >= 500:
        return ServiceDownError(f"the service is in trouble ({said})", retry_after=wait)
    if 200 < status < 300:
        return DoubtfulReplyError(f"an answer without a result ({said})")
    # A redirect, a wrong path, a proxy that wants a login: none of them has looked at the recording.
    text = f"the endpoint does not take this request ({said}); check analyzer.base_url and analyzer.options"
    return AccountError("request", text, said=said)


def error_of_exception(error: Exception, *, sent: bool, late: bool) -> AnalysisError:
    """Return the error for a failed exchange.

    `sent`: the whole body had left; `late`: we ended it ourselves at the deadline.
    """
    what = type(error).__name__
    if late:
        return DoubtfulReplyError("no complete reply within analyzer.timeout")
    if isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol):
        return AccountError("request", "analyzer.base_url is not a usable address; correct it")
    if isinstance(error, httpx.LocalProtocolError):
        # Its text may contain the illegal header, and with it the key.
        return AccountError(
            "request", "the request cannot be built: the API key has characters it may not have"
        )
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.ProxyError | httpx.PoolTimeout):
        why = one_line(str(error)) or "refused"
        return ServiceDownError(f"no connection to the service ({what}: {why})", reached=False)
    if isinstance(error, httpx.DecodingError):
        return DoubtfulReplyError(f"the reply cannot be decoded ({what})")
    if not sent:
        return TemporaryError(f"the connection broke during the upload ({what})")
    if isinstance(error, httpx.TimeoutException):
        return DoubtfulReplyError("no complete reply within analyzer.timeout")
    return DoubtfulReplyError(f"the connection ended before the reply was complete ({what})")


def retry_after(headers: Mapping[str, str], *, now: datetime | None = None) -> float | None:
    """Seconds from a Retry-After header (RFC 9110 §10.2.3), 0 to MAX_RETRY_AFTER; None when there is none."""
    text = headers.get("retry-after", "").strip()
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = _seconds_until(text, now or datetime.now(UTC))
    if not math.isfinite(seconds) or seconds < 0:
        return None
    return min(seconds, MAX_RETRY_AFTER)


def _seconds_until(text: str, now: datetime) -> float:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return math.nan
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())


def _refusal(status: int, code: str, text: str, said: str) -> AnalysisError:
    if status == 413:
        return RecordingError("too_large", f"the service refuses a file of this size ({said})")
    if code == "TOKEN_LIMIT_EXCEEDED":
        return RecordingError("too_long", f"the transcript is too long for the analysis ({said}); split it")
    if code == "REMOTE_CONTENT_ERROR" or status == 411:
        return RecordingError("remote_content", f"the service could not fetch the recording ({said})")
    about = f"{code} {text}"
    if status == 415 or _ABOUT_THE_RECORDING.search(about):
        text = (
            f"the service finds no audio that it can read in it ({said}); play it, then put a good copy there"
        )
        return RecordingError("corrupt_audio", text)
    if _ABOUT_THE_REQUEST.search(about):
        text = f"the request is refused for every recording ({said}); correct model, language or options"
        return AccountError("request", text, said=said)
    return RecordingError("refused", f"the service refuses this recording ({said})")


def _said(body: bytes) -> tuple[str, str, str | None]:
    """Code, message and request id of an error body, made short and printable."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        text = body[:2000].decode("utf-8", "replace")
        return "", "" if "<" in text[:200] else one_line(text), None
    if not isinstance(said, dict):
        return "", "", None
    code = _first(said, "err_code", "error_code", "category")
    text = " ".join(part for part in (_first(said, "err_msg", "message"), _first(said, "details")) if part)
    return one_line(code), one_line(text), one_line(_first(said, "request_id")) or None


def _first(said: dict[str, Any], *names: str) -> str:
    return next((said[name] for name in names if isinstance(said.get(name), str)), "")


def _without_path(text: str, address: str) -> str:
    """Return a text without what an address has between its host and file name, and after these.

    Each part is also left out where it stands alone, in any spelling, unless it is a plain word.
    """
    path = address.partition("://")[2].partition("/")[2]
    parts = [part for part in re.split(r"[/?#;&=]", path) if not (part.isalpha() and part.islower())]
    hidden = {path, address.partition("?")[2], *parts} - {hosted_name(address)}
    plain = {form for part in hidden for form in (part, unquote(part), one_line(unquote(part)))}
    spelled = plain | {quote(form, safe=safe) for form in plain for safe in ("", "/")}
    for form in sorted(spelled, key=len, reverse=True):
        if len(form) >= SHORTEST_HIDDEN:
            text = text.replace(form, "…")
    return text


def one_line(text: str) -> str:
    """Return a text from elsewhere as one line of at most MAX_MESSAGE printable characters.

    Of an address only the host and the last part of its path stay: the rest may be what gives access.
    """
    text = _ADDRESS.sub(lambda found: shown_address(found[0]), text)
    printable = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(printable.split())[:MAX_MESSAGE]

"""Every documented error, every exception of the HTTP library and every Retry-After has one meaning."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest

from daemon.deepgram.http_errors import (
    MAX_MESSAGE,
    MAX_RETRY_AFTER,
    error_of_exception,
    error_of_status,
    retry_after,
)
from daemon.errors import (
    AccountError,
    AnalysisError,
    DoubtfulReplyError,
    RateLimitedError,
    RecordingError,
    ServiceDownError,
    TemporaryError,
)
from tests.harness import CANARY_KEY, error, sample

NOW = datetime(2026, 8, 1, 12, 0, tzinfo=UTC)

DOCUMENTED: dict[str, tuple[type[AnalysisError], str | None]] = {
    "e400_audio": (RecordingError, "corrupt_audio"),
    "e400_json": (AccountError, "request"),
    "e400_model": (AccountError, "request"),
    "e400_query": (AccountError, "request"),
    "e400_tokens": (RecordingError, "too_long"),
    "e400_summ_lang": (AccountError, "request"),
    "e401_key": (AccountError, "key"),
    "e401_perm": (AccountError, "key"),
    "e402": (AccountError, "credit"),
    "e403": (AccountError, "key"),
    "e408": (TemporaryError, None),
    "e411_url": (RecordingError, "remote_content"),
    "e422": (TemporaryError, None),
    "e429": (RateLimitedError, None),
    "e503": (ServiceDownError, None),
}


def meaning(failure: AnalysisError) -> tuple[type[AnalysisError], str | None]:
    """The class, and for what has one its code or cause."""
    return type(failure), getattr(failure, "code", None) or getattr(failure, "cause", None)


def of(status: int, body: bytes | dict[str, Any] = b"", **headers: str) -> AnalysisError:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return error_of_status(status, content, httpx.Headers(named))


def test_every_documented_error_is_in_the_table() -> None:
    assert sample("errors").keys() == DOCUMENTED.keys()


@pytest.mark.parametrize("name", list(DOCUMENTED))
def test_documented_errors(name: str) -> None:
    status, body = error(name)
    failure = of(status, body)

    assert meaning(failure) == DOCUMENTED[name]
    assert failure.request_id == body.get("request_id")
    assert str(status) in str(failure)
    assert not failure.possibly_billed


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (301, b"", (AccountError, "request")),
        (302, b"<html>log in</html>", (AccountError, "request")),
        (404, b"UUID parsing failed: invalid length", (AccountError, "request")),
        (405, b"", (AccountError, "request")),
        (407, b"proxy authentication required", (AccountError, "request")),
        (409, b"", (TemporaryError, None)),
        (410, b"", (AccountError, "request")),
        (413, b"", (RecordingError, "too_large")),
        (414, b"", (AccountError, "request")),
        (415, b"", (RecordingError, "corrupt_audio")),
        (421, b"", (AccountError, "request")),
        (425, b"", (TemporaryError, None)),
        (431, b"", (AccountError, "request")),
        (451, b"", (AccountError, "request")),
        (499, b"", (TemporaryError, None)),
        (500, b"", (ServiceDownError, None)),
        (502, b"<html>bad gateway</html>", (ServiceDownError, None)),
        (504, b"", (DoubtfulReplyError, None)),
        (529, b"", (ServiceDownError, None)),
        (599, b"", (ServiceDownError, None)),
        (201, b"", (DoubtfulReplyError, None)),
        (204, b"", (DoubtfulReplyError, None)),
        (400, b"", (RecordingError, "refused")),
        (400, b"something never heard of", (RecordingError, "refused")),
        (400, {"category": "REMOTE_CONTENT_ERROR", "message": "x"}, (RecordingError, "remote_content")),
        (400, {"err_msg": "Keyterm limit exceeded."}, (AccountError, "request")),
        (
            400,
            {"err_msg": "Bad Request: failed to process audio: corrupt or unsupported data in model"},
            (RecordingError, "corrupt_audio"),
        ),
    ],
)
def test_other_statuses(status: int, body: bytes | dict[str, Any], expected: tuple[type, str | None]) -> None:
    assert meaning(of(status, body)) == expected


def test_every_status_there_is_has_a_meaning() -> None:
    """What no table knows has not looked at the recording: only these statuses may fail one."""
    failing = {
        status for status in [*range(201, 400), *range(401, 1000)] if isinstance(of(status), RecordingError)
    }

    assert failing == {411, 413, 415}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"{}",
        b'{"err_code": 5, "err_msg": [], "details": {}, "request_id": 7}',
        b'{"err_msg": "a\\nb\\u0000c\\ud800\\u202e\\u001b[31m"}',
        b"\xff\xfe\x00plain text\r\nwith lines\x1b]0;x\x07",
        b"<!doctype html><script>x</script>" * 50,
        b"x" * 100_000,
        b"[" * 200_000,
        json.dumps({"err_code": "C" * 9999, "err_msg": "M" * 9999, "details": "D" * 9999}).encode(),
        b'{"err_msg": ' + b"9" * 10_000 + b"}",
    ],
)
@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 413, 422, 429, 500, 504])
def test_what_is_said_of_any_body_is_one_short_printable_line(status: int, body: bytes) -> None:
    failure = of(status, body)
    text = str(failure)

    assert text.isprintable()
    assert len(text) < 2 * MAX_MESSAGE + 200
    assert "<" not in text
    assert failure.request_id is None


def test_an_error_names_what_the_service_said() -> None:
    assert "INVALID_JSON Invalid JSON submitted. Json deserialize error" in str(of(*error("e400_json")))
    assert "plain words" in str(of(500, b"plain  words\n"))


def test_of_an_address_in_what_the_service_said_host_and_name_are_left() -> None:
    said = {
        "err_code": "REMOTE_CONTENT_ERROR",
        "err_msg": "cannot fetch https://u:pw@h.com/t0ken/a.mp3?key=s3cr3t now",
    }
    failure = error_of_status(400, json.dumps(said).encode(), {})
    assert "cannot fetch https://h.com/…/a.mp3 now" in str(failure)


@pytest.mark.parametrize(
    "said",
    [
        "https://h.com/t0ken-1/call one.mp3?key=s3cr3t",
        "https://h.com/t0ken-1/call%20one.mp3?key=s3cr3t",
        "GET /t0ken-1/call%20one.mp3?key=s3cr3t from h.com",
        "/t0ken-1/call one.mp3?key=s3cr3t",
        "the query key=s3cr3t",
        "GET /t0ken-1/call%20one.mp3 from h.com",
        "the key s3cr3t, and the folder t0ken-1",
        "https%3A%2F%2Fh.com%2Ft0ken-1%2Fcall%20one.mp3%3Fkey%3Ds3cr3t",
        "https:\\/\\/h.com\\/t0ken-1\\/call",
    ],
)
def test_no_part_of_a_recording_s_address_that_may_open_it_is_repeated(said: str) -> None:
    body = json.dumps({"err_code": "REMOTE_CONTENT_ERROR", "err_msg": f"403 for {said} now"}).encode()
    failure = error_of_status(400, body, {}, address="https://h.com/t0ken-1/call%20one.mp3?key=s3cr3t")

    assert "s3cr3t" not in str(failure)
    assert "t0ken" not in str(failure)


def test_the_request_id_of_the_header_goes_before_the_body_s() -> None:
    status, body = error("e503")
    assert (
        error_of_status(status, json.dumps(body).encode(), {}, request_id="from-header").request_id
        == "from-header"
    )


# Exceptions


def exceptions_of_httpx() -> Iterator[type[Exception]]:
    """Every exception class that the HTTP library exports."""
    for _, member in inspect.getmembers(httpx, inspect.isclass):
        if issubclass(member, Exception):
            yield member


def raised(kind: type[Exception], text: str = "made up") -> Exception:
    if issubclass(kind, httpx.HTTPStatusError):
        return kind(text, request=httpx.Request("POST", "http://x"), response=httpx.Response(500))
    try:
        return kind(text)
    except TypeError:
        return kind()


NOT_SENT: dict[str, tuple[type[AnalysisError], str | None]] = {
    "InvalidURL": (AccountError, "request"),
    "UnsupportedProtocol": (AccountError, "request"),
    "LocalProtocolError": (AccountError, "request"),
    "ConnectError": (ServiceDownError, None),
    "ConnectTimeout": (ServiceDownError, None),
    "PoolTimeout": (ServiceDownError, None),
    "ProxyError": (ServiceDownError, None),
    "DecodingError": (DoubtfulReplyError, None),
}
"""What has one meaning wherever it happens; anything else depends on whether the body had left."""


@pytest.mark.parametrize("kind", list(exceptions_of_httpx()), ids=lambda kind: kind.__name__)
def test_every_exception_of_the_http_library_has_a_meaning(kind: type[Exception]) -> None:
    before = error_of_exception(raised(kind), sent=False, late=False)
    after = error_of_exception(raised(kind), sent=True, late=False)
    late = error_of_exception(raised(kind), sent=True, late=True)

    fixed = NOT_SENT.get(kind.__name__)
    assert meaning(before) == (fixed or (TemporaryError, None))
    assert type(after) is (fixed[0] if fixed else DoubtfulReplyError)
    assert type(late) is DoubtfulReplyError
    assert after.possibly_billed == isinstance(after, DoubtfulReplyError)


def test_no_connection_means_that_not_a_byte_was_sent() -> None:
    failure = error_of_exception(httpx.ConnectError("[Errno 111] Connection refused"), sent=False, late=False)

    assert isinstance(failure, ServiceDownError)
    assert not failure.reached
    assert "Connection refused" in str(failure)


@pytest.mark.parametrize("kind", list(exceptions_of_httpx()), ids=lambda kind: kind.__name__)
def test_what_is_said_of_an_exception_is_one_short_line_without_the_key(kind: type[Exception]) -> None:
    """h11 puts the whole header into the text of its error when the key cannot be one."""
    long = (
        f"Illegal header value b'Token {CANARY_KEY}'"
        if kind is httpx.LocalProtocolError
        else "a\nb\x1b[31m" * 999
    )
    for sent in (False, True):
        text = str(error_of_exception(raised(kind, long), sent=sent, late=False))
        assert text.isprintable()
        assert len(text) < MAX_MESSAGE + 200
        assert CANARY_KEY not in text


# Retry-After


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3", 3.0),
        ("0", 0.0),
        (" 7 ", 7.0),
        ("1.5", 1.5),
        ("-5", None),
        ("", None),
        ("   ", None),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("-inf", None),
        ("1e400", None),
        ("99999999999", MAX_RETRY_AFTER),
        ("9" * 5000, None),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90.0),
        (format_datetime(NOW + timedelta(days=90), usegmt=True), MAX_RETRY_AFTER),
        (format_datetime(NOW - timedelta(days=1), usegmt=True), 0.0),
        ("Sat, 01 Aug 2026 12:00:10 -0000", 10.0),
        ("Sat, 01 Aug 2026 14:00:10 +0200", 10.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", MAX_RETRY_AFTER),
        ("Fri, 31 Dec 9999 23:59:59 -2359", MAX_RETRY_AFTER),
        ("Mon, 01 Jan 0001 00:00:00 +2359", 0.0),
        ("Mon, 01 Jan 0000 00:00:00 GMT", 0.0),
        ("Mon, 32 Foo 2026 99:99:99 GMT", None),
        ("Sat, 01 Aug 2026 12:00:10 +999999999999", None),
        ("2026-08-01T12:00:10Z", None),
    ],
)
def test_retry_after(text: str, expected: float | None) -> None:
    assert retry_after({"retry-after": text}, now=NOW) == expected


def test_no_retry_after_says_nothing() -> None:
    assert retry_after({}) is None


@pytest.mark.parametrize("status", [408, 422, 429, 500, 503])
def test_the_header_reaches_the_error_in_any_spelling(status: int) -> None:
    failure = of(status, Retry_After="3")

    assert isinstance(failure, TemporaryError)
    assert failure.retry_after == 3.0

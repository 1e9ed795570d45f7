"""Every error that earshot raises on purpose: the class says what is wrong, the text what to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

EXIT_FAILED = 1
EXIT_UNUSABLE = 78
EXIT_INTERRUPTED = 130
WITH_ENGINE = "the Debian package earshot-engine, or: pip install 'earshot[engine]'"
"""What to install where the embedded engine's packages are missing."""


class EarshotError(Exception):
    """Base of all; `str()` is one line: what failed, with what, and what to do. Exit code 1."""

    exit_code = EXIT_FAILED


class UsageError(EarshotError):
    """Something named on the command line does not exist (an id, a destination)."""


@dataclass(frozen=True, slots=True)
class ConfigProblem:
    """One thing that is wrong in the configuration, or, with an empty `file`, with what it describes.

    `line` counts from 1; for a missing key it is its parent's, or None without one. `key` is dotted:
    `watch[0].settle`. `level` is `warning` if the configuration works all the same.
    """

    file: str
    line: int | None
    key: str
    problem: str
    level: str = "error"

    def __str__(self) -> str:
        if not self.file:
            return self.problem
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{place}: {self.key}: {self.problem}" if self.key else f"{place}: {self.problem}"


class ConfigError(EarshotError):
    """The configuration cannot be used; `problems` are in the order of the file. Exit code 78."""

    exit_code = EXIT_UNUSABLE

    def __init__(self, path: Path | str, problems: list[ConfigProblem]) -> None:
        self.path = str(path)
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))


def all_of(*reads: Callable[[], Any]) -> list[Any]:
    """Return what each of these reads; raises one ConfigError with the problems of all that cannot."""
    found: list[Any] = []
    problems: list[ConfigProblem] = []
    for read in reads:
        try:
            found.append(read())
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError("configuration", problems)
    return found


class StoreError(EarshotError):
    """The database cannot be used: not a database, from a newer version, not writable. Exit code 78."""

    exit_code = EXIT_UNUSABLE


class StoreBusyError(EarshotError):
    """The database is locked by another process or its disk is full; it may work again later."""


class ListenError(EarshotError):
    """An address cannot be listened on: another program has it, or it is none of this host."""


class FileTrouble(EarshotError):
    """A recording's file could not be read."""


class FileGoneError(FileTrouble):
    """The file is no longer there."""


class FileReplacedError(FileGoneError):
    """No regular file is in its place, or its path leads through a link."""


class FileUnmountedError(FileTrouble):
    """The file is missing, and so is its folder or file system: it may come back."""


class FileChangedError(FileTrouble):
    """The file is not the one that was queued, or changed while it was read."""


class FileUnreadableError(FileTrouble):
    """The file is there but cannot be read: permission, an input/output error."""


class AnalysisError(EarshotError):
    """The API gave no result for a recording.

    `request_id` is from Deepgram's reply, if it had one: their support asks for it.
    `possibly_billed` is True when the body arrived and the request was not clearly refused.
    """

    def __init__(self, message: str, *, request_id: str | None = None, possibly_billed: bool = False) -> None:
        super().__init__(message)
        self.request_id = request_id
        self.possibly_billed = possibly_billed


class TemporaryError(AnalysisError):
    """May work later, nothing billed; `retry_after` is in seconds, if the service named it."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class RateLimitedError(TemporaryError):
    """429: more requests at once than the account allows."""


class ServiceDownError(TemporaryError):
    """The service cannot be reached (`reached` False: no byte of the recording was sent) or answers 5xx."""

    def __init__(self, message: str, *, retry_after: float | None = None, reached: bool = True) -> None:
        super().__init__(message, retry_after=retry_after)
        self.reached = reached


class DoubtfulReplyError(AnalysisError):
    """The whole request arrived, but no usable reply came: counted as billed.

    `body` is what was received (bytes, at most the client's cap), kept for a person to look at.
    """

    def __init__(self, message: str, *, request_id: str | None = None, body: bytes = b"") -> None:
        super().__init__(message, request_id=request_id, possibly_billed=True)
        self.body = body


class RecordingError(AnalysisError):
    """This recording is always refused; `code` is stored as its error_code (`corrupt_audio`, …)."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class AccountError(AnalysisError):
    """Key, credit or request (`cause`) refused, as for every recording.

    `said` is the answer of the service in its own words; `of_request` is False if any other request would get
    the same.
    """

    def __init__(self, cause: str, message: str, *, said: str = "", of_request: bool = False) -> None:
        super().__init__(message)
        self.cause = cause
        self.said = said
        self.of_request = of_request or cause == "request"

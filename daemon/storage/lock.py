"""The lock file beside the database: who works on it, and how commands and the service talk.

Its parts are at fixed places: the holder and whether it is ready, as JSON; the number of the last request to
read the configuration again; the answer and which file is in force, as JSON. Only the owner of the database
may read or write it.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from daemon.errors import EarshotError, StoreError
from daemon.version import full_version

logger = logging.getLogger(__name__)

ATTEMPTS = 5
HOLDER_BYTES = 64
ASKED_BYTES = 32
ANSWER_AT = HOLDER_BYTES + ASKED_BYTES
LONGEST_ANSWER_BYTES = 1_000_000


class DaemonLock:
    """The held lock, with what `earshot status` reads from it: process id and whether it is ready."""

    def __init__(self, descriptor: int, path: Path) -> None:
        self._descriptor = descriptor
        self._path = path
        self._is_written = True
        self.taken: Sequence[int] | None = None
        """The stamp of the configuration file in force, as `answer` writes it for `taken_file`."""

    @property
    def is_held(self) -> bool:
        """Return False once the file was deleted or replaced: another process may lock the new one."""
        try:
            return os.path.samestat(os.fstat(self._descriptor), self._path.stat())
        except OSError:
            return False

    def say(self, *, ready: bool, stopping: bool = False) -> bool:
        """Write this process's id, readiness and whether it is about to end into the lock file.

        False when that cannot be written. It is for `earshot status` alone, so nothing ends by it: a request
        in flight would be paid for twice.
        """
        content = json.dumps({"pid": os.getpid(), "ready": ready, "stopping": stopping}).encode()
        try:
            os.pwrite(self._descriptor, content.ljust(HOLDER_BYTES), 0)
        except OSError as error:
            if self._is_written:
                logger.error("state for `earshot status` not written path=%s error=%s", self._path, error)
            self._is_written = False
        else:
            self._is_written = True
        return self._is_written

    def asked(self) -> int:
        """Return the number of the last request to read the configuration again; 0 without one."""
        return _asked(self._descriptor)

    def answer(self, asked: int, faults: Sequence[str]) -> None:
        """Answer all requests up to number `asked`; `faults` is empty when it was taken over."""
        answer = {"asked": asked, "faults": list(faults), "taken": self.taken, "by": full_version()}
        content = json.dumps(answer).encode()
        try:
            os.pwrite(self._descriptor, content, ANSWER_AT)
            os.ftruncate(self._descriptor, ANSWER_AT + len(content))
        except OSError as error:
            # The disk is full: whoever asked gets no answer, and sees the failure by that.
            logger.error("answer to a reload not written error=%s", error)

    def forget(self) -> None:
        """Delete what an earlier process was asked, and its answer."""
        # Not by emptying the file: on a full disk nothing could be written into it again.
        os.ftruncate(self._descriptor, HOLDER_BYTES)

    def close(self) -> None:
        """Give the lock up."""
        os.close(self._descriptor)


@contextmanager
def held(path: Path) -> Iterator[DaemonLock]:
    """Hold the lock of the database at `path`; see `storage.database.daemon_lock`."""
    place = beside_of(path, ".lock")
    try:
        descriptor = os.open(place, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(
            f"{place}: the lock file cannot be written ({error.strerror}); "
            "check the owner of the database's folder"
        ) from error
    with closing(DaemonLock(descriptor, place)) as lock:
        if not _locked(descriptor):
            pid = _holder(descriptor).get("pid")
            raise EarshotError(
                f"{path}: another earshot (process {pid}) is working on this database; "
                "stop it first, or give this one a database of its own"
            )
        lock.forget()
        lock.say(ready=False)
        yield lock


@contextmanager
def reading_lock(path: Path) -> Iterator[bool]:
    """Hold the right to analyze the transcripts of the database at `path` again.

    False when another process holds it. It ends with the process, even after a kill.
    """
    place = beside_of(path, ".reading")
    try:
        descriptor = os.open(place, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        if os.geteuid() == 0:
            # Else the service, which looks at it when it starts, could not open it.
            os.fchown(descriptor, path.stat().st_uid, -1)
    except OSError as error:
        raise StoreError(
            f"{place}: the lock file cannot be written ({error.strerror}); "
            "check the owner of the database's folder"
        ) from error
    try:
        yield _locked(descriptor)
    finally:
        os.close(descriptor)


def daemon_status(path: Path) -> dict[str, Any]:
    """Return `running`, `ready`, `stopping` and `pid` of the daemon of the database at `path`.

    `pid` is None if it is not running.
    """
    stopped = {"running": False, "ready": False, "stopping": False, "pid": None}
    try:
        # Non-blocking, because opening a FIFO would wait.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(beside_of(path, ".lock"), flags)
    except OSError:
        return stopped
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        content = _holder(descriptor)
        said = {name: bool(content.get(name)) for name in ("ready", "stopping")}
        return {"running": True, **said, "pid": content.get("pid")}
    finally:
        os.close(descriptor)
    return stopped


def unready(service: dict[str, Any]) -> str:
    """Say of a daemon that runs and is not ready what it is doing."""
    return "stopping" if service["stopping"] else "starting"


def ask_to_reload(path: Path) -> int:
    """Ask the daemon of the database at `path` to read its configuration again; returns the request's number.

    By a number in the file, not by SIGHUP: the process id may be another process's by now, and SIGHUP also
    means that a terminal closed. Raises EarshotError when this user may not ask.
    """
    place = beside_of(path, ".lock")
    try:
        descriptor = os.open(place, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise EarshotError(
            f"{place}: the service cannot be asked ({error.strerror}); run this as the user of the service"
        ) from error
    try:
        # Two who ask at the same time get different numbers: the second may have written a newer file.
        fcntl.lockf(descriptor, fcntl.LOCK_EX, ASKED_BYTES, HOLDER_BYTES)
        number = _asked(descriptor) + 1
        os.pwrite(descriptor, str(number).encode().ljust(ASKED_BYTES), HOLDER_BYTES)
        pid = _holder(descriptor).get("pid")
        # Only so that it looks at once: any other process ignores this signal, unless it wants it. A number
        # that is not above 0 would mean many processes.
        if isinstance(pid, int) and pid > 0:
            with suppress(OSError, OverflowError):
                os.kill(pid, signal.SIGURG)
    finally:
        os.close(descriptor)
    return number


def reload_faults(path: Path, number: int) -> list[str] | None:
    """Return the faults in answer to that request, [] when it was taken over, None before the answer."""
    answer = _answer(path)
    asked, faults = answer.get("asked"), answer.get("faults")
    if not (isinstance(asked, int) and isinstance(faults, list)) or asked < number:
        return None
    return [str(fault) for fault in faults]


def taken_file(path: Path, *, even_if_ended: bool = False) -> Sequence[int] | None:
    """Return the stamp of the configuration file that the running daemon took over last; None without one.

    With `even_if_ended` also that of one of this version that has ended by now, as it may be started again.
    """
    answer = _answer(path)
    is_in_force = (even_if_ended and answer.get("by") == full_version()) or daemon_status(path)["running"]
    return answer.get("taken") if is_in_force else None


def refused_reload(path: Path) -> str | None:
    """Say why the daemon goes on with an older configuration than the last it read; None if it does not."""
    first, *others = reload_faults(path, 0) or [""]
    if not first:
        return None
    more = f" (and {len(others)} more)" if others else ""
    return f"the new configuration was refused, the old one goes on: {first}{more}"


def beside_of(path: Path, suffix: str) -> Path:
    """Return the path of the database, links resolved, with `suffix` added to its name."""
    # SQLite keeps its own files beside the real one as well.
    real = Path(os.path.realpath(path))
    return real.with_name(real.name + suffix)


def _locked(descriptor: int) -> bool:
    # `earshot status` locks it for a moment to see whether a service holds it.
    for attempt in range(ATTEMPTS):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.05 * attempt)
        else:
            return True
    return False


def _answer(path: Path) -> dict[str, Any]:
    try:
        descriptor = os.open(beside_of(path, ".lock"), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return {}
    try:
        # A half-written answer is no valid JSON, and counts as none.
        return _json(os.pread(descriptor, LONGEST_ANSWER_BYTES, ANSWER_AT))
    finally:
        os.close(descriptor)


def _asked(descriptor: int) -> int:
    text = os.pread(descriptor, ASKED_BYTES, HOLDER_BYTES).strip()
    return int(text) if text.isdigit() else 0


def _holder(descriptor: int) -> dict[str, Any]:
    return _json(os.pread(descriptor, HOLDER_BYTES, 0))


def _json(text: bytes) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}

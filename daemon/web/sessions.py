"""Who has given the password: a signed cookie, and a limit to how often it may be guessed."""

from __future__ import annotations

import hmac
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from hashlib import sha256

from daemon.signing import is_signed, signature

COOKIE = "earshot"
STAY_SECONDS = 30 * 86400
DAY_SECONDS = 86400
TRIES = 5
TRIES_OF_ALL = 100
WINDOW_SECONDS = 60.0
MOST_PEERS = 10_000


def is_token(given: str, token: str) -> bool:
    """Return whether this is the password, in a time that tells nothing of it."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), token.encode())


def session(key: bytes, token: str, until: int) -> str:
    """Return the value of the cookie of a session that ends at `until` (Unix time).

    Another password ends every session that was begun with the one before.
    """
    return f"{until}.{signature(key, 'session', until, _mark(token))}"


def is_session(key: bytes, token: str, cookie: str, now: float) -> bool:
    """Return whether the cookie is that of a session that goes on."""
    until, _, signed = cookie.partition(".")
    if not (until.isascii() and until.isdecimal() and len(until) < 12):
        return False
    return is_signed(key, signed, "session", until, _mark(token)) and int(until) > now


class Guesses:
    """Counts wrong passwords: TRIES in a minute from one address, TRIES_OF_ALL from all together."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._wrong: OrderedDict[str, list[float]] = OrderedDict()

    def wait_seconds(self, peer: str) -> int:
        """Return how long this address must wait before it may try again, 0 when it may now."""
        with self._lock:
            waits = [self._wait(peer, TRIES), self._wait("", TRIES_OF_ALL)]
        return max(waits)

    def note_wrong(self, peer: str) -> None:
        """Count a wrong password."""
        with self._lock:
            for each in (peer, ""):
                recent = [at for at in self._wrong.pop(each, []) if at > self._clock() - WINDOW_SECONDS]
                self._wrong[each] = [*recent, self._clock()][-TRIES_OF_ALL:]
            while len(self._wrong) > MOST_PEERS:
                self._wrong.popitem(last=False)

    def _wait(self, peer: str, tries: int) -> int:
        times = self._wrong.get(peer, [])[-tries:]
        if len(times) < tries:
            return 0
        return max(0, int(times[0] + WINDOW_SECONDS - self._clock() + 0.999))


def _mark(token: str) -> str:
    return sha256(token.encode()).hexdigest()

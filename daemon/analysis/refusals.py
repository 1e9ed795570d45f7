"""Tell whether a refusal is about the request, and so about every recording, or about one recording alone.

The words of a refusal do not always say it; what becomes of the other recordings that are sent with the same
request does. Kept in memory, for one configuration.
"""

from __future__ import annotations

import threading

ALIKE_UNTIL_SHARED = 3
"""When so many recordings in a row are refused in the same words, the fault is not in each of them."""
MOST_WORDINGS = 100


class Refusals:
    """Shared by all workers; every method may be called from any thread, and again with the same effect.

    `request` is a request's key throughout.
    """

    def __init__(self) -> None:
        self._refused: dict[int, str] = {}
        self._alone: set[int] = set()
        self._alike: dict[tuple[str, str], set[int]] = {}
        self._lock = threading.Lock()

    def accepted(self, recording_id: int, request: str) -> None:
        """Note that the service took this request for a recording, whatever it found in it."""
        with self._lock:
            # A recording that is alone at fault stays so: the next part of its transcript may be refused too.
            self._refused.pop(recording_id, None)
            self._alone.update(other for other, refused in self._refused.items() if refused == request)
            self._alike = {key: ids for key, ids in self._alike.items() if key[0] != request}

    def is_alone(self, recording_id: int, request: str) -> bool:
        """Note that the request was refused for this recording; True when only this recording is at fault.

        That is so when it was refused before, and others were accepted since.
        """
        with self._lock:
            self._refused[recording_id] = request
            return recording_id in self._alone

    def refused_alike(self, recording_id: int, request: str, words: str) -> frozenset[int]:
        """Note that a recording was refused in these words; returns those that are not at fault, or none.

        Those are all that were refused so since one was accepted, when they are too many to be each at fault.
        """
        with self._lock:
            if recording_id in self._alone:
                return frozenset()
            if len(self._alike) >= MOST_WORDINGS:
                self._alike.clear()
            alike = self._alike.setdefault((request, words), set())
            alike.add(recording_id)
            self._refused[recording_id] = request
            return frozenset(alike if len(alike) >= ALIKE_UNTIL_SHARED else ())

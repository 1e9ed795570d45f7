"""Who may run now: so many workers at once, in the order they came, or one alone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

LONGEST_WAIT_ALONE_SECONDS = 600.0


class TooBusy(Exception):
    """More requests are in hand than is sensible; come back later."""


class Slots:
    """Belongs to one event loop. `in_hand` counts requests from before their body is taken to their reply."""

    def __init__(self, at_once: int, waiting: int) -> None:
        self.at_once = at_once
        self.running = 0
        self.in_hand = 0
        self._most_in_hand = at_once + waiting
        self._alone = False
        self._queue: list[object] = []
        self._changed = asyncio.Condition()

    def take_in_hand(self) -> None:
        """Count a request; raises TooBusy when there are too many. Each needs a `let_go`."""
        if self.in_hand >= self._most_in_hand:
            raise TooBusy
        self.in_hand += 1

    def let_go(self) -> None:
        """Count a request no more."""
        self.in_hand -= 1

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """Wait for a turn, and hold one slot."""
        ticket = object()
        self._queue.append(ticket)
        try:
            async with self._changed:
                await self._changed.wait_for(lambda: self._queue[0] is ticket and self._is_free())
                self.running += 1
        finally:
            self._queue.remove(ticket)
            await self._tell()
        try:
            yield
        finally:
            self.running -= 1
            await self._tell()

    @asynccontextmanager
    async def alone(self, patience_seconds: float = LONGEST_WAIT_ALONE_SECONDS) -> AsyncIterator[None]:
        """Wait until nothing runs, without holding up others; after too long, take a slot like them."""
        try:
            async with asyncio.timeout(patience_seconds), self._changed:
                await self._changed.wait_for(lambda: self.running == 0)
                self.running, self._alone = 1, True
        except TimeoutError:
            async with self.one():
                yield
            return
        try:
            yield
        finally:
            self.running, self._alone = 0, False
            await self._tell()

    def _is_free(self) -> bool:
        return not self._alone and self.running < self.at_once

    async def _tell(self) -> None:
        # A task that is being cancelled must not leave the others waiting.
        async with self._changed:
            self._changed.notify_all()

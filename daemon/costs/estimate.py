"""How long recordings probably are, and what they would probably cost, before anything is sent.

A WAV file says its length in its first bytes; of all others it is guessed from the size, by the bit rate
that is usual for the ending.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daemon.deepgram.prices import estimated_cost
from daemon.deepgram.request import Request

_KILOBITS: dict[str, float] = {
    **dict.fromkeys(("amr", "spx", "gsm"), 13),
    **dict.fromkeys(("opus", "ogg", "oga", "3ga", "weba"), 32),
    **dict.fromkeys(("mp3", "mp2", "m4a", "m4b", "aac", "wma", "mka", "adts"), 96),
    **dict.fromkeys(("flac", "alac", "wv", "ape"), 400),
    **dict.fromkeys(("wav", "wave", "aif", "aiff", "aifc", "caf", "au", "snd", "raw", "pcm"), 256),
    **dict.fromkeys(("mp4", "m4v", "mov", "mkv", "webm", "avi", "mpg", "mpeg", "wmv", "3gp", "flv"), 1000),
}
_OTHER_KILOBITS = 96.0

TOKENS_PER_MINUTE = 200
"""Of ordinary speech, about 150 words a minute: what each feature of the analysis reads."""
_OUTPUT_SHARE = 0.1


@dataclass(slots=True)
class Estimate:
    """The sum over recordings. `unknown` counts hosted ones, of whose length nothing is known.

    `cost_usd` is None once the price of a model is not known.
    """

    recordings: int = 0
    unknown: int = 0
    seconds: float = 0.0
    cost_usd: float | None = 0.0

    @property
    def hours(self) -> float:
        """The length in hours."""
        return self.seconds / 3600


def estimate(
    rows: Iterable[Mapping[str, Any]], requests: Mapping[str | None, Request]
) -> tuple[Estimate, list[int]]:
    """What these rows (id, folder, source, is_url, size_bytes) would come to; ids of those that are there."""
    total, ids = Estimate(), []
    for row in rows:
        source = os.fsdecode(row["source"])
        if not row["is_url"] and not Path(source).is_file():
            continue
        ids.append(row["id"])
        total.recordings += 1
        if row["is_url"]:
            total.unknown += 1
            continue
        seconds = seconds_of(source, row["size_bytes"] or 0)
        cost = _cost(requests.get(row["folder"]) or requests[None], seconds)
        total.seconds += seconds
        total.cost_usd = None if cost is None or total.cost_usd is None else total.cost_usd + cost
    return total, ids


def seconds_of(path: str, size: int) -> float:
    """How long the recording in this file probably is."""
    ending = path.rpartition(".")[2].lower()
    rate = _wav_bytes_per_second(path) if ending in ("wav", "wave") else None
    return size / (rate or _KILOBITS.get(ending, _OTHER_KILOBITS) * 125)


def _wav_bytes_per_second(path: str) -> int | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        head = os.pread(descriptor, 512, 0)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    at = head.find(b"fmt ")
    if head[:4] not in (b"RIFF", b"RF64", b"BW64") or at < 0 or len(head) < at + 20:
        return None
    (rate,) = struct.unpack_from("<I", head, at + 16)
    # Less than any codec has, or more than any recorder: a header that nobody filled in.
    return rate if 500 <= rate <= 10_000_000 else None


def _cost(request: Request, seconds: float) -> float | None:
    tokens = int(seconds / 60 * TOKENS_PER_MINUTE)
    said = {"input_tokens": tokens, "output_tokens": int(tokens * _OUTPUT_SHARE)}
    asked = [feature for feature in request.features if feature not in request.unsupported]
    return estimated_cost(
        model=request.model,
        parameters=dict(request.parameters),
        duration_seconds=seconds,
        channels=len(request.channels) or 1,
        metadata={f"{feature}_info": said for feature in asked},
    )

"""`search`: where a phrase was said, by the words of the transcript.

Deepgram searches the sound and gives ten guesses whatever was said; here only what is in the words counts.
"""

import re
from collections.abc import Sequence
from typing import Any

from daemon.engine.words import Word, mean_confidence

MAX_HITS = 10
EDGES = re.compile(r"^\W+|\W+$")


def search_hits(words: Sequence[Word], phrases: Sequence[str]) -> list[dict[str, Any]]:
    """Make an entry for each phrase with its hits, the first ten of them, in order of time."""
    bare = [_bare(word.text) for word in words]
    return [{"query": phrase, "hits": _hits(words, bare, phrase)} for phrase in phrases]


def _hits(words: Sequence[Word], bare: Sequence[str], phrase: str) -> list[dict[str, Any]]:
    wanted = [each for each in map(_bare, phrase.split()) if each]
    places = [at for at in range(len(bare) - len(wanted) + 1) if list(bare[at : at + len(wanted)]) == wanted]
    found = [words[at : at + len(wanted)] for at in places[:MAX_HITS]] if wanted else []
    return [
        {
            "confidence": round(mean_confidence(run), 4),
            "start": run[0].start,
            "end": run[-1].end,
            "snippet": " ".join(word.text for word in run),
        }
        for run in found
    ]


def _bare(text: str) -> str:
    return EDGES.sub("", text.casefold())

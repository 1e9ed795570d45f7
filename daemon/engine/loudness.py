"""Makes speech as loud as recognition needs it: quiet voices rise, rumble goes, and silence stays silence.

What decides where there is speech takes quiet speech for silence, the more so behind a telephone codec, and
any speech beside a rumble that nobody hears.
"""

from collections.abc import Iterable, Iterator
from fractions import Fraction

import av
import numpy as np
from av.filter import Graph

from daemon.engine.decode import SAMPLE_RATE, Samples

FILTERS = (
    ("highpass", "f=80"),  # below it no voice says anything
    # Lifts by at most 50 (34 dB), slowly, and lowers at once: a quiet voice beside a loud one as well.
    ("speechnorm", "e=50:r=0.0001:l=1"),
)
MOST_AT_ONCE = SAMPLE_RATE


def levelled(parts: Iterable[Samples]) -> Iterator[Samples]:
    """Yield the same sound, sample by sample, at an even loudness; a short part at a time."""
    graph = _graph()
    for part in parts:
        for at in range(0, len(part), MOST_AT_ONCE):
            graph.push(_frame(part[at : at + MOST_AT_ONCE]))
            yield from _ready(graph)
    graph.push(None)
    yield from _ready(graph)


def _graph() -> Graph:
    graph = Graph()
    begin = graph.add_abuffer(
        format="flt", sample_rate=SAMPLE_RATE, layout="mono", time_base=Fraction(1, SAMPLE_RATE)
    )
    between = [graph.add(name, settings) for name, settings in FILTERS]
    graph.link_nodes(begin, *between, graph.add("abuffersink")).configure()
    return graph


def _frame(samples: Samples) -> av.AudioFrame:
    # Of what is no number, or far beyond full scale, speechnorm never gets to an end.
    samples = np.nan_to_num(samples, nan=0.0).clip(-1, 1)
    # One channel of several lies with gaps in memory.
    samples = np.ascontiguousarray(samples).reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(samples, format="flt", layout="mono")
    frame.sample_rate, frame.time_base = SAMPLE_RATE, Fraction(1, SAMPLE_RATE)
    return frame


def _ready(graph: Graph) -> Iterator[Samples]:
    while True:
        try:
            frame = graph.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
        yield np.asarray(frame.to_ndarray().reshape(-1), np.float32)

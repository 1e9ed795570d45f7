"""Says how a voice sounds, as a vector: the speaker encoder of Resemblyzer, computed by numpy alone.

Pieces of one voice lie close together, those of two voices apart; what is said does not matter.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from daemon.engine.decode import SAMPLE_RATE, Samples

Array = NDArray[np.float32]

WEIGHTS = Path(__file__).parent / "data" / "voices.npz"
WINDOW, STEP = 400, 160  # samples: 25 ms, every 10 ms
BANDS = 40
WINDOW_FRAMES = 160  # the encoder was taught on stretches of 1.6 s
MOST_STRETCHES = 3
LOUDNESS = 10 ** (-30 / 20)  # root of the mean square
LAYERS = 3


def embed_voices(pieces: Sequence[Samples]) -> Array:
    """Return a row of length 1 for each piece of speech, none of them empty."""
    stretches = [_stretches(_mel_frames(piece)) for piece in pieces]
    rows = _encode(np.concatenate(stretches))
    ends = np.cumsum([len(each) for each in stretches])[:-1]
    return np.stack([unit(part.mean(axis=0)) for part in np.split(rows, ends)])


def unit(vector: Array) -> Array:
    """The same direction in length 1."""
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-9), np.float32)


def _stretches(frames: Array) -> Array:
    """Take a few stretches of 1.6 s, spread over all; what is shorter is repeated."""
    if len(frames) < WINDOW_FRAMES:
        frames = np.tile(frames, (-(-WINDOW_FRAMES // len(frames)), 1))[:WINDOW_FRAMES]
    count = min(-(-len(frames) // WINDOW_FRAMES), MOST_STRETCHES)
    starts = np.linspace(0, len(frames) - WINDOW_FRAMES, count).astype(int)
    return np.stack([frames[start : start + WINDOW_FRAMES] for start in starts])


def _mel_frames(samples: Samples) -> Array:
    loudness = float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))
    louder = samples * max(LOUDNESS / max(loudness, 1e-6), 1.0)
    padded = np.pad(louder, WINDOW // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::STEP] * np.hanning(WINDOW + 1)[:-1]
    power = np.abs(np.fft.rfft(frames, axis=1)) ** 2
    return np.asarray(power @ _filters().T, np.float32)


@cache
def _filters() -> Array:
    """Triangles over the frequencies, even in mel below 1 kHz and in its logarithm above, each of area 1."""
    edges = _hertz(np.linspace(0, _mel(SAMPLE_RATE / 2), BANDS + 2))
    frequencies = np.fft.rfftfreq(WINDOW, 1 / SAMPLE_RATE)
    rising = (frequencies - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - frequencies) / (edges[2:] - edges[1:-1])[:, None]
    triangles = np.maximum(0, np.minimum(rising, falling))
    return np.asarray(triangles * (2 / (edges[2:] - edges[:-2]))[:, None], np.float32)


MEL_HERTZ, MEL_KINK = 200 / 3, 15.0
MEL_LOG_STEP = np.log(6.4) / 27


def _mel(hertz: float) -> float:
    return float(MEL_KINK + np.log(hertz / 1000) / MEL_LOG_STEP) if hertz >= 1000 else hertz / MEL_HERTZ


def _hertz(mels: NDArray[np.float64]) -> NDArray[np.float64]:
    above = 1000 * np.exp(MEL_LOG_STEP * (mels - MEL_KINK))
    return np.where(mels >= MEL_KINK, above, mels * MEL_HERTZ)


@cache
def _weights() -> dict[str, Array]:
    with np.load(WEIGHTS, allow_pickle=False) as file:
        return {name: np.asarray(file[name], np.float32) for name in file.files}


def _encode(stretches: Array) -> Array:
    """Run the network, 64 stretches at a time."""
    parts = [_encode_some(stretches[at : at + 64]) for at in range(0, len(stretches), 64)]
    return np.concatenate(parts)


def _encode_some(stretches: Array) -> Array:
    weights = _weights()
    sequence = stretches.transpose(1, 0, 2)
    for layer in range(LAYERS):
        sequence = _lstm(sequence, layer, weights)
    raw = np.maximum(sequence[-1] @ weights["linear_weight"].T + weights["linear_bias"], 0)
    return np.asarray(raw / np.maximum(np.linalg.norm(raw, axis=1, keepdims=True), 1e-9), np.float32)


def _lstm(sequence: Array, layer: int, weights: dict[str, Array]) -> Array:
    """One layer of long short-term memory over (time, batch, values)."""
    bias = weights[f"layer{layer}_bias_ih"] + weights[f"layer{layer}_bias_hh"]
    inputs = sequence @ weights[f"layer{layer}_weight_ih"].T + bias
    recurrent = weights[f"layer{layer}_weight_hh"].T
    size = recurrent.shape[0]
    hidden = cell = np.zeros((sequence.shape[1], size), np.float32)
    outputs = np.empty((len(sequence), sequence.shape[1], size), np.float32)
    for at, given in enumerate(inputs):
        gates = given + hidden @ recurrent
        enter, forget, leave = (_sigmoid(gates[:, part * size : (part + 1) * size]) for part in (0, 1, 3))
        cell = forget * cell + enter * np.tanh(gates[:, 2 * size : 3 * size])
        hidden = leave * np.tanh(cell)
        outputs[at] = hidden
    return outputs


def _sigmoid(values: Array) -> Array:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * values)), np.float32)

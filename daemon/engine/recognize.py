"""Speech to words with pocketsphinx and its US English model: find it, recognize it piece by piece."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from importlib.metadata import version

import pocketsphinx

from daemon.engine.decode import BYTES_PER_SECOND
from daemon.engine.words import Heard, Word

MODEL_NAME = "pocketsphinx-en-us"
MODEL_VERSION = version("pocketsphinx")
LANGUAGE_WEIGHT = 5  # with 8 Gaussians the best word error rate of the settings tried, and no slower
GAUSSIANS = 8
FRAMES_PER_SECOND = 100  # of the recognizer's word times
# The decoder's memory grows with a piece; endless speech is cut at the quietest moment of its last seconds.
MAX_PIECE_BYTES = 30 * BYTES_PER_SECOND
CUT_WITHIN_BYTES = 8 * BYTES_PER_SECOND
SILENT_SAMPLE = bytes(2)
SENTENCE_PAUSE_SECONDS = 0.5
COMMA_PAUSE_SECONDS = 0.15  # read speech pauses .2 to .3 at a comma
VARIANT = re.compile(r"\(\d+\)$")  # of pronunciation, as in "your(2)"


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of speech: where it starts (seconds) and its PCM."""

    start: float
    pcm: bytes


def recognize(blocks: Iterable[bytes]) -> Heard:
    """Recognize the words in PCM blocks (16 kHz, s16, mono); noise and silence give none."""
    decoder = pocketsphinx.Decoder(lw=LANGUAGE_WEIGHT, topn=GAUSSIANS, loglevel="FATAL")
    return Heard(
        words=_punctuated([word for piece in speech_pieces(blocks) for word in _words(decoder, piece)])
    )


def speech_pieces(blocks: Iterable[bytes]) -> Iterator[Piece]:
    """Cut out the stretches that hold speech, none longer than about half a minute."""
    endpointer = pocketsphinx.Endpointer()
    start, speech, rest = 0.0, bytearray(), b""
    for frame in _frames(blocks, endpointer.frame_bytes):
        if len(frame) < endpointer.frame_bytes:
            rest = frame
            break
        heard = endpointer.process(frame)
        if heard is None:
            continue
        if not speech:
            start = endpointer.speech_start
        speech += heard
        if not endpointer.in_speech:
            yield Piece(start, bytes(speech))
            speech.clear()
        elif len(speech) >= MAX_PIECE_BYTES:
            cut = _quietest(speech, endpointer.frame_bytes)
            yield Piece(start, bytes(speech[:cut]))
            del speech[:cut]
            start += cut / BYTES_PER_SECOND
    if endpointer.in_speech:
        speech += endpointer.end_stream(rest or SILENT_SAMPLE) or b""  # it refuses an empty frame
    if speech:
        yield Piece(start, bytes(speech))


def _frames(blocks: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Cut blocks of any length into frames of `size` bytes; the last one may be shorter."""
    held = b""
    for block in blocks:
        held += block
        whole = len(held) - len(held) % size
        for at in range(0, whole, size):
            yield held[at : at + size]
        held = held[whole:]
    if held:
        yield held


def _quietest(pcm: bytearray, frame_bytes: int) -> int:
    def loudness(at: int) -> int:
        return sum(map(abs, memoryview(bytes(pcm[at : at + frame_bytes])).cast("h")))

    return min(range(len(pcm) - CUT_WITHIN_BYTES, len(pcm) - frame_bytes, frame_bytes), key=loudness)


def _words(decoder: pocketsphinx.Decoder, piece: Piece) -> Iterator[Word]:
    decoder.start_utt()
    decoder.process_raw(piece.pcm, full_utt=True)
    decoder.end_utt()
    for segment in decoder.seg() or ():
        if segment.word[0] in "<[+":  # <s>, <sil>, [NOISE], ++UH++
            continue
        yield Word(
            text=VARIANT.sub("", segment.word),
            punctuated="",
            start=round(piece.start + segment.start_frame / FRAMES_PER_SECOND, 2),
            end=round(piece.start + (segment.end_frame + 1) / FRAMES_PER_SECOND, 2),
            # `prob` is linear already, 0..1; rounding in the decoder can leave the range by a hair
            confidence=round(min(max(segment.prob, 0.0), 1.0), 4),
        )


def _punctuated(words: list[Word]) -> list[Word]:
    """Write capitals, commas and full stops by the pauses: the recognizer knows none."""
    shown: list[Word] = []
    begins = True
    for at, word in enumerate(words):
        pause = words[at + 1].start - word.end if at + 1 < len(words) else SENTENCE_PAUSE_SECONDS
        text = (
            word.text.capitalize() if begins or word.text == "i" or word.text.startswith("i'") else word.text
        )
        begins = pause >= SENTENCE_PAUSE_SECONDS
        mark = "." if begins else "," if pause >= COMMA_PAUSE_SECONDS else ""
        shown.append(replace(word, punctuated=text + mark))
    return shown

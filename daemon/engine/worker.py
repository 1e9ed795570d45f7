"""The process that does one request's work, a fork of the template: job in, reply out, and nothing else.

It expects hostile input: it shuts itself in before it reads a byte of it, a crash harms nobody, and it never
outlives the server.
"""

import json
import logging
import os
import socket
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from daemon.engine import sandbox
from daemon.engine.query import Options

if TYPE_CHECKING:
    from daemon.engine.decode import Facts
    from daemon.engine.embed import Embedder

logger = logging.getLogger(__name__)

DONE, FAILED, UNREADABLE, OUT_OF_MEMORY, TOO_LONG, DECODER_FAILED = 0, 1, 3, 4, 5, 6
"""Exit statuses. With FAILED and DECODER_FAILED the way holds the traceback, with DONE the reply."""
# Decoding a MB takes 0.01 s (of MP3) to 2 s (of speech at 5 kbit/s); far above that something is wrong.
LEAST_DECODING_SECONDS, MOST_DECODING_SECONDS, DECODED_BYTES_PER_SECOND = 15, 600, 200_000
# A sentence takes 10 ms, and has some 80 characters.
READING_CPU_SECONDS, READING_CPU_PER_CHARACTER = 60, 0.001
LONGEST_TRACEBACK = 8000
PROGRESS = b"done "
"""Begins each line about how far the work is, of which any number come before the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a worker is to do, and within which bounds; the recording comes beside it, as a descriptor.

    `model` is the folder of the speech model. `reads`: it is no recording but a written text, in UTF-8.
    `examples`: phrases by custom intent and topic.
    """

    reads: bool = False
    upload: dict[str, str]
    options: Options
    model: str = ""
    device: str = "cpu"
    bounds: sandbox.Bounds
    examples: Mapping[str, Sequence[str]] = field(default_factory=dict)
    recognizing_cpu_per_second: float
    threads: int = 1

    def to_json(self) -> bytes:
        """Return it as one line."""
        return json.dumps(asdict(self)).encode() + b"\n"


Tell = Callable[[float, float], None]
"""Tells the server how many seconds of the recording are done, of how many."""
Work = Callable[[BinaryIO, Job, Tell], bytes]


class DecoderError(Exception):
    """Decoding failed in a way that is not expected of damaged recordings."""


def decoding_seconds(size_bytes: int) -> int:
    """Return how much processor time decoding a file of this size may take."""
    return min(LEAST_DECODING_SECONDS + size_bytes // DECODED_BYTES_PER_SECOND, MOST_DECODING_SECONDS)


def main(audio: int, way: int, parent: int) -> int:
    """Read a job from `way`, do it shut in, write the reply there; the status says how that ended."""
    return run(audio, way, parent, _do)


def run(audio: int, way: int, parent: int, work: Work) -> int:
    """Do `work` on the recording, shut in by the bounds of the job that is read from `way`."""
    with open(os.devnull, "wb") as nothing:  # noqa: PTH123
        # What a library prints, and what a hostile recording makes it print, is for no log.
        os.dup2(nothing.fileno(), 1)
        os.dup2(nothing.fileno(), 2)
    with socket.socket(fileno=way) as server, os.fdopen(audio, "rb") as recording:
        job = read_job(server)
        os.setsid()
        sandbox.enter(job.bounds, parent)
        with open(server.fileno(), "wb", closefd=False) as output:
            status, answer = _outcome(recording, job, work, partial(_tell, output))
            output.write(answer)
    return status


def _tell(output: BinaryIO, done_seconds: float, seconds: float) -> None:
    output.write(b"%s%.2f %.2f\n" % (PROGRESS, done_seconds, seconds))
    output.flush()


def _outcome(recording: BinaryIO, job: Job, work: Work, tell: Tell) -> tuple[int, bytes]:
    from daemon.engine.decode import UnreadableAudio
    from daemon.engine.reply import TooLong

    try:
        return DONE, work(recording, job, tell)
    except UnreadableAudio:
        return UNREADABLE, b""
    except TooLong:
        return TOO_LONG, b""
    except MemoryError:
        return OUT_OF_MEMORY, b""
    except Exception as error:  # noqa: BLE001 -- it reaches the log by the server
        status = DECODER_FAILED if isinstance(error, DecoderError) else FAILED
        return status, traceback.format_exc()[-LONGEST_TRACEBACK:].encode()


def read_job(server: socket.socket) -> Job:
    """Read one line of JSON; its lists become tuples."""
    with server.makefile("rb") as lines:
        values = json.loads(lines.readline())
    values["options"] = Options(**_tuples(values["options"]))
    values["bounds"] = sandbox.Bounds(**_tuples(values["bounds"]))
    return Job(**values)


def _do(recording: BinaryIO, job: Job, tell: Tell) -> bytes:
    return read(recording, job) if job.reads else transcribe(recording, job, tell)


def read(file: BinaryIO, job: Job) -> bytes:
    """Analyze a written text; return the reply as JSON. Raises TooLong."""
    from daemon.engine.reply import TooLong, Upload, build_read_reply
    from daemon.engine.text_body import MAX_TEXT_BYTES

    content = file.read(MAX_TEXT_BYTES + 1)
    if len(content) > MAX_TEXT_BYTES:
        raise TooLong
    text = content.decode("utf-8", "replace")
    sandbox.allow_seconds(READING_CPU_SECONDS + READING_CPU_PER_CHARACTER * len(text))
    upload = Upload(**job.upload)
    reply = build_read_reply(upload, job.options, text, examples=job.examples, embedder=_embedder_of(job))
    return _to_json(reply)


def transcribe(recording: BinaryIO, job: Job, tell: Tell) -> bytes:
    """Decode and recognize a recording; return the reply as JSON. Raises UnreadableAudio."""
    # Only in here: these load what decodes and recognizes, where a template could not import it before.
    import av.logging

    from daemon.engine.decode import MAX_CHANNELS, UnreadableAudio, measure, samples
    from daemon.engine.recognize import load, recognize
    from daemon.engine.reply import Recognizer, Upload, build_reply
    from daemon.engine.speakers import tell_apart

    av.logging.set_level(av.logging.PANIC)
    facts = _measured(recording, measure)
    options = job.options
    if options.multichannel and facts.channels > MAX_CHANNELS:
        raise UnreadableAudio(f"more than {MAX_CHANNELS} channels")
    heard_seconds = facts.duration_seconds * (facts.channels if options.multichannel else 1)
    sandbox.allow_seconds(2 * MOST_DECODING_SECONDS + job.recognizing_cpu_per_second * heard_seconds)
    which = range(facts.channels) if options.multichannel else (None,)
    tell(0.0, facts.duration_seconds)

    def on_progress(before: int, seconds: float) -> None:
        done = (before * facts.duration_seconds + min(seconds, facts.duration_seconds)) / len(which)
        tell(done, facts.duration_seconds)

    folder = Path(job.model)
    model = load(folder, device=job.device, threads=job.threads)
    channels = [
        recognize(
            model,
            samples(recording, channel),
            language=options.language,
            candidates=options.candidates,
            on_progress=partial(on_progress, before),
        )
        for before, channel in enumerate(which)
    ]
    if options.diarize and not options.multichannel:
        (heard,) = channels
        channels = [replace(heard, words=tell_apart(heard.words, samples(recording)))]
    reply = build_reply(
        Upload(**job.upload),
        options,
        channels,
        duration_seconds=facts.duration_seconds,
        recognizer=Recognizer(
            name=f"whisper-{folder.name}", version=version("faster-whisper"), arch="whisper"
        ),
        examples=job.examples,
        embedder=_embedder_of(job),
    )
    return _to_json(reply)


def _measured(recording: BinaryIO, measure: "Callable[[BinaryIO], Facts]") -> "Facts":
    """Decode it all once; what goes wrong here that nobody thought of has to do with its bytes."""
    from daemon.engine.decode import UnreadableAudio

    try:
        return measure(recording)
    except (UnreadableAudio, MemoryError):
        raise
    except Exception as error:
        raise DecoderError from error


def _to_json(reply: dict[str, Any]) -> bytes:
    # Without blanks: a reply has each word with its times and sentiment, 10 MB for three hours.
    return json.dumps(reply, separators=(",", ":")).encode()


def _embedder_of(job: Job) -> "Callable[[], Embedder]":
    """What loads the sentence model, out of the folders that this worker may read."""
    from daemon.engine.reply import load_embedder

    return partial(load_embedder, {Path(model).parent for model in job.bounds.readable})


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}

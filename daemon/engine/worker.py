"""The process that does one request's work: recording by file descriptor, job by stdin, reply by stdout.

It expects hostile input: memory and processor time are limited, a crash harms nobody, and it never outlives
the server.
"""

import contextlib
import ctypes
import json
import os
import resource
import signal
import sys
from typing import Any, BinaryIO, TextIO

import av.logging

from daemon.engine.decode import MAX_CHANNELS, Facts, UnreadableAudio, measure, pcm_blocks
from daemon.engine.query import Options
from daemon.engine.recognize import recognize
from daemon.engine.reply import Upload, build_reply

EXIT_UNREADABLE = 3
MEMORY_BYTES = 4 << 30  # address space; 300 MB are in use at work
# Decoding an hour takes 4 s, recognizing it 10 to 40 minutes on one core; far above that something is wrong.
DECODING_CPU_SECONDS = 120
RECOGNIZING_CPU_PER_SECOND = 4
NICENESS = 5  # the machine's other work should not wait for recognition
PR_SET_PDEATHSIG, PR_SET_DUMPABLE = 1, 4  # prctl(2), Linux


def main() -> int:
    """Do the job read from stdin; the exit status says how it ended."""
    output = _take_stdout()
    job = json.loads(sys.stdin.readline())
    _protect(int(job["server_pid"]))
    options = read_options(job["options"])
    try:
        with os.fdopen(job["audio_fd"], "rb") as audio:
            reply = _transcribe(audio, options, Upload(**job["upload"]))
    except UnreadableAudio:
        return EXIT_UNREADABLE
    with output:
        json.dump(reply, output)
    return 0


def _transcribe(audio: BinaryIO, options: Options, upload: Upload) -> dict[str, object]:
    facts = measure(audio)
    if options.multichannel and facts.channels > MAX_CHANNELS:
        raise UnreadableAudio(f"more than {MAX_CHANNELS} channels")
    _allow_recognition(facts, options)
    which = range(facts.channels) if options.multichannel else (None,)
    channels = [recognize(pcm_blocks(audio, channel)) for channel in which]
    return build_reply(upload, options, channels, duration_seconds=facts.duration_seconds)


def read_options(values: dict[str, Any]) -> Options:
    """Make Options of JSON; its lists become tuples."""
    arguments: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
    return Options(**arguments)


def _take_stdout() -> TextIO:
    """Keep stdout for the reply alone: whatever a library prints goes to stderr."""
    output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    av.logging.set_level(av.logging.PANIC)
    return output


def _protect(server_pid: int) -> None:
    """Limit what this process may use, and end it with the server, even after kill -9."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # meant for the server, which ends its workers itself
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)  # only root may read its memory, with what was said
    if os.getppid() != server_pid:
        os._exit(1)  # the server died before the signal was set
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_AS, MEMORY_BYTES)
    _limit(resource.RLIMIT_CPU, DECODING_CPU_SECONDS)
    with contextlib.suppress(OSError):
        os.nice(NICENESS)


def _allow_recognition(facts: Facts, options: Options) -> None:
    heard_seconds = facts.duration_seconds * (facts.channels if options.multichannel else 1)
    _limit(resource.RLIMIT_CPU, int(2 * DECODING_CPU_SECONDS + RECOGNIZING_CPU_PER_SECOND * heard_seconds))


def _limit(what: int, value: int) -> None:
    """Set a limit where that is allowed: a hardened service may forbid it, and then has limits of its own."""
    with contextlib.suppress(OSError, ValueError):
        _, hard = resource.getrlimit(what)
        resource.setrlimit(what, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


if __name__ == "__main__":
    sys.exit(main())

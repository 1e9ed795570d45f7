"""Reads replies, each in a process of its own: `python -m tests.deepgram.reading FILE MEGABYTES …`.

Prints a line of JSON for each, with the processor time that it took and what was read. Each process is a copy
of this one, which has loaded what they need, and may take so much memory on top of what that has.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

from daemon.deepgram.parts import cut, merge, missing_parts, parse_part, words_of
from daemon.deepgram.reply import parse_body, read_reply
from daemon.errors import DoubtfulReplyError
from daemon.models import Analysis
from tests.deepgram.asking import request


def read(body: bytes) -> Analysis:
    """The way of a reply, and that of one whose transcript is analyzed in parts."""
    reply = parse_body(body)
    analysis = read_reply(reply, request())
    parts = cut(words_of(reply), 60_000)
    answers = [parse_part(body)] * len(parts[:1])
    missing_parts(parts, answers)
    merged = read_reply(merge(reply, parts, answers), request())
    assert merged.transcript == analysis.transcript
    return analysis


def main() -> None:
    for file, megabytes in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
        child = os.fork()
        if not child:
            read_within(Path(file).read_bytes(), int(megabytes))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert status == 0, f"{file} was not read: {os.waitstatus_to_exitcode(status)}"


def read_within(body: bytes, megabytes: int) -> None:
    """Read a reply with so much memory to do it in, and print what was read."""
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + megabytes * 1024 * 1024, resource.RLIM_INFINITY))
    started = time.process_time()
    try:
        analysis = read(body)
    except DoubtfulReplyError as error:
        _say({"seconds": time.process_time() - started, "doubtful": str(error)})
        return
    sections = (analysis.sentiments, analysis.topics, analysis.intents)
    _say(
        {
            "seconds": time.process_time() - started,
            "passages": [len(section) for section in sections],
            "speakers": [section[-1].speaker if section else None for section in sections],
            "texts": [sum(len(segment.text) for segment in section) for section in sections],
            "not_analyzed": analysis.not_analyzed,
            "transcript": len(analysis.transcript),
        }
    )


def _say(found: dict[str, Any]) -> None:
    print(json.dumps(found), flush=True)  # noqa: T201 - this is what it is for


if __name__ == "__main__":
    main()

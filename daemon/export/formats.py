"""Every format by its name: what it is written from, and whether several recordings fit into one file."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from daemon.export.captions import srt, vtt
from daemon.export.document import Document
from daemon.export.page import html
from daemon.export.text import apart, markdown, txt
from daemon.text import without_controls

LONGEST_NAME_BYTES = 150
"""Of a recording's name in that of a file, which may have 255 with what is added."""

Write = Callable[[Iterable[Document]], Iterator[str]]


@dataclass(frozen=True, slots=True)
class Format:
    """How documents become the parts of a file. `is_joinable`: one file may hold several recordings."""

    write: Write
    is_joinable: bool = True

    def parts(self, documents: Iterable[Document]) -> Iterator[str]:
        """Yield the parts of a file, without control characters that could act on a terminal."""
        return map(without_controls, self.write(documents))


def _one(render: Callable[[Document], str]) -> Write:
    def write(documents: Iterable[Document]) -> Iterator[str]:
        return map(render, documents)

    return write


def _texts(render: Callable[[Document], str]) -> Write:
    def write(documents: Iterable[Document]) -> Iterator[str]:
        return apart(map(render, documents))

    return write


def _json(document: Document) -> str:
    return json.dumps(document.recording) + "\n"


FORMATS = {
    "json": Format(_one(_json), is_joinable=False),
    "jsonl": Format(_one(_json)),
    "txt": Format(_texts(txt)),
    "md": Format(_texts(markdown)),
    "html": Format(html),
    "vtt": Format(_one(vtt), is_joinable=False),
    "srt": Format(_one(srt), is_joinable=False),
}
"""The formats that show single recordings; CSV is a table of many (see table.py)."""


def rendered(name: str, document: Document) -> str:
    """Return one recording as a file of this format."""
    return "".join(FORMATS[name].parts([document]))


def file_name(document: Document, ending: str) -> str:
    """Return a name such as `17-call.wav.vtt`: unique by its id, and with no path in it."""
    shown = re.sub(r"[^\w .,()+@=-]", "_", document.recording["name"])
    short = shown.encode()[:LONGEST_NAME_BYTES].decode("utf-8", "ignore")
    return f"{document.recording['id']}-{short}.{ending}"

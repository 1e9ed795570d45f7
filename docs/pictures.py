"""Makes demo.svg, show.svg and status.svg: what the demo prints, then two commands where it leaves its files.

`scripts/docs --pictures` runs it; it takes half a minute, and needs the engine's models.
"""

from __future__ import annotations

import os
import pty
import re
import shutil
import sys
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.text import Text

DOCS = Path(__file__).parent
WIDTH = 96


def printed(*arguments: str) -> str:
    """Return what a command prints on a terminal, with its colours and without its moving bars."""
    content = bytearray()

    def read(descriptor: int) -> bytes:
        found = os.read(descriptor, 4096)
        content.extend(found)
        return found

    os.environ |= {"COLUMNS": str(WIDTH), "LINES": "80", "PAGER": "cat", "TERM": "xterm-256color"}
    pty.spawn([sys.executable, "-m", "daemon", *arguments], read)
    text = content.decode().replace("\r\n", "\n")
    lines = (re.split(r"\x1b\[2K|\r", line)[-1] for line in text.split("\n"))
    return re.sub(r"\x1b\[\?25[lh]|\x1b\[1A", "", "\n".join(lines)).strip("\n")


def draw(name: str, title: str, content: str) -> None:
    """Write an SVG with this content of a terminal."""
    console = Console(record=True, width=WIDTH, file=StringIO(), force_terminal=True)
    console.print(Text.from_ansi(content))
    (DOCS / f"{name}.svg").write_text(console.export_svg(title=title), "utf-8")


def main() -> None:
    """Make the three pictures."""
    demo = printed("demo", "--keep")
    found = re.search(r"-c (\S+/config\.yaml)", demo)
    if found is None:
        sys.exit(f"the demo did not end well:\n{demo}")
    config = Path(found[1])
    try:
        for name, arguments in (("show", ("show", "1")), ("status", ("status",))):
            draw(name, f"earshot {' '.join(arguments)}", printed("-c", str(config), *arguments))
        draw("demo", "earshot demo", demo)
    finally:
        shutil.rmtree(config.parent)


if __name__ == "__main__":
    main()

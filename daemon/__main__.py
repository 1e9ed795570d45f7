"""Where `earshot` and `python -m daemon` begin: the command line, with Ctrl-C obeyed while it is loaded."""

from __future__ import annotations

import os
import sys
from typing import Any

INTERRUPTED = 130


def main() -> None:
    """Run the command that the process's arguments ask for, and exit with its code."""
    try:
        load_sqlite_utils()
        from daemon.cli import main as run
    except KeyboardInterrupt:
        # Not by sys.exit: where the interrupt hits an exec(), of which imports have many, Python would end by
        # the signal instead of with the code.
        os._exit(INTERRUPTED)
    run()


def load_sqlite_utils() -> None:
    """Load it without numpy, which it takes where that is installed, for types that no row of ours has.

    That would cost every process 0.1 s, 15 MB and a thread or more. The embedded engine loads numpy itself.
    """
    modules: dict[str, Any] = sys.modules
    if "numpy" not in modules:
        modules["numpy"] = None
        import sqlite_utils  # noqa: F401

        del modules["numpy"]


if __name__ == "__main__":
    main()

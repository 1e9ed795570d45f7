"""Where `earshot` and `python -m daemon` begin: the command line, with Ctrl-C obeyed while it is loaded."""

from __future__ import annotations

import os

INTERRUPTED = 130


def main() -> None:
    """Run the command that the process's arguments ask for, and exit with its code."""
    try:
        from daemon.cli import main as run
    except KeyboardInterrupt:
        # Not by sys.exit: where the interrupt hits an exec(), of which imports have many, Python would end by
        # the signal instead of with the code.
        os._exit(INTERRUPTED)
    run()


if __name__ == "__main__":
    main()

"""Where `earshot` and `python -m daemon` begin: the command line, with Ctrl-C obeyed while it is loaded."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

INTERRUPTED = 130
VERSION = (["--version"], ["-V"])
"""The arguments that ask for nothing else; beside others they are read as any option."""


def main() -> None:
    """Run the command that the process's arguments ask for, and exit with its code."""
    try:
        if sys.argv[1:] in VERSION and _version_printed():
            sys.exit(0)
        from daemon.cli import main as run
    except KeyboardInterrupt:
        # Not by sys.exit: where the interrupt hits an exec(), of which imports have many, Python would end by
        # the signal instead of with the code.
        os._exit(INTERRUPTED)
    run()


def _version_printed() -> bool:
    """Print the version without the command line, which takes longer to load; False if it failed."""
    from daemon.version import full_version

    # Without a standard output, or one that cannot be written, the command line says so.
    with suppress(OSError, ValueError, AttributeError):
        sys.stdout.write(f"earshot {full_version()}\n")
        sys.stdout.flush()
        return True
    return False


if __name__ == "__main__":
    main()

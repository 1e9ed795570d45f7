"""Which earshot this is: its version, and the commit that it was made of."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from daemon import __version__

PACKAGE = Path(__file__).parent


def full_version(package: Path = PACKAGE) -> str:
    """Return `0.1.0 (commit 403e7f9c2b1d)`; the version alone where no commit is known."""
    found = commit(package)
    return __version__ if found is None else f"{__version__} (commit {found})"


def commit(package: Path) -> str | None:
    """Return 12 digits of the commit that a wheel names or its checkout is at; None where neither is known.

    A wheel has it in a file (packaging/commit.py). A checkout is asked without git, which may be missing.
    """
    with suppress(OSError, ValueError):
        git = package.parent / ".git"
        return _head(git) if git.exists() else (package / "commit").read_text().strip()
    return None


def _head(git: Path) -> str:
    head = (git / "HEAD").read_text().strip().removeprefix("ref: ")
    if head.startswith("refs/") and (git / head).exists():
        head = (git / head).read_text()
    elif head.startswith("refs/"):
        packed = (git / "packed-refs").read_text().splitlines()
        head = next((line for line in packed if line.endswith(f" {head}")), "")
    return f"{int(head.split(' ')[0], 16):040x}"[:12]

"""Puts the commit that is built into the wheel, as `daemon/commit`, for `earshot --version`."""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

COMMIT_FILE = "daemon/commit"


class CommitHook(BuildHookInterface):
    """Reads it from the checkout; a source archive has the file already, and elsewhere there is none."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the file to what is packed; an editable installation reads its checkout instead."""
        root = Path(self.root)
        sys.path.insert(0, str(root))
        from daemon.version import commit

        found = commit(root / "daemon")
        if version == "editable" or found is None or (root / COMMIT_FILE).exists():
            return
        written = Path(mkdtemp()) / "commit"
        written.write_text(found + "\n")
        build_data["force_include"][str(written)] = COMMIT_FILE

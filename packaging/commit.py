"""Puts the commit that is built into the wheel, as `daemon/commit`, for `earshot --version`."""

from __future__ import annotations

import subprocess
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

COMMIT_FILE = "daemon/commit"


class CommitHook(BuildHookInterface):
    """Reads it from git; a source archive has the file already, and elsewhere there is none."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the file to what is packed; an editable installation reads its checkout instead."""
        root = Path(self.root)
        if version == "editable" or (root / COMMIT_FILE).exists() or not (root / ".git").exists():
            return
        # Another owner's checkout is read too: nothing of it is run.
        command = ["git", "-c", f"safe.directory={root}", "rev-parse", "--short=12", "HEAD"]
        try:
            said = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            return
        written = Path(mkdtemp()) / "commit"
        written.write_text(said.stdout)
        build_data["force_include"][str(written)] = COMMIT_FILE

"""The packages that are installed: built from this checkout or from another commit, or given."""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]


def built(place: Path, commit: str = "") -> Path:
    """The package of this checkout, or of a commit of its repository, built into this folder."""
    if not commit:
        return _package(ROOT, place)
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder, "tree")
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", tree, commit], check=True)
        try:
            return _package(tree, place / "before")
        finally:
            subprocess.run([*git, "remove", "--force", tree], check=True)


def _package(tree: Path, place: Path) -> Path:
    done = subprocess.run(["scripts/package", place], cwd=tree, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip().splitlines()[-1])


def renumbered(package: Path, version: str, place: Path) -> Path:
    """The same package as if it were a later release: with another version, and one more table."""
    tree = place / "renumbered"
    subprocess.run(["dpkg-deb", "--raw-extract", package, tree], check=True)
    control = (tree / "DEBIAN/control").read_text("utf-8")
    found = re.search(r"(?m)^Version: (.*)$", control)
    assert found
    (tree / "DEBIAN/control").write_text(control.replace(found[0], f"Version: {version}"), "utf-8")
    for script in ("preinst", "prerm"):
        text = (tree / "DEBIAN" / script).read_text("utf-8")
        (tree / "DEBIAN" / script).write_text(text.replace(f'"{found[1]}"', f'"{version}"'), "utf-8")
    (schema,) = tree.glob("opt/earshot/lib/*/site-packages/daemon/storage/schema")
    (schema / "999_later.sql").write_text("CREATE TABLE later (id INTEGER PRIMARY KEY);\n", "utf-8")
    result = place / f"earshot_{version}.deb"
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-Znone", "--build", tree, result], check=True, capture_output=True
    )
    return result

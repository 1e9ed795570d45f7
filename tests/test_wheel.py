"""What is built from a checkout, and that it works where there is no checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest
import yaml

from daemon.version import full_version

ROOT = Path(__file__).parents[1]
TOOLS = Path(sys.executable).parent


def said(command: list[str | Path], where: Path, **env: str | Path) -> str:
    """Run it outside of the checkout; its two outputs go into the message when it fails."""
    given = {name: str(value) for name, value in env.items()}
    done = subprocess.run(
        command, cwd=where, env=os.environ | given, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


def build(source: Path, kind: str, into: Path) -> Path:
    said([TOOLS / "hatchling", "build", "-t", kind, "-d", into], source)
    (built,) = into.glob("earshot-*")
    return built


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone with what is changed here: what no commit will hold must not be in the wheel."""
    clone = tmp_path_factory.mktemp("checkout") / "earshot"
    said(["git", "clone", "-q", "--no-hardlinks", ROOT, clone], ROOT)
    names = said(["git", "ls-files", "-z", "-m", "-o", "--exclude-standard"], ROOT)
    for name in filter(None, names.split("\0")):
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).exists():
            shutil.copyfile(ROOT / name, clone / name)
        else:
            (clone / name).unlink()
    return clone


@pytest.fixture(scope="module")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(checkout, "wheel", tmp_path_factory.mktemp("wheel"))


def contents(wheel: Path) -> dict[str, bytes]:
    """What is in it, without the list of that, whose order differs."""
    with zipfile.ZipFile(wheel) as opened:
        return {name: opened.read(name) for name in opened.namelist() if not name.endswith("/RECORD")}


def test_the_wheel_has_all_of_the_package_and_the_commit(checkout: Path, wheel: Path) -> None:
    packed = contents(wheel)
    tracked = said(["git", "ls-files", "-c", "-o", "--exclude-standard", "daemon"], checkout).split()
    assert {name for name in packed if name.startswith("daemon/")} == {*tracked, "daemon/commit"}
    commit = said(["git", "rev-parse", "HEAD"], checkout)
    assert commit.startswith(packed["daemon/commit"].decode().strip())
    assert full_version(checkout / "daemon").endswith(f" (commit {commit[:12]})")
    assert any(name.endswith("/share/earshot/config.example.yaml") for name in packed)


def test_the_source_archive_makes_the_same_wheel(checkout: Path, wheel: Path, tmp_path: Path) -> None:
    archive = build(checkout, "sdist", tmp_path)
    with tarfile.open(archive) as opened:
        opened.extractall(tmp_path, filter="data")
    (source,) = (path for path in tmp_path.iterdir() if path.is_dir())
    assert contents(build(source, "wheel", tmp_path / "again")) == contents(wheel)


def test_pip_pipx_and_uv_install_the_wheel(wheel: Path, tmp_path: Path) -> None:
    # With the dependencies: which ones, and whether they go together, is part of what is tried.
    own = {"PIPX_HOME": tmp_path / "pipx", "PIPX_BIN_DIR": tmp_path / "a", "PIPX_MAN_DIR": tmp_path / "man"}
    own |= {"UV_TOOL_DIR": tmp_path / "uv", "UV_TOOL_BIN_DIR": tmp_path / "b", "PYTHONPATH": tmp_path}
    said([TOOLS / "pipx", "install", "--python", sys.executable, wheel], tmp_path, **own)
    said([TOOLS / "uv", "tool", "install", "--python", sys.executable, wheel], tmp_path, **own)
    # Without them, from this environment: pip takes ten seconds for what the others do in one.
    venv.create(tmp_path / "c", with_pip=False)
    said([TOOLS / "pip", "--python", tmp_path / "c", "install", "--no-deps", wheel], tmp_path)
    beside = str(Path(yaml.__file__).parents[1])
    commit = contents(wheel)["daemon/commit"].decode().strip()
    for program, path in ((tmp_path / "a", ""), (tmp_path / "b", ""), (tmp_path / "c" / "bin", beside)):
        shown = said([program / "earshot", "--version"], tmp_path, PYTHONPATH=path)
        assert shown.strip().endswith(f" (commit {commit})")
    # It makes its tables, as a service would.
    watched = tmp_path / "calls"
    watched.mkdir()
    file = tmp_path / "config.yaml"
    file.write_text(f"database: {tmp_path}/e.db\nanalyzer: {{api_key: k}}\nwatch: [{{path: {watched}}}]\n")
    assert "0 failed" in said([tmp_path / "a" / "earshot", "-c", file, "scan"], tmp_path)

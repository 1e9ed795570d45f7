"""What is built from a checkout, and that it works where there is no checkout."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest
import yaml

from daemon.config.load import load_config
from daemon.version import full_version
from tests.commands import shell_block, usage_error
from tests.servers import HttpSink, wait_until

ROOT = Path(__file__).parents[1]
TOOLS = Path(sys.executable).parent
NO_INDEX = re.compile(
    r"NewConnectionError|ConnectTimeoutError|ProxyError|error sending request|client error \(Connect\)"
)
"""How pip and uv say it."""


def call(
    command: list[str | Path], where: Path, env: Mapping[str, str | Path], seconds: float = 240
) -> subprocess.CompletedProcess[str]:
    given = {name: str(value) for name, value in env.items()}
    return subprocess.run(
        command,
        cwd=where,
        env=os.environ | given,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def said(command: list[str | Path], where: Path, **env: str | Path) -> str:
    """Run it outside of the checkout; its two outputs go into the message when it fails."""
    done = call(command, where, env)
    if done.returncode and (found := NO_INDEX.search(done.stderr)):
        pytest.skip(f"no package index can be reached, from which dependencies are installed: {found[0]}")
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


def test_pip_and_pipx_install_the_wheel(wheel: Path, tmp_path: Path) -> None:
    # With the dependencies: which ones, and whether they go together, is part of what is tried.
    own = {"PIPX_HOME": tmp_path / "pipx", "PIPX_BIN_DIR": tmp_path / "a", "PIPX_MAN_DIR": tmp_path / "man"}
    said([TOOLS / "pipx", "install", "--python", sys.executable, wheel], tmp_path, **own)
    assert (tmp_path / "man" / "man1" / "earshot.1").exists()
    # Without them, from this environment: pip takes ten seconds for what others do in one.
    venv.create(tmp_path / "b", with_pip=False)
    said([TOOLS / "pip", "--python", tmp_path / "b", "install", "--no-deps", "--no-compile", wheel], tmp_path)
    beside = str(Path(yaml.__file__).parents[1])
    commit = contents(wheel)["daemon/commit"].decode().strip()
    for program, path in ((tmp_path / "a", ""), (tmp_path / "b" / "bin", beside)):
        shown = said([program / "earshot", "--version"], tmp_path, PYTHONPATH=path)
        assert shown.strip().endswith(f" (commit {commit})")


def test_the_readmes_lines_for_uv_end_in_a_first_pass(checkout: Path, wheel: Path, tmp_path: Path) -> None:
    """As written, but for the wheel instead of the checkout, and an editor that nobody has to sit at."""
    lines = shell_block("uv tool install .")
    assert len(lines) <= 5
    (tmp_path / "calls").mkdir()
    with HttpSink() as api:
        text = f"watch: [{tmp_path}/calls]\ndatabase: {tmp_path}/e.db\n"
        text += f"analyzer: {{api_key: k, base_url: '{api.url}'}}\n"
        (tmp_path / "wanted.yaml").write_text(text)
        editor = tmp_path / "editor"
        editor.write_text(f'#!/bin/sh\ntest -s "$1" && cat {tmp_path}/wanted.yaml >"$1"\n')
        editor.chmod(0o755)
        own: dict[str, str | Path] = {
            "UV_TOOL_DIR": tmp_path / "uv",
            "UV_TOOL_BIN_DIR": tmp_path,
            "UV_PYTHON": sys.executable,
        }
        own["PATH"] = f"{tmp_path}:{TOOLS}:{os.environ['PATH']}"
        script = "\n".join(lines).replace("uv tool install .", f"uv tool install {wheel}")
        shown = said(["sh", "-euc", script], checkout, **own)
    assert "0 done" in shown


@pytest.mark.soak
def test_the_readmes_lines_for_a_container_end_in_a_service_that_is_ready(
    checkout: Path, tmp_path: Path
) -> None:
    """As written, with docker or what stands for it, and an editor that nobody has to sit at."""
    if os.geteuid() != 0:
        pytest.skip("needs root, who gives the file of the key to the user in the container")
    programs = {"docker": container_runtime(), "editor": 'test -s "$1" || echo a-key >"$1"'}
    for name, line in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{line}\n")
        (tmp_path / name).chmod(0o755)
    own = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "COMPOSE_PROJECT_NAME": f"earshot{os.getpid()}"}
    place = checkout / "examples" / "container"
    *lines, last = shell_block("docker compose")
    try:
        built = call(["sh", "-euc", "\n".join(lines)], checkout, own, seconds=1200)
        assert built.returncode == 0, built.stderr
        status = partial(call, ["sh", "-euc", last], place, own)
        # Coloured where it has a terminal, which some give it all the same.
        runs = re.compile(r"running\S* \(process")
        wait_until(lambda: runs.search(status().stdout), seconds=120, what="the service to run")
    finally:
        call(["docker", "compose", "down", "--volumes"], place, own)


def container_runtime() -> str:
    """A line of shell that does what `docker` is asked to; skips the test where nothing can."""
    base = re.findall(r"(?m)^ARG BASE=(.*)", (ROOT / "Containerfile").read_text())
    podman = 'shift; exec podman-compose -p "$COMPOSE_PROJECT_NAME" "$@"'
    reasons = []
    for program, compose, instead in (
        ("docker", "docker compose", f'exec {shutil.which("docker")} "$@"'),
        ("podman", "podman-compose", podman),
    ):
        tried = [
            call(["sh", "-c", each], ROOT, {})
            for each in (f"{compose} version", f"{program} run --rm {base[0]} true")
        ]
        if not any(each.returncode for each in tried):
            return instead
        reasons += [line for each in tried if each.returncode for line in each.stderr.splitlines()[-1:]]
    pytest.skip(f"needs docker with compose, or podman with podman-compose: {'; '.join(reasons)}")


def test_the_container_is_made_of_what_is_here() -> None:
    """What its documents name is there: the lines themselves are run where there is a runtime."""
    lines = (ROOT / "Containerfile").read_text().splitlines()
    taken = [line.split()[1] for line in lines if line.startswith("COPY") and "--from" not in line]
    assert all((ROOT / each).exists() for each in [*taken, *re.findall(r"/src/(\S+\.txt)", str(lines))])
    place = ROOT / "examples" / "container"
    service = yaml.safe_load((place / "compose.yaml").read_text())["services"]["earshot"]
    assert (place / service["build"] / "Containerfile").exists()
    assert usage_error(" ".join(service["healthcheck"]["test"][1:])) is None
    assert service["read_only"] and service["cap_drop"] == ["ALL"]
    config = load_config(place / "config.yaml", env={})
    assert int(service["stop_grace_period"].removesuffix("s")) > config.analyzer.drain
    targets = [each.split(":")[1] for each in service["volumes"][1:] if not each.startswith("$")]
    assert "/etc/earshot/config.yaml" in targets
    assert str(config.analyzer.api_key_file) == f"/run/secrets/{service['secrets'][0]}"
    assert str(config.database.parent) in str(lines)
    assert len(shell_block("docker compose")) <= 5

"""`pytest --processes`: nothing that one of the processes does is lost."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def side_by_side(folder: Path, **files: str) -> subprocess.CompletedProcess[str]:
    """Run tests of these files in three processes."""
    for name, content in files.items():
        folder.joinpath(f"test_{name}.py").write_text(content)
    options = ["-p", "tests.side_by_side", "--processes", "3", "-c", "/dev/null", "--rootdir", str(folder)]
    command = [
        sys.executable,
        "-m",
        "pytest",
        *options,
        "-rA",
        "--basetemp",
        str(folder / "base"),
        str(folder),
    ]
    env = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=90)


def test_each_test_is_told_of_also_when_its_process_dies_and_the_rest_of_its_file_is_done(
    tmp_path: Path,
) -> None:
    done = side_by_side(
        tmp_path,
        dies=(
            "import os, signal\n"
            "def test_before(): pass\n"
            "def test_killed(): os.kill(os.getpid(), signal.SIGKILL)\n"
            "def test_left(): os._exit(0)\n"
            "def test_after(): pass\n"
        ),
        fails="def test_fails(tmp_path):\n    print('it said', tmp_path)\n    assert 1 == 2\n",
        passes="def test_passes(): print('hello')\n",
    )
    assert done.returncode == 1
    assert "3 failed, 3 passed in" in done.stdout
    for said in (
        "FAILED test_dies.py::test_killed - its process ended with -9",
        "FAILED test_dies.py::test_left - its process ended with 0",
        "FAILED test_fails.py::test_fails - assert 1 == 2",
        "PASSED test_dies.py::test_before",
        "PASSED test_dies.py::test_after",
        "PASSED test_passes.py::test_passes",
    ):
        assert done.stdout.count(said) == 1, done.stdout
    (folder,) = (tmp_path / "base").glob("*/test_fails0")
    assert f"it said {folder}" in done.stdout


def test_what_cannot_be_taken_down_after_the_last_test_is_a_failure(tmp_path: Path) -> None:
    done = side_by_side(
        tmp_path,
        ends=(
            "import pytest\n"
            "@pytest.fixture(scope='session')\n"
            "def kept():\n"
            "    yield\n"
            "    raise OSError('it is still there')\n"
            "def test_uses(kept): pass\n"
            "def test_uses_again(kept): pass\n"
        ),
    )
    assert "2 passed in" in done.stdout
    assert done.returncode == 1, done.stdout
    assert "after its last test, a process ended with 1" in done.stdout
    assert "it is still there" in done.stderr

"""Deepgram's own clients, as its guide shows them, against `earshot engine`: they work unchanged."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.engine.running import serving

pytestmark = pytest.mark.soak
CLIENTS = Path(__file__).parent / "clients"
COMPLAINT = Path(__file__).parents[2] / "daemon" / "samples" / "complaint.mp3"
PYTHON_CLIENT = "deepgram-sdk==7.17.0"
SCRIPTS = {"guide_v5.mjs": "@deepgram/sdk@5.13.0", "guide_v4.mjs": "@deepgram/sdk@4.11.3"}
KEY = "the-engines-own-key"
TEXT = "Nobody calls me back, that is awful. Then please close my account. Thank you, you were very kind."
REFUSALS = {
    "wrong_key": (401, "INVALID_AUTH"),
    "no_audio": (400, "corrupt or unsupported data"),
    "foreign_url": (400, "REMOTE_CONTENT_ERROR"),
    "no_language": (400, "No such model/language/tier combination found."),
    "read_nothing": (400, "unsupported language"),
}


@pytest.fixture(scope="module")
def hosted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A site with a recording, and beside it a text."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "call.mp3").write_bytes(COMPLAINT.read_bytes())
    (folder / "call.mp3.txt").write_text(TEXT, "utf-8")
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/call.mp3"
        server.shutdown()


@pytest.fixture(scope="module")
def asking(hosted: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a client's script: a running engine, its key, what to send."""
    folder = tmp_path_factory.mktemp("engine")
    (folder / "key").write_text(f"{KEY}\n")
    (folder / "key").chmod(0o600)
    section: dict[str, Any] = {"model": "tiny.en", "api_key_file": "key", "hosts": ["127.0.0.1"]}
    section["examples"] = {"cancel subscription": ["please close my account"]}
    (folder / "engine.yaml").write_text(yaml.safe_dump({"engine": section}), "utf-8")
    with serving(folder / "engine.yaml") as (address, _):
        given = {"ENGINE": address, "KEY": KEY, "TEXT": TEXT}
        yield {**os.environ, **given, "RECORDING": str(COMPLAINT), "RECORDING_URL": hosted}


def test_the_client_for_python_does_all_that_the_guide_shows(asking: dict[str, str], tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-qq", PYTHON_CLIENT], check=True)
    said = understood([str(python), str(CLIENTS / "guide.py")], asking)
    check(said, "file", "async", "url")
    assert said["chunks"] == {"header": True, "type": "ListenV1Response"}
    assert {name: said[name]["type"] for name in ("file", "read")} == {
        "file": "ListenV1Response",
        "read": "ReadV1Response",
    }
    assert all(said[name]["id"] for name in REFUSALS)


@pytest.mark.parametrize(("script", "package"), SCRIPTS.items())
def test_the_client_for_javascript_does_all_that_the_guide_shows(
    script: str, package: str, asking: dict[str, str], tmp_path: Path
) -> None:
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("needs node and npm (Debian, Ubuntu: as root, apt-get install nodejs npm)")
    install = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", package]
    subprocess.run(install, cwd=tmp_path, check=True)
    # Node looks for packages beside the script.
    (tmp_path / script).write_bytes((CLIENTS / script).read_bytes())
    said = understood(["node", script], asking, tmp_path)
    check(said, "file", "url", "buffer" if "v5" in script else "stream")


def understood(command: list[str], env: dict[str, str], folder: Path | None = None) -> dict[str, Any]:
    """What a client's script printed."""
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    said = json.loads(done.stdout)
    assert isinstance(said, dict)
    return said


def check(said: dict[str, Any], *ways: str) -> None:
    """Each way of sending the recording has given the same and right reply; refusals say what is wrong."""
    for way in ways:
        heard = said[way]
        assert "cancel my subscription" in heard["transcript"]
        assert (heard["sentiment"], heard["intents"]) == ("negative", ["cancel subscription"])
        assert {"billing"} == set(heard["topics"])
        assert heard["score"] < -0.33
        assert min(heard[name] for name in ("words", "passages", "paragraphs", "utterances")) > 0
        assert heard["summary"]
        assert set(heard["infos"]) <= set(heard["models"])
    assert len({said[way]["transcript"] for way in ways}) == 1
    assert len({said[way]["request_id"] for way in ways}) == len(ways)
    for way in ("read", "read_url"):
        assert said[way]["summary"]
        assert said[way]["sentiment"] in ("positive", "neutral", "negative")
    for name, (status, message) in REFUSALS.items():
        assert said[name]["status"] == status, name
        assert message in str(said[name]["body"]), name

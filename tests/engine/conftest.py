"""The sentence model, loaded once a process, and words as a recognizer would give them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from daemon.engine.embed import Embedder


@pytest.fixture(scope="session")
def embedder() -> Embedder:
    pytest.importorskip("onnxruntime")
    from daemon.engine.reply import load_embedder

    return load_embedder()

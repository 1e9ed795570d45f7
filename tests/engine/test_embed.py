"""Sentences as vectors: alike where they mean the same, and the same whatever stands beside them."""

from __future__ import annotations

import hashlib

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("onnxruntime")

from daemon.engine.embed import DIMENSIONS, VOCABULARY, Embedder  # noqa: E402


def test_the_vocabulary_is_the_published_one() -> None:
    published = "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"
    assert hashlib.sha256(VOCABULARY.read_bytes()).hexdigest() == published


def test_sentences_that_mean_the_same_are_more_alike_than_others(embedder: Embedder) -> None:
    parcel, package, weather = embedder.embed(
        ["Where is my parcel?", "My package has not arrived yet.", "It will rain tomorrow."]
    )
    assert parcel @ package > 0.5 > 0.3 > parcel @ weather


def test_a_vector_has_length_1_and_does_not_depend_on_its_neighbours(embedder: Embedder) -> None:
    alone = embedder.embed(["The invoice is wrong."])
    among = embedder.embed(["Hello.", "The invoice is wrong.", "word " * 5000, ""])
    assert among.shape == (4, DIMENSIONS)
    assert np.allclose(np.linalg.norm(among, axis=1), 1.0, atol=1e-5)
    assert np.array_equal(alone[0], among[1])


def test_tokens_are_counted_beyond_what_is_read(embedder: Embedder) -> None:
    assert embedder.count_tokens("How are you?") == 4
    assert embedder.count_tokens("word " * 1000) == 1000
    assert embedder.embed([]).shape == (0, DIMENSIONS)

"""Turns sentences into vectors whose cosine says how alike they are: MiniLM, int8, in onnxruntime."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
from tokenizers import BertWordPieceTokenizer

Vectors = npt.NDArray[np.float32]

MODEL_NAME = "all-MiniLM-L6-v2-int8"
MODEL_FILE = "model.onnx"
VOCABULARY = Path(__file__).parent / "data" / "bert-uncased-vocab.txt"
MAX_TOKENS = 256  # of a text, as the model was trained; what is longer is cut
DIMENSIONS = 384


class Embedder:
    """The model, loaded: 160 MB of memory, 220 while it loads.

    It takes one text at a time: batches are padded, and were slower.
    """

    def __init__(self, folder: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            folder / MODEL_FILE, options, providers=["CPUExecutionProvider"]
        )
        self._tokenizer = BertWordPieceTokenizer(str(VOCABULARY), lowercase=True)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """A row of DIMENSIONS for each text, of length 1."""
        vectors = np.zeros((len(texts), DIMENSIONS), np.float32)
        for row, text in enumerate(texts):
            vectors[row] = self._embed_one(text)
        return vectors

    def count_tokens(self, text: str) -> int:
        """How many tokens a text has, [CLS] and [SEP] not counted."""
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def _embed_one(self, text: str) -> Vectors:
        ids = self._tokenizer.encode(text).ids
        tokens = np.array([ids if len(ids) <= MAX_TOKENS else [*ids[: MAX_TOKENS - 1], ids[-1]]], np.int64)
        inputs: dict[str, Any] = {
            "input_ids": tokens,
            "attention_mask": np.ones_like(tokens),
            "token_type_ids": np.zeros_like(tokens),
        }
        states = self._session.run(["last_hidden_state"], inputs)[0]
        mean: Vectors = states[0].mean(axis=0)
        return mean / np.linalg.norm(mean)

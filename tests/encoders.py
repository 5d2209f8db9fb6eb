"""Encoders without weights, for tests that must tell two of them apart, and a tiny one that can be tuned."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.processors import TemplateProcessing
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from kblampp.core.files import fingerprint
from kblampp.encoding.sentence_encoder import DeterministicEncoder, DoubleArray


class Counting:
    """Passes texts on to a deterministic encoder and remembers them.

    Attributes:
        seen: Every text that it was given, in order.
    """

    def __init__(self, dim: int) -> None:
        self.inner = DeterministicEncoder(dim)
        self.name, self.fingerprint, self.dim = self.inner.name, self.inner.fingerprint, dim
        self.seen: list[str] = []

    def encode(self, texts: Sequence[str], *, progress: bool = False) -> DoubleArray:
        """The vectors of the deterministic encoder."""
        self.seen += texts
        return self.inner.encode(texts, progress=progress)


class Reversed(Counting):
    """The same with the numbers of each vector in the opposite order: a second encoder of the same width."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self.fingerprint = fingerprint("reversed", self.inner.fingerprint)

    def encode(self, texts: Sequence[str], *, progress: bool = False) -> DoubleArray:
        """The reversed vectors."""
        return np.ascontiguousarray(super().encode(texts, progress=progress)[:, ::-1])


def save_tiny_bert(folder: Path, *, hidden: int = 16, seed: int = 0) -> None:
    """Writes a random BERT of two layers that reads letters, as a sentence-transformers model."""
    from sentence_transformers import SentenceTransformer  # slow to import: only when used
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    letters = "abcdefghijklmnopqrstuvwxyz0123456789.,?!'’-/()"
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters)]
    reader = Tokenizer(WordPiece({token: number for number, token in enumerate(tokens)}, unk_token="[UNK]"))
    reader.normalizer, reader.pre_tokenizer = BertNormalizer(), WhitespaceSplit()
    reader.post_processor = TemplateProcessing("[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=reader,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )
    config = BertConfig(
        vocab_size=len(tokens),
        hidden_size=hidden,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=2 * hidden,
        max_position_embeddings=128,
    )
    with tempfile.TemporaryDirectory() as plain, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        BertModel(config).save_pretrained(plain)
        tokenizer.save_pretrained(plain)
        body = Transformer(plain, max_seq_length=64)
        SentenceTransformer(modules=[body, Pooling(hidden)], device="cpu").save(str(folder))

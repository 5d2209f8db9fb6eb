"""Prompts that begin alike are answered as each is by itself, and their common beginning is read once."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from kblampp.model.batches import padded
from kblampp.model.inputs import SelectorOptions
from kblampp.model.predictor import LineWritten, Predictor
from kblampp.model.shared_prefix import LEAST, SharedPrefix
from tests.kb import TinyWorld, make_world
from tests.tiny import FAMILIES, MORE_FAMILIES, PAD_ID, tiny_tokenizer

EXAMPLE = "Question: Who led Tide Works?\nAnswer: Ann Lee\n\n"
PROMPTS = [EXAMPLE + text for text in ("Who?", "Question: Who led Fern Bank in 2001?", "And when was that?")]
ALL = FAMILIES | MORE_FAMILIES


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> TinyWorld:
    return make_world(tmp_path_factory.mktemp("kb"))


def predictor(world: TinyWorld, family: str) -> Predictor:
    model = world.model(ALL[family]())
    return Predictor(model, world.backbone(model.backbone), SelectorOptions(top_k=4), batch_size=2, max_new_tokens=8)


@pytest.mark.parametrize("family", sorted(ALL))
def test_what_is_said_is_what_each_prompt_alone_gets(world: TinyWorld, family: str) -> None:
    asked = predictor(world, family)
    together = asked.complete(PROMPTS)
    alone = [asked.complete([prompt])[0] for prompt in PROMPTS]
    assert [each.text for each in together] == [each.text for each in alone]
    assert [each.prompt_tokens for each in together] == [len(prompt) for prompt in PROMPTS]  # one token a byte


def test_the_common_beginning_is_read_once(world: TinyWorld) -> None:
    asked, lengths = predictor(world, "llama"), []
    asked.model.backbone.get_input_embeddings().register_forward_hook(
        lambda _module, ids, _out: lengths.append(ids[0].numel())
    )
    asked.complete(PROMPTS)
    read = [length for length in lengths if length > 2]  # the others are steps of a batch of two
    assert read[0] == len(EXAMPLE)
    rest = sorted(len(prompt) - len(EXAMPLE) for prompt in PROMPTS)
    assert sorted(read[1:]) == sorted([2 * rest[1], rest[2]])


@pytest.mark.parametrize("family", ["mistral", "bloom"])
def test_none_is_kept_where_padding_inside_would_be_felt(world: TinyWorld, family: str) -> None:
    rows = [list(range(2, 2 + LEAST)) + end for end in ([20], [30, 40])]
    assert SharedPrefix.of(rows, ALL["llama"]()) is not None
    assert SharedPrefix.of(rows, ALL[family]()) is None


@given(
    st.lists(st.integers(2, 250), min_size=LEAST, max_size=30),
    st.lists(st.lists(st.integers(2, 250), min_size=1, max_size=9), min_size=2, max_size=5),
)
def test_the_padding_goes_behind_the_prefix_and_nothing_else_changes(shared: list[int], ends: list[list[int]]) -> None:
    rows = [shared + end for end in ends]
    ids, mask = SharedPrefix(torch.tensor(shared), None).first(*padded(rows, PAD_ID, left=True))  # type: ignore[arg-type]
    assert ids[:, : len(shared)].eq(torch.tensor(shared)).all()
    assert [row[there.bool()].tolist() for row, there in zip(ids, mask, strict=True)] == rows
    assert mask[:, : len(shared)].all()
    assert ids[mask == 0].eq(PAD_ID).all()


@pytest.mark.parametrize("rows", [[], [[1] * 40], [[1, 2, 3], [1, 2, 4]], [[5] * LEAST, [5] * LEAST]])
def test_one_prompt_and_what_begins_alike_by_chance_share_nothing(rows: list[list[int]]) -> None:
    assert SharedPrefix.of(rows, ALL["llama"]()) is None


def test_a_row_ends_with_its_first_line_that_is_not_empty() -> None:
    tokenizer, prompt = tiny_tokenizer(), "Answer:\n"

    def ended(*written: str) -> list[bool]:
        rows = [tokenizer(prompt + text.ljust(12))["input_ids"] for text in written]
        done: Tensor = LineWritten(tokenizer, len(prompt))(torch.tensor(rows), torch.zeros(0))
        return done.tolist()

    assert ended("", "\n\n", "Ann Lee", "Ann Lee\n", "\n Ann\nBo") == [False, False, False, True, True]


def test_no_more_than_a_line_is_written_where_it_is_enough(world: TinyWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, steps = predictor(world, "llama"), []
    whole = asked.complete(PROMPTS[:1])[0].text
    assert len(whole) > 2
    monkeypatch.setattr(LineWritten, "__call__", lambda self, ids, scores, **_: steps.append(ids) or ids[:, 0] >= 0)
    assert whole.startswith(asked.complete(PROMPTS[:1], first_line=True)[0].text)
    assert len(steps) == 1

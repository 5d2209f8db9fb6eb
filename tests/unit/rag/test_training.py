"""What trained RAG learns: the answer's tokens alone, whatever passes through the backbone at once."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from kblampp.core.errors import CheckpointError, DataError, ParamsError, TrainingError
from kblampp.evaluation.baselines import nearest_sentences
from kblampp.model.injection import KBInjectedModel
from kblampp.model.lora import change_backbone
from kblampp.rag import training
from kblampp.rag.prompts import PromptStyle
from kblampp.rag.training import LEAST, WARMUP, Examples, History, Recipe, backward, parts, train
from tests.kb import TinyWorld, make_world
from tests.tiny import EOS_ID, FAMILIES, PAD_ID

RECIPE = Recipe(
    PromptStyle.parse("fields"), 2, rank=2, alpha=4.0, targets="auto", lr=0.02, steps=4, batch_size=6, together=4
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> TinyWorld:
    return make_world(tmp_path_factory.mktemp("world"))


def examples_of(world: TinyWorld, model: KBInjectedModel, recipe: Recipe = RECIPE) -> Examples:
    return Examples(world.base, world.encoded(), world.backbone(model.backbone), recipe, 3)


def learner(world: TinyWorld, family: str = "llama") -> KBInjectedModel:
    """A model whose LoRA alone learns, and has learnt something already."""
    model = world.model(FAMILIES[family]()).requires_grad_(False)
    torch.manual_seed(1)
    change_backbone(model, rank=2, alpha=4.0)
    for name, parameter in model.named_parameters():
        if ".lora_B." in name:
            torch.nn.init.normal_(parameter, std=0.05)
    return model


def gradients(model: KBInjectedModel) -> dict[str, torch.Tensor]:
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.requires_grad and p.grad is not None}
    model.zero_grad()
    return found


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_the_loss_is_that_of_the_answers_tokens_alone(world: TinyWorld, family: str) -> None:
    """Against each question by itself, without padding, token by token."""
    model = learner(world, family)
    some = examples_of(world, model).of_step(0)
    each = []
    for example in some:
        ids = torch.tensor([example.prompt + example.answer])
        scores = model.backbone(input_ids=ids).logits[0].log_softmax(-1)
        each += [-scores[len(example.prompt) + n - 1, token] for n, token in enumerate(example.answer)]
    expected = torch.stack(each).mean()
    expected.backward()  # type: ignore[no-untyped-call]
    wanted = gradients(model)
    assert wanted
    for together in (1, 4, 6):
        assert backward(model, some, together, PAD_ID) == pytest.approx(float(expected.detach()), rel=1e-5)
        found = gradients(model)
        assert found.keys() == wanted.keys()
        for name, gradient in found.items():
            torch.testing.assert_close(gradient, wanted[name], rtol=1e-3, atol=1e-6)


def test_around_a_backbone_in_bfloat16_lora_learns_in_float32(world: TinyWorld, tmp_path: Path) -> None:
    model = world.model(FAMILIES["llama"]().bfloat16()).requires_grad_(False)
    change_backbone(model, rank=2, alpha=4.0)
    recipe = replace(RECIPE, steps=2)
    history = train(model, examples_of(world, model, recipe), recipe, pad=PAD_ID, checkpoint=tmp_path / "s.pt", key="k")
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters() if parameter.requires_grad)
    wide = world.model(FAMILIES["llama"]()).requires_grad_(False)
    change_backbone(wide, rank=2, alpha=4.0)
    start = backward(wide, examples_of(world, wide).of_step(0), 6, PAD_ID)
    assert history.losses[0] == pytest.approx(start, rel=0.05)


def test_an_example_is_prompt_answer_and_end_and_an_unanswerable_one_says_so(world: TinyWorld) -> None:
    model = world.model(FAMILIES["llama"]())
    examples, tokenizer = examples_of(world, model), world.tokenizer
    places = [0, world.rows_of("unanswerable")[0]]
    said = [tokenizer.decode(example.answer[:-1]) for example in examples.at(places)]
    assert said == [f" {world.questions[0].answer}", " unknown"]
    found = nearest_sentences(world.base.store, world.encoded(places), 2)
    for place, numbers, example in zip(places, found, examples.at(places), strict=True):
        shown = [RECIPE.style.shown(world.facts[number]) for number in numbers]
        assert example.answer[-1] == EOS_ID
        text = "\n".join([*shown, f"Question: {world.questions[place].question}", "Answer:"])
        assert tokenizer.decode(example.prompt) == text


def test_every_question_is_learnt_once_an_epoch_and_in_another_order_in_the_next(world: TinyWorld) -> None:
    model = world.model(FAMILIES["llama"]())
    recipe = replace(RECIPE, facts=0, batch_size=len(world.questions) // 2)
    assert len(world.questions) % 2 == 0
    examples = examples_of(world, model, recipe)
    epochs = [
        [tuple(example.prompt) for step in steps for example in examples.of_step(step)] for steps in ((0, 1), (2, 3))
    ]
    assert sorted(epochs[0]) == sorted(epochs[1]) == sorted(tuple(each.prompt) for each in examples.at(range(42)))
    assert epochs[0] != epochs[1]


def test_parts_hold_each_example_once_and_the_longest_last(world: TinyWorld) -> None:
    some = examples_of(world, world.model(FAMILIES["llama"]())).of_step(1)
    found = list(parts(some, 4, PAD_ID))
    assert [len(part.ids) for part in found] == [4, 2]
    assert found[0].ids.shape[1] <= found[1].ids.shape[1]
    assert sum(len(part.wanted) for part in found) == sum(len(each.answer) for each in some)


def test_training_lowers_the_loss_and_touches_nothing_but_lora(world: TinyWorld, tmp_path: Path) -> None:
    model = learner(world)
    before = {name: p.detach().clone() for name, p in model.named_parameters() if not p.requires_grad}
    recipe = replace(RECIPE, steps=12, checkpoint_every=100)
    history = train(model, examples_of(world, model, recipe), recipe, pad=PAD_ID, checkpoint=tmp_path / "s.pt", key="k")
    assert history.step == 12
    assert sum(history.losses[-3:]) < 0.8 * sum(history.losses[:3])
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters() if not p.requires_grad)


def test_a_run_of_minutes_ends_with_its_time_and_goes_on_with_what_is_left(
    world: TinyWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock on which each step takes 20 seconds."""
    clock = count(0, 20)
    monkeypatch.setattr(training, "time", SimpleNamespace(monotonic=lambda: float(next(clock))))
    recipe = replace(RECIPE, steps=None, minutes=1.5, checkpoint_every=2)

    def run(stop: int | None) -> History:
        def after(step: int) -> None:
            if step == stop:
                raise KeyboardInterrupt

        model = learner(world)
        examples, checkpoint = examples_of(world, model, recipe), tmp_path / "s.pt"
        return train(model, examples, recipe, pad=PAD_ID, checkpoint=checkpoint, key="k", after_step=after)

    with pytest.raises(KeyboardInterrupt):
        run(3)
    assert torch.load(tmp_path / "s.pt")["history"]["seconds"] == 40  # the third step is lost
    history = run(None)
    assert (history.step, history.seconds, len(history.losses)) == (5, 100, 5)


@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(b"no"), lambda path: torch.save({"key": "k"}, path)])
def test_a_damaged_checkpoint_is_named(world: TinyWorld, tmp_path: Path, damage: object) -> None:
    damage(tmp_path / "s.pt")  # type: ignore[operator]
    model = learner(world)
    with pytest.raises(CheckpointError, match=r"s\.pt cannot be read .*; delete it"):
        train(model, examples_of(world, model), RECIPE, pad=PAD_ID, checkpoint=tmp_path / "s.pt", key="k")


def test_a_gradient_that_is_not_finite_ends_the_run(world: TinyWorld, tmp_path: Path) -> None:
    model = learner(world)
    with torch.no_grad():
        next(p for p in model.parameters() if p.requires_grad).fill_(float("nan"))
    with pytest.raises(TrainingError, match="lower the learning rate"):
        train(model, examples_of(world, model), RECIPE, pad=PAD_ID, checkpoint=tmp_path / "s.pt", key="k")
    assert not (tmp_path / "s.pt").exists()


def test_the_rate_rises_and_falls_with_the_share_that_is_spent() -> None:
    shares = [number / 200 for number in range(201)]
    rates = [Recipe.factor(share) for share in shares]
    top = rates.index(max(rates))
    assert shares[top] == pytest.approx(WARMUP)
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert (rates[0], max(rates)) == (LEAST, 1.0)
    assert rates[-1] == pytest.approx(LEAST)
    assert RECIPE.spent(2, 1e9) == 0.5
    assert replace(RECIPE, steps=None, minutes=2.0).spent(10**9, 30) == 0.25


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"steps": None}, "either steps or minutes"),
        ({"minutes": 1.0}, "either steps or minutes"),
        ({"steps": 0}, "steps is 0"),
        ({"steps": None, "minutes": float("nan")}, "minutes is nan"),
        ({"facts": -1}, "facts is -1"),
        ({"lr": 0.0}, "lr is 0"),
    ],
)
def test_what_is_out_of_range_is_named(changes: dict[str, float | None], named: str) -> None:
    with pytest.raises(ParamsError, match=named):
        replace(RECIPE, **changes)  # type: ignore[arg-type]


def test_without_questions_there_is_nothing_to_learn(world: TinyWorld) -> None:
    backbone = world.backbone(FAMILIES["llama"]())
    with pytest.raises(DataError, match="no training question"):
        Examples(world.base, world.encoded([]), backbone, RECIPE, 0)

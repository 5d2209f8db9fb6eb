"""Knowledge enters any decoder by its hooks, changes nothing when it is off, and decoding equals the full forward."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from kblampp.core.errors import BackboneError, KBLaMError, ParamsError
from kblampp.data.facts import FORMS
from kblampp.model.batches import prompt_batches
from kblampp.model.decoding import tokenized
from kblampp.model.injection import KBInjectedModel
from kblampp.model.inputs import Knowledge, Questions, SelectorOptions
from kblampp.model.predictor import Predictor
from kblampp.model.prompts import closed_book_prompt
from kblampp.training.losses import LossWeights, compute_losses
from tests.kb import TinyWorld, make_world
from tests.tiny import EOS_ID, FAMILIES, PAD_ID, RETURN_TUPLES, tiny_tokenizer

ROWS = (0, 9, 12, 40)
"""A single-hop, a multi-hop, a temporal and an unanswerable question, with prompts of different lengths."""
TOKENIZER = tiny_tokenizer()
GREEDY = {"max_new_tokens": 8, "do_sample": False, "pad_token_id": PAD_ID, "eos_token_id": EOS_ID}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> TinyWorld:
    return make_world(tmp_path_factory.mktemp("kb"))


@dataclass(frozen=True)
class Case:
    """A backbone that was never wrapped, and a model with random added weights around another of the same weights."""

    family: str
    plain: PreTrainedModel
    model: KBInjectedModel


@pytest.fixture(scope="module", params=sorted(FAMILIES))
def case(request: pytest.FixtureRequest, world: TinyWorld) -> Case:
    build = FAMILIES[request.param]
    return Case(request.param, build(), world.model(build()))


@pytest.fixture(autouse=True)
def no_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


def generate(model: KBInjectedModel, ids: Tensor, mask: Tensor, knowledge: Knowledge | None, **options: Any) -> Any:
    settings = {**GREEDY, "return_dict_in_generate": True, "output_scores": True, **options}
    return model.generate(ids, mask, tokenizer=TOKENIZER, knowledge=knowledge, **settings)[0]


def answer_of(sequence: Tensor, prompt: int) -> Tensor:
    """The answer's tokens up to and with EOS."""
    answer = sequence[prompt:]
    ends = (answer == EOS_ID).nonzero()
    return answer if len(ends) == 0 else answer[: int(ends[0]) + 1]


def step_scores(output: Any, row: int) -> Tensor:
    """What greedy decoding chose from at each step of a row, (steps, vocabulary)."""
    return torch.stack(output.scores)[:, row].float()


def full_forward(model: KBInjectedModel, world: TinyWorld, row: int, answer: Tensor, **options: Any) -> Any:
    """One pass over the question and the whole answer."""
    prompt, _ = world.prompts([row])
    ids = torch.cat([prompt, answer[None]], dim=1)
    return model(ids, knowledge=world.ask([row], **options), answer_start=torch.tensor([prompt.shape[1]]))


def own_words(output: Any, answer: Tensor) -> Tensor:
    """Log-probabilities of the next token by the language model itself, (answer, vocabulary)."""
    return output.logits[0, -len(answer) - 1 : -1].double().log_softmax(-1)


def mixture(output: Any, answer: Tensor, *, commit: bool = False) -> Tensor:
    """What decoding should choose from, (answer, vocabulary): answers from the facts among own words, by hand."""
    spoken = own_words(output, answer)
    (choices,) = tokenized(output.state.answers(), TOKENIZER)
    own = 1 - sum(p for _, p in choices)
    if commit:
        choices, own = ([], 1.0) if own > 0.5 else ([(choices[0][0], 1.0)], 0.0)
    rows, so_far, written = [], 0.0, answer.tolist()
    for place, log_probs in enumerate(spoken):
        joint = own * (so_far + log_probs).exp()
        for tokens, p in choices:
            if len(tokens) > place and list(tokens[:place]) == written[:place]:
                joint[tokens[place]] += p
        rows.append((joint / joint.sum()).log())
        so_far += float(log_probs[written[place]])
    return torch.stack(rows)


def test_families_of_both_return_types_are_tried() -> None:
    assert len(FAMILIES) >= 8
    assert RETURN_TUPLES & set(FAMILIES)


@pytest.mark.parametrize("off", ["no knowledge", "top_k 0"])
def test_with_knowledge_off_the_model_is_the_backbone_bit_for_bit(case: Case, world: TinyWorld, off: str) -> None:
    ids, mask = world.prompts(ROWS)
    knowledge = None if off == "no knowledge" else world.ask(ROWS, top_k=0)
    output = case.model(ids, mask, knowledge=knowledge, answer_start=torch.full((len(ROWS),), ids.shape[1] - 2))
    assert output.state is None
    assert torch.equal(output.logits, case.plain(input_ids=ids, attention_mask=mask).logits)
    answers, state = case.model.generate(ids, mask, tokenizer=TOKENIZER, knowledge=knowledge, **GREEDY)
    assert state is None
    assert torch.equal(answers, case.plain.generate(input_ids=ids, attention_mask=mask, **GREEDY))


def test_text_that_asks_nothing_is_the_backbones_bit_for_bit_with_a_base_at_hand(case: Case, world: TinyWorld) -> None:
    ids, mask = world.prompts(ROWS)
    nothing = replace(world.ask(ROWS), questions=Questions.nothing(len(ROWS), world.vectors.shape[1]))
    output = case.model(ids, mask, knowledge=nothing)
    assert output.state is not None
    assert output.state.own_words() == [1.0] * len(ROWS)
    assert torch.equal(output.logits, case.plain(input_ids=ids, attention_mask=mask).logits)
    texts, _ = case.model.generate(ids, mask, tokenizer=TOKENIZER, knowledge=nothing, **GREEDY)
    assert torch.equal(texts, case.plain.generate(input_ids=ids, attention_mask=mask, **GREEDY))


def test_text_that_asks_nothing_does_not_disturb_the_question_beside_it(case: Case, world: TinyWorld) -> None:
    ids, mask = world.prompts(ROWS)
    asked = world.ask(ROWS)
    texts = [world.questions[ROWS[0]].question, "", *(world.questions[row].question for row in ROWS[2:])]
    vectors = asked.questions.vectors.clone()
    vectors[1] = 0
    some = Questions.make(vectors, [world.questions[row].question_time for row in ROWS], texts)
    output, whole = (
        case.model(ids, mask, knowledge=replace(asked, questions=each)) for each in (some, asked.questions)
    )
    plain = case.plain(input_ids=ids, attention_mask=mask).logits
    assert torch.equal(output.logits[1], plain[1])
    others = [0, 2, 3]
    torch.testing.assert_close(output.logits[others], whole.logits[others])
    assert output.state is not None
    assert output.state.own_words()[1] == 1.0
    assert all(own < 1 for place, own in enumerate(output.state.own_words()) if place != 1)


def test_untrained_and_without_the_copy_head_the_model_is_the_backbone_bit_for_bit(
    case: Case, world: TinyWorld
) -> None:
    untrained = world.model(FAMILIES[case.family](), trained=False)
    ids, mask = world.prompts(ROWS)
    knowledge = world.ask(ROWS, copy_head=False)
    output = untrained(ids, mask, knowledge=knowledge)
    assert output.state is not None
    assert torch.equal(output.logits, case.plain(input_ids=ids, attention_mask=mask).logits)
    answers, _ = untrained.generate(ids, mask, tokenizer=TOKENIZER, knowledge=knowledge, **GREEDY)
    assert torch.equal(answers, case.plain.generate(input_ids=ids, attention_mask=mask, **GREEDY))


def test_trained_weights_change_the_logits_until_the_hooks_are_gone(case: Case, world: TinyWorld) -> None:
    ids, mask = world.prompts(ROWS)
    plain = case.plain(input_ids=ids, attention_mask=mask).logits
    hidden_path = case.model(ids, mask, knowledge=world.ask(ROWS, copy_head=False)).logits
    assert (hidden_path - plain).abs().max() > 1e-3
    with case.model.reading(world.ask(ROWS)):
        inside = case.model.backbone(input_ids=ids, attention_mask=mask).logits
    assert (inside - plain).abs().max() > 1e-3
    case.model.detach()
    try:
        assert torch.equal(case.model.backbone(input_ids=ids, attention_mask=mask).logits, plain)
        assert torch.equal(case.model(ids, mask).logits, plain)
    finally:
        case.model.attach()
    assert torch.equal(case.model(ids, mask, knowledge=world.ask(ROWS, copy_head=False)).logits, hidden_path)


def test_each_question_reads_its_own_facts(case: Case, world: TinyWorld) -> None:
    ids, mask = world.prompts(ROWS)
    logits = case.model(ids, mask, knowledge=world.ask(ROWS)).logits
    others = case.model(ids, mask, knowledge=world.ask([1, *ROWS[1:]])).logits
    assert (logits[0] - others[0]).abs().max() > 1e-3
    assert torch.equal(logits[1:], others[1:])


@pytest.mark.parametrize("copy_head", [True, False])
def test_cached_decoding_equals_the_full_forward(case: Case, world: TinyWorld, copy_head: bool) -> None:
    ids, mask = world.prompts(ROWS)
    knowledge = world.ask(ROWS, copy_head=copy_head)
    cached = generate(case.model, ids, mask, knowledge, use_cache=True)
    uncached = generate(case.model, ids, mask, knowledge, use_cache=False)
    assert torch.equal(cached.sequences, uncached.sequences)
    for place, row in enumerate(ROWS):
        answer = answer_of(cached.sequences[place], ids.shape[1])
        output = full_forward(case.model, world, row, answer, copy_head=copy_head)
        expected = (mixture(output, answer, commit=True) if copy_head else own_words(output, answer)).float()
        for found in (cached, uncached):
            steps = step_scores(found, place)[: len(answer)].log_softmax(-1)
            torch.testing.assert_close(steps, expected, atol=1e-4, rtol=1e-4)


def test_sampling_draws_from_the_mixture(case: Case, world: TinyWorld) -> None:
    """What each step was drawn from is the mixture, and what is drawn is a whole answer or own words."""
    ids, mask = world.prompts(ROWS)
    torch.manual_seed(0)
    options = {"do_sample": True, "num_return_sequences": 6, "top_k": 0, "max_new_tokens": 12}
    found = generate(case.model, ids, mask, world.ask(ROWS), **options)
    whole = 0
    for place, sequence in enumerate(found.sequences):
        answer = answer_of(sequence, ids.shape[1])
        output = full_forward(case.model, world, ROWS[place // 6], answer)
        expected = mixture(output, answer)
        steps = step_scores(found, place)[: len(answer)].log_softmax(-1)
        likely = expected > -12
        torch.testing.assert_close(steps[likely], expected.float()[likely], atol=2e-3, rtol=1e-3)
        (choices,) = tokenized(output.state.answers(), TOKENIZER)
        whole += any(list(tokens[:12]) == answer.tolist() for tokens, _ in choices)
    assert whole > 4


def test_greedy_decoding_writes_the_most_probable_answer_to_its_end(case: Case, world: TinyWorld) -> None:
    ids, mask = world.prompts(ROWS)
    model = case.model
    bias = model.copy_gate.bias.clone()
    torch.nn.init.constant_(model.copy_gate.bias, 50.0)
    try:
        out, state = model.generate(
            ids, mask, tokenizer=TOKENIZER, knowledge=world.ask(ROWS), **{**GREEDY, "max_new_tokens": 40}
        )
    finally:
        model.copy_gate.bias.copy_(bias)
    assert state is not None
    texts = [TOKENIZER.decode(answer_of(row, ids.shape[1])) for row in out]
    assert texts == [f" {row[0].text}<eos>" for row in state.answers()]


@pytest.mark.parametrize("copy_head", [True, False])
def test_left_padding_changes_nothing(case: Case, world: TinyWorld, copy_head: bool) -> None:
    ids, mask = world.prompts(ROWS)
    padded = [place for place in range(len(ROWS)) if mask[place, 0] == 0][:2]
    assert len(padded) == 2
    together = generate(case.model, ids, mask, world.ask(ROWS, copy_head=copy_head))
    for place in padded:
        row = ROWS[place]
        one, one_mask = world.prompts([row])
        alone = generate(case.model, one, one_mask, world.ask([row], copy_head=copy_head))
        answer = answer_of(alone.sequences[0], one.shape[1])
        assert torch.equal(answer_of(together.sequences[place], ids.shape[1]), answer)
        scores = [step_scores(output, at)[: len(answer)] for output, at in ((together, place), (alone, 0))]
        torch.testing.assert_close(scores[0].log_softmax(-1), scores[1].log_softmax(-1), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("copy_head", [True, False])
def test_beam_scores_are_the_sequences_log_probabilities(case: Case, world: TinyWorld, copy_head: bool) -> None:
    rows = (0, 12)
    ids, mask = world.prompts(rows)
    options = {"num_beams": 3, "num_return_sequences": 2, "length_penalty": 0.0}
    beams = generate(case.model, ids, mask, world.ask(rows, copy_head=copy_head), **options)
    assert len(beams.sequences) == 4
    for place, sequence in enumerate(beams.sequences):
        answer = answer_of(sequence, ids.shape[1])
        output = full_forward(case.model, world, rows[place // 2], answer, copy_head=copy_head)
        scores = (mixture if copy_head else own_words)(output, answer).float()
        total = scores.gather(1, answer[:, None]).sum()
        torch.testing.assert_close(beams.sequences_scores[place], total, atol=1e-3, rtol=1e-4)
    best, second = beams.sequences_scores.reshape(2, 2).T
    assert (best >= second).all()


def test_one_beam_is_greedy_and_three_return_sequences_read_the_same_facts(case: Case, world: TinyWorld) -> None:
    ids, mask = world.prompts(ROWS)
    greedy = generate(case.model, ids, mask, world.ask(ROWS)).sequences
    assert torch.equal(generate(case.model, ids, mask, world.ask(ROWS), num_beams=1).sequences, greedy)
    knowledge = world.ask(ROWS, copy_head=False)
    greedy = generate(case.model, ids, mask, knowledge)
    torch.manual_seed(0)
    sampled = generate(case.model, ids, mask, knowledge, do_sample=True, temperature=1e-4, num_return_sequences=3)
    best = torch.stack(greedy.scores, 1).topk(2).values
    clear = ((best[..., 0] - best[..., 1]) > 1e-2).all(1)  # so cold, sampling still draws between two that nearly tie
    assert clear.sum() >= 2
    for place in clear.nonzero().flatten().tolist():
        assert torch.equal(sampled.sequences[3 * place : 3 * place + 3], greedy.sequences[[place] * 3])


def test_a_backbone_that_samples_by_default_draws_from_the_mixture(world: TinyWorld) -> None:
    """Its own generation settings say so; nothing in the call does."""
    model = world.model(FAMILIES["llama"]())
    model.backbone.generation_config.do_sample = True
    ids, mask = world.prompts(ROWS)
    options = {key: value for key, value in GREEDY.items() if key != "do_sample"}
    settings = {**options, "top_k": 0, "return_dict_in_generate": True, "output_scores": True}
    found, state = model.generate(ids, mask, tokenizer=TOKENIZER, knowledge=world.ask(ROWS), **settings)
    assert state is not None
    for place, row in enumerate(ROWS):
        answer = answer_of(found.sequences[place], ids.shape[1])[:1]
        expected = mixture(full_forward(model, world, row, answer), answer)
        torch.testing.assert_close(step_scores(found, place)[:1].exp(), expected.exp().float(), atol=1e-3, rtol=0)


def test_only_added_parameters_get_gradients(case: Case, world: TinyWorld) -> None:
    model = world.model(FAMILIES[case.family]())
    batches = world.batches(batch_size=6, retrieved_negatives=4, drop_hidden_query=0.3)
    with torch.enable_grad():
        for step in range(3):
            batch = batches.batch(step)
            batch.forms[0] = FORMS.index("yes_no")  # one question wants yes or no
            knowledge = Knowledge(world.base, batch.questions, SelectorOptions(top_k=0), batch.weighed)
            output = model(batch.input_ids, batch.attention_mask, knowledge=knowledge, answer_start=batch.answer_start)
            losses = compute_losses(output, batch, world.base, path_margin=1.0)
            losses.total(LossWeights(*[1.0] * 7)).backward()
    added = {name: p for name, p in model.added_parameters().items() if p.requires_grad}
    held = {name for name in model.added_parameters().keys() - added.keys() if not name.startswith("kinds.")}
    assert {".".join(name.split(".")[2:4]) for name in held} == {"query.names", "null_by_group"}
    assert [name for name, p in added.items() if p.grad is None or not p.grad.any()] == []
    assert [name for name, p in added.items() if not torch.isfinite(p.grad).all()] == []
    assert all(p.grad is None for p in model.backbone.parameters())


def test_a_bfloat16_backbone_reads_in_float32(case: Case, world: TinyWorld) -> None:
    plain = FAMILIES[case.family]().bfloat16()
    model = world.model(FAMILIES[case.family]().bfloat16())
    ids, mask = world.prompts(ROWS)
    expected = plain(input_ids=ids, attention_mask=mask).logits
    assert torch.equal(model(ids, mask).logits, expected)
    hidden_path = model(ids, mask, knowledge=world.ask(ROWS, copy_head=False))
    assert hidden_path.logits.dtype == torch.bfloat16
    assert torch.isfinite(hidden_path.logits).all()
    assert (hidden_path.logits - expected).abs().max() > 1e-2
    assert hidden_path.state is not None
    assert {s.alpha.dtype for s in hidden_path.state.selections.values()} == {torch.float32}
    totals = [sum(answer.probability for answer in row) for row in hidden_path.state.answers()]
    assert totals == [0.0] * len(ROWS)
    gate = model(ids, mask, knowledge=world.ask(ROWS)).state
    assert [sum(answer.probability for answer in row) for row in gate.answers()] == pytest.approx(
        gate.copy_gate.tolist(), abs=1e-3
    )
    answers, _ = model.generate(ids, mask, tokenizer=TOKENIZER, knowledge=world.ask(ROWS), **GREEDY)
    assert answers.shape[1] > ids.shape[1]


def test_a_context_does_not_nest_and_an_error_inside_leaves_nothing(case: Case, world: TinyWorld) -> None:
    ids, mask = world.prompts(ROWS)
    plain = case.plain(input_ids=ids, attention_mask=mask).logits
    with case.model.reading(world.ask(ROWS)), pytest.raises(BackboneError, match="open already"):
        case.model(ids, mask, knowledge=world.ask(ROWS))
    with pytest.raises(KeyError), case.model.reading(world.ask(ROWS)):
        raise KeyError("inside")
    assert torch.equal(case.model.backbone(input_ids=ids, attention_mask=mask).logits, plain)
    handle = case.model._decoder[0][-1].register_forward_hook(_fail)  # when the injected layers have filled the state
    try:
        for knowledge in (world.ask(ROWS), None):
            with pytest.raises(ZeroDivisionError):
                case.model(ids, mask, knowledge=knowledge)
            with pytest.raises(ZeroDivisionError):
                generate(case.model, ids, mask, knowledge)
    finally:
        handle.remove()
    assert torch.equal(case.model.backbone(input_ids=ids, attention_mask=mask).logits, plain)
    assert case.model(ids, mask, knowledge=world.ask(ROWS)).state is not None


def _fail(*_: Any) -> None:
    raise ZeroDivisionError


def test_detach_removes_only_its_own_hooks(case: Case, world: TinyWorld) -> None:
    ids, mask = world.prompts(ROWS)
    seen: list[str] = []
    layer = case.model._decoder[0][case.model.layers[0]]
    before = layer.register_forward_hook(lambda *_: seen.append("early"))
    case.model.detach()
    after = layer.register_forward_hook(lambda *_: seen.append("late"))
    try:
        case.model.detach()  # a second time is harmless
        case.model(ids, mask)
        assert seen == ["early", "late"]
        with pytest.raises(BackboneError, match="detached"):
            case.model(ids, mask, knowledge=world.ask(ROWS))
        assert torch.equal(case.model(ids, mask).logits, case.plain(input_ids=ids, attention_mask=mask).logits)
    finally:
        before.remove()
        after.remove()
        case.model.attach()
    with pytest.raises(BackboneError, match="attached already"):
        case.model.attach()


def test_the_backbones_tree_and_weights_stay_as_they_were(case: Case, world: TinyWorld) -> None:
    names = [name for name, _ in case.plain.named_modules()]
    assert [name for name, _ in case.model.backbone.named_modules()] == names
    state, plain = case.model.backbone.state_dict(), case.plain.state_dict()
    assert state.keys() == plain.keys()
    assert all(torch.equal(state[name], plain[name]) for name in plain)
    assert not any(name.startswith("backbone.") for name in case.model.added_parameters())
    assert not any(p.requires_grad for p in case.model.backbone.parameters())


def test_two_models_around_one_backbone_do_not_disturb_each_other(world: TinyWorld) -> None:
    backbone = FAMILIES["llama"]()
    ids, mask = world.prompts(ROWS)
    first = world.model(backbone)
    alone = first(ids, mask, knowledge=world.ask(ROWS)).logits
    world.model(backbone, layers=(1, 3))
    assert torch.equal(first(ids, mask, knowledge=world.ask(ROWS)).logits, alone)


def test_more_facts_than_there_are_is_refused(world: TinyWorld) -> None:
    model = world.model(FAMILIES["llama"]())
    ids, mask = world.prompts([0])
    n = world.base.store.n
    with pytest.raises(ParamsError, match=rf"top_k is {n + 1}, .* has {n} facts"):
        model(ids, mask, knowledge=world.ask([0], top_k=n + 1))
    assert model(ids, mask, knowledge=world.ask([0], top_k=n)).state is not None


def test_a_batch_that_the_questions_do_not_divide_is_refused(world: TinyWorld) -> None:
    """Beams and return sequences repeat each question; 3 prompts are no multiple of 2 questions."""
    model = world.model(FAMILIES["llama"]())
    ids, mask = world.prompts(ROWS[:3])
    with pytest.raises(KBLaMError, match=r"\b3\b.*\b2\b|\b2\b.*\b3\b"):
        model(ids, mask, knowledge=world.ask(ROWS[:2]))
    with pytest.raises(KBLaMError, match=r"\b2\b.*\b3\b|\b3\b.*\b2\b"):
        model(ids[:2], mask[:2], knowledge=world.ask(ROWS[:3]))


def test_what_generate_forbids_is_not_copied(world: TinyWorld) -> None:
    model = world.model(FAMILIES["llama"]())
    ids, mask = world.prompts(ROWS)
    width = ids.shape[1]
    free = generate(model, ids, mask, world.ask(ROWS), max_new_tokens=20).sequences
    assert any(EOS_ID in row[width:].tolist()[:15] for row in free)
    forced = generate(model, ids, mask, world.ask(ROWS), max_new_tokens=20, min_new_tokens=15).sequences
    assert EOS_ID not in forced[:, width : width + 15]


def test_facts_are_selected_once_at_the_start_of_the_answer(world: TinyWorld) -> None:
    model = world.model(FAMILIES["llama"]())
    ids, mask = world.prompts(ROWS)
    _, generated = model.generate(ids, mask, tokenizer=TOKENIZER, knowledge=world.ask(ROWS), **GREEDY)
    full = model(ids, mask, knowledge=world.ask(ROWS)).state
    assert generated is not None
    assert full is not None
    assert generated.selections.keys() == full.selections.keys() == {0, 1, 2}
    for place, selection in full.selections.items():
        assert selection.ids.shape[1] == 1
        assert torch.equal(generated.selections[place].ids, selection.ids)
        torch.testing.assert_close(generated.selections[place].alpha, selection.alpha, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(generated.copy_gate, full.copy_gate)
    for one, other in zip(generated.read()[0], full.read()[0], strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("layers", [(0, 4), (-1,), (1, 1), ()])
def test_layers_that_do_not_exist_are_refused_before_anything_changes(
    world: TinyWorld, layers: tuple[int, ...]
) -> None:
    backbone = FAMILIES["llama"]()
    with pytest.raises(BackboneError, match=r"injection\.layers"):
        world.model(backbone, layers=layers)
    assert not any(module._forward_hooks for module in backbone.modules())


def test_a_later_answer_position_selects_at_its_own_start(world: TinyWorld) -> None:
    """Rows of one batch whose answers start at different positions equal the rows alone."""
    model = world.model(FAMILIES["llama"]())
    batch = world.batches(range(8, 14), batch_size=6, drop_question_vector=0.0).batch(0)
    knowledge = Knowledge(world.base, batch.questions, world.ask([0]).options)
    whole = model(batch.input_ids, batch.attention_mask, knowledge=knowledge, answer_start=batch.answer_start)
    assert len(set(batch.answer_start.tolist())) > 1
    for row in range(6):
        length = int(batch.attention_mask[row].sum())
        one = Knowledge(world.base, batch.questions.part([row]), knowledge.options)
        ids = batch.input_ids[row : row + 1, :length]
        alone = model(ids, knowledge=one, answer_start=batch.answer_start[row : row + 1])
        torch.testing.assert_close(whole.logits[row, :length], alone.logits[0], atol=1e-4, rtol=1e-4)
        for left, right in zip(whole.state.answers()[row], alone.state.answers()[0], strict=True):
            assert left.probability == pytest.approx(right.probability, abs=1e-4)


def predictor(case: Case, world: TinyWorld, batch_size: int, **options: Any) -> Predictor:
    settings = SelectorOptions(**{"top_k": 6, "over_fetch": 24, **options})
    return Predictor(case.model, world.backbone(case.model.backbone), settings, batch_size, 8)


@pytest.mark.parametrize("options", [{}, {"copy_head": False}], ids=str)
def test_a_prediction_does_not_depend_on_the_questions_beside_it(
    case: Case, world: TinyWorld, options: dict[str, Any]
) -> None:
    encoded = world.encoded(ROWS)
    together, alone = (predictor(case, world, size, **options).predict(world.base, encoded) for size in (4, 1))
    for one, other in zip(together, alone, strict=True):
        assert (one.text, one.ranked, one.sources) == (other.text, other.ranked, other.sources)
        assert one.null == pytest.approx(other.null, abs=1e-4)
        assert one.prompt_tokens == other.prompt_tokens


def test_a_prediction_is_what_greedy_decoding_writes_with_its_sources(case: Case, world: TinyWorld) -> None:
    encoded = world.encoded(ROWS)
    found = predictor(case, world, 4).predict(world.base, encoded)
    for place, row in enumerate(ROWS):
        prompt = closed_book_prompt(world.questions[row].question)
        ((_, ids, mask),) = prompt_batches([prompt], TOKENIZER, 1)
        knowledge = Knowledge(world.base, encoded.part([place]).batch(), world.ask([row]).options)
        longest = {**GREEDY, "max_new_tokens": 8 if found[place].sources is None else 60}
        out, state = case.model.generate(ids, mask, tokenizer=TOKENIZER, knowledge=knowledge, **longest)
        written = TOKENIZER.decode(answer_of(out[0], ids.shape[1]), skip_special_tokens=True)
        assert state is not None
        chosen = None if state.own_words()[0] > 0.5 else state.answers()[0][0]
        assert (found[place].sources is None) is (chosen is None)
        if chosen is not None:
            assert (found[place].text, found[place].sources) == (chosen.text, chosen.sources)
            assert written == f" {chosen.text}"
        else:
            assert found[place].text == written.strip()

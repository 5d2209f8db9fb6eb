"""OpenAI's dialect, as its own client speaks it and as others do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.unit.server.fakes import FakeBase, FakeModel, client_of, fact
from tests.unit.server.served import served

USER = [{"role": "user", "content": "who is it"}]


def complete(messages: Any = USER, *, model: FakeModel | None = None, **fields: Any) -> Any:
    body = {"model": "fake", "messages": messages, **fields}
    return client_of(model=model).post("/v1/chat/completions", json=body)


def events(text: str) -> list[Any]:
    lines = [line for line in text.split("\n\n") if line]
    assert all(line.startswith("data: ") for line in lines)
    assert lines[-1] == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]


def test_the_last_message_of_the_user_is_asked_and_the_evidence_comes_along() -> None:
    model = FakeModel()
    messages = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": None, "tool_calls": []},
        {"role": "user", "content": [{"type": "text", "text": "who"}, {"type": "text", "text": "is it"}]},
        {"role": "assistant", "content": "hm"},
    ]
    answer = complete(messages, model=model).json()
    assert model.batches[0][0].question == "who\nis it"
    assert answer["object"] == "chat.completion"
    (choice,) = answer["choices"]
    assert choice["message"] == {"role": "assistant", "content": "ti si\nohw", "refusal": None}
    assert choice["finish_reason"] == "stop"
    assert answer["usage"] == {"prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6}
    assert answer["kblampp"]["question"] == "who\nis it"


def test_a_refusal_is_the_word_unknown() -> None:
    answer = complete([{"role": "user", "content": "<unknown>"}]).json()
    assert answer["choices"][0]["message"]["content"] == "unknown"
    assert answer["kblampp"]["refused"] is True


def test_a_stream_tells_who_speaks_the_words_the_end_and_the_usage() -> None:
    chunks = events(complete(stream=True, stream_options={"include_usage": True}).text)
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    *spoken, last = chunks
    assert spoken[0]["choices"][0]["delta"]["role"] == "assistant"
    words = [chunk["choices"][0]["delta"].get("content", "") for chunk in spoken]
    assert [word for word in words if word] == ["ti ", "si ", "ohw"]
    assert [chunk["choices"][0]["finish_reason"] for chunk in spoken] == [None] * (len(spoken) - 1) + ["stop"]
    assert spoken[-1]["kblampp"]["answer"] == "ti si ohw"
    assert (last["choices"], last["usage"]["total_tokens"]) == ([], 6)
    assert all(chunk["usage"] is None for chunk in spoken)
    assert all("usage" not in chunk for chunk in events(complete(stream=True).text))


@pytest.mark.parametrize("text", ["a", " two  words ", "tabs\tand\nlines", "ünï cödé 漢字"])
def test_the_words_of_a_stream_make_the_answer(text: str) -> None:
    messages = [{"role": "user", "content": text}]
    chunks = events(complete(messages, stream=True).text)
    streamed = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)
    assert streamed == complete(messages).json()["choices"][0]["message"]["content"]


def test_what_changes_nothing_is_accepted() -> None:
    fields: dict[str, Any] = {
        "temperature": 0.3,
        "top_p": 1,
        "max_tokens": 5,
        "max_completion_tokens": 5,
        "seed": 1,
        "user": "me",
        "n": 1,
    }
    more: dict[str, Any] = {
        "stop": ["."],
        "tools": [],
        "tool_choice": "auto",
        "response_format": {"type": "text"},
        "new_field": {"a": 1},
    }
    assert complete(**fields, **more).status_code == 200


def test_options_of_ask_come_in_a_field_of_their_own() -> None:
    model = FakeModel()
    assert complete(model=model, kblampp={"known_at": 2, "top": 3}).status_code == 200
    assert (model.batches[0][0].known_at, model.batches[0][0].top) == (2, 3)


@pytest.mark.parametrize(
    ("fields", "status", "param"),
    [
        ({"model": "gpt-5"}, 404, "model"),
        ({"model": None}, 400, "model"),
        ({"messages": []}, 400, "messages"),
        ({"messages": "who"}, 400, "messages"),
        ({"messages": [{"role": "system", "content": "a"}]}, 400, "messages"),
        ({"messages": [{"role": "user", "content": ""}]}, 400, "messages.0.content"),
        ({"messages": [{"role": "user", "content": None}]}, 400, "messages.0.content"),
        ({"messages": [{"role": "user", "content": "a\x00"}]}, 400, "messages.0.content"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
            400,
            "messages.0.content",
        ),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": 3}]}]}, 400, "messages.0.content"),
        ({"messages": [{"role": "user", "content": "x" * 2001}]}, 400, None),
        ({"n": 2}, 400, "n"),
        ({"logprobs": True}, 400, "logprobs"),
        ({"response_format": {"type": "json_object"}}, 400, "response_format"),
        ({"tool_choice": "required"}, 400, "tool_choice"),
        ({"modalities": ["text", "audio"]}, 400, "modalities"),
        ({"kblampp": {"top": 0}}, 400, "kblampp.top"),
        ({"messages": [{"role": "user", "content": "<poison>"}]}, 400, None),
        ({"messages": [{"role": "user", "content": "<defect>"}]}, 500, None),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_errors_have_the_shape_of_openais(fields: dict[str, Any], status: int, param: str | None, stream: bool) -> None:
    response = complete(**{"messages": USER, **fields}, stream=stream) if "model" not in fields else None
    if response is None:
        response = client_of().post("/v1/chat/completions", json={"messages": USER, "stream": stream, **fields})
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert set(error) == {"message", "type", "code", "param"}
    assert error["param"] == param
    assert error["type"] == ("server_error" if status >= 500 else "invalid_request_error")
    assert (error["code"] == "model_not_found") == (status == 404)


@pytest.mark.parametrize(
    ("path", "status"), [("/v1/models/none", 404), ("/v1/nothing", 404), ("/v1/chat/completions", 405)]
)
def test_addresses_that_are_none_have_the_shape_too(path: str, status: int) -> None:
    response = client_of().get(path)
    assert (response.status_code, set(response.json()["error"])) == (status, {"message", "type", "code", "param"})


# As the official client speaks it


@pytest.fixture(scope="module")
def official() -> Iterator[Any]:
    openai = pytest.importorskip("openai")
    with served(FakeBase(fact()), FakeModel(), token="secret") as address:
        yield openai.OpenAI(base_url=f"{address}/v1", api_key="secret", max_retries=0, timeout=20)


def test_the_official_client_lists_models(official: Any) -> None:
    assert [model.id for model in official.models.list()] == ["fake"]
    assert official.models.retrieve("fake").owned_by == "kblampp"


def test_the_official_client_asks(official: Any) -> None:
    answer = official.chat.completions.create(model="fake", messages=USER, temperature=0, max_tokens=9)
    assert answer.choices[0].message.content == "ti si ohw"
    assert answer.usage.total_tokens == 6
    assert answer.kblampp["answer"] == "ti si ohw"


def test_the_official_client_streams(official: Any) -> None:
    chunks = list(
        official.chat.completions.create(
            model="fake", messages=USER, stream=True, stream_options={"include_usage": True}
        )
    )
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "ti si ohw"
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage.completion_tokens == 3


def test_the_official_client_knows_the_errors(official: Any) -> None:
    import openai

    with pytest.raises(openai.NotFoundError, match="fake") as missing:
        official.chat.completions.create(model="gpt-5", messages=USER)
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError, match="one answer"):
        official.chat.completions.create(model="fake", messages=USER, n=3)
    with pytest.raises(openai.AuthenticationError, match="token"):
        official.with_options(api_key="wrong").models.list()
    with pytest.raises(openai.InternalServerError):
        official.chat.completions.create(model="fake", messages=[{"role": "user", "content": "<defect>"}])

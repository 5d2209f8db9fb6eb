"""What programs written for OpenAI's chat completions send, as far as it means anything here."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from kblampp.server.bodies import AskOptions, clean_question
from kblampp.server.problems import BadRequest

_REFUSED = {
    "functions": "functions",
    "logprobs": "probabilities of tokens",
    "audio": "speech",
    "web_search_options": "a search of the web",
}
"""Fields that ask for something that clients would miss in the response -> what that is."""


class Message(BaseModel):
    """One message of a conversation; of those with other roles than "user" the content is not read."""

    model_config = ConfigDict(extra="allow")
    role: str = Field(max_length=64, examples=["user"])
    content: str | list[dict[str, Any]] | None = Field(
        default=None, examples=["Who was the director of the Harrowgate Museum in 2001?"]
    )


class StreamOptions(BaseModel):
    """How a streamed response ends."""

    model_config = ConfigDict(extra="allow")
    include_usage: bool | None = None


class ChatBody(BaseModel):
    """A chat completion that is asked for; how to sample (temperature, seed, …) is accepted and changes nothing."""

    model_config = ConfigDict(extra="allow")
    model: str = Field(max_length=1000)
    messages: list[Message] = Field(min_length=1, max_length=10_000)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: int | None = None
    kblampp: AskOptions | None = Field(default=None, description="day of asking, state of the base: fields of /ask")

    def check(self) -> None:
        """Raises BadRequest if something is asked for that this server does not give and the client would miss."""
        if self.n not in (None, 1):
            raise BadRequest("n is not 1: there is one answer to a question", code="unsupported_value", param="n")
        extra = self.model_extra or {}
        for name, what in _REFUSED.items():
            if extra.get(name):
                raise BadRequest(
                    f"{name}: this model gives no {what}; leave it out", code="unsupported_parameter", param=name
                )
        kind = extra.get("response_format")
        if kind is not None and not (isinstance(kind, dict) and kind.get("type") == "text"):
            raise BadRequest(
                "response_format: answers are plain text; the field kblampp of the response has them as JSON",
                code="unsupported_value",
                param="response_format",
            )
        if extra.get("tool_choice") not in (None, "auto", "none"):
            raise BadRequest("tool_choice: this model calls no tools", code="unsupported_value", param="tool_choice")
        if extra.get("modalities") not in (None, ["text"]):
            raise BadRequest("modalities: answers are text alone", code="unsupported_value", param="modalities")

    def question(self) -> str:
        """The last message of the user.

        Raises:
            BadRequest: if there is none, or it holds other than text.
        """
        for place in range(len(self.messages) - 1, -1, -1):
            message = self.messages[place]
            if message.role == "user":
                return _text(message, f"messages.{place}.content")
        raise BadRequest('no message has the role "user": expected a question', param="messages")


def _text(message: Message, param: str) -> str:
    parts = message.content
    if isinstance(parts, list):
        texts = []
        for part in parts:
            if part.get("type") != "text" or not isinstance(part.get("text"), str):
                raise BadRequest(
                    f"{param} holds a part that is no text: this model reads text alone",
                    code="unsupported_value",
                    param=param,
                )
            texts.append(part["text"])
        parts = "\n".join(texts)
    try:
        return clean_question(parts or "")
    except ValueError as error:
        raise BadRequest(f"{param}: {error}", param=param) from None

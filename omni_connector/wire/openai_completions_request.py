"""A client's completions body → ChatRequest (`parse_request`), for a request that has to be translated.

Field                              becomes
`prompt`                           one user message; token ids and several prompts are refused
`model`, `max_tokens`, `stop`, `n`, `temperature`, `top_p`, `seed`, `presence_penalty`, `frequency_penalty`,
`logit_bias`, `user`, `stream`     the same
`stream_options.include_usage`     `include_usage`
`logprobs` (a number)              `logprobs` true and that many `top_logprobs`
`echo`                             kept for the answer, which then begins with the prompt; refused beside `logprobs`
`suffix`                           refused: a conversation cannot say what comes after the gap
`best_of`                          named as dropped where it asks for more than `n`: fewer candidates, the same kind of answer
everything else                    `extra`
"""

from __future__ import annotations

from typing import Any

from omni_connector.chat import ChatRequest, Json, Message, Sampling, TextPart
from omni_connector.errors import bad_request
from omni_connector.values import dataclass
from omni_connector.wire.fields import Fields, wrong
from omni_connector.wire.openai_chat_request import limit_of, stops_of
from omni_connector.wire.openai_completions_listen import NAME


@dataclass(frozen=True, slots=True)
class CompletionRequest(ChatRequest):
    """A ChatRequest that remembers what only its own answer needs; no other format has to drop or hide it."""

    prompt: str = ""
    echo: bool = False
    """The client wants its prompt back before the text."""


def parse_request(body: Json) -> ChatRequest:
    """Raises GatewayError (BAD_REQUEST with `param`) for a wrong type and for what a conversation cannot say, and nothing else.

    An absent `model` becomes "" (the default model). An absent `max_tokens` stays absent: the 16 tokens that OpenAI's own
    endpoint then gives are its habit, not the client's wish.
    """
    fields = Fields(body, "")
    prompt = _prompt(fields.take("prompt"))
    if fields.string("suffix"):
        raise bad_request("`suffix` cannot be said to this model, which answers a conversation. Leave it out.", "suffix")
    extra: Json = {}
    options = Fields(fields.object("stream_options") or {}, "stream_options")
    include_usage = options.boolean("include_usage") or False
    if rest := options.rest():
        extra["stream_options"] = rest
    sampling = _sampling(fields)
    echo = fields.boolean("echo") or False
    if echo and sampling.logprobs:
        raise bad_request("`echo` with `logprobs` asks for the probabilities of the prompt, which this model does not tell.", "echo")
    best_of = _best_of(fields, sampling.n or 1)
    if best_of is not None:
        extra["best_of"] = best_of
    request = CompletionRequest(
        wire=NAME,
        model=fields.string("model") or "",
        messages=(Message("user", (TextPart(prompt),)),),
        sampling=sampling,
        max_tokens=limit_of(fields),
        stop=stops_of(fields),
        stream=fields.boolean("stream") or False,
        include_usage=include_usage,
        user=fields.string("user"),
        extra=extra,
        prompt=prompt,
        echo=echo,
    )
    extra.update(fields.rest())
    return request


def _prompt(value: Any) -> str:
    if value in (None, "", [], [""]):
        raise bad_request("`prompt` is missing or empty. Send the text to go on from.", "prompt")
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        raise wrong("prompt", value, "a string")
    if all(isinstance(item, int | list) for item in value):
        words = "`prompt` holds token ids, which only the model they were made for can read. Send it as text."
        raise bad_request(words, "prompt")
    for number, item in enumerate(value):
        if not isinstance(item, str):
            raise wrong(f"prompt[{number}]", item, "a string")
    if len(value) > 1:
        raise bad_request(f"`prompt` holds {len(value)} prompts; this model answers one a request. Send each on its own.", "prompt")
    return str(value[0])


def _sampling(fields: Fields) -> Sampling:
    logprobs = fields.integer("logprobs")
    if logprobs is not None and logprobs < 0:
        raise bad_request(f"`logprobs` is {logprobs}. Send how many alternatives a token you want, 0 for none but the token.", "logprobs")
    return Sampling(
        temperature=fields.number("temperature"),
        top_p=fields.number("top_p"),
        top_k=fields.integer("top_k"),
        min_p=fields.number("min_p"),
        seed=fields.integer("seed"),
        presence_penalty=fields.number("presence_penalty"),
        frequency_penalty=fields.number("frequency_penalty"),
        logit_bias=fields.object("logit_bias"),
        logprobs=None if logprobs is None else True,
        top_logprobs=logprobs or None,
        n=fields.integer("n"),
    )


def _best_of(fields: Fields, choices: int) -> int | None:
    """None where it says nothing beyond `n`."""
    best_of = fields.integer("best_of")
    if best_of is not None and best_of < choices:
        raise bad_request(f"`best_of` is {best_of}, less than the {choices} asked for with `n`. Send at least as many.", "best_of")
    return best_of if best_of != choices else None

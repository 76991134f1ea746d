"""The vendors' own SDKs in front of one gateway, and what a program that uses them gets to see."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import anthropic
import httpx2
import openai
from google.genai import Client as Google
from google.genai import types
from openai.lib.streaming.chat import ChatCompletionStreamState

Json = dict[str, Any]

NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Everything here is loopback: certificates would be loaded for nothing, for 30 ms a client."""


@dataclass
class Heard:
    """An answer as the SDK gives it. `finish` is the client format's own word; `message` the SDK's object, for replay."""

    text: str
    thoughts: str
    calls: list[tuple[str, str, Json]]
    """(id, name, arguments)."""
    finish: str | None
    model: str
    input: int
    cached: int
    output: int
    reasoning: int
    message: Any
    headers: Mapping[str, str] = field(default_factory=dict)
    id: str = ""


class Clients:
    """`sent` keeps the exact bodies that left the SDKs, oldest first."""

    def __init__(self, url: str, key: str, headers: Mapping[str, str] | None = None) -> None:
        """`headers` go out with every request, beside the SDK's own."""
        self.sent: list[bytes] = []
        self.url, self.key = url, key
        hooks: Any = {"request": [self._note]}
        async_hooks: Any = {"request": [self._note_async]}
        self._http = httpx2.Client(event_hooks=hooks, trust_env=False, headers=headers, verify=NO_TLS)
        self.http = httpx2.AsyncClient(event_hooks=async_hooks, trust_env=False, headers=headers, verify=NO_TLS)
        more: Any = {"api_key": key, "max_retries": 0}
        self.openai = openai.AsyncOpenAI(base_url=f"{url}/v1", http_client=self.http, **more)
        self.anthropic = anthropic.AsyncAnthropic(base_url=url, http_client=self.http, **more)
        self.openai_sync = openai.OpenAI(base_url=f"{url}/v1", http_client=self._http, **more)
        self.anthropic_sync = anthropic.Anthropic(base_url=url, http_client=self._http, **more)

    @cached_property
    def genai(self) -> Google:
        """Google's, as it comes: below /v1."""
        return self._genai(None)

    @cached_property
    def genai_beta(self) -> Google:
        """Google's, below /v1beta, where older ones and the command-line tools ask."""
        return self._genai("v1beta")

    def _genai(self, version: str | None) -> Google:
        places: Any = {"base_url": self.url, "httpx_client": self._http, "httpx_async_client": self.http}
        return Google(api_key=self.key, http_options=types.HttpOptions(api_version=version, **places))

    async def close(self) -> None:
        self._http.close()
        await self.http.aclose()

    def _note(self, request: httpx2.Request) -> None:
        self.sent.append(request.read())

    async def _note_async(self, request: httpx2.Request) -> None:
        self.sent.append(await request.aread())

    async def ask(self, client: str, body: Json, *, streamed: bool = False, sync: bool = False) -> Heard:
        """`client`: "openai", "anthropic", "responses" or "gemini"; `body`: the SDK's keyword arguments, fields it does not know
        under `extra_body` (for "gemini" the API's own body and "model")."""
        if sync:
            ask = self._openai_sync if client == "openai" else self._anthropic_sync
            return await asyncio.to_thread(ask, body, streamed)
        asks = {"openai": self._openai, "anthropic": self._anthropic, "responses": self._responses, "gemini": self._gemini}
        return await asks[client](body, streamed)

    async def _openai(self, body: Json, streamed: bool) -> Heard:
        raw: Any = await self.openai.chat.completions.with_raw_response.create(**_asked(body, streamed))
        if not streamed:
            return openai_heard(raw.parse(), raw.headers)
        state = _state()
        async for chunk in raw.parse():
            state.handle_chunk(chunk)
        return openai_heard(state.current_completion_snapshot, raw.headers)

    async def _responses(self, body: Json, streamed: bool) -> Heard:
        raw: Any = await self.openai.responses.with_raw_response.create(**_asked(body, streamed))
        told = raw.parse()
        if not streamed:
            return responses_heard(told, raw.headers)
        response = None
        async for event in told:
            response = getattr(event, "response", response)
        return responses_heard(response, raw.headers)

    async def _gemini(self, body: Json, streamed: bool) -> Heard:
        rest = {name: value for name, value in body.items() if name not in ("model", "contents", "generationConfig")}
        config: Any = {**body.get("generationConfig", {}), **rest}
        asked: Any = {"model": body["model"], "contents": body["contents"], "config": config}
        if not streamed:
            return genai_heard([await self.genai.aio.models.generate_content(**asked)])
        return genai_heard([chunk async for chunk in await self.genai.aio.models.generate_content_stream(**asked)])

    def _openai_sync(self, body: Json, streamed: bool) -> Heard:
        raw: Any = self.openai_sync.chat.completions.with_raw_response.create(**_asked(body, streamed))
        if not streamed:
            return openai_heard(raw.parse(), raw.headers)
        state = _state()
        for chunk in raw.parse():
            state.handle_chunk(chunk)
        return openai_heard(state.current_completion_snapshot, raw.headers)

    async def _anthropic(self, body: Json, streamed: bool) -> Heard:
        if not streamed:
            raw = await self.anthropic.messages.with_raw_response.create(**body)
            return anthropic_heard(await raw.parse(), raw.headers)
        async with self.anthropic.messages.stream(**body) as stream:
            return anthropic_heard(await stream.get_final_message(), stream.response.headers)

    def _anthropic_sync(self, body: Json, streamed: bool) -> Heard:
        if not streamed:
            raw = self.anthropic_sync.messages.with_raw_response.create(**body)
            return anthropic_heard(raw.parse(), raw.headers)
        with self.anthropic_sync.messages.stream(**body) as stream:
            return anthropic_heard(stream.get_final_message(), stream.response.headers)


def _asked(body: Json, streamed: bool) -> Json:
    return {**body, "stream": True} if streamed else body


def _state() -> ChatCompletionStreamState[None]:
    return ChatCompletionStreamState(input_tools=openai.omit, response_format=openai.omit)


def openai_heard(completion: Any, headers: Mapping[str, str]) -> Heard:
    choice = completion.choices[0]
    message, usage = choice.message, completion.usage
    prompt_details = getattr(usage, "prompt_tokens_details", None)
    output_details = getattr(usage, "completion_tokens_details", None)
    return Heard(
        text=message.content or "",
        thoughts=getattr(message, "reasoning_content", None) or "",
        calls=[_chat_call(call) for call in message.tool_calls or ()],
        finish=choice.finish_reason,
        model=completion.model,
        input=usage.prompt_tokens if usage else -1,
        cached=(prompt_details.cached_tokens or 0) if prompt_details else 0,
        output=usage.completion_tokens if usage else -1,
        reasoning=(output_details.reasoning_tokens or 0) if output_details else 0,
        message=message,
        headers=headers,
        id=completion.id,
    )


def _chat_call(call: Any) -> tuple[str, str, Json]:
    """A free-text call: its words as the one argument, as formats without such tools have it."""
    if call.type == "custom":
        return call.id, call.custom.name, {"input": call.custom.input}
    return call.id, call.function.name, _object(call.function.arguments)


def _object(arguments: str) -> Json:
    """An answer that was cut may end within its arguments; a program has to live with that."""
    try:
        value = json.loads(arguments)
    except ValueError:
        return {"cut": arguments}
    return value if isinstance(value, dict) else {"value": value}


def anthropic_heard(message: Any, headers: Mapping[str, str]) -> Heard:
    usage = message.usage
    cached, written = usage.cache_read_input_tokens or 0, usage.cache_creation_input_tokens or 0
    details = usage.output_tokens_details
    return Heard(
        text="".join(block.text for block in message.content if block.type == "text"),
        thoughts="".join(block.thinking for block in message.content if block.type == "thinking"),
        calls=[(block.id, block.name, block.input) for block in message.content if block.type == "tool_use"],
        finish=message.stop_reason,
        model=message.model,
        input=usage.input_tokens + cached + written,
        cached=cached,
        output=usage.output_tokens,
        reasoning=(details.thinking_tokens or 0) if details else 0,
        message=message,
        headers=headers,
        id=message.id,
    )


def responses_heard(response: Any, headers: Mapping[str, str]) -> Heard:
    usage = response.usage
    messages = [item for item in response.output if item.type == "message"]
    calls = [item for item in response.output if item.type in ("function_call", "custom_tool_call")]
    thoughts = [piece.text for item in response.output if item.type == "reasoning" for piece in item.content or item.summary]
    return Heard(
        text="".join(part.text if part.type == "output_text" else part.refusal for item in messages for part in item.content),
        thoughts="".join(thoughts),
        calls=[
            (call.call_id, call.name, {"input": call.input} if call.type == "custom_tool_call" else _object(call.arguments))
            for call in calls
        ],
        finish=response.incomplete_details.reason if response.incomplete_details else response.status,
        model=response.model,
        input=usage.input_tokens,
        cached=usage.input_tokens_details.cached_tokens,
        output=usage.output_tokens,
        reasoning=usage.output_tokens_details.reasoning_tokens,
        message=response,
        headers=headers,
        id=response.id,
    )


def genai_heard(chunks: list[types.GenerateContentResponse]) -> Heard:
    """`message`: all parts as a content, for replay."""
    first = [one for chunk in chunks for one in chunk.candidates or () if not one.index]
    parts = [part for one in first if one.content for part in one.content.parts or ()]
    counts: Json = {}
    for chunk in chunks:
        counts |= chunk.usage_metadata.model_dump(exclude_none=True) if chunk.usage_metadata else {}
    blocked = [chunk.prompt_feedback.block_reason for chunk in chunks if chunk.prompt_feedback and chunk.prompt_feedback.block_reason]
    finishes = [word.value for word in (*(one.finish_reason for one in first if one.finish_reason), *blocked)]
    assert len(finishes) == 1, "one finish reason, at the end"
    calls = [part.function_call for part in parts if part.function_call]
    response = chunks[-1].sdk_http_response
    return Heard(
        text="".join(part.text for part in parts if part.text and not part.thought),
        thoughts="".join(part.text for part in parts if part.text and part.thought),
        calls=[(call.id or "", call.name or "", call.args or {}) for call in calls],
        finish=finishes[0],
        model=chunks[-1].model_version or "",
        input=counts.get("prompt_token_count", 0) + counts.get("tool_use_prompt_token_count", 0),
        cached=counts.get("cached_content_token_count", 0),
        output=counts.get("candidates_token_count", 0) + counts.get("thoughts_token_count", 0),
        reasoning=counts.get("thoughts_token_count", 0),
        message=types.Content(role="model", parts=[part for part in parts if part != types.Part(text="")]),
        headers=(response.headers if response else None) or {},
        id=chunks[-1].response_id or "",
    )

"""The two vendors' own SDKs in front of one gateway, and what a program that uses them gets to see."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import anthropic
import httpx2
import openai
from openai.lib.streaming.chat import ChatCompletionStreamState

Json = dict[str, Any]


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

    def __init__(self, url: str, key: str) -> None:
        self.sent: list[bytes] = []
        hooks: Any = {"request": [self._note]}
        async_hooks: Any = {"request": [self._note_async]}
        self._http = httpx2.Client(event_hooks=hooks, trust_env=False)
        self.http = httpx2.AsyncClient(event_hooks=async_hooks, trust_env=False)
        more: Any = {"api_key": key, "max_retries": 0}
        self.openai = openai.AsyncOpenAI(base_url=f"{url}/v1", http_client=self.http, **more)
        self.anthropic = anthropic.AsyncAnthropic(base_url=url, http_client=self.http, **more)
        self.openai_sync = openai.OpenAI(base_url=f"{url}/v1", http_client=self._http, **more)
        self.anthropic_sync = anthropic.Anthropic(base_url=url, http_client=self._http, **more)

    async def close(self) -> None:
        self._http.close()
        await self.http.aclose()

    def _note(self, request: httpx2.Request) -> None:
        self.sent.append(request.content)

    async def _note_async(self, request: httpx2.Request) -> None:
        self.sent.append(request.content)

    async def ask(self, client: str, body: Json, *, streamed: bool = False, sync: bool = False) -> Heard:
        """`client`: "openai" or "anthropic"; `body`: the SDK's keyword arguments, fields it does not know under `extra_body`."""
        if sync:
            ask = self._openai_sync if client == "openai" else self._anthropic_sync
            return await asyncio.to_thread(ask, body, streamed)
        return await (self._openai(body, streamed) if client == "openai" else self._anthropic(body, streamed))

    async def _openai(self, body: Json, streamed: bool) -> Heard:
        raw = await self.openai.chat.completions.with_raw_response.create(**body, **({"stream": True} if streamed else {}))
        if not streamed:
            return openai_heard(raw.parse(), raw.headers)
        state = _state()
        async for chunk in raw.parse():
            state.handle_chunk(chunk)
        return openai_heard(state.current_completion_snapshot, raw.headers)

    def _openai_sync(self, body: Json, streamed: bool) -> Heard:
        raw = self.openai_sync.chat.completions.with_raw_response.create(**body, **({"stream": True} if streamed else {}))
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
        calls=[(call.id, call.function.name, _object(call.function.arguments)) for call in message.tool_calls or ()],
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

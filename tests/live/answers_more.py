"""What a provider says in the tests, told in the Responses and Gemini formats: the other half of answers.py."""

from __future__ import annotations

from typing import Any

from tests.live.answers import CHAT, MESSAGES, MODEL, Said, Tokens, dense, pieces
from tests.serving import Answer, stream, whole

Json = dict[str, Any]

RESPONSES, GEMINI = "openai-responses", "gemini-generate"


def told(said: Said, wire: str, streamed: bool) -> Answer:
    """The answer in any of the four formats."""
    if wire in (CHAT, MESSAGES):
        return said.answer(wire, streamed)
    if wire == RESPONSES:
        return responses_stream(said) if streamed else responses_whole(said)
    return gemini_stream(said) if streamed else gemini_whole(said)


# ---------------------------------------------------------------- Responses


def _responses_items(said: Said) -> list[Json]:
    items: list[Json] = []
    if said.thoughts or said.signature:
        summary = [{"type": "summary_text", "text": said.thoughts}] if said.thoughts else []
        items.append({"id": "rs_1", "type": "reasoning", "summary": summary, "encrypted_content": said.signature or None})
    if said.text:
        part = {"type": "output_text", "text": said.text, "annotations": [], "logprobs": []}
        items.append({"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [part]})
    for number, call in enumerate(said.calls):
        fields = {"call_id": call.id, "name": call.name, "arguments": dense(call.arguments)}
        items.append({"id": f"fc_{number}", "type": "function_call", "status": "completed", **fields})
    return items


def _response(said: Said, output: list[Json], status: str, usage: Json | None) -> Json:
    head = {"id": "resp_1", "object": "response", "created_at": 1767225600, "status": status, "model": MODEL, "error": None}
    rest = {"incomplete_details": None, "instructions": None, "metadata": {}, "tools": [], "tool_choice": "auto", "temperature": 1.0}
    return {**head, **rest, "parallel_tool_calls": True, "top_p": 1.0, "output": output, "usage": usage}


def _responses_usage(tokens: Tokens) -> Json:
    prompt = tokens.fresh + tokens.cached + tokens.written
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": tokens.cached},
        "output_tokens": tokens.output,
        "output_tokens_details": {"reasoning_tokens": tokens.reasoning},
        "total_tokens": prompt + tokens.output,
    }


def responses_whole(said: Said) -> Answer:
    return whole(_response(said, _responses_items(said), "completed", _responses_usage(said.tokens)))


def responses_stream(said: Said) -> Answer:
    told: list[Json] = [
        {"type": f"response.{kind}", "response": _response(said, [], "in_progress", None)} for kind in ("created", "in_progress")
    ]
    for number, item in enumerate(_responses_items(said)):
        at: Json = {"item_id": item["id"], "output_index": number}
        empty = {**item, "status": "in_progress", **{key: type(item[key])() for key in ("content", "summary", "arguments") if key in item}}
        told.append({"type": "response.output_item.added", "output_index": number, "item": empty})
        if item["type"] == "function_call":
            deltas = [{"type": "response.function_call_arguments.delta", **at, "delta": piece} for piece in pieces(item["arguments"])]
            told += [*deltas, {"type": "response.function_call_arguments.done", **at, "arguments": item["arguments"]}]
        for place, (field_name, name) in {
            "content": ("content_index", "output_text"),
            "summary": ("summary_index", "reasoning_summary_text"),
        }.items():
            for index, part in enumerate(item.get(place) or ()):
                here = {**at, field_name: index}
                kind = "content_part" if place == "content" else "reasoning_summary_part"
                told.append({"type": f"response.{kind}.added", **here, "part": {**part, "text": ""}})
                told += [{"type": f"response.{name}.delta", **here, "delta": piece} for piece in pieces(part["text"])]
                told.append({"type": f"response.{name}.done", **here, "text": part["text"]})
                told.append({"type": f"response.{kind}.done", **here, "part": part})
        told.append({"type": "response.output_item.done", "output_index": number, "item": item})
    last = _response(said, _responses_items(said), "completed", _responses_usage(said.tokens))
    told.append({"type": "response.completed", "response": last})
    events = (f"event: {one['type']}\ndata: {dense({**one, 'sequence_number': number})}\n\n" for number, one in enumerate(told))
    return stream("".join(events))


# ---------------------------------------------------------------- Gemini


def _gemini_parts(said: Said) -> list[Json]:
    parts: list[Json] = [{"text": said.thoughts, "thought": True}] if said.thoughts else []
    parts += [{"text": said.text}] if said.text else []
    signed = {"thoughtSignature": said.signature} if said.signature else {}
    return parts + [{"functionCall": {"name": call.name, "args": call.arguments}, **signed} for call in said.calls]


def _gemini_chunk(said: Said, parts: list[Json], finish: str | None) -> Json:
    tokens = said.tokens
    prompt = tokens.fresh + tokens.cached
    counts = {
        "promptTokenCount": prompt,
        "candidatesTokenCount": tokens.output - tokens.reasoning,
        "totalTokenCount": prompt + tokens.output,
    }
    counts |= {"thoughtsTokenCount": tokens.reasoning} if tokens.reasoning else {}
    counts |= {"cachedContentTokenCount": tokens.cached} if tokens.cached else {}
    candidate: Json = {"content": {"parts": parts, "role": "model"}, "index": 0, **({"finishReason": finish} if finish else {})}
    return {"candidates": [candidate], "usageMetadata": counts, "modelVersion": MODEL, "responseId": "g-1"}


def gemini_whole(said: Said) -> Answer:
    return whole(_gemini_chunk(said, _gemini_parts(said), said.finish or "STOP"))


def gemini_stream(said: Said) -> Answer:
    parts = _gemini_parts(said)
    cut = [{**part, "text": piece} for part in parts if "text" in part for piece in pieces(part["text"])]
    told = [[part] for part in cut + [part for part in parts if "text" not in part]]
    chunks = [_gemini_chunk(said, one, None if number < len(told) - 1 else said.finish or "STOP") for number, one in enumerate(told)]
    return stream("".join(f"data: {dense(chunk)}\r\n\r\n" for chunk in chunks), each=False)

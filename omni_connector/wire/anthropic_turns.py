"""Messages of a ChatRequest → `system` and `messages` of an Anthropic request (upstream's side).

Rules of the API that other formats do not have (upstreams.md §2): turns alternate, so neighbours of one role are merged;
tool results come first in the user turn after the calls; blank text is refused; thoughts must carry a signature of the
same origin, so those of another are dropped and named, never imitated.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from typing import assert_never

from omni_connector.chat import (
    ChatRequest,
    ForeignPart,
    Json,
    MediaPart,
    Message,
    Opaque,
    Part,
    ReasoningPart,
    RefusalPart,
    Target,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from omni_connector.errors import bad_request
from omni_connector.wire.anthropic_words import CITATIONS, NAME, NO_OPAQUE, REDACTED, SIGNATURE, is_foreign_page, to_input, to_wire_id
from omni_connector.wire.foreign import left_out

_OPENING = "(The conversation begins with the assistant's words.)"
"""Put before an assistant's opening turn, which this API does not allow."""

_IMAGE_TYPES: Mapping[str, str] = {"iVBOR": "image/png", "/9j/": "image/jpeg", "R0lG": "image/gif", "UklG": "image/webp"}
"""First letters of base64 data → media type, for images that came without one."""


class Turns:
    """Collects turns in order. `dropped` keeps the names of what found no place, each once, in order."""

    def __init__(self, request: ChatRequest, target: Target, dropped: dict[str, None]) -> None:
        self._own = request.wire == NAME
        self._target = target
        self._dropped = dropped
        self._results: list[Json] = []
        """Tool results of the user turn that is being collected: they go before its other blocks."""
        self.foreign_thoughts = False
        self.system: list[Json] = []
        self.turns: list[Json] = []
        messages = list(request.messages)
        leading = next((n for n, m in enumerate(messages) if m.role not in ("system", "developer")), len(messages))
        if leading == len(messages) and leading and not self._own:
            # Only instructions: the last one is what the model is asked.
            leading -= 1
            messages[-1] = Message("user", messages[-1].parts)
            self._drop("messages.role=system (the last one as user)")
        for message in messages[:leading]:
            self.system += self._blocks(message, "system")
        for number, message in enumerate(messages[leading:], leading):
            self._message(message, f"messages.{number}")
        self._close_results()
        if self.turns and self.turns[0]["role"] == "assistant" and not self._own:
            self.turns.insert(0, {"role": "user", "content": [{"type": "text", "text": _OPENING}]})
            self._drop("messages.0.role=assistant (a user turn was put before it)")
        if not self.turns:
            raise bad_request("messages: nothing in them can be sent to this provider. Send at least one message with text.", "messages")

    def loop_without_thought(self) -> bool:
        """True when a tool loop is open and its assistant turn does not begin with a thinking block, which the API demands
        of requests with a thinking budget."""
        if len(self.turns) < 2 or self.turns[-1]["content"][0]["type"] != "tool_result":
            return False
        return self.turns[-2]["content"][0]["type"] not in ("thinking", "redacted_thinking")

    def _drop(self, name: str) -> None:
        self._dropped[name] = None

    # ------------------------------------------------------------ Turns

    def _message(self, message: Message, path: str) -> None:
        if message.name is not None:
            self._drop("messages.name")
        blocks = self._blocks(message, path)
        match message.role:
            case "system" | "developer":
                self._instruct(blocks)
            case "user" | "tool":
                self._add("user", blocks, message.extra)
            case "assistant":
                self._add("assistant", blocks, message.extra)
            case _:
                assert_never(message.role)

    def _instruct(self, blocks: list[Json]) -> None:
        """Instructions in mid-conversation: kept as such where the model knows the role, else marked text in a user turn."""
        if not self.turns:  # what stood before it said nothing
            self.system += blocks
            return
        calls_open = any(block["type"] == "tool_use" for block in self.turns[-1]["content"])
        if "mid_system" in self._target.features and not calls_open:
            self._add("system", blocks, {})
            return
        self._drop("messages.role=system (as text of a user turn)")
        marked = [{**block, "text": f"<system>\n{block['text']}\n</system>"} if block["type"] == "text" else block for block in blocks]
        self._add("user", marked, {})

    def _add(self, role: str, blocks: Iterable[Json], extra: Json) -> None:
        blocks = list(blocks)
        if not blocks:
            return
        if not (self.turns and self.turns[-1]["role"] == role):
            self._close_results()
            self.turns.append({"role": role, "content": []})
        if self._own:
            self.turns[-1].update(extra)
        if role == "user":
            self._results += [block for block in blocks if block["type"] == "tool_result"]
            blocks = [block for block in blocks if block["type"] != "tool_result"]
        self.turns[-1]["content"] += blocks

    def _close_results(self) -> None:
        if self._results:
            self.turns[-1]["content"][:0] = self._results
            self._results = []

    # ------------------------------------------------------------ Blocks

    def _blocks(self, message: Message, path: str) -> list[Json]:
        return [block for part in message.parts for block in self._part(part, path, message.role == "assistant")]

    def _part(self, part: Part, path: str, assistant: bool) -> list[Json]:
        match part:
            case TextPart():
                return self._text(part)
            case MediaPart():
                if assistant and not self._own:
                    self._drop(f"{part.kind} of the assistant")
                    return []
                return [self._media(part, path)]
            case ReasoningPart():
                return self._thought(part)
            case ToolCallPart():
                return [self._tool_use(part)]
            case ToolResultPart():
                return [self._tool_result(part, path)]
            case RefusalPart():
                return [{"type": "text", "text": part.text}] if part.text.strip() else []
            case ForeignPart():
                if part.wire == NAME:
                    return [part.value]
                self._drop(left_out(part, "assistant" if assistant else "user", path))
                return []
            case _:
                assert_never(part)

    def _finish(self, block: Json, cache: Json | None, extra: Json) -> Json:
        if cache is not None:
            block["cache_control"] = cache
        return {**extra, **block} if self._own else block

    def _text(self, part: TextPart) -> list[Json]:
        if not (part.text if self._own else part.text.strip()):
            return []
        block: Json = {"type": "text", "text": part.text}
        citations = [one for one in part.citations if (self._own or one.get("type") in CITATIONS) and not is_foreign_page(one)]
        if len(citations) < len(part.citations):
            self._drop("citations")
        if citations:
            block["citations"] = citations
        return [self._finish(block, part.cache, part.extra)]

    def _media(self, part: MediaPart, path: str) -> Json:
        if part.kind == "audio":
            raise bad_request(f"{path}: this provider's models do not listen. Send the audio as text, or choose another model.", path)
        if part.detail not in (None, "auto"):
            self._drop("image.detail")
        block: Json = {"type": part.kind, "source": self._source(part, path)}
        if part.kind == "document" and part.name is not None:
            block["title"] = part.name
        return self._finish(block, part.cache, {key: value for key, value in part.extra.items() if key != "source"})

    def _source(self, part: MediaPart, path: str) -> Json:
        if self._own and "source" in part.extra:
            source: Json = part.extra["source"]
            return source
        if part.url is not None:
            return {"type": "url", "url": part.url}
        if part.file_id is not None:
            if not self._own:
                fix = "Send its content as base64, or name the provider that holds the file."
                raise bad_request(f"{path}: the file id belongs to another provider. {fix}", path)
            return {"type": "file", "file_id": part.file_id}
        if part.text is not None:
            return {"type": "text", "media_type": part.media_type or "text/plain", "data": part.text}
        data = part.data or ""
        if part.kind == "document" and part.media_type.startswith("text/"):
            return {"type": "text", "media_type": "text/plain", "data": _decoded(data, path)}
        fallback = "application/pdf" if part.kind == "document" else _image_type(data)
        return {"type": "base64", "media_type": part.media_type or fallback, "data": data}

    def _thought(self, part: ReasoningPart) -> list[Json]:
        if not part.opaque and self._own:
            return [self._finish({"type": "thinking", "thinking": part.text}, None, part.extra)]
        fitting = [opaque for opaque in part.opaque if self._fits(opaque)]
        if len(fitting) < len(part.opaque) or not fitting:
            self.foreign_thoughts = True
            self._drop("thinking(foreign)")
        blocks: list[Json] = []
        for opaque in fitting:
            if opaque.kind == REDACTED:
                blocks.append(self._finish({"type": "redacted_thinking", "data": opaque.value}, None, part.extra))
            else:
                block = {"type": "thinking", "thinking": part.text, "signature": opaque.value}
                blocks.append(self._finish(block, None, part.extra))
        return blocks

    def _fits(self, opaque: Opaque) -> bool:
        if opaque.kind not in (SIGNATURE, REDACTED, NO_OPAQUE):
            return False
        return self._own if opaque.origin is None else opaque.origin == self._target.origin

    def _tool_use(self, part: ToolCallPart) -> Json:
        block = {"type": "tool_use", "id": to_wire_id(part.id), "name": part.name, "input": to_input(part.arguments, part.custom)}
        return self._finish(block, part.cache, part.extra)

    def _tool_result(self, part: ToolResultPart, path: str) -> Json:
        block: Json = {"type": "tool_result", "tool_use_id": to_wire_id(part.call_id)}
        content = [inner for piece in part.parts for inner in self._part(piece, path, False)]
        if content:
            block["content"] = content
        if part.is_error:
            block["is_error"] = True
        return self._finish(block, part.cache, part.extra)


def _image_type(data: str) -> str:
    return next((media_type for head, media_type in _IMAGE_TYPES.items() if data.startswith(head)), "image/png")


def _decoded(data: str, path: str) -> str:
    try:
        return base64.b64decode(data).decode()
    except (binascii.Error, ValueError) as error:
        raise bad_request(f"{path}: the text file is not base64 of UTF-8 text. Send it as UTF-8.", path) from error

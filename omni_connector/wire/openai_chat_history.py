"""Canonical messages → the `messages` of an outgoing chat request.

Rules where the formats differ (the same input always gives the same bytes, because prompt caches depend on it):
- One plain text is a string; several, or one with a cache marker, are a list. Coming from another format, system,
  assistant and tool texts are joined, since many servers take only a string there.
- Tool results become `tool` messages before anything else of their turn. Their images cannot be said in a tool message:
  from another format they follow in a user message, which the tool message announces.
- Reasoning: opaque values go only to their minter. Text goes back as `reasoning_content` inside the current tool loop
  where the provider demands that (DeepSeek, Kimi); in the client's own words when it came in this format and the
  provider's row says nothing about reasoning; otherwise it is dropped and named.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, assert_never

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
from omni_connector.wire.foreign import left_out
from omni_connector.wire.openai_chat_details import own_entries
from omni_connector.wire.openai_chat_words import (
    AUDIO_FORMAT,
    DETAIL,
    EXTRA_CONTENT,
    NAME,
    loads,
    wrap_custom,
)
from omni_connector.wire.openai_responses_words import ITEM

_EXTENSIONS: Mapping[str, str] = {
    "application/pdf": "pdf",
    "text/plain": "txt",
    "text/markdown": "md",
    "text/csv": "csv",
    "text/html": "html",
}
_NO_BARE_REPLAY = frozenset({"reasoning_content", "reasoning_replay_in_tool_loop", "reasoning_object", "strict_fields"})
"""Providers that refuse or ignore thoughts in the history outside their own rule."""
_BLIND: Mapping[str, tuple[str, str]] = {
    "image": ("no_vision", "do not see images"),
    "document": ("no_documents", "do not read documents"),
    "audio": ("no_audio", "do not listen"),
}
_SHORT_ID = re.compile(r"[a-zA-Z0-9]{9}\Z")


class History:
    """Renders the messages of one request; `dropped` collects the names of what could not be said."""

    def __init__(self, request: ChatRequest, target: Target, dropped: dict[str, None]) -> None:
        self._request = request
        self._target = target
        self._features = target.features
        self._own = request.wire == NAME
        self._dropped = dropped
        self._loop_start = _loop_start(request.messages)
        thinking = request.thinking
        self._thinking_off = thinking is not None and (thinking.enabled is False or thinking.effort == "none")

    def render(self) -> list[Json]:
        rendered: list[Json] = []
        for number, message in enumerate(self._request.messages):
            match message.role:
                case "system" | "developer":
                    rendered.append(self._plain(message, number, self._system_role(message.role)))
                case "user" | "tool":
                    rendered.extend(self._turn(message, number))
                case "assistant":
                    rendered.extend(self._assistant(message, number))
                case _:
                    assert_never(message.role)
        return rendered

    def _drop(self, name: str) -> None:
        self._dropped[name] = None

    def _system_role(self, role: str) -> str:
        return role if role == "system" or "developer_role" in self._features else "system"

    def _with_extra(self, body: Json, extra: Json, where: str) -> Json:
        """Unknown fields go back to the format they came in; an inner object's below its own name."""
        if not self._own:
            for key in extra:
                if key != ITEM:  # what a Responses item says beside its content means nothing elsewhere
                    self._drop(f"{where}.{key}")
            return body
        for key, value in extra.items():
            known = body.get(key)
            body[key] = {**known, **value} if isinstance(known, dict) and isinstance(value, dict) else value
        return body

    # ------------------------------------------------------------ System and user

    def _plain(self, message: Message, number: int, role: str) -> Json:
        body: Json = {"role": role, "content": self._content(message.parts, f"messages[{number}]", joined=role != "user")}
        if message.name is not None:
            body["name"] = message.name
        return self._with_extra(body, message.extra, "messages[]")

    def _turn(self, message: Message, number: int) -> list[Json]:
        """A user's turn, which in other formats may hold tool results too."""
        results = [part for part in message.parts if isinstance(part, ToolResultPart)]
        rest = tuple(part for part in message.parts if not isinstance(part, ToolResultPart))
        if not results:
            return [self._plain(message, number, "user")]
        attached: list[Json] = []
        rendered = [self._result(part, f"messages[{number}]", attached) for part in results]
        rendered[0] = self._with_extra(rendered[0], message.extra, "messages[]")
        if rest:
            said = self._content(rest, f"messages[{number}]", joined=False)
            attached.extend([{"type": "text", "text": said}] if isinstance(said, str) else said)
        if attached:
            rendered.append({"role": "user", "content": _unwrapped(attached)})
        return rendered

    def _result(self, part: ToolResultPart, at: str, attached: list[Json]) -> Json:
        if part.is_error:
            self._drop("messages[].is_error")
        parts: Sequence[Part] = part.parts
        if not self._own:
            parts = [self._movable(piece, part, at, attached) for piece in parts]
        content = self._content(tuple(parts), at, joined=True, cache=part.cache)
        body: Json = {"role": "tool", "tool_call_id": self._call_id(part.call_id), "content": content}
        if self._own and part.name is not None:
            body["name"] = part.name
        return self._with_extra(body, part.extra, "messages[]")

    def _movable(self, piece: Part, result: ToolResultPart, at: str, attached: list[Json]) -> Part:
        """Media cannot stand in a tool message: it follows in a user message, and the tool message says so."""
        if not isinstance(piece, MediaPart) or self._as_text(piece) is not None:
            return piece
        if piece.kind == "image" and "no_vision" in self._features:
            self._drop("messages[].tool_result.image")
            return TextPart(f"[{piece.kind} left out: this model cannot see it]")
        label = f"[{piece.kind} {len(attached) // 2 + 1} of tool call {self._call_id(result.call_id)}]"
        attached.append({"type": "text", "text": label})
        attached.append(self._media(piece, at))
        return TextPart(f"{label} follows in the next user message")

    # ------------------------------------------------------------ The assistant

    def _assistant(self, message: Message, number: int) -> list[Json]:
        """One message; none where nothing is left of it."""
        at = f"messages[{number}]"
        words = tuple(part for part in message.parts if isinstance(part, TextPart | MediaPart) or self._is_own_block(part, at))
        if not words and message.parts and all(isinstance(part, ForeignPart) for part in message.parts):
            return []
        calls = [part for part in message.parts if isinstance(part, ToolCallPart)]
        refusal = "".join(part.text for part in message.parts if isinstance(part, RefusalPart))
        for position, part in enumerate(message.parts):
            if isinstance(part, MediaPart) and not self._own:
                raise bad_request(f"`{at}.content[{position}]` is an image by the assistant, which this format cannot say.", at)
        if refusal and not self._own:
            # Servers beyond OpenAI do not know `refusal`; as plain words it keeps its meaning.
            words, refusal = (*words, TextPart(refusal)), ""
        content: Any = self._content(words, at, joined=True) if words else None
        if content is None or (content == "" and calls):
            content = None if calls or refusal else ""
        body: Json = {"role": "assistant", "content": content}
        if refusal:
            body["refusal"] = refusal
        if message.name is not None and self._own:
            body["name"] = message.name
        self._reason(message, number, bool(calls), body)
        if calls:
            body["tool_calls"] = [self._call(call) for call in calls]
        notes = [note for part in words if isinstance(part, TextPart) for note in part.citations]
        if notes:
            if self._own:
                body["annotations"] = notes
            else:
                self._drop("messages[].citations")
        return [self._with_extra(body, message.extra, "messages[]")]

    def _is_own_block(self, part: Part, at: str) -> bool:
        """Whether it is a block that only this format knows. Those of others are left out."""
        if not isinstance(part, ForeignPart):
            return False
        if part.wire != NAME:
            self._drop(left_out(part, "assistant", at))
        return part.wire == NAME

    def _reason(self, message: Message, number: int, calls: bool, body: Json) -> None:
        thoughts = [part for part in message.parts if isinstance(part, ReasoningPart)]
        in_loop = number > self._loop_start
        demanded = (in_loop and "reasoning_replay_in_tool_loop" in self._features) or (
            calls and "reasoning_replay_always" in self._features
        )
        entries = [entry for part in thoughts for entry in self._entries(part)]
        names = ["reasoning_content"] if demanded else self._replay_names(thoughts)
        kept = [part.text for part in thoughts if demanded or self._is_ours(part)]
        replayed = any("fields" in part.extra for part in thoughts)
        text = "".join(kept)
        if text and (replayed or not entries):
            body.update(dict.fromkeys(names, text))
        elif demanded and calls and not text and not self._thinking_off:
            # Kimi refuses a call without this field; nothing is known, so nothing is claimed.
            body["reasoning_content"] = ""
        if entries:
            body["reasoning_details"] = entries
        elif (not names or len(kept) < len(thoughts)) and any(part.text for part in thoughts):
            self._drop("messages[].reasoning")

    def _replay_names(self, thoughts: Sequence[ReasoningPart]) -> list[str]:
        """The fields in which a chat client's own replay goes back, none where the provider would refuse or ignore it."""
        if not self._own:
            return []
        if "reasoning_details" in self._features or "reasoning_field" in self._features:
            return ["reasoning"]
        if _NO_BARE_REPLAY & self._features:
            return []
        return next((part.extra["fields"] for part in thoughts if "fields" in part.extra), ["reasoning_content"])

    def _is_ours(self, part: ReasoningPart) -> bool:
        """False for the thoughts of a model elsewhere, known by the proof that only it can read."""
        return not part.opaque or any(self._is_mine(opaque) for opaque in part.opaque)

    def _entries(self, part: ReasoningPart) -> list[Json]:
        mine = [opaque for opaque in part.opaque if opaque.kind == DETAIL and self._is_mine(opaque)]
        if len(mine) < len(part.opaque):
            self._drop("messages[].reasoning_signature")
        if mine and self._features and "reasoning_details" not in self._features:
            self._drop("messages[].reasoning_details")
            return []
        return own_entries(mine)

    def _is_mine(self, opaque: Opaque) -> bool:
        """Bare values of a chat client were minted by somebody who speaks this format; the others must match exactly."""
        return self._own if opaque.origin is None else opaque.origin == self._target.origin

    def _call(self, part: ToolCallPart) -> Json:
        body: Json = {"id": self._call_id(part.id), "type": "function"}
        if part.custom and (self._own or "custom_tools" in self._features):
            body = {"id": part.id, "type": "custom", "custom": {"name": part.name, "input": part.arguments}}
        elif part.custom:
            body["function"] = {"name": part.name, "arguments": wrap_custom(part.arguments)}
        else:
            body["function"] = {"name": part.name, "arguments": part.arguments or "{}"}
        for opaque in part.opaque:
            value = loads(opaque.value) if opaque.kind == EXTRA_CONTENT and self._is_mine(opaque) else None
            if isinstance(value, dict):
                body["extra_content"] = value
            else:
                self._drop("messages[].tool_calls[].signature")
        if part.cache is not None:
            self._mark(body, part.cache)
        return self._with_extra(body, part.extra, "messages[].tool_calls[]")

    def _call_id(self, call_id: str) -> str:
        """Mistral takes only ids of nine letters and digits; longer ones are hashed, the same way every time."""
        if "short_call_ids" not in self._features or _SHORT_ID.match(call_id):
            return call_id
        digest = hashlib.sha256(call_id.encode("utf-8", "replace")).digest()
        return base64.b32encode(digest).decode()[:9]

    # ------------------------------------------------------------ Content

    def _content(self, parts: Sequence[Part], at: str, *, joined: bool, cache: Json | None = None) -> Any:
        """A string where that says everything, else a list of parts."""
        first = parts[0] if len(parts) == 1 else None
        if type(first) is TextPart and first.cache is None and cache is None and not first.extra:
            return first.text
        pieces = [piece for position, part in enumerate(parts) if (piece := self._piece(part, f"{at}.content[{position}]")) is not None]
        if cache is not None and pieces:
            self._mark(pieces[-1], cache)
        if not pieces:
            return ""
        if all(piece.keys() == {"type", "text"} and piece["type"] == "text" for piece in pieces):
            if len(pieces) == 1:
                return pieces[0]["text"]
            if joined and not self._own:
                return "\n\n".join(piece["text"] for piece in pieces)
        return pieces

    def _piece(self, part: Part, at: str) -> Json | None:
        match part:
            case TextPart():
                if not part.text and not self._own:
                    return None
                body: Json = {"type": "text", "text": part.text}
                if part.cache is not None:
                    self._mark(body, part.cache)
                return self._with_extra(body, part.extra, "messages[].content[]")
            case MediaPart():
                return self._media(part, at)
            case ForeignPart():
                return self._foreign(part, at)
            case RefusalPart():
                return {"type": "refusal", "refusal": part.text} if self._own else {"type": "text", "text": part.text}
            case ReasoningPart() | ToolCallPart() | ToolResultPart():
                raise bad_request(f"`{at}` cannot stand in a message of this role.", at)
            case _:
                assert_never(part)

    def _foreign(self, part: ForeignPart, at: str) -> Json | None:
        if part.wire == NAME:
            return part.value
        self._drop(left_out(part, "user", at))
        return None

    def _media(self, part: MediaPart, at: str) -> Json:
        text = self._as_text(part)
        if text is not None:
            return {"type": "text", "text": text}
        if part.file_id is not None and not self._own:
            raise bad_request(f"`{at}` names a file of another provider's account. Send the content itself.", at)
        word, lack = _BLIND[part.kind]
        if word in self._features:
            raise bad_request(f"`{at}`: this provider's models {lack}. Send it as text, or choose another model.", at)
        match part.kind:
            case "image":
                body = self._image(part)
            case "document":
                body = self._document(part, at)
            case "audio":
                body = self._audio(part, at)
            case _:
                assert_never(part.kind)
        if part.cache is not None:
            self._mark(body, part.cache)
        return self._with_extra(body, part.extra, "messages[].content[]")

    def _as_text(self, part: MediaPart) -> str | None:
        """A text document as words, where the target has no files or the source gave words."""
        text = part.text
        if text is None and part.kind == "document" and part.data and part.media_type.startswith("text/") and not self._own:
            text = _decoded(part.data) if "documents" not in self._features else None
        if text is None:
            return None
        return f'<document name="{part.name}">\n{text}\n</document>' if part.name else text

    def _image(self, part: MediaPart) -> Json:
        url = part.url if part.url is not None else f"data:{part.media_type};base64,{part.data or ''}"
        inner: Json = {"file_id": part.file_id} if part.file_id is not None else {"url": url}
        if part.detail is not None:
            inner["detail"] = part.detail
        return {"type": "image_url", "image_url": inner}

    def _document(self, part: MediaPart, at: str) -> Json:
        inner: Json = {}
        if part.name is not None or part.data is not None:
            inner["filename"] = part.name or f"document.{_EXTENSIONS.get(part.media_type, 'bin')}"
        if part.file_id is not None:
            inner["file_id"] = part.file_id
        elif part.url is not None:
            if not self._own and "document_urls" not in self._features:
                raise bad_request(f"`{at}` is a document by URL, which this provider does not fetch. Send its content.", at)
            inner["file_data"] = part.url
        else:
            inner["file_data"] = f"data:{part.media_type};base64,{part.data}" if part.media_type else part.data
        return {"type": "file", "file": inner}

    def _audio(self, part: MediaPart, at: str) -> Json:
        if not part.media_type:
            return {"type": "input_audio", "input_audio": part.url if part.url is not None else part.data}
        if part.data is None:
            raise bad_request(f"`{at}` is audio by URL, which this format cannot say. Send its data.", at)
        form = AUDIO_FORMAT.get(part.media_type, part.media_type.rpartition("/")[2])
        return {"type": "input_audio", "input_audio": {"data": part.data, "format": form}}

    def _mark(self, body: Json, cache: Json) -> None:
        if self._own or "cache_control" in self._features:
            body["cache_control"] = cache
        else:
            self._drop("cache_control")


def _loop_start(messages: Sequence[Message]) -> int:
    """The last message in which the user really spoke; what follows is the current tool loop."""
    for number in range(len(messages) - 1, -1, -1):
        message = messages[number]
        if message.role == "user" and not any(isinstance(part, ToolResultPart) for part in message.parts):
            return number
    return -1


def _unwrapped(attached: list[Json]) -> Any:
    if len(attached) == 1 and attached[0].keys() == {"type", "text"}:
        return attached[0]["text"]
    return attached


def _decoded(data: str) -> str | None:
    try:
        return base64.b64decode(data, validate=False).decode("utf-8", "replace")
    except ValueError:
        return None

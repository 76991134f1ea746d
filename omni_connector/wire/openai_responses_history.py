"""Canonical messages → `instructions` and `input` of an outgoing Responses request (upstream's side).

Rules where the formats differ (the same input always gives the same bytes, because prompt caches depend on it):
- `instructions` of a client of this format stay what they were. From another format the leading system messages become
  `instructions`, as long as they are words and something else follows.
- An assistant's message becomes items in its own order; tool results become outputs before anything else of their turn.
- Thoughts go only to their minter, with the id they were minted with. Those of another origin are dropped and named. From
  another format, thoughts that nothing follows go too: the API refuses them.
"""

from __future__ import annotations

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
from omni_connector.wire.openai_chat_words import AUDIO_FORMAT, sniff, wrap_custom
from omni_connector.wire.openai_responses_content import PART
from omni_connector.wire.openai_responses_words import ENCRYPTED, ITEM, NAME, call_id, from_cache, from_citation, unpack

_BLIND: Mapping[str, tuple[str, str]] = {
    "image": ("no_vision", "do not see images"),
    "document": ("no_documents", "do not read documents"),
    "audio": ("no_audio", "do not listen"),
}
_EXTENSIONS: Mapping[str, str] = {
    "application/pdf": "pdf",
    "text/plain": "txt",
    "text/markdown": "md",
    "text/csv": "csv",
    "text/html": "html",
}


class History:
    """Renders the messages of one request; `dropped` collects the names of what could not be said. `placed`: input items by the
    number of messages before them."""

    def __init__(self, request: ChatRequest, target: Target, dropped: dict[str, None], placed: Mapping[int, list[Json]]) -> None:
        self._target = target
        self._features = target.features
        self._own = request.wire == NAME
        self._dropped = dropped
        self._messages = request.messages
        self._placed = placed
        self._custom = {part.id for message in request.messages for part in message.parts if isinstance(part, ToolCallPart) and part.custom}
        self._items: list[Json] = []
        self.instructions: str | None = None

    def render(self) -> list[Json]:
        begin = self._instruct()
        for number, message in enumerate(self._messages):
            self._items += self._placed.get(number, ())
            if number < begin:
                continue
            match message.role:
                case "system" | "developer":
                    self._message(message, message.parts, number, self._system_role(message.role))
                case "user" | "tool":
                    self._user(message, number)
                case "assistant":
                    self._assistant(message, number)
                case _:
                    assert_never(message.role)
        for number, items in self._placed.items():
            self._items += items if number >= len(self._messages) else ()
        return self._items

    def _instruct(self) -> int:
        """Sets `instructions`; gives the number of messages that went into them."""
        leading = 0
        for message in self._messages:
            wordy = all(isinstance(part, TextPart) for part in message.parts)
            if message.role != "system" or not wordy or ITEM in message.extra or (self._own and leading):
                break
            leading += 1
        if leading == len(self._messages) and not self._own:
            # Something must be asked; instructions alone are no request.
            return 0
        texts = [part.text for message in self._messages[:leading] for part in message.parts if isinstance(part, TextPart)]
        if leading:
            self.instructions = "\n\n".join(text for text in texts if text)
            if any(part.cache is not None for message in self._messages[:leading] for part in message.parts if isinstance(part, TextPart)):
                self._drop("cache_control")
        return leading

    def _drop(self, name: str) -> None:
        self._dropped[name] = None

    def _system_role(self, role: str) -> str:
        return "developer" if "codex_backend" in self._features else role

    def _kept(self, extra: Json, where: str) -> Json:
        """What an item or part said beside its content: back to this format only. Ids and the like mean nothing elsewhere."""
        kept = extra.get(ITEM)
        rest = {key: value for key, value in extra.items() if key != ITEM}
        if self._own:
            return {**(kept if isinstance(kept, dict) else {}), **rest}
        for key in rest:
            self._drop(f"{where}.{key}")
        return {}

    # ------------------------------------------------------------ Others than the assistant

    def _message(self, message: Message, parts: Sequence[Part], number: int, role: str) -> None:
        if message.name is not None:
            self._drop("messages[].name")
        content = self._content(parts, f"messages[{number}]")
        if content or self._own:
            self._items.append({"type": "message", "role": role, "content": content, **self._kept(message.extra, "messages[]")})

    def _user(self, message: Message, number: int) -> None:
        rest: list[Part] = []
        for part in message.parts:
            if isinstance(part, ToolResultPart):
                self._items.append(self._result(part, f"messages[{number}]"))
            elif isinstance(part, ForeignPart) and part.wire == NAME and PART not in part.value:
                self._items.append(part.value)
            else:
                rest.append(part)
        if rest or not message.parts:
            self._message(message, rest, number, "user")

    def _result(self, part: ToolResultPart, at: str) -> Json:
        if part.is_error:
            self._drop("messages[].is_error")
        if part.cache is not None:
            self._drop("cache_control")
        kept = self._kept(part.extra, "messages[]")
        custom = part.call_id in self._custom and "no_custom_tools" not in self._features
        kind = kept.pop("type", "custom_tool_call_output" if custom else "function_call_output")
        pieces = self._content([self._visible(piece) for piece in part.parts], at)
        output: Any = pieces
        if not pieces:
            output = ""
        elif len(pieces) == 1 and pieces[0].keys() == {"type", "text"}:
            output = pieces[0]["text"]
        return {"type": kind, "call_id": call_id(part.call_id), "output": output, **kept}

    def _visible(self, piece: Part) -> Part:
        """A tool's picture is left out where nobody can see it; the conversation goes on without."""
        if isinstance(piece, MediaPart) and _BLIND[piece.kind][0] in self._features:
            self._drop(f"messages[].tool_result.{piece.kind}")
            return TextPart(f"[{piece.kind} left out: this model cannot see it]")
        return piece

    # ------------------------------------------------------------ The assistant

    def _assistant(self, message: Message, number: int) -> None:
        if message.name is not None:
            self._drop("messages[].name")
        at = f"messages[{number}]"
        items: list[Json] = []
        said: Json | None = None
        for part in message.parts:
            if isinstance(part, TextPart | RefusalPart | MediaPart) or (isinstance(part, ForeignPart) and PART in part.value):
                said = self._say(part, said, items, at)
                continue
            said = None
            match part:
                case ReasoningPart():
                    items += self._thoughts(part)
                case ToolCallPart():
                    items.append(self._call(part))
                case ForeignPart():
                    items += self._foreign_item(part, at)
                case ToolResultPart():
                    items.append(self._result(part, at))
        while items and not self._own and items[-1]["type"] == "reasoning":
            items.pop()
            self._drop("messages[].reasoning")
        if not self._own:
            for key in message.extra:
                self._drop(f"messages[].{key}")
        self._items += items

    def _say(self, part: Part, said: Json | None, items: list[Json], at: str) -> Json | None:
        """Words of the assistant: into the open message item, or a new one."""
        if isinstance(part, MediaPart) and not self._own:
            self._drop(f"{part.kind} of the assistant")
            return said
        pieces = self._content([part], at, assistant=True)
        kept = getattr(part, "extra", {}).get(ITEM)
        if not pieces:
            return said
        if said is None or (self._own and kept is not None):
            said = {"type": "message", "role": "assistant", "content": [], **(kept if self._own and isinstance(kept, dict) else {})}
            items.append(said)
        said["content"] += pieces
        return said

    def _foreign_item(self, part: ForeignPart, at: str) -> list[Json]:
        if part.wire == NAME:
            return [part.value]
        self._drop(left_out(part, "assistant", at))
        return []

    def _thoughts(self, part: ReasoningPart) -> list[Json]:
        fitting = [opaque for opaque in part.opaque if opaque.kind == ENCRYPTED and self._is_mine(opaque)]
        if len(fitting) < len(part.opaque) or not (fitting or self._own):
            self._drop("messages[].reasoning")
        if not fitting and (part.opaque or not self._own):
            return []
        kept = self._kept(part.extra, "messages[].reasoning")
        summary, content = kept.pop("summary", None), kept.pop("content", None)
        items: list[Json] = []
        values: list[Opaque | None] = [*fitting] or [None]
        for number, opaque in enumerate(values):
            body: Json = {"type": "reasoning"}
            item_id, encrypted = ("", None) if opaque is None else unpack(opaque.value)
            if item_id:
                body["id"] = item_id
            body["summary"] = []
            text = part.text if number == 0 else ""
            if content is not None and text:
                body["content"] = [{"type": "reasoning_text", "text": one} for one in _texts(content, text)]
                body["summary"] = [{"type": "summary_text", "text": one} for one in summary or ()]
            elif text:
                body["summary"] = [{"type": "summary_text", "text": one} for one in _texts(summary, text)]
            if encrypted is not None:
                body["encrypted_content"] = encrypted
            items.append({**body, **kept})
        return items

    def _is_mine(self, opaque: Opaque) -> bool:
        """Bare values of a client were minted by somebody who speaks this format; the others must match exactly."""
        return self._own if opaque.origin is None else opaque.origin == self._target.origin

    def _call(self, part: ToolCallPart) -> Json:
        if part.opaque:
            self._drop("messages[].tool_calls[].signature")
        if part.cache is not None:
            self._drop("cache_control")
        kept = self._kept(part.extra, "messages[].tool_calls[]")
        if "flat_tools" in self._features:
            kept = {key: value for key, value in kept.items() if key not in {"name", "namespace"}}
        body: Json = {"type": "function_call", "call_id": call_id(part.id), "name": part.name}
        if part.custom and "no_custom_tools" not in self._features:
            body |= {"type": "custom_tool_call", "input": part.arguments}
        else:
            body["arguments"] = wrap_custom(part.arguments) if part.custom else part.arguments or "{}"
        return {**body, **kept}

    # ------------------------------------------------------------ Content

    def _content(self, parts: Sequence[Part], at: str, *, assistant: bool = False) -> list[Json]:
        pieces = (self._piece(part, f"{at}.content[{number}]", assistant) for number, part in enumerate(parts))
        return [piece for piece in pieces if piece is not None]

    def _piece(self, part: Part, at: str, assistant: bool) -> Json | None:
        match part:
            case TextPart():
                return self._text(part, assistant)
            case RefusalPart():
                return {"type": "refusal", "refusal": part.text, **self._own_extra(part.extra)}
            case MediaPart():
                return self._media(part, at)
            case ForeignPart():
                return self._foreign(part, at)
            case ReasoningPart() | ToolCallPart() | ToolResultPart():
                raise bad_request(f"`{at}` cannot stand in a message of this role.", at)
            case _:
                assert_never(part)

    def _own_extra(self, extra: Json) -> Json:
        return self._kept({key: value for key, value in extra.items() if key != ITEM}, "messages[].content[]")

    def _text(self, part: TextPart, assistant: bool) -> Json | None:
        if not part.text and not self._own:
            return None
        body: Json = {"type": "output_text" if assistant else "input_text", "text": part.text}
        if assistant and part.citations:
            notes = [from_citation(note, 0, len(part.text)) for note in part.citations]
            body["annotations"] = [note for note in notes if note is not None]
            if None in notes:
                self._drop("messages[].citations")
        elif part.citations:
            self._drop("messages[].citations")
        return self._marked(body, part.cache, part.extra)

    def _marked(self, body: Json, cache: Json | None, extra: Json) -> Json:
        if cache is not None:
            if (self._own or "cache_breakpoints" in self._features) and "codex_backend" not in self._features:
                body["prompt_cache_breakpoint"] = from_cache(cache)
            else:
                self._drop("cache_control")
        return {**body, **self._own_extra(extra)}

    def _foreign(self, part: ForeignPart, at: str) -> Json | None:
        if part.wire == NAME:
            inner: Json = part.value.get(PART, part.value)
            return inner
        self._drop(left_out(part, "user", at))
        return None

    def _media(self, part: MediaPart, at: str) -> Json:
        if part.text is not None:
            text = f'<document name="{part.name}">\n{part.text}\n</document>' if part.name else part.text
            return self._marked({"type": "input_text", "text": text}, part.cache, part.extra)
        if part.file_id is not None and not self._own:
            raise bad_request(f"`{at}` names a file of another provider's account. Send the content itself.", at)
        word, lack = _BLIND[part.kind]
        if word in self._features:
            raise bad_request(f"`{at}`: this provider's models {lack}. Send it as text, or choose another model.", at)
        match part.kind:
            case "image":
                body = _image(part)
            case "document":
                body = _document(part)
            case "audio":
                body = _audio(part, at)
            case _:
                assert_never(part.kind)
        extra = dict(part.extra)
        if part.kind == "audio" and isinstance(extra.get("input_audio"), dict) and self._own:
            body["input_audio"] |= extra.pop("input_audio")
        return self._marked(body, part.cache, extra)


def _texts(parts: Any, text: str) -> list[str]:
    """The parts of a joined text again, if they are known and still fit."""
    return parts if isinstance(parts, list) and "\n\n".join(parts) == text else [text]


def _image(part: MediaPart) -> Json:
    body: Json = {"type": "input_image"}
    if part.file_id is not None:
        body["file_id"] = part.file_id
    else:
        body["image_url"] = (
            part.url
            if part.url is not None
            else f"data:{part.media_type or sniff(part.data or '') or 'image/png'};base64,{part.data or ''}"
        )
    return body if part.detail is None else {**body, "detail": part.detail}


def _document(part: MediaPart) -> Json:
    body: Json = {"type": "input_file"}
    if part.file_id is not None:
        body["file_id"] = part.file_id
    elif part.url is not None:
        body["file_url"] = part.url
    else:
        body["filename"] = part.name or f"document.{_EXTENSIONS.get(part.media_type, 'bin')}"
        body["file_data"] = f"data:{part.media_type};base64,{part.data}" if part.media_type else part.data
    if part.name is not None:
        body["filename"] = part.name
    return body if part.detail is None else {**body, "detail": part.detail}


def _audio(part: MediaPart, at: str) -> Json:
    if part.data is None:
        raise bad_request(f"`{at}` is audio by URL, which this format cannot say. Send its data.", at)
    form = AUDIO_FORMAT.get(part.media_type, part.media_type.rpartition("/")[2])
    return {"type": "input_audio", "input_audio": {"data": part.data, "format": form}}

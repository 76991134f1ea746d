"""Messages of a ChatRequest → `contents` and `systemInstruction` of a Gemini request (upstream's side).

Rules of the API that other formats do not have (upstreams.md §3): the conversation begins with the user; a turn of calls is
followed at once by the turn of their results, as many, in the order of the calls; parts are never empty. Thought
signatures go only to the origin that minted them; for calls of another model there is one documented placeholder.
"""

from __future__ import annotations

from collections.abc import Sequence
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
    Role,
    Target,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from omni_connector.errors import bad_request
from omni_connector.wire.foreign import left_out
from omni_connector.wire.gemini_calls import is_made_up, to_args, to_response, to_wire_name
from omni_connector.wire.gemini_media import render_media
from omni_connector.wire.gemini_signatures import NO_OPAQUE, SIGNATURE, SKIP
from omni_connector.wire.gemini_words import NAME, is_third

OPENING = "(The conversation begins with the assistant's words.)"
"""Put before an assistant's opening turn, which this API does not allow."""


class Turns:
    """Collects turns in order. `dropped` keeps the names of what found no place, each once, in order."""

    def __init__(self, request: ChatRequest, model: str, target: Target, dropped: dict[str, None]) -> None:
        self._own = request.wire == NAME
        self._target = target
        self._third = is_third(model)
        self._dropped = dropped
        self._names = {part.id: part.name for message in request.messages for part in message.parts if isinstance(part, ToolCallPart)}
        self._calls: dict[str, int] = {}
        """Calls of the last turn of the model, by id, with their places."""
        self._results: list[tuple[int, Json]] = []
        """Results of the user turn that is being collected, with the places of their calls: they go before its other parts."""
        self.system: list[Json] = []
        self.contents: list[Json] = []
        self._collect(list(request.messages))
        if self._own and self.system and not self.contents:
            self.contents = [{"role": "user", "parts": [{"text": ""}]}]
        if not self.contents:
            raise bad_request("`contents`: nothing in them can be sent to this provider. Send at least one message with text.", "contents")
        if self._third or "thought_signatures_required" in target.features:
            self._fill_signatures()

    def _drop(self, name: str) -> None:
        self._dropped[name] = None

    def _collect(self, messages: list[Message]) -> None:
        leading = next((n for n, m in enumerate(messages) if m.role not in ("system", "developer")), len(messages))
        if leading == len(messages) and leading and not self._own:
            # Only instructions: the last one is what the model is asked.
            leading -= 1
            messages[-1] = Message("user", messages[-1].parts)
            self._drop("messages.role=system (the last one as user)")
        for number, message in enumerate(messages[:leading]):
            self.system += self._parts(message, f"messages[{number}]")
        for number, message in enumerate(messages[leading:], leading):
            self._message(message, f"messages[{number}]")
        self._close_results()
        if self.contents and self.contents[0]["role"] == "model" and not self._own:
            self.contents.insert(0, {"role": "user", "parts": [{"text": OPENING}]})
            self._drop("messages[0].role=assistant (a user turn was put before it)")

    # ------------------------------------------------------------ Turns

    def _message(self, message: Message, at: str) -> None:
        if message.name is not None:
            self._drop("messages[].name")
        match message.role:
            case "system" | "developer":
                self._drop("messages.role=system (as text of a user turn)")
                marked = [
                    {**part, "text": f"<system>\n{part['text']}\n</system>"} if "text" in part else part
                    for part in self._parts(message, at)
                ]
                self._add("user", marked, message.extra)
            case "user" | "tool":
                self._user(message, at)
            case "assistant":
                self._add("model", self._parts(message, at), message.extra)
                calls = [part.id for part in message.parts if isinstance(part, ToolCallPart)]
                self._calls |= {call_id: len(self._calls) + place for place, call_id in enumerate(calls)}
            case _:
                assert_never(message.role)

    def _user(self, message: Message, at: str) -> None:
        results: list[tuple[int, Json]] = []
        others: list[Json] = []
        for number, part in enumerate(message.parts):
            if isinstance(part, ToolResultPart):
                results.append((self._calls.get(part.call_id, len(self._calls)), self._result(part, f"{at}.content[{number}]", others)))
            else:
                others += self._part(part, f"{at}.content[{number}]", message.role)
        if results:
            self._open("user", message.extra)
            self._results += results
        self._add("user", others, message.extra)

    def _open(self, role: str, extra: Json) -> None:
        if not (self.contents and self.contents[-1]["role"] == role):
            self._close_results()
            self.contents.append({"role": role, "parts": []})
            if role == "model":
                self._calls = {}
        if self._own:
            self.contents[-1].update(extra)

    def _add(self, role: str, parts: list[Json], extra: Json) -> None:
        if not parts:
            return
        self._open(role, extra)
        said = self.contents[-1]["parts"]
        if said and _only_signature(parts[0]) and _can_be_signed(said[-1]):
            said[-1]["thoughtSignature"] = parts.pop(0)["thoughtSignature"]
        said += parts

    def _close_results(self) -> None:
        if self._results:
            ordered = sorted(self._results, key=lambda result: result[0])
            self.contents[-1]["parts"][:0] = [part for _, part in ordered]
            self._results = []

    def _fill_signatures(self) -> None:
        """The first call of every step must carry a signature (upstreams.md §3): the placeholder where there is none."""
        for content in self.contents:
            first = next((part for part in content["parts"] if "functionCall" in part), None)
            if first is not None and "thoughtSignature" not in first:
                first["thoughtSignature"] = SKIP

    # ------------------------------------------------------------ Parts

    def _parts(self, message: Message, at: str) -> list[Json]:
        out: list[Json] = []
        for number, part in enumerate(message.parts):
            for piece in self._part(part, f"{at}.content[{number}]", message.role):
                if _only_signature(piece) and out and _can_be_signed(out[-1]):
                    out[-1]["thoughtSignature"] = piece["thoughtSignature"]
                else:
                    out.append(piece)
        return out

    def _part(self, part: Part, at: str, role: Role) -> list[Json]:
        match part:
            case TextPart():
                return self._text(part)
            case MediaPart():
                return [self._media(part, at)]
            case ReasoningPart():
                return self._thought(part)
            case ToolCallPart():
                return [self._call(part)]
            case ToolResultPart():
                raise bad_request(f"`{at}` is a tool's result in a message of another role.", at)
            case RefusalPart():
                return [{"text": part.text}] if part.text else []
            case ForeignPart():
                if part.wire == NAME:
                    return [dict(part.value)]
                self._drop(left_out(part, role, at))
                return []
            case _:
                assert_never(part)

    def _with_extra(self, piece: Json, part: TextPart | MediaPart | ReasoningPart | ToolCallPart | ToolResultPart) -> Json:
        cache = None if isinstance(part, ReasoningPart) else part.cache
        if cache is not None:
            self._drop("cache_control")
        if not self._own:
            return piece
        for key, value in part.extra.items():
            known = piece.get(key)
            piece[key] = {**value, **known} if isinstance(known, dict) and isinstance(value, dict) else value
        return piece

    def _text(self, part: TextPart) -> list[Json]:
        if part.citations:
            self._drop("citations")
        return [self._with_extra({"text": part.text}, part)] if part.text else []

    def _media(self, part: MediaPart, at: str) -> Json:
        if part.detail not in (None, "auto"):
            self._drop("image.detail")
        return self._with_extra(render_media(part, at, self._target.features, self._own), part)

    def _thought(self, part: ReasoningPart) -> list[Json]:
        """Own thoughts without a proof stay; those of another origin go, and their proofs with them."""
        fitting = [opaque for opaque in part.opaque if self._fits(opaque)]
        if len(fitting) < len(part.opaque) or (not part.opaque and not self._own):
            self._drop("thoughts(foreign)")
            if not fitting:
                return []
        piece: Json = {"text": part.text}
        if part.text:
            piece["thought"] = True
        self._sign(piece, fitting)
        return [self._with_extra(piece, part)] if part.text or "thoughtSignature" in piece else []

    def _fits(self, opaque: Opaque) -> bool:
        if opaque.kind not in (SIGNATURE, NO_OPAQUE):
            return False
        return self._own if opaque.origin is None else opaque.origin == self._target.origin

    def _sign(self, piece: Json, opaques: Sequence[Opaque]) -> None:
        value = next((opaque.value for opaque in opaques if opaque.kind == SIGNATURE), "")
        if value:
            piece["thoughtSignature"] = value

    def _id(self, call_id: str) -> Json:
        return {} if is_made_up(call_id) or not call_id or "no_call_ids" in self._target.features else {"id": call_id}

    def _call(self, part: ToolCallPart) -> Json:
        call = {**self._id(part.id), "name": to_wire_name(part.name), "args": to_args(part.arguments, part.custom)}
        piece: Json = {"functionCall": call}
        fitting = [opaque for opaque in part.opaque if self._fits(opaque)]
        if len(fitting) < len(part.opaque):
            self._drop("thoughtSignature(foreign)")
        self._sign(piece, fitting)
        return self._with_extra(piece, part)

    def _result(self, part: ToolResultPart, at: str, beside: list[Json]) -> Json:
        """Texts become `response`. Media go inside where the model takes them there (Gemini 3), else behind the results."""
        texts = [piece.text for piece in part.parts if isinstance(piece, TextPart)]
        name = to_wire_name(part.name or self._names.get(part.call_id) or part.call_id or "tool")
        result: Json = {**self._id(part.call_id), "name": name, "response": to_response("\n".join(texts), part.is_error)}
        media = [self._media(piece, at) for piece in part.parts if isinstance(piece, MediaPart)]
        media += [inner for piece in part.parts if isinstance(piece, ForeignPart) for inner in self._part(piece, at, "tool")]
        if media and (self._own or self._third or "function_response_media" in self._target.features):
            result["parts"] = media
        elif media:
            beside += [{"text": f"[What {name} gave besides its text:]"}, *media]
        return self._with_extra({"functionResponse": result}, part)


def _only_signature(piece: Json) -> bool:
    return piece.keys() == {"text", "thoughtSignature"} and not piece["text"]


def _can_be_signed(piece: Json) -> bool:
    return "text" in piece and "thought" not in piece and "thoughtSignature" not in piece

"""Messages of a ChatRequest → the turns of a Kiro conversation (upstream's side).

Rules that other formats do not have (upstreams.md §9): user and assistant alternate, the user begins and ends; no text is empty; there
are no instructions but in the first user's text; every call has its result in the next turn, and no id is used twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from typing import Literal, assert_never

from omni_connector.chat import (
    ChatRequest,
    ForeignPart,
    Json,
    MediaPart,
    Message,
    Part,
    ReasoningPart,
    RefusalPart,
    Target,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from omni_connector.errors import bad_request
from omni_connector.values import dataclass
from omni_connector.wire.foreign import left_out
from omni_connector.wire.kiro_words import (
    CONTINUE,
    EMPTY,
    IMAGE_FORMATS,
    MAGIC,
    NO_RESULT,
    OPENING,
    SIGNATURE,
    dumps,
    to_input,
    to_wire_id,
    to_wire_name,
)

REPLAY = "reasoning_replay_always"


@dataclass(slots=True)
class Turn:
    """What one side says until the other one speaks. `calls` and `results` are as they will be sent, by their ids."""

    role: Literal["user", "assistant"]
    texts: list[str] = field(default_factory=list)
    images: list[Json] = field(default_factory=list)
    calls: dict[str, Json] = field(default_factory=dict)
    results: dict[str, Json] = field(default_factory=dict)
    thought: Json | None = None

    @property
    def text(self) -> str:
        return "\n\n".join(filter(str.strip, self.texts)) or EMPTY


class Turns:
    """Collects the turns, and the instructions in `system`. `tools`: whether any are offered; without them, calls and results are
    refused and become text. `dropped` gets the names of what found no place."""

    def __init__(self, request: ChatRequest, target: Target, dropped: dict[str, None], *, tools: bool) -> None:
        self._target = target
        self._dropped = dropped
        self._tools = tools
        self._names: dict[str, str] = {}
        """Call id → the tool's own name."""
        self._used: dict[str, int] = {}
        """Call id → how often it was used."""
        self._open: dict[str, list[str]] = {}
        """Call id of the last assistant's turn → the ids under which its calls are sent, those without a result."""
        self._answered: dict[str, str] = {}
        """Call id → the id under which its last result was sent in this turn."""
        self.system: list[str] = []
        self.turns: list[Turn] = []
        self._collect(list(request.messages))

    def _drop(self, name: str) -> None:
        self._dropped[name] = None

    def _collect(self, messages: list[Message]) -> None:
        leading = next((n for n, m in enumerate(messages) if m.role not in ("system", "developer")), len(messages))
        if leading == len(messages) and leading:
            # Only instructions: the last one is what the model is asked.
            leading -= 1
            messages[-1] = Message("user", messages[-1].parts)
            self._drop("messages.role=system (the last one as user)")
        for number, message in enumerate(messages[:leading]):
            self.system += self._words(message, f"messages[{number}]")
        for number, message in enumerate(messages[leading:], leading):
            self._message(message, f"messages[{number}]")
        if not self.turns:
            raise bad_request("`messages`: nothing in them can be sent to this provider. Send at least one message with text.", "messages")
        if self.turns[0].role == "assistant":
            self.turns.insert(0, Turn("user", [OPENING]))
            self._drop("messages[0].role=assistant (a user turn was put before it)")
        if self.turns[-1].role == "assistant":
            if not self.turns[-1].calls:
                self._drop("messages[-1].role=assistant (the model is asked to go on with it)")
            self._turn("user").texts += [] if self.turns[-1].calls else [CONTINUE]
        self._close()

    # ------------------------------------------------------------ turns

    def _turn(self, role: Literal["user", "assistant"]) -> Turn:
        if not self.turns or self.turns[-1].role != role:
            if role == "assistant":
                self._close()
            self.turns.append(Turn(role))
        return self.turns[-1]

    def _close(self) -> None:
        """Calls that nobody answered get a result that says so: the provider refuses them without."""
        for name in [name for names in self._open.values() for name in names]:
            self.turns[-1].results[name] = _result(name, [NO_RESULT], error=True)
            self._drop("tool calls without a result (as failed)")
        self._open, self._answered = {}, {}

    def _message(self, message: Message, at: str) -> None:
        if message.name is not None:
            self._drop("messages[].name")
        match message.role:
            case "system" | "developer":
                self._drop("messages.role=system (as text of a user turn)")
                words = self._words(message, at)
                if words:
                    self._turn("user").texts.append("<system>\n" + "\n\n".join(words) + "\n</system>")
            case "user" | "tool":
                for number, part in enumerate(message.parts):
                    self._users(part, f"{at}.content[{number}]")
            case "assistant":
                for number, part in enumerate(message.parts):
                    self._assistants(part, f"{at}.content[{number}]")
            case _:
                assert_never(message.role)

    def _words(self, message: Message, at: str) -> list[str]:
        """The texts of instructions."""
        found: list[str] = []
        for number, part in enumerate(message.parts):
            place = f"{at}.content[{number}]"
            if isinstance(part, TextPart | RefusalPart):
                self._marks(part)
                found += [part.text] if part.text.strip() else []
            elif isinstance(part, ForeignPart):
                self._drop(left_out(part, message.role, place))
            elif isinstance(part, MediaPart) and part.text is not None:
                found.append(_document(part))
            else:
                raise bad_request(f"`{place}` cannot stand in instructions to this provider. Send text.", place)
        return found

    def _marks(self, part: Part) -> None:
        if not isinstance(part, ReasoningPart | RefusalPart | ForeignPart) and part.cache is not None:
            self._drop("cache_control")
        if isinstance(part, TextPart) and part.citations:
            self._drop("citations")

    # ------------------------------------------------------------ the user's

    def _users(self, part: Part, at: str) -> None:
        self._marks(part)
        match part:
            case TextPart() | RefusalPart():
                if part.text:
                    self._turn("user").texts.append(part.text)
            case MediaPart():
                self._media(part, at)
            case ToolResultPart():
                self._result(part, at)
            case ForeignPart():
                self._drop(left_out(part, "user", at))
            case ReasoningPart() | ToolCallPart():
                raise bad_request(f"`{at}` is the assistant's part in a message of another role.", at)
            case _:
                assert_never(part)

    def _media(self, part: MediaPart, at: str) -> None:
        if part.text is not None:
            self._turn("user").texts.append(_document(part))
            return
        if part.detail not in (None, "auto"):
            self._drop("image.detail")
        self._turn("user").images.append(_image(part, at))

    def _result(self, part: ToolResultPart, at: str) -> None:
        """In its place; media go beside it. A result that no call of the turn before asked for is text."""
        turn = self._turn("user")
        texts = [piece.text for piece in part.parts if isinstance(piece, TextPart)]
        rest = [piece for piece in part.parts if not isinstance(piece, TextPart)]
        waiting = self._open.get(part.call_id)
        name = part.name or self._names.get(part.call_id) or "a tool"
        if waiting:
            sent = self._answered[part.call_id] = waiting.pop(0)
            turn.results[sent] = _result(sent, texts, part.is_error)
        elif (sent := self._answered.get(part.call_id, "")) in turn.results:
            turn.results[sent]["content"] += _contents(texts)
        else:
            turn.texts.append(f"[{'Failure' if part.is_error else 'Result'} of {name}]\n" + "\n".join(texts))
            self._drop("tool results (as text)")
        if rest:
            turn.texts.append(f"[What {name} gave besides its text:]")
        for piece in rest:
            self._users(piece, at)

    # ------------------------------------------------------------ the assistant's

    def _assistants(self, part: Part, at: str) -> None:
        self._marks(part)
        match part:
            case TextPart() | RefusalPart():
                if part.text:
                    self._turn("assistant").texts.append(part.text)
            case ReasoningPart():
                self._thought(part)
            case ToolCallPart():
                self._call(part)
            case MediaPart():
                self._drop("messages[].content (the assistant's media)")
            case ForeignPart():
                self._drop(left_out(part, "assistant", at))
            case ToolResultPart():
                raise bad_request(f"`{at}` is a tool's result in a message of another role.", at)
            case _:
                assert_never(part)

    def _thought(self, part: ReasoningPart) -> None:
        """Only what this model signed is taken, and one a turn; by default none is shown (see the row's notes)."""
        proof = next((one.value for one in part.opaque if one.kind == SIGNATURE and one.origin == self._target.origin), "")
        turn = self._turn("assistant")
        if not proof or REPLAY not in self._target.features or turn.thought is not None:
            self._drop("thoughts")
            return
        turn.thought = {"reasoningText": {"text": part.text, "signature": proof}}

    def _call(self, part: ToolCallPart) -> None:
        turn = self._turn("assistant")
        self._names[part.id] = part.name
        if not self._tools:
            turn.texts.append(f"[Called {part.name}]\n{part.arguments}")
            self._drop("tool calls (as text, since no tools are offered)")
            return
        number = self._used.get(part.id, 0)
        self._used[part.id] = number + 1
        sent = to_wire_id(part.id, number)
        turn.calls[sent] = {"toolUseId": sent, "name": to_wire_name(part.name), "input": to_input(part.arguments, part.custom)}
        self._open.setdefault(part.id, []).append(sent)


def _result(name: str, texts: Sequence[str], error: bool) -> Json:
    return {"toolUseId": name, "status": "error" if error else "success", "content": _contents(texts) or [{"text": EMPTY}]}


def _contents(texts: Sequence[str]) -> list[Json]:
    return [{"text": text} for text in texts if text.strip()]


def _document(part: MediaPart) -> str:
    return f"<document name={dumps(part.name)}>\n{part.text}\n</document>" if part.name else part.text or ""


def _image(part: MediaPart, at: str) -> Json:
    """Raises GatewayError (BAD_REQUEST) for what is no picture, or not given as bytes."""
    if part.kind != "image":
        raise bad_request(f"`{at}`: this provider reads text and pictures only. Send the content as text.", at)
    if part.data is None:
        raise bad_request(f"`{at}` is no picture as bytes, which is all that this provider takes. Send the content as base64.", at)
    data = part.data
    known = (
        IMAGE_FORMATS.get(part.media_type) if part.media_type else next((kind for start, kind in MAGIC if data.startswith(start)), "png")
    )
    if known is None:
        raise bad_request(f"`{at}` is of the type {part.media_type[:40]!r}. Send a PNG, JPEG, GIF or WebP picture.", at)
    return {"format": known, "source": {"bytes": data}}

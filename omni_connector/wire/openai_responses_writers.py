"""One output item of an answer for a Responses client: its events in the API's order, and the item as it stands at last.

A writer's events lack `sequence_number`, which the renderer counts. Codex takes words and calls only from
`response.output_item.done`, other clients from the deltas (clients.md, finding 11), so all of them are told.
"""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from io import StringIO

from omni_connector.chat import Annotation, Delta, Json, Opaque, OpaqueDelta, Origin, PartEnd, PartStart
from omni_connector.wire.in_turn import PartEvent
from omni_connector.wire.openai_responses_words import ID_PREFIX, ITEM, close_encrypted, from_citation, seal_for_call


def new_id(kind: str) -> str:
    return f"{ID_PREFIX[kind]}_{uuid.uuid4().hex}"


def said_of(start: PartStart) -> Json | None:
    """What the provider's own item said beside its content; None for answers of other formats."""
    said = start.value.get(ITEM)
    return said if isinstance(said, dict) else None


class Writer(ABC):
    """`item` is complete after `close`."""

    def __init__(self, index: int, item: Json) -> None:
        self.index = index
        self.item = item

    @abstractmethod
    def write(self, event: PartEvent) -> list[Json]: ...

    def open(self) -> list[Json]:
        return [{"type": "response.output_item.added", "output_index": self.index, "item": dict(self.item)}]

    def close(self, status: str) -> list[Json]:
        """`status`: "completed", or "incomplete" when the answer was cut short here."""
        if "status" in self.item:
            self.item["status"] = status
        return [{"type": "response.output_item.done", "output_index": self.index, "item": self.item}]

    def event(self, kind: str, **more: object) -> Json:
        return {"type": f"response.{kind}", "item_id": self.item["id"], "output_index": self.index, **more}


class MessageWriter(Writer):
    """Words and refusals; each part of them is one piece of the content."""

    def __init__(self, index: int, start: PartStart) -> None:
        kept = dict(said_of(start) or {})
        item: Json = {"id": kept.pop("id", None) or new_id("message"), "type": "message", "status": "in_progress"}
        super().__init__(index, {**item, "role": "assistant", "content": [], **kept})
        self._texts = StringIO()
        self._length = 0
        self._refusal = False
        self._notes: list[Json] = []

    def open(self) -> list[Json]:
        return [{"type": "response.output_item.added", "output_index": self.index, "item": {**self.item, "content": []}}]

    def _place(self) -> int:
        return len(self.item["content"])

    def write(self, event: PartEvent) -> list[Json]:
        match event:
            case PartStart():
                self._refusal = event.kind == "refusal"
                self._texts, self._notes, self._length = StringIO(), [], 0
                return [self.event("content_part.added", content_index=self._place(), part=self._part())]
            case Delta(_, text):
                self._texts.write(text)
                self._length += len(text)
                if self._refusal:
                    return [self.event("refusal.delta", content_index=self._place(), delta=text)]
                return [self.event("output_text.delta", content_index=self._place(), delta=text, logprobs=[])]
            case Annotation(_, _, value):
                return self._note(value)
            case PartEnd():
                return self._end()
        return []

    def _note(self, value: Json) -> list[Json]:
        note = None if self._refusal else from_citation(value, 0, self._length)
        if note is None:
            return []
        self._notes.append(note)
        place = {"content_index": self._place(), "annotation_index": len(self._notes) - 1}
        return [self.event("output_text.annotation.added", **place, annotation=note)]

    def _part(self) -> Json:
        text = self._texts.getvalue()
        if self._refusal:
            return {"type": "refusal", "refusal": text}
        return {"type": "output_text", "text": text, "annotations": self._notes[:], "logprobs": []}

    def _end(self) -> list[Json]:
        part, place = self._part(), self._place()
        self.item["content"].append(part)
        if self._refusal:
            done = self.event("refusal.done", content_index=place, refusal=part["refusal"])
        else:
            done = self.event("output_text.done", content_index=place, text=part["text"], logprobs=[])
        return [done, self.event("content_part.done", content_index=place, part=dict(part))]


class ThoughtWriter(Writer):
    """Thoughts are told as summary parts, the form that clients show; as `reasoning_text` where the provider's were. A delta that is
    a blank line, or the known parts of the whole text, begin a new part, which changes nothing of the text."""

    def __init__(self, index: int, start: PartStart, origin: Origin | None) -> None:
        said = said_of(start)
        self._foreign = said is None
        kept = dict(said or {})
        self._known = kept.pop("summary", None), kept.pop("content", None)
        raw = self._known[1] is not None
        self._form = "content" if raw else "summary"
        self._kind, self._field = ("reasoning_text", "content_index") if raw else ("summary_text", "summary_index")
        self._origin = origin
        self._opaque: list[Opaque] = []
        self._texts = StringIO()
        """Deltas of the open part."""
        self._opened = False
        self._parted = False
        """A blank line came: a new part begins, if more words follow."""
        item: Json = {"id": kept.get("id") or "", "type": "reasoning", "summary": []}
        if raw:
            item["content"] = []
        super().__init__(index, {**item, **kept})

    def open(self) -> list[Json]:
        self.item["id"] = self.item["id"] or new_id("reasoning")
        return [{"type": "response.output_item.added", "output_index": self.index, "item": {**self.item, self._form: []}}]

    def write(self, event: PartEvent) -> list[Json]:
        match event:
            case OpaqueDelta(_, opaque):
                self._opaque.append(opaque)
            case Delta(_, text):
                return self._text(text)
            case PartEnd():
                return [*(self._piece("\n\n") if self._parted else ()), *self._end_part()]
        return []

    def _text(self, text: str) -> list[Json]:
        known = self._known[self._form == "content"]
        if not self._opened and not self.item[self._form] and known and text == "\n\n".join(known):
            return [event for part in known for event in (*self._piece(part), *self._end_part())]
        if text == "\n\n" and self._texts.tell() and not self._parted:
            self._parted = True
            return []
        out = self._end_part() if self._parted else []
        self._parted = False
        return [*out, *self._piece(text)]

    def _piece(self, text: str) -> list[Json]:
        out = []
        if not self._opened:
            self._opened = True
            out.append(self._part_event("added", ""))
        self._texts.write(text)
        name = "reasoning_text.delta" if self._form == "content" else "reasoning_summary_text.delta"
        return [*out, self.event(name, **self._place(), delta=text)]

    def _place(self) -> dict[str, int]:
        return {self._field: len(self.item[self._form])}

    def _part_event(self, step: str, text: str) -> Json:
        name = "content_part" if self._form == "content" else "reasoning_summary_part"
        return self.event(f"{name}.{step}", **self._place(), part={"type": self._kind, "text": text})

    def _end_part(self) -> list[Json]:
        if not self._opened:
            return []
        text = self._texts.getvalue()
        name = "reasoning_text.done" if self._form == "content" else "reasoning_summary_text.done"
        out = [self.event(name, **self._place(), text=text), self._part_event("done", text)]
        self.item[self._form].append({"type": self._kind, "text": text})
        self._texts, self._opened = StringIO(), False
        return out

    def close(self, status: str) -> list[Json]:
        summary = self._known[0]
        if self._form == "content" and isinstance(summary, list):
            self.item["summary"] = [{"type": "summary_text", "text": text} for text in summary]
        if self._opaque or self._foreign:
            _, encrypted = close_encrypted(self._opaque, self._origin)
            self.item["encrypted_content"] = encrypted
        return [*self._end_part(), *super().close(status)]


class CallWriter(Writer):
    """A call of a function or free-text tool. `said`: its (namespace, name) where the client knows it by another name."""

    def __init__(self, index: int, start: PartStart, said: tuple[str, str] | None) -> None:
        kind = "custom_tool_call" if start.custom else "function_call"
        kept = dict(said_of(start) or {})
        namespace, name = said or ("", start.name)
        self._field = "input" if start.custom else "arguments"
        self._name = "custom_tool_call_input" if start.custom else "function_call_arguments"
        item: Json = {"id": kept.pop("id", None) or new_id(kind), "type": kind, "status": "in_progress", self._field: ""}
        item |= {"call_id": start.id or f"call_{uuid.uuid4().hex}", "name": name}
        if namespace:
            item["namespace"] = namespace
        super().__init__(index, {**item, **kept})
        self._texts = StringIO()
        self._opaque: list[Opaque] = []

    def write(self, event: PartEvent) -> list[Json]:
        match event:
            case Delta(_, text):
                self._texts.write(text)
                return [self.event(f"{self._name}.delta", delta=text)]
            case OpaqueDelta(_, opaque):
                self._opaque.append(opaque)
        return []

    def close(self, status: str) -> list[Json]:
        text = self._texts.getvalue()
        self.item[self._field] = text
        more = {} if self._field == "input" else {"name": self.item["name"]}
        return [self.event(f"{self._name}.done", **{self._field: text}, **more), *super().close(status)]

    def companion(self, index: int) -> Writer | None:
        """The item that carries what the provider wants back with this call."""
        if not self._opaque:
            return None
        sealed = seal_for_call(self.item["call_id"], self._opaque)
        return WholeWriter(index, {"id": new_id("reasoning"), "type": "reasoning", "summary": [], "encrypted_content": sealed})


class WholeWriter(Writer):
    """An item that is told in one piece: those of provider-run tools, and companions."""

    def write(self, event: PartEvent) -> list[Json]:
        return []

    def close(self, status: str) -> list[Json]:
        return [{"type": "response.output_item.done", "output_index": self.index, "item": self.item}]


class PictureWriter(WholeWriter):
    """A picture that another format's provider made: the item begins without it."""

    def open(self) -> list[Json]:
        begun = {**self.item, "status": "in_progress", "result": None}
        return [{"type": "response.output_item.added", "output_index": self.index, "item": begun}]

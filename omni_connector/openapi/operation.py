"""One call of the API as a row of a table: address, what it does, what it takes, what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct

from omni_connector.openapi.shapes import Shape
from omni_connector.values import dataclass

Access = Literal["admin", "client", "open"]
Json = dict[str, Any]

JSON = "application/json"
EVENTS = "text/event-stream"


@dataclass(frozen=True, slots=True)
class Operation:
    """`call`: method and path, "GET /api/accounts/{account_id}". `body`, `query`: the Struct that reads it, or a JSON Schema (of a query:
    of its object). `answers`: status → shape, None for one that is no JSON. `kinds`: media types of the good answer. `refusals`: error
    statuses beside those that come of themselves (`building.refusals`). `needs_body`: refused without one."""

    call: str
    summary: str
    answers: Mapping[int, Shape]
    body: type[Struct] | Json | None = None
    query: type[Struct] | Json | None = None
    refusals: tuple[int, ...] = ()
    kinds: tuple[str, ...] = (JSON,)
    body_kinds: tuple[str, ...] = (JSON,)
    access: Access = "admin"
    tag: str = ""
    needs_body: bool = False

    @property
    def method(self) -> str:
        return self.call.partition(" ")[0]

    @property
    def path(self) -> str:
        return self.call.partition(" ")[2]


def row(call: str, summary: str, shape: Shape, status: int = 200, **more: Any) -> Operation:
    """The usual row: one good answer."""
    return Operation(call, summary, {status: shape}, **more)


def fields(*required: str, **of: Json) -> Json:
    """The JSON Schema of a body that no Struct reads."""
    return {"type": "object", "properties": of, "additionalProperties": False, **({"required": list(required)} if required else {})}


TEXT: Json = {"type": "string"}
FLAG: Json = {"type": "boolean"}
TEXTS: Json = {"type": "array", "items": TEXT, "minItems": 1}

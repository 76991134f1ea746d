"""Claude Code: the `env` of its settings.json, which it applies over the shell's. (P-57)"""

from __future__ import annotations

from pathlib import Path

from omni_connector.clients import jsonc
from omni_connector.clients.client import Client, Edit, Places, Pointing, Wanted, read_bytes
from omni_connector.clients.jsonc import Values

URL, TOKEN = ("env", "ANTHROPIC_BASE_URL"), ("env", "ANTHROPIC_AUTH_TOKEN")
MODELS = tuple(("env", f"ANTHROPIC_DEFAULT_{size}_MODEL") for size in ("OPUS", "SONNET", "HAIKU"))
IN_THE_WAY = (
    ("env", "ANTHROPIC_API_KEY"),
    ("env", "CLAUDE_CODE_USE_BEDROCK"),
    ("env", "CLAUDE_CODE_USE_VERTEX"),
    ("env", "CLAUDE_CODE_USE_FOUNDRY"),
    ("apiKeyHelper",),
)
"""Another credential beside ours, or another service: Claude Code would use that one, or ask each time."""


def _file(places: Places) -> Path:
    return places.folder("CLAUDE_CONFIG_DIR", ".claude") / "settings.json"


def _edits(places: Places, wanted: Wanted) -> list[Edit]:
    values: Values = {URL: wanted.url, TOKEN: wanted.key, **dict.fromkeys(MODELS, wanted.model)}

    def change(text: str) -> str:
        also: Values = {("env", "ANTHROPIC_MODEL"): wanted.model} if jsonc.get(jsonc.loads(text), ("env", "ANTHROPIC_MODEL")) else {}
        return jsonc.edit(text, {**values, **also}, IN_THE_WAY)

    return [Edit(_file(places), change)]


def _read(places: Places) -> Pointing | None:
    said = jsonc.loads((read_bytes(_file(places)) or b"").decode())
    url, key, model = (str(jsonc.get(said, path) or "") for path in (URL, TOKEN, MODELS[1]))
    return Pointing(url, key, model) if url else None


def _notes(_: Places, wanted: Wanted) -> list[str]:
    return [f"Start Claude Code anew. Its model names opus, sonnet and haiku all mean {wanted.model!r} now; /status shows the address."]


CLIENT = Client(
    name="claude-code",
    label="Claude Code",
    wire="anthropic-messages",
    programs=("claude",),
    marks=(".claude",),
    edits=_edits,
    read=_read,
    notes=_notes,
)

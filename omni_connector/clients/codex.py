"""Codex: a model provider of its own in config.toml. The key stands there too, so that the desktop app and editors find it as well as
a shell does."""

from __future__ import annotations

from pathlib import Path

from omni_connector.clients import jsonc, toml_lines
from omni_connector.clients.client import Client, Edit, Places, Pointing, Wanted, read_bytes

PROVIDER = "omni"
TABLE = ("model_providers", PROVIDER)
KEY = "experimental_bearer_token"


def _file(places: Places) -> Path:
    return places.folder("CODEX_HOME", ".codex") / "config.toml"


def _edits(places: Places, wanted: Wanted) -> list[Edit]:
    top = {"model": wanted.model, "model_provider": PROVIDER}
    table = {"name": "omni-connector", "base_url": f"{wanted.url}/v1", "wire_api": "responses", KEY: wanted.key}
    return [Edit(_file(places), lambda text: toml_lines.edit(text, top, TABLE, table))]


def _read(places: Places) -> Pointing | None:
    said = toml_lines.loads((read_bytes(_file(places)) or b"").decode())
    chosen = str(said.get("model_provider") or "")
    ours = jsonc.get(said, (TABLE[0], chosen))
    if not isinstance(ours, dict) or not ours.get("base_url"):
        url = str(said.get("openai_base_url") or "")
        return Pointing(url, model=str(said.get("model") or "")) if url else None
    return Pointing(str(ours["base_url"]), str(ours.get(KEY) or ""), str(said.get("model") or ""))


def _notes(_: Places, __: Wanted) -> list[str]:
    return ["Start Codex anew. For a model that it does not know it says that it uses fallback metadata; that is all right."]


CLIENT = Client(
    name="codex",
    label="Codex",
    wire="openai-responses",
    programs=("codex",),
    marks=(".codex",),
    edits=_edits,
    read=_read,
    notes=_notes,
)

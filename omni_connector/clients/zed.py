"""Zed: an OpenAI-compatible provider in settings.json. Its key is not kept there but in the system's keychain, which the user fills."""

from __future__ import annotations

from pathlib import Path

from omni_connector.clients import jsonc
from omni_connector.clients.client import Client, Edit, Places, Pointing, Wanted, read_bytes

PROVIDER = "omni"
CONTEXT = 200_000
TABLE = ("language_models", "openai_compatible", PROVIDER)
DEFAULT = ("agent", "default_model")


def _file(places: Places) -> Path:
    return places.config("zed", "settings.json")


def _edits(places: Places, wanted: Wanted) -> list[Edit]:
    model = {"name": wanted.model, "display_name": f"omni: {wanted.model}", "max_tokens": CONTEXT}
    values = {TABLE: {"api_url": f"{wanted.url}/v1", "available_models": [model]}, DEFAULT: {"provider": PROVIDER, "model": wanted.model}}
    return [Edit(_file(places), lambda text: jsonc.edit(text, values), private=False)]


def _read(places: Places) -> Pointing | None:
    said = jsonc.loads((read_bytes(_file(places)) or b"").decode())
    url = jsonc.get(said, (*TABLE, "api_url"))
    return Pointing(str(url), model=str(jsonc.get(said, (*DEFAULT, "model")) or "")) if url else None


def _steps(_: Places, wanted: Wanted) -> list[str]:
    return [
        "In Zed run `agent: open settings` (LLM providers), choose omni, and paste the key. Zed keeps keys in the system's keychain, "
        "which no other program should write.",
        f"Key: {wanted.key}",
    ]


CLIENT = Client(
    name="zed",
    label="Zed",
    wire="openai-chat",
    programs=("zed", "zeditor"),
    marks=(".config/zed",),
    edits=_edits,
    read=_read,
    steps=_steps,
    keeps_key=False,
)

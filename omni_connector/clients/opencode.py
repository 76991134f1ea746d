"""opencode: a provider of its own in opencode.json, spoken to as any OpenAI-compatible one."""

from __future__ import annotations

from pathlib import Path

from omni_connector.clients import jsonc
from omni_connector.clients.client import Client, Edit, Places, Pointing, Wanted, read_bytes
from omni_connector.clients.jsonc import Values

PROVIDER = "omni"
NAMES = ("opencode.jsonc", "opencode.json", "config.json")
"""In the order in which they are taken when they are there; the last of opencode's own wins, so the first one found is edited."""


def _file(places: Places) -> Path:
    if named := places.env.get("OPENCODE_CONFIG", "").strip():
        return Path(named).expanduser()
    folder = places.config("opencode")
    return next((folder / name for name in NAMES if (folder / name).exists()), folder / "opencode.json")


def _edits(places: Places, wanted: Wanted) -> list[Edit]:
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "name": "omni-connector",
        "options": {"baseURL": f"{wanted.url}/v1", "apiKey": wanted.key},
        "models": {wanted.model: {"name": f"omni: {wanted.model}", "tool_call": True}},
    }
    chosen = f"{PROVIDER}/{wanted.model}"
    values: Values = {("provider", PROVIDER): provider, ("model",): chosen, ("small_model",): chosen}

    def change(text: str) -> str:
        # opencode itself writes this line into a file without it; then undoing would meet a file that is not ours any more.
        schema: Values = {} if "$schema" in jsonc.loads(text) else {("$schema",): "https://opencode.ai/config.json"}
        return jsonc.edit(text, {**schema, **values})

    return [Edit(_file(places), change)]


def _read(places: Places) -> Pointing | None:
    said = jsonc.loads((read_bytes(_file(places)) or b"").decode())
    provider, _, model = str(said.get("model") or "").partition("/")
    options = jsonc.get(said, ("provider", provider, "options"))
    if not isinstance(options, dict) or not options.get("baseURL"):
        return None
    return Pointing(str(options["baseURL"]), str(options.get("apiKey") or ""), model)


CLIENT = Client(
    name="opencode",
    label="opencode",
    wire="openai-chat",
    programs=("opencode",),
    marks=(".config/opencode",),
    edits=_edits,
    read=_read,
    shadows=("OPENCODE_CONFIG_CONTENT",),
)

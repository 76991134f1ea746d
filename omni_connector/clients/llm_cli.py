"""llm: one more model in extra-openai-models.yaml, and its key in keys.json."""

from __future__ import annotations

import json
import re
from pathlib import Path

from omni_connector.clients import jsonc, yaml_lines
from omni_connector.clients.client import Client, Edit, Places, Pointing, Wanted, read_bytes

NAME = "omni"
"""Of the model and of the key: `llm -m omni "…"`."""


def _folder(places: Places) -> Path:
    """As click names an application's folder."""
    if places.platform == "darwin":
        return places.folder("LLM_USER_PATH", "Library", "Application Support", "io.datasette.llm")
    return places.folder("LLM_USER_PATH", str(places.config("io.datasette.llm")))


def _item(wanted: Wanted) -> list[str]:
    return [
        f"- model_id: {NAME}",
        f"  model_name: {json.dumps(wanted.model)}",
        f"  api_base: {json.dumps(f'{wanted.url}/v1')}",
        f"  api_key_name: {NAME}",
        "  supports_tools: true",
        "  supports_schema: true",
        "  vision: true",
        "  can_stream: true",
    ]


def _edits(places: Places, wanted: Wanted) -> list[Edit]:
    folder = _folder(places)
    return [
        Edit(folder / "extra-openai-models.yaml", lambda text: yaml_lines.put_item(text, "", _item(wanted)), private=False),
        Edit(folder / "keys.json", lambda text: jsonc.edit(text, {(NAME,): wanted.key})),
        # Only where none was chosen: a choice of the user's stays.
        Edit(folder / "default_model.txt", lambda text: text if text.strip() else NAME, private=False),
    ]


def _read(places: Places) -> Pointing | None:
    block = yaml_lines.block((read_bytes(_folder(places) / "extra-openai-models.yaml") or b"").decode())
    said = dict(re.findall(r'^\s*(\w+): "([^"\n]*)"', block, re.M))
    keys = jsonc.loads((read_bytes(_folder(places) / "keys.json") or b"").decode())
    return Pointing(said["api_base"], str(jsonc.get(keys, (NAME,)) or ""), said.get("model_name", "")) if said.get("api_base") else None


def _notes(_: Places, __: Wanted) -> list[str]:
    return ['Ask with: llm -m omni "…". Where no model was chosen yet, omni is the default now.']


CLIENT = Client(
    name="llm",
    label="llm",
    wire="openai-chat",
    programs=("llm",),
    marks=(".config/io.datasette.llm",),
    edits=_edits,
    read=_read,
    notes=_notes,
)

"""Continue: one more model in its config.yaml, the first of the list."""

from __future__ import annotations

import json
import re
from pathlib import Path

from omni_connector.clients import yaml_lines
from omni_connector.clients.client import Client, Edit, Places, Pointing, Wanted, read_bytes

HEAD = "name: Local Config\nversion: 1.0.0\nschema: v1\n"
"""What a file of theirs must begin with."""


def _file(places: Places) -> Path:
    return places.folder("CONTINUE_GLOBAL_DIR", ".continue") / "config.yaml"


def _old(places: Places) -> bool:
    """Continue takes config.json, its older form, only while there is no config.yaml: one of ours would hide it."""
    return not _file(places).exists() and _file(places).with_name("config.json").exists()


def _item(wanted: Wanted) -> list[str]:
    return [
        "- name: omni-connector",
        "  provider: openai",
        f"  model: {json.dumps(wanted.model)}",
        f"  apiBase: {json.dumps(f'{wanted.url}/v1')}",
        f"  apiKey: {json.dumps(wanted.key)}",
        "  roles: [chat, edit, apply]",
        "  capabilities: [tool_use]",
    ]


def _edits(places: Places, wanted: Wanted) -> list[Edit]:
    def change(text: str) -> str:
        if _old(places):
            raise ValueError("Continue still uses config.json beside it, which a config.yaml would hide. Let Continue move it over first")
        return yaml_lines.put_item(text if text.strip() else HEAD, "models", _item(wanted))

    return [Edit(_file(places), change)]


def _read(places: Places) -> Pointing | None:
    block = yaml_lines.block((read_bytes(_file(places)) or b"").decode())
    said = dict(re.findall(r'^\s*(\w+): "([^"\n]*)"', block, re.M))
    return Pointing(said["apiBase"], said.get("apiKey", ""), said.get("model", "")) if said.get("apiBase") else None


def _notes(_: Places, __: Wanted) -> list[str]:
    return ["Choose “omni-connector” in Continue's model menu where another model was chosen before."]


CLIENT = Client(
    name="continue",
    label="Continue",
    wire="openai-chat",
    programs=("cn",),
    marks=(".continue",),
    edits=_edits,
    read=_read,
    notes=_notes,
)

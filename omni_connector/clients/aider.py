"""aider: its own .aider.conf.yml in the home."""

from __future__ import annotations

from pathlib import Path

from omni_connector.clients import yaml_lines
from omni_connector.clients.client import Client, Edit, Places, Pointing, Wanted, read_bytes

URL, KEY, MODEL = "openai-api-base", "openai-api-key", "model"


def _file(places: Places) -> Path:
    return places.home / ".aider.conf.yml"


def _edits(places: Places, wanted: Wanted) -> list[Edit]:
    model = f"openai/{wanted.model}"
    values = {MODEL: model, "weak-model": model, URL: f"{wanted.url}/v1", KEY: wanted.key}

    def change(text: str) -> str:
        # aider asks about each model that it does not know the prices of, and it knows none of ours.
        quiet = {} if yaml_lines.scalar(text, "show-model-warnings") else {"show-model-warnings": False}
        return yaml_lines.set_scalars(text, {**values, **quiet})

    return [Edit(_file(places), change)]


def _read(places: Places) -> Pointing | None:
    text = (read_bytes(_file(places)) or b"").decode()
    url = yaml_lines.scalar(text, URL)
    return Pointing(url, yaml_lines.scalar(text, KEY), yaml_lines.scalar(text, MODEL).removeprefix("openai/")) if url else None


def _notes(_: Places, __: Wanted) -> list[str]:
    return ["A .aider.conf.yml in a project's folder wins over this one there."]


CLIENT = Client(
    name="aider",
    label="aider",
    wire="openai-chat",
    programs=("aider",),
    marks=(".aider",),
    edits=_edits,
    read=_read,
    notes=_notes,
    shadows=("AIDER_MODEL", "AIDER_WEAK_MODEL", "AIDER_OPENAI_API_BASE", "AIDER_OPENAI_API_KEY"),
)

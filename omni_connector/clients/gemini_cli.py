"""Gemini CLI: address and key in its own .env, the way of signing in and the model in settings.json."""

from __future__ import annotations

from pathlib import Path

from omni_connector.clients import env_file, jsonc
from omni_connector.clients.client import Client, Edit, Places, Pointing, Wanted, read_bytes

URL, KEY = "GOOGLE_GEMINI_BASE_URL", "GEMINI_API_KEY"
AUTH, MODEL = ("security", "auth", "selectedType"), ("model", "name")


def _folder(places: Places) -> Path:
    return places.folder("GEMINI_CLI_HOME") / ".gemini"


def _edits(places: Places, wanted: Wanted) -> list[Edit]:
    # Gemini CLI takes "auto" for itself, and would ask for two models of Google's by name. In capitals it is our word alone.
    model = "AUTO" if wanted.model == "auto" else wanted.model
    values = {AUTH: "gemini-api-key", MODEL: model}
    return [
        Edit(_folder(places) / ".env", lambda text: env_file.set_values(text, {KEY: wanted.key, URL: wanted.url})),
        Edit(_folder(places) / "settings.json", lambda text: jsonc.edit(text, values), private=False),
    ]


def _read(places: Places) -> Pointing | None:
    said = (read_bytes(_folder(places) / ".env") or b"").decode()
    settings = jsonc.loads((read_bytes(_folder(places) / "settings.json") or b"").decode())
    url = env_file.get(said, URL)
    return Pointing(url, env_file.get(said, KEY), str(jsonc.get(settings, MODEL) or "")) if url else None


def _notes(_: Places, __: Wanted) -> list[str]:
    return ["A .env of its own in a project's folder, or above it, takes the place of this one there."]


CLIENT = Client(
    name="gemini-cli",
    label="Gemini CLI",
    wire="gemini-generate",
    programs=("gemini",),
    marks=(".gemini",),
    edits=_edits,
    read=_read,
    notes=_notes,
    shadows=(KEY, URL, "GOOGLE_API_KEY", "GEMINI_MODEL", "GOOGLE_GENAI_USE_VERTEXAI", "GOOGLE_GENAI_USE_GCA"),
)

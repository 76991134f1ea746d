"""Programs that keep their settings where no other program should write: exact steps instead, with address, key and model filled in."""

from __future__ import annotations

from omni_connector.clients.client import Client, Places, Wanted

DATABASE = "{} keeps this in a database of its own, together with everything else: no other program should write there. So by hand:"


def _cursor(_: Places, wanted: Wanted) -> list[str]:
    return [
        DATABASE.format("Cursor"),
        "1. Cursor Settings, Models, API Keys: switch “Override OpenAI Base URL” on.",
        f"   Base URL: {wanted.url}/v1",
        f"2. OpenAI API Key: {wanted.key}",
        f"3. Add a custom model named {wanted.model} and choose it.",
        "Cursor's own servers make the request, and they cannot reach an address of this machine. It needs one that the internet can "
        "reach by https (a tunnel, or a server behind nginx or Caddy), a dashboard password, and a key with a budget.",
    ]


def _cline(_: Places, wanted: Wanted) -> list[str]:
    return [
        DATABASE.format("Cline's extension"),
        "1. Cline's settings (the gear), API Provider: OpenAI Compatible.",
        f"2. Base URL: {wanted.url}/v1",
        f"3. API Key: {wanted.key}",
        f"4. Model ID: {wanted.model}",
        "Cline on the command line sets itself up:",
        f"   cline auth -p openai -k {wanted.key} -m {wanted.model} -b {wanted.url}/v1",
    ]


def _other(_: Places, wanted: Wanted) -> list[str]:
    return [
        "For any program that takes a custom or OpenAI-compatible provider:",
        f"Base URL: {wanted.url}/v1",
        f"API key:  {wanted.key}",
        f"Model:    {wanted.model}",
        f"Programs that speak Anthropic's or Gemini's API take {wanted.url} as base URL, without /v1.",
    ]


CURSOR = Client("cursor", "Cursor", "openai-chat", programs=("cursor",), marks=(".cursor",), steps=_cursor, keeps_key=False)
CLINE = Client("cline", "Cline", "openai-chat", programs=("cline",), marks=(".cline",), steps=_cline, keeps_key=False)
OTHER = Client("other", "Anything else", "openai-chat", steps=_other, keeps_key=False)

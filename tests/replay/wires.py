"""The exchanges of other wires than the four chat ones: how each is replayed, or why it is not. One entry per wire."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from omni_connector.errors import GatewayError
from omni_connector.providers import get, listing
from tests.replay.checks import failure, same_stream, same_whole
from tests.replay.compare import Verdict, difference, same_json
from tests.replay.recordings import Recording
from tests.replay.stage import Play, json_of
from tests.replay.told import CHAT, GEMINI, Json


@dataclass(frozen=True)
class Passed:
    """Replayed in its own format: bytes in, bytes out. `was`: the recorded path, `path`: the client API's, with its groups and the
    model's name. Errors are told in `format`."""

    was: str
    path: str
    provider: str
    format: str
    renamed: bool = True
    """The answer has the name that the client asked for."""
    anew: bool = False
    """The answer is written anew: its values count, not its bytes, nor fields beyond the format's own. A failure of the provider's is
    made good here."""


@dataclass(frozen=True)
class Listed:
    """Provider side: the models that an account sees are read from the recorded list."""


WIRES: Mapping[str, Passed | Listed | str] = {
    "models": Listed(),
    "openai-completions": Passed("/completions", "/v1/completions", "custom-openai", CHAT),
    "openai-embeddings": Passed("/embeddings", "/v1/embeddings", "openai", CHAT),
    "openai-images": Passed("/images/(generations|edits)", "/v1/images/{0}", "openai", CHAT, renamed=False),
    "openai-moderations": Passed("/moderations", "/v1/moderations", "openai", CHAT, renamed=False),
    "gemini-embed": Passed(":(embedContent|batchEmbedContents)", "/v1beta/models/{model}:{0}", "gemini", GEMINI),
    "count-tokens": Passed(":countTokens", "/v1beta/models/{model}:countTokens", "gemini", GEMINI, anew=True),
    "openai-responses-get": "answers are fetched again from this server's own store, not from the provider's",
    "openai-responses-compact": "`/v1/responses/compact` is not part of the client API",
    "gemini-cached-contents": "`cachedContents` is not part of the client API",
    "gemini-interactions": "the Interactions API is not part of the client API",
    "codeassist-stream": "a format that no client speaks; the tests of its own modules play it",
    "codeassist-quota": "a format that no client speaks; the tests of its own modules play it",
    "ollama-chat": "Ollama's own dialect; its OpenAI-compatible endpoint is used instead",
}
"""Wire → its replay, or why there is none."""


def how(recording: Recording) -> Passed | Listed | str:
    """Its replay, or why there is none."""
    found = WIRES.get(recording.wire, f"nothing is known here of the wire {recording.wire!r}")
    if isinstance(found, Passed) and not re.search(f"{found.was}$", recording.path):
        return f"{recording.path.rpartition('/')[2]!r} is not part of the client API"
    if isinstance(found, Listed) and not re.search(r"/(models|tags)$", recording.path):
        return "one model's page, not a list"
    return found


async def passed(way: Passed, play: Play, verdict: Verdict) -> str:
    """ "" or the reason why there was no replay."""
    recording = play.recording
    groups = re.search(f"{way.was}$", recording.path)
    address = way.path.format(*(groups.groups() if groups else ()), model=play.asked)
    asked = _named(recording.asked or {}, play.asked) if recording.asked is not None else {}
    if way.format == CHAT:
        asked = {**asked, "model": play.asked}
        if recording.streamed:
            asked |= {"stream": True, "stream_options": {"include_usage": True}}
    got = await play.post(address, asked)
    if got.status in (404, 405) and not got.row:
        return f"`{way.path.partition('{')[0]}` is not served"
    if got.status == 200 and (got.seen is None or (way.anew and recording.status >= 400)):
        return "answered by this server's own counter, since the provider's failed"
    if recording.status >= 400:
        failure(recording, way.format, got, verdict)
        return ""
    if got.status != 200 or got.seen is None:
        verdict.wrong.append(f"status {got.status}: {got.body[:300]!r}")
        return ""
    if way.format == CHAT:
        wanted: Json = {**asked, "model": play.served}
        verdict.expect(same_json(got.seen.body, wanted), f"the request changed {difference(wanted, got.seen.body)}")
    if way.anew:
        heard, said = json_of(got.body), json_of(recording.raw)
        verdict.expect(heard and heard.items() <= said.items(), f"other values than {said}: {heard}")
    elif recording.form == "sse":
        same_stream(recording, got.body, play.asked, verdict)
    else:
        same_whole(recording.raw, got.body, play.asked if way.renamed else None, verdict)
    return ""


def _named(value: Any, model: str) -> Any:
    """A Gemini request repeats the model's name in each of its parts."""
    if isinstance(value, list):
        return [_named(one, model) for one in value]
    if not isinstance(value, dict):
        return value
    named = {"model": f"models/{model}"} if str(value.get("model", "")).startswith("models/") else {}
    return {key: _named(one, model) for key, one in value.items()} | named


def listed(recording: Recording, verdict: Verdict) -> None:
    """Names of the product's reader against those read here; a refusal is one for both."""
    body = json_of(recording.raw)
    try:
        found = listing.list_models(get("custom-openai"), recording.status, body)
    except GatewayError as error:
        verdict.expect(recording.status >= 400 and error.upstream_status == recording.status, f"not understood: {error}")
        return
    entries: list[Json] = (body.get("data") or body.get("models") or []) if isinstance(body, dict) else body
    names = {(entry.get("id") or entry.get("name") or "").removeprefix("models/") for entry in entries}
    verdict.expect({*found.chat, *found.other} == names, f"names that differ: {sorted({*found.chat, *found.other} ^ names)[:5]}")

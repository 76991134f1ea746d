"""The checks of one exchange: through its own format, through each other one, and as an error."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from tests.replay import asking
from tests.replay.compare import Verdict, compare, difference, same_json
from tests.replay.readers import READERS, read_answer
from tests.replay.recordings import Recording
from tests.replay.stage import Got, Play, json_of
from tests.replay.told import CHAT, GEMINI, MESSAGES, RESPONSES, Json, Told, blocks, events

PROVIDER = {CHAT: "custom-openai", RESPONSES: "openai-responses", MESSAGES: "custom-anthropic", GEMINI: "custom-gemini"}


async def check(play: Play, verdict: Verdict) -> None:
    """Asks for a recording in a client's format and judges what comes."""
    recording, client = play.recording, play.client
    own = recording.format == client
    stream = recording.streamed or (recording.status >= 400 and "stream" in recording.path)
    address, asked = asking.recorded(recording, play.asked) if own else asking.plain(client, play.asked, stream=stream)
    got = await play.post(address, asked)
    if recording.failed:
        failure(recording, client, got, verdict)
    elif got.status != 200:
        verdict.wrong.append(f"status {got.status}: {got.body[:300]!r}")
    elif recording.breaks_off:
        _broken(recording, client, got, verdict)
    else:
        if own:
            _untouched(play, asked, got, verdict)
            _same(play, got, verdict)
        else:
            _translated(play, got, verdict)
        _headers(recording, got, verdict)
        _books(recording.told, got, verdict)


# ---------------------------------------------------------------- Its own format


def _untouched(play: Play, asked: Json, got: Got, verdict: Verdict) -> None:
    """The provider is sent what the client sent, but for the model's name and the question for usage."""
    if got.seen is None:
        verdict.wrong.append("the provider was not asked")
        return
    if play.recording.format == GEMINI:
        verdict.expect(play.served in got.seen.path, f"asked on {got.seen.path}")
        wanted = asked
    else:
        wanted = {**asked, "model": play.served}
    verdict.expect(same_json(got.seen.body, wanted), f"the request changed {difference(wanted, got.seen.body)}")


def _same(play: Play, got: Got, verdict: Verdict) -> None:
    recording = play.recording
    if not recording.streamed:
        same_whole(recording.raw, got.body, play.asked, verdict)
    elif recording.raw.lstrip().startswith(b"["):
        verdict.expect(same_json(json_of(got.body), json_of(recording.raw)), "the array differs")
    else:
        same_stream(recording, got.body, play.asked, verdict)


def same_whole(original: bytes, told: bytes, model: str | None, verdict: Verdict) -> None:
    try:
        fields, heard = (msgspec.json.decode(body, type=dict[str, msgspec.Raw]) for body in (original, told))
    except msgspec.DecodeError:
        verdict.expect(original == told, "the body differs")
        return
    if model is not None and "model" in fields:
        fields["model"] = msgspec.Raw(b'"%s"' % model.encode())
    verdict.expect(list(fields) == list(heard), f"fields {list(heard)}")
    for name, value in fields.items():
        if name in heard:
            verdict.expect(bytes(value) == bytes(heard[name]), f"{name}: {difference(bytes(value).decode(), bytes(heard[name]).decode())}")


_TERMINAL = {CHAT: b"data: [DONE]", MESSAGES: b'event: message_stop\ndata: {"type":"message_stop"}'}
_END = re.compile(rb"\[DONE\]|message_stop|response\.(completed|incomplete|failed)\b")


def same_stream(recording: Recording, told: bytes, model: str, verdict: Verdict) -> None:
    heard, said = ([block.rstrip(b"\r\n") for block in blocks(raw)] for raw in (told, recording.raw))
    if len(heard) == len(said) + 1 and heard[-1] == _TERMINAL.get(recording.format) and not any(map(_END.search, said[-1:])):
        heard.pop()  # the provider forgot its end
    ends = [number for number, block in enumerate(said) if _END.search(block.partition(b"data:")[2][:200])]
    if ends and len(said) > ends[0] + 1:
        # One fixture has two answers in a row: how much of the second one comes along is up to the network.
        said, heard = said[: ends[0] + 1], heard[: ends[0] + 1]
    verdict.expect(len(heard) == len(said), f"{len(said)} events, {len(heard)} came")
    for number, (one, other) in enumerate(zip(said, heard, strict=False)):
        if _named(one, model) != other and not _equal(one, other, model):
            verdict.wrong.append(f"event {number}: {difference(one.decode(), other.decode())}")
            return


_MODEL = re.compile(rb'("model"\s*:\s*)"[^"]*"')


def _named(block: bytes, model: str) -> bytes:
    """The block with the name that the client asked for, where it has exactly one."""
    return _MODEL.sub(rb'\1"%s"' % model.encode(), block) if len(_MODEL.findall(block)) == 1 else block


def _equal(one: bytes, other: bytes, model: str) -> bool:
    """Blocks that name the model several times, or in other blanks: all bytes but for the names, and as values."""
    if re.sub(_MODEL, b"", one) != re.sub(_MODEL, b"", other):
        return False
    said, heard = events(one), events(other)
    for event in said:
        value = event.data
        for place in (value, value.get("message"), value.get("response")) if isinstance(value, dict) else ():
            if isinstance(place, dict) and "model" in place:
                place["model"] = model
                break
    return [(event.name, event.data) for event in said] == [(event.name, event.data) for event in heard]


# ---------------------------------------------------------------- Another format


def _translated(play: Play, got: Got, verdict: Verdict) -> None:
    recording, client = play.recording, play.client
    reader = READERS[client]
    if recording.streamed:
        reader.check(events(got.body))
    heard = read_answer(client, got.body, streamed=recording.streamed)
    verdict.expect(heard.model == play.asked, f"the model is called {heard.model!r}")
    compare(recording.told, heard, client, verdict)


def _headers(recording: Recording, got: Got, verdict: Verdict) -> None:
    """A provider's rate limits are passed on under their own names."""
    for name, value in recording.headers.items():
        if "ratelimit" in name.lower():
            verdict.expect(got.headers.get(name.lower()) == value, f"header {name}: {got.headers.get(name.lower())!r}")


def _books(told: Told, got: Got, verdict: Verdict) -> None:
    """The ledger has what the provider told."""
    row = got.row
    verdict.expect((row.get("outcome"), row.get("http_status")) == ("ok", 200), f"the row says {row.get('outcome')}")
    booked = row.get("usage") or {}
    said = told.usage
    if not said.input or said.output is None:
        return  # what the provider did not count is counted here
    read = (booked.get("input") or 0) + (booked.get("cache_read") or 0) + (booked.get("cache_write") or 0)
    verdict.expect(booked.get("source") == "reported", f"the books say {booked.get('source')}")
    counts = (read, booked.get("output"), booked.get("cache_read") or 0, booked.get("cache_write") or 0)
    wanted = (said.input, said.output, said.cached or 0, said.written or 0)
    verdict.expect(counts == wanted, f"the books have {counts} instead of {wanted}")


# ---------------------------------------------------------------- Errors


_ACCOUNT = re.compile(
    r"api.key|quota|billing|rate.limit|User location|(model|deployment).{0,80}not (exist|found)", re.IGNORECASE | re.DOTALL
)
"""Words of a 400 or 404 that is not the caller's mistake: another account may well serve the request."""
_OWN_STATUS = (409, 413, 415, 422)
"""A provider's word for a caller's mistake that is worth more than a plain 400."""
_CLASS = {
    CHAT: ("type", "invalid_request_error", "service_unavailable"),
    RESPONSES: ("type", "invalid_request_error", "service_unavailable"),
    MESSAGES: ("type", "invalid_request_error", "api_error"),
    GEMINI: ("status", "INVALID_ARGUMENT", "UNAVAILABLE"),
}
"""Format → (field, word for the caller's mistake, word for an account's or the provider's failure)."""


def provider_words(recording: Recording) -> str:
    """The provider's own message, wherever its error has it."""
    body: Any = recording.told.error or json_of(recording.raw)
    while isinstance(body, list | dict):
        if isinstance(body, list):
            body = body[0]
            continue
        key = next((key for key in ("error", "message", "msg", "detail", "details") if body.get(key)), None)
        body = body[key] if key else ""
    return str(body or recording.raw.decode("utf-8", "replace").strip())


def failure(recording: Recording, client: str, got: Got, verdict: Verdict) -> None:
    body = json_of(got.body)
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict):
        verdict.wrong.append(f"no error of the format: {got.status} {got.body[:200]!r}")
        return
    if got.seen is None:  # what the provider refused then is refused by us
        verdict.expect(got.status == recording.status == 400 and error["message"], f"refused by us with {got.status}: {error['message']}")
        return
    inner, words = _inner(recording), provider_words(recording)
    status = inner.get("status_code") or (None if inner else recording.status)
    verdict.expect(words[:400].strip() in error["message"], f"words: {difference(words, error['message'])}")
    field, callers, accounts = _CLASS[client]
    if _callers(status, str(inner.get("code")), words):
        wanted = status if status in _OWN_STATUS else 400
        verdict.expect((got.status, error.get(field)) == (wanted, callers), f"the caller's mistake is a {got.status} {error.get(field)}")
    else:
        verdict.expect((got.status, error.get(field)) == (503, accounts), f"the account's fault is a {got.status} {error.get(field)}")
        failures = error.get("provider_failures") or [{}]
        verdict.expect(failures[0].get("status") == status and not failures[0].get("skipped"), f"the breakdown says {failures}")
    row = got.row
    verdict.expect((row.get("outcome"), row.get("http_status")) == ("failed", got.status), f"the row says {row.get('outcome')}")
    tried = [attempt["status"] for attempt in row.get("attempts", ())][:1]
    verdict.expect(tried == [status or recording.status], f"the attempt has the status {tried}")


def _callers(status: int | None, code: str, words: str) -> bool:
    """Whether it is the caller's own mistake."""
    if status is None:
        return "context_length" in code or "invalid" in code
    return status in (400, *_OWN_STATUS) and not _ACCOUNT.search(words)


def _inner(recording: Recording) -> Json:
    """The error object that comes inside a 200."""
    if recording.status >= 400:
        return {}
    told = [event.data for event in events(recording.raw)] if recording.streamed else [json_of(recording.raw)]
    places = [place for value in told if isinstance(value, dict) for place in (value, value.get("response")) if isinstance(place, dict)]
    return next((place["error"] for place in places if isinstance(place.get("error"), dict)), {})


def _broken(recording: Recording, client: str, got: Got, verdict: Verdict) -> None:
    """What was said stays said, the provider's words follow as the format's own error, and no proper end comes."""
    heard = read_answer(client, got.body, streamed=True)
    verdict.expect(heard.text == recording.told.text, f"text: {difference(recording.told.text, heard.text)}")
    verdict.expect(recording.told.error in heard.error, f"the error says {heard.error!r}")
    verdict.expect(not re.search(rb"\[DONE\]|message_stop|response\.completed", got.body), "it ends as if all were well")
    verdict.expect(got.row.get("outcome") == "cut", f"the row says {got.row.get('outcome')}")

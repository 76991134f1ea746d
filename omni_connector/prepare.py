"""One attempt made ready: what is sent to this account, and the lane its answer comes back through.

Five kinds of calls come this way: conversations (four formats, any to any), plain completions, embeddings (two formats), pictures
to be read, and endpoints whose bytes only pass (images, audio, moderations, rerank). `Preparer.prepare` picks the kind; each kind says what
an account must speak for it. What an account cannot be asked raises `Unable`: the next one may.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import field, replace

from omni_connector import catalog, continuing, providers
from omni_connector.call import Call
from omni_connector.chat import ChatRequest, Json, Origin, Rendered, Target
from omni_connector.errors import GatewayError, Kind, bad_request
from omni_connector.lanes import Gathered, Lane, PassThrough, Raw, Recognised, Translated, Vectors
from omni_connector.providers import aliyun_ocr
from omni_connector.providers.addresses import PASSED_ON
from omni_connector.providers.remembered import Remembered
from omni_connector.routing.resolve import Candidate
from omni_connector.snapshot import Account
from omni_connector.upstream import UpstreamRequest
from omni_connector.values import dataclass, quick
from omni_connector.wire import (
    EMBEDDINGS,
    FORMATS,
    always_streams,
    call_marks,
    levels,
    media_urls,
    ocr,
    parse_request,
    passing,
    raw,
    upstream_path,
    views,
)
from omni_connector.wire import openai_responses_codex as codex
from omni_connector.wire import openai_responses_state as state

Media = Mapping[str, tuple[str, str]]
"""URL → (media type, base64)."""

MEDIA = frozenset({"vision", "documents", "audio"})
COMPLETIONS, EMBED = "/completions", "embeddings"
JSON = "application/json"
NO_ENDPOINT = frozenset({404, 405, 501})
"""Status with which a provider says, in no words about the model, that it has no such endpoint."""
ABOUT_THE_MODEL = frozenset({Kind.UPSTREAM_MODEL_MISSING, Kind.ACCOUNT_FORBIDDEN})
"""What says nothing about conversations when it is said of another endpoint: a model that converses cannot embed."""
NO_ENDPOINT_S = 600.0
"""Seconds for which an answer that there is no such endpoint is believed."""
MOST_KEPT = 16 << 20
"""Bytes of a request whose answer is kept at most: a client key must not be able to fill the disk with a few requests."""
STORING = "stored_responses"
"""The feature of providers that keep answers themselves and take `previous_response_id`."""
THEIRS = "theirs"
"""In the kept value of an answer: its id is the provider's own, so that the account knows it by that. Other ids are made here."""
EMBEDDING_WIRE: Mapping[str, str] = {
    "openai-chat": "openai-embeddings",
    "openai-responses": "openai-embeddings",
    "gemini-generate": "gemini-embeddings",
}
"""What an account speaks → how embeddings are asked for there."""
CHAT_WIRE: Mapping[str, str] = {
    "openai-completions": "openai-chat",
    "openai-embeddings": "openai-chat",
    "gemini-embeddings": "gemini-generate",
}
"""The format of a call that is no conversation → the conversation format of the same family."""


class Unable(Exception):
    """This candidate cannot be tried: its format cannot say the request, or it is not free any more. Another one may."""

    def __init__(self, error: GatewayError) -> None:
        super().__init__(str(error))
        self.error = error


class NoEndpoint(Unable):
    """The provider answered that it has no such endpoint. The account is fine, and may be able to serve in another way."""


@quick(frozen=True, slots=True)
class Prepared:
    """`wire`: the format whose errors the upstream speaks. `stream`: whether its answer comes as a stream, which is what the
    client wants except for providers that always stream. `dropped`: what could not be said there."""

    lane: Lane
    request: UpstreamRequest
    wire: str
    stream: bool
    dropped: tuple[str, ...] = ()
    endpoint: str = ""
    """What not every provider of this format has ("/completions"); "" for conversations."""
    refusal: Callable[[int, Mapping[str, str], bytes], GatewayError] | None = None
    """Reads an error answer, where the upstream speaks no format of `wire.FORMATS`."""


@dataclass(slots=True)
class Asked:
    """One call while it is offered to one account after the other. What is worked out for one is kept for the next."""

    call: Call
    view: views.View
    tokens: int | None = None
    """Of the body, as estimated; None until somebody asked."""
    conversation: str = ""
    """The name of the conversation that it is a turn of (`affinity.fingerprint`), "" until it is planned and where nothing tells."""
    earlier: Sequence[state.Kept] = ()
    """The answers that `previous_response_id` leads to, oldest first, as far as we keep them."""
    joined: bytes | None = None
    """The body with the earlier conversation in it, once somebody needed it."""
    request: ChatRequest | None = None
    picture: ocr.OcrRequest | None = None
    """What is to be read, of a call that asks for that."""
    marked: bool = False
    forgotten: bool = False
    """The encrypted thoughts in it are left out: somebody could not read them."""
    media: dict[str, tuple[str, str]] = field(default_factory=dict)
    unfetched: dict[tuple[str, ...], GatewayError] = field(default_factory=dict)
    """What could not be had: ten accounts of one provider are no reason to wait for it ten times."""

    def forgets(self, error: GatewayError) -> bool:
        """Whether it may be said once more, to the same account, without the encrypted thoughts that this one could not read."""
        if self.forgotten or error.code != codex.UNREADABLE:
            return False
        self.forgotten = True
        return True


@dataclass(frozen=True, slots=True)
class Sources:
    """What making a request ready may need of the rest of the house, as plain callables."""

    endpoints: Callable[[], providers.Endpoints]
    keeping: Callable[[], bool]
    """Whether answers of the Responses format are kept."""
    earlier: Callable[[str, str], Awaitable[Sequence[state.Kept]]]
    """(client key id, response id) → that answer and those before it, oldest first; empty when we do not have it."""
    marks: Callable[[str, Sequence[str]], Awaitable[Mapping[str, call_marks.Mark]]]
    """(client key id, tool call ids) → what their format had no field for."""
    media: Callable[[Sequence[str]], Awaitable[Media]]
    """Fetches pictures and documents. Raises GatewayError (BAD_REQUEST)."""
    continuing: Callable[[], bool] = lambda: False
    """Whether another account goes on with a stream that broke off."""
    clock: Callable[[], float] = time.time
    nonce: Callable[[], str] = lambda: uuid.uuid4().hex
    """Unix seconds, and a word never used before: what a signed request is made of."""


class Preparer:
    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._without: dict[tuple[str, str, str], float] = {}
        """(account id, its address, endpoint) that was answered with "no such endpoint" → until when that is believed."""

        self._with: set[tuple[str, str, str]] = set()
        """The same places, when they were seen to be there."""
        self._endpoints: providers.Endpoints = {}
        self._urls: Remembered[str] = Remembered()
        self._headers: Remembered[Mapping[str, str]] = Remembered()

    def note_there(self, candidate: Candidate, prepared: Prepared) -> None:
        """The endpoint has answered: a 404 from it will be about a voice or a file, so about one request."""
        if prepared.endpoint:
            self._with.add(_place(candidate.account, prepared.endpoint))

    def note_missing(self, candidate: Candidate, prepared: Prepared, error: GatewayError) -> bool:
        """Whether this failure means that the provider has no such endpoint; then, for a while, the account is not asked for it."""
        says_so = error.kind is Kind.UPSTREAM_FAILED and error.upstream_status in NO_ENDPOINT
        if not prepared.endpoint or not says_so or _place(candidate.account, prepared.endpoint) in self._with:
            return False
        now = time.monotonic()
        self._without = {key: until for key, until in self._without.items() if until > now}
        self._without[_place(candidate.account, prepared.endpoint)] = now + NO_ENDPOINT_S
        return True

    def _lacks(self, account: Account, endpoint: str) -> bool:
        return self._without.get(_place(account, endpoint), 0.0) > time.monotonic()

    async def look(self, call: Call) -> Asked:
        """Check a call and gather what it refers to. Raises GatewayError (BAD_REQUEST with `param`)."""
        if call.wire == ocr.NAME:
            picture = ocr.parse_request(call.body, call.headers.get("content-type", "application/json"))
            return Asked(call, views.View(picture.model, False, False, {}, False), picture=picture)
        view = views.look(call.wire, call.body, call.model, call.stream) if call.wire in views.WIRES else _look_at_raw(call)
        asked = Asked(call, view)
        if view.previous:
            asked.earlier = await self._sources.earlier(call.key.id, view.previous)
        return asked

    def passing(self, asked: Asked, candidate: Candidate) -> Prepared | None:
        """What `prepare` gives of a conversation that passes as it is, for which nothing has to be waited for; None of all others.
        Raises Unable."""
        return self._passed(asked, candidate) if asked.call.wire in FORMATS else None

    async def prepare(self, asked: Asked, candidate: Candidate, broken: continuing.Broken | None = None) -> Prepared:
        """Raises Unable when this candidate cannot be asked, GatewayError when nobody can. `broken`: the answer to go on with."""
        wire = asked.call.wire
        if broken is not None:
            return await self._translated(asked, candidate, providers.facing(candidate.account, wire), broken)
        if wire in FORMATS:
            return await self._conversation(asked, candidate)
        if wire == "openai-completions":
            return await self._completion(asked, candidate)
        if wire in EMBEDDINGS:
            return self._embedding(asked, candidate)
        if asked.picture is not None:
            return self._reading(asked, candidate, asked.picture)
        return self._raw(asked, candidate)

    # ------------------------------------------------------------ conversations

    async def _conversation(self, asked: Asked, candidate: Candidate) -> Prepared:
        passed = self._passed(asked, candidate)
        if passed is not None:
            return passed
        return await self._translated(asked, candidate, providers.facing(candidate.account, asked.call.wire))

    def _passed(self, asked: Asked, candidate: Candidate) -> Prepared | None:
        """None: it has to be translated."""
        call, view = asked.call, asked.view
        account = providers.facing(candidate.account, call.wire)
        body = self._with_earlier(asked, account)
        sealed = view.sealed or (body is asked.joined and views.is_sealed(call.wire, body))
        passes = account.wire == call.wire and not sealed and not asked.forgotten and not _speaks_its_own_way(account)
        if passes and not self._bytes_wanted(asked, account):
            return self._passing(asked, candidate, account, body)
        return None

    def _bytes_wanted(self, asked: Asked, account: Account) -> bool:
        """Media are given by URL to a provider that fetches none: the body cannot pass as it is."""
        if "bytes_only" not in account.features or not MEDIA & asked.view.needs.keys():
            return False
        try:
            request = self._parsed(asked)
        except GatewayError as error:
            raise Unable(error) from error
        return bool(media_urls.urls_needed(request, account.wire, account.features))

    def _with_earlier(self, asked: Asked, account: Account) -> bytes:
        """The body as this account can understand it: who keeps the earlier answer itself is only reminded of it."""
        previous = asked.view.previous
        if not previous:
            return asked.call.body
        keeps = STORING in account.features and account.wire == asked.call.wire and not asked.view.sealed
        last = asked.earlier[-1] if asked.earlier else None
        if keeps and (last is None or (last.account_id == account.id and last.value.get(THEIRS))):
            return asked.call.body
        if asked.joined is None:
            try:
                asked.joined = views.encode(state.joined(views.decode(asked.call.body), asked.earlier))
            except GatewayError as error:
                raise Unable(error) from error
            asked.request, asked.marked = None, False
        return asked.joined

    def _passing(self, asked: Asked, candidate: Candidate, account: Account, body: bytes) -> Prepared:
        call, view = asked.call, asked.view
        name = view.model or candidate.model
        hide = view.stream and not view.include_usage and "stream_options" in account.features
        dropped: dict[str, None] = {}
        if candidate.level:
            body = levels.with_level(call.wire, body, candidate.level, _target(account, candidate), dropped)
        other = candidate.model if candidate.model != view.model else None
        body = passing.request_body(call.wire, body, model=other, ask_usage=hide)
        keep = call.wire == "openai-responses" and view.store and self._sources.keeping()
        lane: Lane = PassThrough(call.wire, model=name, hide_usage=hide, keep=keep, as_array=call.as_array and view.stream)
        if view.stream and (told := self._told(asked, account, candidate)):
            lane = told
        path = upstream_path(account.wire, candidate.model, view.stream)
        return Prepared(lane, self._outgoing(call, account, path, body), account.wire, view.stream, tuple(dropped))

    def _told(self, asked: Asked, account: Account, candidate: Candidate, request: ChatRequest | None = None) -> continuing.Told | None:
        """The lane of an answer that others may go on with; None where the setting is off or the request asks for more than text."""
        call = asked.call
        if not self._sources.continuing() or not continuing.speaks(call.wire):
            return None
        try:
            request = request or self._parsed(asked)
        except GatewayError:
            return None  # what cannot be said in other formats can only pass as it is
        if not continuing.is_wanted(request):
            return None
        name, origin = asked.view.model or candidate.model, Origin(account.provider, candidate.model)
        return continuing.Told(account.wire, call.wire, name, request, origin, as_array=call.as_array, answer_id=_answer_id(call))

    async def _translated(self, asked: Asked, candidate: Candidate, account: Account, broken: continuing.Broken | None = None) -> Prepared:
        call, view = asked.call, asked.view
        target = _target(account, candidate)
        try:
            request = await self._complete(asked, account)
            if broken is not None:
                request = continuing.onward(request, broken.lane.sent.text, broken.reading.usage.output or 0)
            if candidate.level:
                request = replace(request, thinking=levels.wish(candidate.level, request.thinking.show if request.thinking else None))
            rendered = FORMATS[account.wire].render_request(request, candidate.model, target)
            body, dropped = _with_level(account.wire, rendered, candidate.level, target)
            if _is_command(account):
                dropped = tuple(dict.fromkeys((*dropped, *providers.commands.unheard(views.decode(body)))))
        except GatewayError as error:
            raise Unable(error) from error
        name = view.model or candidate.model
        if view.previous:  # written out for the provider, named to the client
            request = state.naming(request, view.previous)
        stream = view.stream or _always_streams(account, view)
        lane: Lane
        if broken is not None:
            lane = broken.lane.continued(account.wire, target.origin, broken.reading.usage)
        elif stream and not view.stream:
            lane = Gathered(account.wire, call.wire, name, request, target.origin, answer_id=_answer_id(call))
        elif view.stream and (told := self._told(asked, account, candidate, request)):
            lane = told
        else:
            as_array = call.as_array and view.stream
            lane = Translated(account.wire, call.wire, name, request, target.origin, as_array=as_array, answer_id=_answer_id(call))
        path = upstream_path(account.wire, candidate.model, stream)
        return Prepared(lane, self._outgoing(call, account, path, body), account.wire, stream, dropped)

    async def _complete(self, asked: Asked, account: Account) -> ChatRequest:
        """The canonical request with all that the target needs and the client could not say: the earlier conversation, what its
        format has no field for, and the bytes of media that are given by URL."""
        request = codex.without_secrets(self._parsed(asked)) if asked.forgotten else self._parsed(asked)
        if not asked.marked:
            asked.marked = True
            if wanted := call_marks.wanted(request):
                request = asked.request = call_marks.restore(request, await self._sources.marks(asked.call.key.id, wanted))
        urls = media_urls.urls_needed(request, account.wire, account.features)
        if missing := tuple(url for url in urls if url not in asked.media):
            if missing in asked.unfetched:
                raise asked.unfetched[missing]
            try:
                asked.media.update(await self._sources.media(missing))
            except GatewayError as error:
                error.param = error.param or media_urls.place_of(request, missing[0])
                asked.unfetched[missing] = error
                raise
        return media_urls.with_bytes(request, {url: asked.media[url] for url in urls}) if urls else request

    @staticmethod
    def _parsed(asked: Asked) -> ChatRequest:
        """The canonical request, parsed once, when somebody first needs it."""
        if asked.request is None:
            body = views.decode(asked.joined or asked.call.body)
            asked.request = parse_request(asked.call.wire, body, asked.view.model, asked.view.stream)
        return asked.request

    def telling(self, asked: Asked, candidate: Candidate) -> Translated:
        """The lane for a provider that ignored `stream`: its whole answer, told as the client's events."""
        call = asked.call
        wire = providers.facing(candidate.account, CHAT_WIRE.get(call.wire, call.wire)).wire
        origin = Origin(candidate.account.provider, candidate.model)
        name = asked.view.model or candidate.model
        try:
            request = self._parsed(asked)
        except GatewayError:
            # It passed, and was answered: what cannot be said in other formats is no reason to throw the answer away.
            request = ChatRequest(call.wire, name, (), stream=True, include_usage=asked.view.include_usage)
        return Translated(wire, call.wire, name, request, origin, as_array=call.as_array, answer_id=_answer_id(call))

    # ------------------------------------------------------------ plain completions

    async def _completion(self, asked: Asked, candidate: Candidate) -> Prepared:
        """Providers that complete a prompt get it as it is; a chat model gets it as a user's message."""
        call, view = asked.call, asked.view
        account = providers.facing(candidate.account, CHAT_WIRE[call.wire])
        words = account.features | catalog.profile(candidate.model)
        lacking = "completions" not in words or self._lacks(account, COMPLETIONS)
        if account.wire != "openai-chat" or lacking or candidate.level:
            return await self._translated(asked, candidate, account)
        hide = view.stream and not view.include_usage and "stream_options" in words
        other = candidate.model if candidate.model != view.model else None
        body = passing.request_body(call.wire, call.body, model=other, ask_usage=hide)
        lane = PassThrough(call.wire, model=view.model or candidate.model, hide_usage=hide)
        return Prepared(lane, self._outgoing(call, account, COMPLETIONS, body), account.wire, view.stream, endpoint=COMPLETIONS)

    # ------------------------------------------------------------ embeddings

    def _embedding(self, asked: Asked, candidate: Candidate) -> Prepared:
        call, view = asked.call, asked.view
        account = providers.facing(candidate.account, CHAT_WIRE[call.wire])
        wire = EMBEDDING_WIRE.get(account.wire)
        if wire is None or self._lacks(account, EMBED) or "codex_backend" in account.features:
            raise Unable(_not_offered(account, EMBED))
        name = view.model or candidate.model
        theirs = EMBEDDINGS[wire]
        if wire == call.wire == "openai-embeddings":
            # As it is: some hosts embed more than texts, in more than two encodings.
            other = candidate.model if candidate.model != view.model else None
            body = passing.request_body(wire, call.body, model=other, ask_usage=False)
            return self._vectors_pass(call, account, name, theirs.path(candidate.model, False), body)
        try:
            request = EMBEDDINGS[call.wire].parse_request(views.decode(call.body), name)
            if wire == call.wire and candidate.model == view.model:
                return self._vectors_pass(call, account, name, theirs.path(candidate.model, request.is_batch(wire)), call.body)
            rendered = theirs.render_request(request, candidate.model, account.features)
        except GatewayError as error:
            raise Unable(error) from error
        path = theirs.path(candidate.model, request.is_batch(wire))
        outgoing = self._outgoing(call, account, path, views.encode(rendered.body))
        return Prepared(Vectors(wire, call.wire, name, request), outgoing, account.wire, False, rendered.dropped, EMBED)

    def _vectors_pass(self, call: Call, account: Account, name: str, path: str, body: bytes) -> Prepared:
        lane = PassThrough(call.wire, model=name, hide_usage=False)
        return Prepared(lane, self._outgoing(call, account, path, body), account.wire, False, endpoint=EMBED)

    # ------------------------------------------------------------ pictures to be read

    def _reading(self, asked: Asked, candidate: Candidate, picture: ocr.OcrRequest) -> Prepared:
        account = candidate.account
        if account.wire != aliyun_ocr.WIRE:
            raise Unable(_not_offered(account, ocr.PATH))
        provider = providers.get(account.provider)
        base = providers.base_url(provider, account, self._sources.endpoints())
        try:
            built = aliyun_ocr.build(base, account.access, picture, candidate.model, self._sources.clock(), self._sources.nonce())
        except GatewayError as error:
            raise Unable(error) from error
        headers = {**providers.request_headers(provider, account), "accept-encoding": "identity", **built.headers}
        answer_id = f"ocr_{asked.call.id.removeprefix('req_')}"
        lane = Recognised(aliyun_ocr.parse_answer, asked.view.model or candidate.model, answer_id, picture.page)
        request = UpstreamRequest("POST", built.url, headers, built.body, account.proxy_url)
        return Prepared(lane, request, account.wire, False, picture.ignored, refusal=aliyun_ocr.parse_error)

    # ------------------------------------------------------------ bytes only

    def _raw(self, asked: Asked, candidate: Candidate) -> Prepared:
        call = asked.call
        kind = raw.RAW[call.endpoint]
        account = providers.facing(candidate.account, "openai-chat")
        if account.wire not in kind.wires or self._lacks(account, kind.upstream_path):
            raise Unable(_not_offered(account, kind.upstream_path))
        content_type = call.headers.get("content-type", "application/json")
        body = call.body
        if candidate.model != asked.view.model:
            body = raw.with_model(body, content_type, candidate.model)
        outgoing = self._outgoing(call, account, kind.upstream_path, body, content_type)
        return Prepared(Raw(), outgoing, account.wire, asked.view.stream, endpoint=kind.upstream_path)

    def _outgoing(self, call: Call, account: Account, path: str, body: bytes, content_type: str = JSON) -> UpstreamRequest:
        provider = providers.get(account.provider)
        endpoints = self._sources.endpoints()
        if endpoints is not self._endpoints:  # new with each configuration, in which accounts may be gone
            self._endpoints, self._urls, self._headers = endpoints, Remembered(), Remembered()
        url = self._urls.of(account, path, lambda: providers.endpoint(provider, account, path, endpoints))
        same = account.wire == CHAT_WIRE.get(call.wire, call.wire)
        if same and not PASSED_ON.isdisjoint(call.headers):
            headers = _framed(providers.request_headers(provider, account, call.headers), content_type)
        elif content_type == JSON:
            headers = self._headers.of(account, JSON, lambda: _framed(providers.request_headers(provider, account), JSON))
        else:
            headers = _framed(self._headers.of(account, "", lambda: providers.request_headers(provider, account)), content_type)
        return UpstreamRequest("POST", url, headers, body, account.proxy_url, providers.local_options(account))


def _framed(headers: Mapping[str, str], content_type: str) -> Mapping[str, str]:
    return {**headers, "content-type": content_type, "accept-encoding": "identity"}


def is_about_endpoint(prepared: Prepared, error: GatewayError) -> bool:
    """Whether a failure is the endpoint's or the request's own, and no reason to take conversations from the account."""
    return bool(prepared.endpoint) and (error.kind in ABOUT_THE_MODEL or error.upstream_status in NO_ENDPOINT)


def kept_rows(asked: Asked, lane: Lane, *, keeping: bool) -> list[Json]:
    """What an answer leaves behind for later requests, as rows without their owner: the answer itself, for
    `previous_response_id`; and for each tool call what the client's format could not carry."""
    rows: list[Json] = []
    view = asked.view
    wanted = asked.call.wire == "openai-responses" and view.store and keeping and len(asked.call.body) <= MOST_KEPT
    if wanted and lane.final is not None:
        value = {**state.stored(lane.final, views.decode(asked.call.body)), THEIRS: isinstance(lane, PassThrough)}
        rows.append({"kind": "response", "id": lane.final["id"], "previous_id": view.previous or None, "value": value})
    if isinstance(lane, Translated):
        marks = lane.marks().items()
        rows += [{"kind": "call", "id": name, "previous_id": None, "value": call_marks.to_json(mark)} for name, mark in marks]
    return rows


def _answer_id(call: Call) -> str:
    """Answers that can be asked for by their id get one of ours: other formats' ids need not be unique. "" leaves the provider's."""
    return call.id.removeprefix("req_") if call.wire == "openai-responses" else ""


def _look_at_raw(call: Call) -> views.View:
    kind = raw.RAW[call.endpoint]
    model, stream = raw.look(call.body, call.headers.get("content-type", "application/json"), kind)
    # A sound is passed on as it comes, so that it can be heard while it is made.
    return views.View(model, stream or kind.binary, False, {}, False)


def _target(account: Account, candidate: Candidate) -> Target:
    return Target(
        Origin(account.provider, candidate.model),
        account.features | catalog.profile(candidate.model),
        catalog.max_output(candidate.model),
        providers.project(account),
    )


def _with_level(wire: str, rendered: Rendered, level: str, target: Target) -> tuple[bytes, tuple[str, ...]]:
    """Body and dropped names. A level in the model's name is the user's own word, so it is said in the format's own field even
    where nothing is known of the model."""
    body = views.encode(rendered.body)
    if not level:
        return body, rendered.dropped
    dropped = {name: None for name in rendered.dropped if name != "thinking"}
    return levels.with_level(wire, body, level, target, dropped), tuple(dropped)


def _is_command(account: Account) -> bool:
    """A command hears little of a request, so what it does not hear has to be named."""
    row = providers.PROVIDERS.get(account.provider)
    return row is not None and row.command


def _speaks_its_own_way(account: Account) -> bool:
    """It speaks a client's format so differently that a body of it cannot pass: the ChatGPT backends, and programs."""
    return "codex_backend" in account.features or _is_command(account)


def _always_streams(account: Account, view: views.View) -> bool:
    """The provider knows no whole answers, and one is wanted."""
    return always_streams(account.wire, account.features) and not view.stream


def _place(account: Account, endpoint: str) -> tuple[str, str, str]:
    return account.id, account.base_url, endpoint


def _not_offered(account: Account, what: str) -> GatewayError:
    return bad_request(
        f"{providers.get(account.provider).label} ({account.label}) has no {what}. Name a model of another provider.", "model"
    )

"""omni-connector's ASGI app, in reading order:

    Settings → App & hooks → Errors → Client API → Onboarding → Keys → Admin API → Live events → Pages → Jobs → main

Every route, hook and page is wired here; what they do lives in `omni_connector/`, which never imports quart. The client
API's POSTs are served by lean ASGI code mounted ahead of Quart's request machinery (`ClientApi`): same rules, less work.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import hashlib
import hmac
import ipaddress
import json
import logging
import os
import re
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from quart import Quart, Request, Response, request
from quart.routing import QuartRule
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from omni_connector import __version__, auth, hosted, logs, loopback, nodes, secrets, server, settings
from omni_connector.admin import following, now_ms, sheets, uploads
from omni_connector.call import Call, Headers, client_name, error_answer, header_text, lower
from omni_connector.connections import SAYS, TELLS_END
from omni_connector.counting import COUNTERS
from omni_connector.errors import GatewayError, Kind, bad_request
from omni_connector.gateway import Gateway
from omni_connector.listeners import Side, is_loopback, is_loopback_name
from omni_connector.metrics import CONTENT_TYPE
from omni_connector.onboarding import CALLBACK_PATHS
from omni_connector.paths import Route, client_route, wire_of
from omni_connector.planning import provider_named
from omni_connector.relay import LEFT
from omni_connector.root import ROOT
from omni_connector.routing.resolve import ModelName
from omni_connector.scraping import scrape
from omni_connector.serving import App
from omni_connector.snapshot import ClientKey
from omni_connector.store import settings as setting_rows
from omni_connector.tries import Tries
from omni_connector.wire import model_lists, views
from omni_connector.wire import openai_responses_state as responses
from omni_connector.within import Within

log = logging.getLogger("omni.app")
Json = dict[str, Any]
Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

# ================================================================ Settings

CLIENT_PATH = re.compile(r"/(?!api/)([^/]+/)?v1(beta)?/(?!/*router(/|$))")
"""The client API, which has keys of its own; everything else is the dashboard's side."""
ADMIN_PATH = re.compile(r"/api|/+([^/]+/+)?v1(beta)?/+router(/|$)|/+(provider_health|metrics)(/|$)")
"""What only the admin key or a session opens. `/v1/router` is the admin API under OneAPI's names, wherever it might be asked for."""

BOTH_SIDES = ("/health", "/ready", "/openapi.json")
CLIENT_PAGES = ("/api/hello", "/llms.txt")
"""What clients ask for beside the client API, when the listeners are split."""

MONITOR_PATHS = ("/provider_health", "/metrics")
"""What a monitoring system's own key opens, to look."""

SESSION_COOKIE = "omni_session"
SIGN_IN_COOKIE = "omni_sign_in"
"""Proves to the page a provider comes back to that this browser began the sign-in: the session's own cookie stays at home then."""
SIGN_IN_S = 1200
SESSION_DAYS = 30
LINK_S = 60
LINK = "link "
REFUSAL_S = 10
"""Seconds that a refused client is given to finish sending."""
BODY_S = 60
"""Seconds of silence that end a request whose body has not come, and what a body gets beside its share at SLOWEST."""
SLOWEST = 16 * 1024
"""Bytes per second: who dribbles his body slower than that, to hold us up, is not waited for."""
LOGIN_BYTES = 64 * 1024
"""A password's body: it is read before anybody is known."""
SHOWN_PATH = 200
TURN_S = 30
"""Seconds after which a clock outside (POST /api/jobs/tick) begins no further job, where it does not say."""

FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")
"""Headers with which a proxy says that the request comes from somewhere else."""

NO_SNIFFING = (b"x-content-type-options", b"nosniff")
SECURITY_HEADERS: Mapping[str, str] = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "manifest-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


# ================================================================ App & hooks


class Rule(QuartRule):
    """A route whose way back, from values to an address, is compiled when somebody asks for it (`url_for`; nobody does): werkzeug compiles
    two programs for each of 140 routes, 30 ms of a start."""

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        late = super()._compile_builder

        def build(rule: Rule, **values: Any) -> tuple[str, str]:
            found: tuple[str, str] = late(append_unknown).__get__(rule, None)(**values)
            return found

        return build


class Site(Quart):
    url_rule_class = Rule


def create_app(gateway: Gateway) -> Quart:
    """The Quart app of one gateway, client API included. `gateway` is open; its life is the caller's."""
    app = Site("omni-connector", root_path=str(ROOT), static_folder=str(ROOT / "static"), static_url_path="/static")
    app.config.update(
        MAX_CONTENT_LENGTH=16 * 1024 * 1024,
        BODY_TIMEOUT=60,
        RESPONSE_TIMEOUT=None,  # Quart's 60 s would cut every event stream
        SEND_FILE_MAX_AGE_DEFAULT=None,  # ETag and 304: an update is seen at once
    )
    app.request_class = request_class(gateway)
    guard = Guard(gateway)
    app.before_request(guard.check)
    gateway.sight.followers.append(guard.follow)

    @app.after_request
    async def harden(response: Response) -> Response:
        for name, value in SECURITY_HEADERS.items():
            response.headers.setdefault(name, value)
        if request.path.startswith("/v1") or ADMIN_PATH.match(request.path):
            response.headers.setdefault("cache-control", "no-store")
        return response

    add_errors(app)
    add_client_routes(app, gateway)
    add_sessions(app, gateway, guard)
    add_sign_ins(app, gateway, guard)
    add_transfers(app, gateway, guard)
    add_account_routes(app, gateway)
    add_key_routes(app, gateway)
    add_program_routes(app, gateway)
    add_admin_routes(app, gateway)
    add_events(app, gateway)
    add_pages(app, gateway, guard)
    add_job_routes(app, gateway)
    app.asgi_app = ClientApi(gateway, app.asgi_app)  # type: ignore[assignment, arg-type]
    return app


def request_class(gateway: Gateway) -> type[Request]:
    """Requests whose body may be as large on the client API as where it is answered: what can be sent can be counted."""

    class Sized(Request):
        def __init__(self, method: str, scheme: str, path: str, *more: Any, **named: Any) -> None:
            if CLIENT_PATH.match(path):
                named["max_content_length"] = gateway.settings.body_limit_mb << 20
            elif path == "/api/login":
                named["max_content_length"] = LOGIN_BYTES
            super().__init__(method, scheme, path, *more, **named)

    return Sized


class Guard:
    """Who may see the dashboard and the admin API (CONTRACT §3): Host, peer, admin key, session, CSRF token, Origin."""

    OPEN = ("/health", "/ready", "/static/", "/favicon.ico", "/llms.txt", "/openapi.json")
    SESSION_FREE = ("/api/session", "/api/login", "/api/hello")

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._tries = Tries(gateway.db, gateway.db.shared(now_ms), lambda: gateway.spill.away)
        self.password_hash = ""
        self.epoch = 0
        self._admin_key = ""
        self._loaded = -1
        """The version of the configuration that the password is of: another process may change it."""

    async def load(self) -> None:
        """The password and the session epoch, from the database."""

        version = self._gateway.snapshot.version

        def read(conn: Any) -> tuple[str, str]:
            return setting_rows.get_meta(conn, "admin_password") or "", setting_rows.get_meta(conn, "session_epoch") or "0"

        self.password_hash, epoch = await self._gateway.db.run(read)
        admin_key = self._gateway.admin_key
        if self._loaded >= 0 and (self.epoch, self._admin_key) != (int(epoch), admin_key):
            self._gateway.live.send_away()  # what is open was opened with a session or a key that has ended
        self.epoch, self._admin_key = int(epoch), admin_key
        self._loaded = version

    def follow(self, _: settings.Settings) -> None:
        """The configuration has moved: sessions may have ended, by this process or another one."""
        self._gateway.background(self.load())

    async def check(self) -> None:
        """Quart's before_request: returns to let the request in, raises GatewayError to refuse it."""
        path = request.path
        if ADMIN_PATH.match(path) or CLIENT_PATH.match(path):
            await self._gateway.catch_up()
        if self._loaded != self._gateway.snapshot.version:
            await self.load()
        if path in ("/health", "/ready") or CLIENT_PATH.match(path):
            return  # the client API has its own key
        self._check_host()
        self._check_peer()
        if path.startswith(self.OPEN) or path in self.SESSION_FREE or not ADMIN_PATH.match(path):
            if path == "/api/login":
                self.check_origin()
            return
        self._authenticate()

    def _check_host(self) -> None:
        """A page of another site must not reach us under its own name (DNS rebinding)."""
        host = host_name()
        if is_loopback_name(host) or self._gateway.settings.allow_remote:
            return
        raise Refusal(421, f"This dashboard does not answer to the host name {host[:100]!r}. Use http://localhost:{self._port()}.")

    def _check_peer(self) -> None:
        if is_here() or self._gateway.settings.allow_remote:
            return
        raise GatewayError(Kind.FORBIDDEN, "The dashboard is open to this machine only. Set OMNI_ALLOW_REMOTE=1 and a password for others.")

    def _port(self) -> str:
        return request.host.rpartition(":")[2] if request.host.rpartition(":")[2].isdecimal() else str(self._gateway.settings.port)

    def _authenticate(self) -> None:
        header = request.headers.get("authorization", "")
        if header:
            token = header.partition(" ")[2].strip() if header.lower().startswith("bearer ") else header.strip()
            if hmac.compare_digest(token.encode(), self._gateway.admin_key.encode()):
                return
            monitor = self._gateway.settings.monitor_key
            if monitor and request.path in MONITOR_PATHS and hmac.compare_digest(token.encode(), monitor.encode()):
                return
            raise GatewayError(
                Kind.UNAUTHENTICATED, "That is not the admin key. It stands in admin.key of OMNI_HOME.", code="invalid_admin_key"
            )
        claims = self.session()
        if claims is None:
            raise GatewayError(
                Kind.UNAUTHENTICATED, "Sign in on the dashboard, or send `Authorization: Bearer <admin key>`.", code="no_session"
            )
        if request.method in ("GET", "HEAD"):
            return
        self.check_origin()
        if not hmac.compare_digest(request.headers.get("x-csrf-token", "").encode(), self.csrf(claims).encode()):
            raise GatewayError(Kind.FORBIDDEN, "The CSRF token is missing or old. Reload the page.", code="csrf")

    def check_origin(self) -> None:
        """State changes come from our own pages only."""
        origin = request.headers.get("origin")
        if origin is not None and host_of(origin) != request.host:
            raise GatewayError(Kind.FORBIDDEN, "This change comes from another site's page and is refused.", code="origin")
        if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            raise GatewayError(Kind.FORBIDDEN, "This change comes from another site's page and is refused.", code="origin")

    # ------------------------------------------------------------ sessions

    def _secret(self) -> str:
        return hashlib.sha256(b"omni session\0" + self._gateway.admin_key.encode()).hexdigest()

    def login_needed(self) -> bool:
        """On this machine, without a password, the dashboard opens by itself; from anywhere else nothing does."""
        return bool(self.password_hash) or not (is_here() and is_loopback_name(host_name()))

    def new_session(self) -> str:
        now = int(time.time())
        claims = {
            "sub": "owner",
            "iss": "omni-connector",
            "aud": "dashboard",
            "iat": now,
            "exp": now + SESSION_DAYS * 86400,
            "jti": secrets.new_id("ses"),
            "epoch": self.epoch,
            "password": bool(self.password_hash),
        }
        from jose import jwt  # here, because it imports all of cryptography, and most processes never see the dashboard

        return str(jwt.encode(claims, self._secret(), algorithm="HS256"))

    def session(self) -> Json | None:
        """The claims of a valid session cookie."""
        token = request.cookies.get(SESSION_COOKIE)
        if not token:
            return None
        from jose import JWTError, jwt

        options = {"require_exp": True, "require_aud": True, "require_iss": True, "require_sub": True}
        try:
            claims: Json = jwt.decode(
                token, self._secret(), algorithms=["HS256"], audience="dashboard", issuer="omni-connector", options=options
            )
        except (JWTError, RecursionError):
            return None
        good = claims.get("epoch") == self.epoch and claims.get("password") == bool(self.password_hash)
        return claims if good else None

    async def new_link(self) -> str:
        token = secrets.new_id("link") + os.urandom(16).hex()

        def write(conn: Any) -> None:
            setting_rows.drop_old_meta(conn, LINK, now_ms())
            setting_rows.set_meta(conn, _link(token), str(now_ms() + LINK_S * 1000))

        await self._gateway.db.tx(write)
        return token

    async def redeem(self, token: str) -> bool:
        """True once, within LINK_S seconds."""
        until = await self._gateway.db.tx(lambda conn: setting_rows.take_meta(conn, _link(token)))
        return until is not None and int(until) > now_ms()

    def csrf(self, claims: Mapping[str, Any]) -> str:
        return hmac.new(self._secret().encode(), str(claims["jti"]).encode(), hashlib.sha256).hexdigest()[:40]

    def proof(self) -> str | None:
        """That a sign-in goes on in the session that began it; None for whoever holds the admin key."""
        claims = None if request.headers.get("authorization") else self.session()
        if claims is None:
            return None
        return hmac.new(self._secret().encode(), f"sign-in {claims['jti']}".encode(), hashlib.sha256).hexdigest()

    def admit(self, response: Response) -> None:
        """Give the browser a session."""
        secure = request.scheme == "https"
        response.set_cookie(
            SESSION_COOKIE, self.new_session(), max_age=SESSION_DAYS * 86400, httponly=True, secure=secure, samesite="Strict", path="/"
        )

    async def login(self, password: str) -> None:
        """Raises GatewayError: UNAUTHENTICATED for a wrong password, RATE_LIMITED after too many."""
        who = network_of(peer())
        await self._tries.begin(who)
        stored = self.password_hash
        right = bool(stored) and await asyncio.to_thread(secrets.verify_password, password, stored)
        if right:
            await self._tries.right(who)
        if not right or stored != self.password_hash:  # it may have been changed while this one was looked at, and forgotten
            raise GatewayError(Kind.UNAUTHENTICATED, "The password is wrong.", code="wrong_password")

    async def confirm_owner(self, password: str, admin_key: str) -> None:
        """A session alone is not enough to take credentials away: the admin key (in the header, which was checked on the way in, or
        here) or the password is wanted again. Raises GatewayError."""
        if request.headers.get("authorization"):
            return
        if admin_key and hmac.compare_digest(admin_key.strip().encode(), self._gateway.admin_key.encode()):
            return
        if password and self.password_hash:
            await self.login(password)
            return
        words = "the password" if self.password_hash else "the admin key, which stands in admin.key of OMNI_HOME"
        raise GatewayError(Kind.FORBIDDEN, f"This file holds credentials. Give {words} again.", param="password", code="key_again")

    async def logout(self) -> None:
        await self._gateway.admin.end_sessions()
        await self.load()


def _link(token: str) -> str:
    """In the database, so that any worker knows it; hashed, as every credential there."""
    return LINK + hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def peer() -> str:
    return request.remote_addr or ""


def network_of(address: str) -> str:
    """What counts as one guesser: an IPv6 address is one of 2**64 that its owner may take."""
    try:
        return str(ipaddress.ip_network((ipaddress.IPv6Address(address.partition("%")[0]), 64), strict=False))
    except ValueError:
        return address


def is_here() -> bool:
    """The request comes from this machine, and not through a proxy on it that brings somebody else's."""
    return is_loopback(peer()) and not any(name in request.headers for name in FORWARDED)


def host_name() -> str:
    """The Host header's name, without its port."""
    return host_of(f"//{request.host}", name_only=True)


def host_of(url: str, *, name_only: bool = False) -> str:
    """Host and port of an address, "" for what is none."""
    try:
        parts = urlsplit(url)
        return (parts.hostname or "") if name_only else parts.netloc
    except ValueError:
        return ""


# ================================================================ Errors


class Refusal(GatewayError):
    """A refusal with a status that no kind has (408, 421)."""

    def __init__(self, status: int, message: str, kind: Kind = Kind.FORBIDDEN) -> None:
        super().__init__(kind, message)
        self._status = status

    @property
    def status(self) -> int:
        return self._status


def add_errors(app: Quart) -> None:
    @app.errorhandler(GatewayError)
    async def told(error: GatewayError) -> Response:
        return error_response(error)

    @app.errorhandler(settings.SettingsError)
    async def setting(error: settings.SettingsError) -> Response:
        return error_response(bad_request(str(error)))

    @app.errorhandler(HTTPException)
    async def http(error: HTTPException) -> Response:
        await heard_out()
        kinds = {404: Kind.NOT_FOUND, 405: Kind.METHOD_NOT_ALLOWED, 413: Kind.TOO_LARGE}
        kind = kinds.get(error.code or 500, Kind.BAD_REQUEST if (error.code or 500) < 500 else Kind.INTERNAL)
        words = {
            404: f"There is no {request.method} {request.path[:SHOWN_PATH]}.",
            405: f"{request.path[:SHOWN_PATH]} does not take {request.method}.",
        }
        response = error_response(GatewayError(kind, words.get(error.code or 0, error.description or str(error))))
        if isinstance(error, MethodNotAllowed):
            response.headers["allow"] = ", ".join(sorted(error.valid_methods or ()))
        return response

    @app.errorhandler(Exception)
    async def unexpected(error: Exception) -> Response:
        reference = secrets.new_id("err")
        log.error("%s %s failed (%s)", request.method, request.path, reference, exc_info=error)
        return error_response(GatewayError(Kind.INTERNAL, f"Something went wrong inside omni-connector. The log has it under {reference}."))


async def heard_out() -> None:
    """Reads the body of a request that is refused, and throws it away: a client that is still sending would not see the answer."""
    with contextlib.suppress(TimeoutError, HTTPException):
        async with asyncio.timeout(REFUSAL_S):
            async for _ in request.body:
                pass


def error_response(error: GatewayError) -> Response:
    """An error in the format of the path, or of the SDK that asks."""
    wire = wire_of(request.path, {name.lower(): value for name, value in request.headers.items()})
    status, headers, body = error_answer(wire, error, None)
    return Response(body, status, {name.decode(): value.decode() for name, value in headers})


# ================================================================ Client API


class AsgiSink:
    """The way back to one client."""

    __slots__ = ("_extra", "_say", "_send", "finished", "started")

    def __init__(self, send: Send, extra: Headers, say: Callable[[bytes], bool] | None = None) -> None:
        """`say`: our own server's shorter way (`connections.SAYS`)."""
        self._send = send
        self._say = say
        self._extra = extra
        self.started = False
        self.finished = False

    async def start(self, status: int, headers: Headers) -> None:
        self.started = True
        await self._send({"type": "http.response.start", "status": status, "headers": headers + self._extra})

    def say(self, data: bytes) -> bool:
        return self._say is not None and self._say(data)

    async def write(self, data: bytes) -> None:
        if not self.say(data):
            await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self, data: bytes = b"") -> None:
        self.finished = True
        await self._send({"type": "http.response.body", "body": data, "more_body": False})

    async def whole(self, status: int, headers: Headers, body: bytes) -> None:
        self.started = self.finished = True
        headers.append((b"content-length", str(len(body)).encode()))
        await self._send({"type": "http.response.start", "status": status, "headers": headers + self._extra})
        await self._send({"type": "http.response.body", "body": body, "more_body": False})


def client_key(gateway: Gateway, headers: Mapping[str, str], query: bytes, peer_address: str, now: int) -> ClientKey:
    """Whose request it is: an omni-key's, the REQUIRED_API_KEY's, or on this machine anybody's when client auth is off.

    Raises GatewayError (UNAUTHENTICATED).
    """
    stored = gateway.settings
    try:
        return auth.authenticate(headers, query, gateway.snapshot, now)
    except GatewayError:
        sent = auth.presented(headers, query)
        if stored.required_api_key and sent and hmac.compare_digest(sent.encode(), stored.required_api_key.encode()):
            return ClientKey("key_required_api_key", "REQUIRED_API_KEY", "", "", 0)
        # SDKs always send some key; one of ours that is not good any more is still refused.
        ours = sent.startswith((secrets.KEY_PREFIX, secrets.ADMIN_PREFIX))
        if not stored.client_auth and not ours and is_loopback(peer_address) and not from_foreign_page(headers, stored.cors_origins):
            return ClientKey("key_none", "no key (client auth is off)", "", "", 0)
        raise


def from_foreign_page(headers: Mapping[str, str], origins: Sequence[str]) -> bool:
    """A browser speaks for a page that is not listed, or came here under another name: it must not spend without a key."""
    if not is_loopback_name(host_of(f"//{headers.get('host', '')}", name_only=True)) or any(name in headers for name in FORWARDED):
        return True
    origin = headers.get("origin")
    if origin is None:
        return headers.get("sec-fetch-site", "none") not in ("none", "same-origin")
    return origin not in origins and host_of(origin) != headers["host"]


class ClientApi:
    """The client API's POSTs as plain ASGI, in front of Quart: authenticate, read, relay. Everything else goes on to Quart."""

    def __init__(self, gateway: Gateway, inner: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        self._gateway = gateway
        self._inner = inner
        self._running: set[asyncio.Task[Any]] = set()
        self.draining = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await refuse_websocket(receive, send)
            return
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        route = client_route(scope["path"], scope.get("query_string", b""))
        cors = self._cors(scope) if self._gateway.settings.cors_origins and (route or CLIENT_PATH.match(scope["path"])) else []
        if scope["method"] == "OPTIONS" and cors:
            await AsgiSink(send, [*cors, _wished(scope)]).whole(204, [], b"")
            return
        if route is None:
            await self._inner(scope, receive, with_headers(send, cors) if cors else send)
            return
        cors = [*cors, NO_SNIFFING]
        if scope["method"] != "POST":
            error = GatewayError(Kind.METHOD_NOT_ALLOWED, f"{scope['path']} does not take {scope['method']}. Send a POST.")
            await refuse(error, receive, AsgiSink(send, [*cors, (b"allow", b"POST")]), route.wire)
            return
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        try:
            await self._serve(scope, receive, AsgiSink(send, cors, (scope.get("extensions") or {}).get(SAYS)), route, task)
        finally:
            self._running.discard(task)

    def _cors(self, scope: Scope) -> Headers:
        """Only for pages of the listed origins (OMNI_CORS_ORIGINS); nobody else gets a word."""
        origin = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"origin"), "")
        if origin not in self._gateway.settings.cors_origins:
            return []
        return [
            (b"access-control-allow-origin", origin.encode("latin-1")),
            (b"vary", b"origin"),
            (b"access-control-allow-methods", b"GET, POST, DELETE, OPTIONS"),
            (
                b"access-control-expose-headers",
                b"x-omni-request-id, x-omni-model, x-omni-provider, x-omni-account, x-omni-cost, x-omni-dropped, x-omni-usage, retry-after",
            ),
        ]

    async def _serve(self, scope: Scope, receive: Receive, sink: AsgiSink, route: Route, task: asyncio.Task[Any]) -> None:
        started_at = now_ms()
        headers = lower(scope["headers"])
        try:
            key, pinned = await self._admit(scope, headers, route.provider, started_at)
        except GatewayError as error:
            await refuse(error, receive, sink, route.wire)
            return
        limit = self._gateway.settings.body_limit_mb
        try:
            body = await read_body(receive, limit << 20, task)
        except ClientGoneError:
            return
        except TimeoutError:
            late = Refusal(408, "The rest of the body did not come. Send the request again.", Kind.BAD_REQUEST)
            await sink.whole(*error_answer(route.wire, late, None))
            return
        if body is None:
            words = f"The body is larger than {limit} MB. Send less, or raise OMNI_BODY_LIMIT_MB."
            await sink.whole(*error_answer(route.wire, GatewayError(Kind.TOO_LARGE, words), None))
            return
        call = Call(
            id=secrets.new_id("req", started_at),
            wire=route.wire,
            path=scope["path"],
            body=body,
            headers=headers,
            key=key,
            client=client_name(headers),
            started_at=started_at,
            provider=provider_named(pinned),
            model=route.model,
            stream=route.stream,
            as_array=route.as_array,
            endpoint=route.endpoint,
        )
        self._gateway.note_used(key.id, started_at)
        logs.request_id.set(call.id)
        await self._relay(call, scope, receive, sink, task)

    async def _admit(self, scope: Scope, headers: Mapping[str, str], provider: str, now: int) -> tuple[ClientKey, str]:
        """Key and pinned provider ("" if none) of a request, told by its head alone. Raises GatewayError."""
        if self.draining:
            raise GatewayError(Kind.NO_ACCOUNT, "The server is stopping. Send the request again in a moment.", retry_after=1)
        peer_address = (scope.get("client") or ("",))[0]
        try:
            key = client_key(self._gateway, headers, scope.get("query_string", b""), peer_address, now)
        except GatewayError:
            if not await self._gateway.catch_up():  # another worker may have made the key a moment ago
                raise
            key = client_key(self._gateway, headers, scope.get("query_string", b""), peer_address, now)
        pinned = provider or headers.get("model-provider", "")
        if pinned and not provider_named(pinned):
            raise GatewayError(Kind.NOT_FOUND, f"There is no provider {pinned[:100]!r}.", param="provider")
        refuse_compressed(headers)
        return key, pinned

    async def _relay(self, call: Call, scope: Scope, receive: Receive, sink: AsgiSink, task: asyncio.Task[Any]) -> None:
        stop_watching = self._watching(scope, receive, task, sink)
        try:
            await self._gateway.prompts.around(self._gateway.relay.run, call, sink)
        except asyncio.CancelledError as cancelled:
            if LEFT not in cancelled.args:
                raise
            task.uncancel()
        finally:
            stop_watching()

    @staticmethod
    def _watching(scope: Scope, receive: Receive, task: asyncio.Task[Any], sink: AsgiSink) -> Callable[[], object]:
        """Cancels the request as soon as its client hangs up, until what is returned is called. Our own server tells of that by itself
        (`connections.TELLS_END`), any other one has to be asked, which takes a task."""

        def left() -> None:
            if not sink.finished:
                task.cancel(LEFT)

        async def ask() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            left()

        tells = (scope.get("extensions") or {}).get(TELLS_END)
        if tells is None:
            return asyncio.create_task(ask()).cancel
        tells(left)
        return partial(tells, None)

    async def quiet(self, within: float) -> None:
        """Returns as soon as no request runs, and after `within` seconds at the latest. What is new is served meanwhile."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                while self._running:
                    await asyncio.wait(self._running)

    async def drain(self, grace: float) -> None:
        """Refuse what is new, let what runs finish for `grace` seconds, then cancel it."""
        self.draining = True
        if self._running:
            await asyncio.wait(self._running, timeout=grace)
        for task in tuple(self._running):
            task.cancel()
        # Rows are handed over at once; a task whose client no longer reads would wait for it for ever.
        if self._running:
            await asyncio.wait(self._running, timeout=1)


def _wished(scope: Scope) -> tuple[bytes, bytes]:
    """What a page of a listed origin wants to send: the vendors' SDKs add headers of their own, and more with every version."""
    wished = b", ".join(value for name, value in scope["headers"] if name == b"access-control-request-headers")
    return b"access-control-allow-headers", wished or b"authorization, content-type, x-api-key, x-goog-api-key"


def with_headers(send: Send, extra: Headers) -> Send:
    async def send_more(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *extra]}
        await send(message)

    return send_more


async def refuse_websocket(receive: Receive, send: Send) -> None:
    """Codex tries a WebSocket on /v1/responses first and goes on with POST at once when told 426 (clients.md, finding 7)."""
    await receive()
    body = b'{"error":{"message":"WebSockets are not served here. Send a POST.","type":"invalid_request_error","code":"upgrade_required"}}'
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "websocket.http.response.start", "status": 426, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})


class ClientGoneError(Exception):
    """The client hung up before its request was complete."""


async def read_body(receive: Receive, limit: int, task: asyncio.Task[Any] | None = None) -> bytes | None:
    """The whole request body; None when it is larger than `limit` bytes. Raises ClientGoneError, TimeoutError when it does not come.
    `task`: this one, see `Within`."""
    pieces: list[bytes] = []
    size = 0
    with Within(BODY_S, task) as deadline:
        began = deadline.now
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            piece = message.get("body", b"")
            size += len(piece)
            # Read on and throw away: a client that is still sending would not see the answer.
            if size <= limit:
                pieces.append(piece)
            elif size > 4 * limit + (64 << 20):
                return None
            if not message.get("more_body", False):
                break
            deadline.until(min(deadline.now, began + size / SLOWEST) + BODY_S)
    if size > limit:
        return None
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def refuse_compressed(headers: Mapping[str, str]) -> None:
    if headers.get("content-encoding", "identity").lower() not in ("", "identity"):
        raise GatewayError(Kind.BAD_REQUEST, "Compressed request bodies are not taken. Send plain JSON.", upstream_status=415)


async def refuse(error: GatewayError, receive: Receive, sink: AsgiSink, wire: str) -> None:
    """Answers a request that is refused for its head, once its body has come and was thrown away."""
    try:
        async with asyncio.timeout(REFUSAL_S):
            await read_body(receive, 0)
    except TimeoutError:
        pass
    except ClientGoneError:
        return
    await sink.whole(*error_answer(wire, error, None))


def add_client_routes(app: Quart, gateway: Gateway) -> None:
    """The client API's GETs and the token counter."""

    def key() -> ClientKey:
        headers = {name.lower(): value for name, value in request.headers.items()}
        return client_key(gateway, headers, request.query_string, peer(), now_ms())

    @app.get("/api/hello")
    async def hello() -> Json:
        """Claude Code asks for this at its start, with HEAD and without a key."""
        return {"status": "ok"}

    @app.get("/health")
    async def health() -> Json:
        return {"status": "ok", "version": __version__}

    @app.get("/ready")
    async def ready() -> tuple[Json, int]:
        why = gateway.readiness.refusal(database=request.args.get("database", "") in ("1", "true", "yes"))
        return {"status": why or "ready", "node": nodes.node_of(gateway.process_id)}, 503 if why else 200

    def named(pinned: str) -> str:
        """The provider that a path or header pins, "" where none is. Raises GatewayError (NOT_FOUND)."""
        provider = provider_named(pinned)
        if pinned and not provider:
            raise GatewayError(Kind.NOT_FOUND, f"There is no provider {pinned[:100]!r}.", param="provider")
        return provider

    def visible(pinned: str) -> list[ModelName]:
        """What the key may use; below /{provider}, or with `Model-Provider`, only what that provider serves."""
        found = gateway.models(key())
        provider = named(pinned or request.headers.get("model-provider", ""))
        if not provider:
            return found
        labels = {account.label for account in gateway.snapshot.accounts if account.provider == provider}
        return [model for model in found if labels & set(model.accounts)]

    def asking() -> str:
        return wire_of(request.path, {name.lower(): value for name, value in request.headers.items()})

    @app.get("/v1/models")
    @app.get("/v1beta/models")
    @app.get("/<provider>/v1/models")
    @app.get("/<provider>/v1beta/models")
    async def models(provider: str = "") -> Json:
        return model_lists.many(asking(), [(model.id, model.owned_by) for model in visible(provider)])

    @app.get("/v1/models/<path:name>")
    @app.get("/v1beta/models/<path:name>")
    @app.get("/<provider>/v1/models/<path:name>")
    @app.get("/<provider>/v1beta/models/<path:name>")
    async def model(name: str, provider: str = "") -> Json:
        for found in visible(provider):
            if found.id == name.removeprefix("models/"):
                return model_lists.one(asking(), found.id, found.owned_by)
        words = f"No connected account serves a model named {name!r}. GET /v1/models lists them."
        raise GatewayError(Kind.MODEL_NOT_FOUND, words, param="model")

    async def counted(wire: str, provider: str, name: str = "") -> Response:
        """The provider's own count where an account has a counter, else our estimate, which says so."""
        headers = {field.lower(): text for field, text in request.headers.items()}
        asking_key = key()
        refuse_compressed(headers)
        body = await request.body
        value = views.decode(body)
        pinned = named(provider or headers.get("model-provider", ""))
        model = name or value.get("model") or ""
        started = now_ms()
        call = Call(
            id=secrets.new_id("req", started),
            wire=wire,
            path=request.path,
            body=body,
            headers=headers,
            key=asking_key,
            client=client_name(headers),
            started_at=started,
            provider=pinned,
            model=name,
            stream=False,
        )
        count = await gateway.count(call, value, model if isinstance(model, str) else "")
        told: dict[str, str] = {"x-omni-usage": count.source}
        if count.account:
            told |= {"x-omni-provider": count.provider, "x-omni-account": header_text(count.account).decode()}
        return Response(json.dumps(COUNTERS[wire].render_count(count.tokens)), 200, {"content-type": "application/json", **told})

    @app.post("/v1/messages/count_tokens")
    @app.post("/<provider>/v1/messages/count_tokens")
    async def count_messages(provider: str = "") -> Response:
        return await counted("anthropic-messages", provider)

    @app.post("/v1/responses/input_tokens")
    @app.post("/<provider>/v1/responses/input_tokens")
    async def count_input(provider: str = "") -> Response:
        return await counted("openai-responses", provider)

    @app.post("/v1/models/<path:name>")
    @app.post("/v1beta/models/<path:name>")
    @app.post("/<provider>/v1/models/<path:name>")
    @app.post("/<provider>/v1beta/models/<path:name>")
    async def gemini_verb(name: str, provider: str = "") -> Response:
        """`:countTokens`; the verbs that answer are served ahead of Quart."""
        key()  # first of all: without one nobody is told what is here
        model_name, _, verb = name.rpartition(":")
        if verb != "countTokens":
            raise GatewayError(Kind.NOT_FOUND, f"There is no method {verb!r} for models here.")
        return await counted("gemini-generate", provider, model_name.removeprefix("models/"))

    @app.get("/v1/responses/<response_id>")
    @app.get("/<provider>/v1/responses/<response_id>")
    async def response(response_id: str, provider: str = "") -> Json:
        """An answer that was kept (Responses, `store`), to the key that asked for it."""
        return responses.render_stored(await gateway.kept.response(key().id, response_id))

    @app.get("/v1/responses/<response_id>/input_items")
    @app.get("/<provider>/v1/responses/<response_id>/input_items")
    async def input_items(response_id: str, provider: str = "") -> Json:
        kept, page = await gateway.kept.response(key().id, response_id), request.args
        return responses.render_input_items(kept, page.get("limit"), page.get("after"), page.get("order"))

    @app.delete("/v1/responses/<response_id>")
    @app.delete("/<provider>/v1/responses/<response_id>")
    async def forget_response(response_id: str, provider: str = "") -> Json:
        await gateway.kept.forget(key().id, response_id)
        return responses.render_deleted(response_id)


# ================================================================ Onboarding


async def body_json() -> Any:
    """The JSON body of an admin request; {} when there is none. Raises GatewayError (BAD_REQUEST)."""
    data = await request.body
    if not data:
        return {}
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise bad_request(f"The body is not valid JSON: {error}.") from error


def add_sessions(app: Quart, gateway: Gateway, guard: Guard) -> None:
    @app.get("/api/session")
    async def session() -> Response:
        claims = guard.session()
        answer: Json = {
            "authenticated": claims is not None,
            "login_needed": claims is None and guard.login_needed(),
            "password_set": bool(guard.password_hash),
            "csrf": guard.csrf(claims) if claims is not None else "",
            "version": __version__,
            "base_url": f"{request.scheme}://{request.host}",
        }
        response = Response("", 200, {"content-type": "application/json"})
        if claims is None and not guard.login_needed():
            token = guard.new_session()
            from jose import jwt

            claims = jwt.get_unverified_claims(token)
            response.set_cookie(
                SESSION_COOKIE, token, max_age=SESSION_DAYS * 86400, httponly=True, secure=request.scheme == "https", samesite="Strict"
            )
            answer |= {"authenticated": True, "csrf": guard.csrf(claims)}
        response.set_data(json.dumps(answer))
        return response

    @app.post("/api/session/link")
    async def link() -> tuple[Json, int]:
        """An address that signs a browser in, for whoever holds the admin key (`omni-connector open`)."""
        return {"url": f"{request.scheme}://{request.host}/?t={await guard.new_link()}", "expires_in_s": LINK_S}, 201

    @app.post("/api/login")
    async def login() -> Response:
        body = await body_json()
        await guard.login(str(body.get("password", "")) if isinstance(body, dict) else "")
        response = Response(json.dumps({"authenticated": True}), 200, {"content-type": "application/json"})
        guard.admit(response)
        return response

    @app.post("/api/admin-key")
    async def admin_key() -> tuple[Json, int]:
        """Another admin key: who has it has everything, so a session alone is not enough. Every session ends."""
        body = await body_json()
        said = body if isinstance(body, dict) else {}
        await guard.confirm_owner(str(said.pop("password", "") or ""), str(said.pop("admin_key", "") or ""))
        return await gateway.admin.admin_key(said), 201

    @app.post("/api/logout")
    async def logout() -> Response:
        await guard.logout()
        response = Response(json.dumps({"authenticated": False}), 200, {"content-type": "application/json"})
        response.delete_cookie(SESSION_COOKIE)
        return response

    @app.post("/api/admin-password")
    async def password() -> Response:
        """{"password", "current"}: set, change or (with "") remove it. The admin key stands in for the current one."""
        body = await body_json()
        wanted = gateway.admin.checked_password(body)
        if guard.password_hash and not request.headers.get("authorization"):
            await guard.login(str(body.get("current", "")))
        told = await gateway.admin.admin_password({"password": wanted})
        await guard.load()
        response = Response(json.dumps(told), 200, {"content-type": "application/json"})
        guard.admit(response)
        return response


def add_sign_ins(app: Quart, gateway: Gateway, guard: Guard) -> None:
    """Accounts that are connected by signing in at their provider; `onboarding` does the work."""
    admin = gateway.admin

    @app.post("/api/oauth/<provider_id>/start")
    @app.post("/api/providers/<provider_id>/generate-auth-url")
    async def start_sign_in(provider_id: str) -> Response:
        proof = guard.proof()
        address = f"{request.scheme}://{request.host}"
        flow = await admin.start_sign_in(provider_id, await body_json(), address=address, session=proof or "")
        response = Response(json.dumps(flow), 200, {"content-type": "application/json"})
        if proof is not None:
            response.set_cookie(
                SIGN_IN_COOKIE, proof, max_age=SIGN_IN_S, httponly=True, secure=request.scheme == "https", samesite="Lax", path="/"
            )
        return response

    @app.post("/api/oauth/<provider_id>/adopt")
    async def adopt_sign_in(provider_id: str) -> tuple[Json, int]:
        """The tokens of a sign-in that another program of the owner's did."""
        return await admin.adopt_sign_in(provider_id, await body_json()), 201

    @app.get("/api/oauth/flows/<flow_id>")
    async def sign_in(flow_id: str) -> Json:
        return await admin.sign_in(flow_id)

    @app.post("/api/oauth/flows/<flow_id>/complete")
    async def complete_sign_in(flow_id: str) -> Json:
        return await admin.complete_sign_in(flow_id, await body_json(), session=guard.proof())

    @app.post("/api/oauth/flows/<flow_id>/cancel")
    async def cancel_sign_in(flow_id: str) -> Json:
        return await admin.cancel_sign_in(flow_id, session=guard.proof())

    async def callback() -> Response:
        """Where providers send the browser back to. Open to it without a login, and good for nothing but a sign-in that waits."""
        if request.method == "HEAD":
            return Response("", 200, dict(loopback.HEADERS))  # a look at the address must not use its code up
        page = await gateway.onboarding.callback(request.query_string.decode("latin-1"), request.cookies.get(SIGN_IN_COOKIE, ""))
        return Response(page.html(), page.status, dict(loopback.HEADERS))

    for path in CALLBACK_PATHS:
        app.add_url_rule(path, view_func=callback, methods=["GET"])


def add_transfers(app: Quart, gateway: Gateway, guard: Guard) -> None:
    """Accounts that come from other programs and files, and go out into files."""
    admin = gateway.admin

    @app.get("/api/accounts/discover")
    async def discover() -> Json:
        return await admin.discover()

    @app.post("/api/accounts/import")
    @app.post("/api/upload-oauth-credentials")
    async def import_accounts() -> Json:
        """What to do as JSON, or the file itself: as the body, or in a form."""
        asked = uploads.asked(await request.body, request.headers.get("content-type", ""), request.args)
        return await admin.import_accounts(asked)

    @app.get("/api/accounts/export")
    async def export_file() -> Response:
        # No secret in an address: it would stand in histories and logs. Here the admin key goes into its header.
        query = {name: value for name, value in request.args.items() if name not in ("password", "admin_key", "passphrase")}
        lists = {name: [word for word in query.pop(name).split(",") if word] for name in ("include", "ids") if name in query}
        secret = query.pop("secrets", "1") not in ("0", "false", "no")
        return await export({**query, **lists, "secrets": secret})

    @app.post("/api/accounts/export")
    async def export_asked() -> Response:
        return await export(await body_json())

    async def export(body: Any) -> Response:
        said = body if isinstance(body, dict) else {}
        if said.get("secrets") is not False:
            await guard.confirm_owner(str(said.get("password") or ""), str(said.get("admin_key") or ""))
        told = await admin.export_accounts(body)
        headers = {"content-type": "application/json", "cache-control": "no-store"}
        if said.get("download") is False:
            return Response(json.dumps(told), 200, headers)
        headers["content-disposition"] = f'attachment; filename="{told["filename"]}"'
        if told["warning"]:
            headers["x-omni-warning"] = told["warning"]
        return Response(told["content"], 200, headers)

    @app.get("/api/backups")
    async def backups() -> Json:
        return await admin.backups()

    @app.post("/api/backup")
    async def make_backup() -> Json | Response:
        body = await body_json()
        said = body if isinstance(body, dict) else {}
        await guard.confirm_owner(str(said.get("password") or ""), str(said.get("admin_key") or ""))
        told = await admin.backup(body)
        if said.get("download") is False:
            return told
        headers = {"content-type": "application/octet-stream", "content-length": str(told["bytes"]), "cache-control": "no-store"}
        headers["content-disposition"] = f'attachment; filename="{told["filename"]}"'
        response = Response(passing_file(gateway.home / "backups" / told["file"]), 200, headers)
        response.timeout = None
        return response


def passing_file(path: Path) -> AsyncIterator[bytes]:
    """A file that is read once and has no name any more. (Where an open file keeps its name, the next backup sweeps it away.)"""
    file = path.open("rb")
    with contextlib.suppress(PermissionError):
        path.unlink()

    async def pieces() -> AsyncIterator[bytes]:
        with file:
            while piece := await asyncio.to_thread(file.read, 1 << 18):
                yield piece

    return pieces()


def add_account_routes(app: Quart, gateway: Gateway) -> None:
    admin = gateway.admin

    @app.get("/api/accounts")
    async def accounts() -> Json:
        return await admin.accounts()

    @app.post("/api/accounts")
    async def add_account() -> tuple[Json, int]:
        return await admin.add_account(await body_json()), 201

    @app.post("/api/accounts/test")
    async def test_unsaved() -> Json:
        return await admin.test_unsaved(await body_json())

    @app.get("/api/accounts/<account_id>")
    async def account(account_id: str) -> Json:
        return await admin.account(account_id)

    @app.patch("/api/accounts/<account_id>")
    async def edit_account(account_id: str) -> Json:
        return await admin.edit_account(account_id, await body_json())

    @app.delete("/api/accounts/<account_id>")
    async def remove_account(account_id: str) -> Json:
        return await admin.remove_account(account_id)

    actions: Mapping[str, Callable[[str], Awaitable[Json]]] = {
        "enable": admin.enable,
        "disable": admin.disable,
        "test": admin.test,
        "clear-cooldown": admin.clear_cooldown,
        "refresh": admin.refresh,
    }

    @app.post("/api/accounts/<account_id>/<any(enable, disable, test, refresh, 'clear-cooldown'):action>")
    async def act(account_id: str, action: str) -> Json:
        return await actions[action](account_id)

    @app.post("/api/accounts/<account_id>/probe")
    async def probe(account_id: str) -> Json:
        told = await admin.probe(account_id)
        gateway.tick_soon()
        return told

    @app.get("/api/providers")
    async def providers() -> Json:
        return await admin.providers()

    @app.get("/api/providers/<provider_id>")
    async def provider(provider_id: str) -> Json:
        return await admin.provider(provider_id)

    @app.patch("/api/providers/<provider_id>")
    async def edit_provider(provider_id: str) -> Json:
        return await admin.edit_provider(provider_id, await body_json())

    @app.post("/api/providers/<provider_id>/enable")
    async def enable_provider(provider_id: str) -> Json:
        return await admin.enable_provider(provider_id)

    @app.post("/api/providers/<provider_id>/disable")
    async def disable_provider(provider_id: str) -> Json:
        return await admin.disable_provider(provider_id)

    @app.get("/api/providers/<provider_id>/<wanted>")
    async def account_of(provider_id: str, wanted: str) -> Json:
        """The accounts under AIClient2API's names: by provider and id or label."""
        return await admin.account(admin.account_of(provider_id, wanted))

    @app.put("/api/providers/<provider_id>/<wanted>")
    @app.patch("/api/providers/<provider_id>/<wanted>")
    async def edit_account_of(provider_id: str, wanted: str) -> Json:
        return await admin.edit_account(admin.account_of(provider_id, wanted), await body_json())

    @app.delete("/api/providers/<provider_id>/<wanted>")
    async def remove_account_of(provider_id: str, wanted: str) -> Json:
        return await admin.remove_account(admin.account_of(provider_id, wanted))

    @app.post("/api/providers/<provider_id>/<wanted>/<any(enable, disable, test, refresh, 'clear-cooldown'):action>")
    async def act_of(provider_id: str, wanted: str, action: str) -> Json:
        return await actions[action](admin.account_of(provider_id, wanted))

    @app.post("/api/providers/<provider_id>/<wanted>/probe")
    async def probe_of(provider_id: str, wanted: str) -> Json:
        told = await admin.probe(admin.account_of(provider_id, wanted))
        gateway.tick_soon()
        return told

    @app.post("/api/providers/<provider_id>/health-check")
    async def health_check(provider_id: str) -> Json:
        return await admin.health_check(provider_id)

    @app.post("/api/providers/<provider_id>/reset-health")
    async def reset_health(provider_id: str) -> Json:
        return await admin.reset_health(provider_id)


# ================================================================ Keys


def add_key_routes(app: Quart, gateway: Gateway) -> None:
    admin = gateway.admin

    @app.get("/api/keys")
    async def keys() -> Json:
        return await admin.keys()

    @app.post("/api/keys")
    async def create_key() -> tuple[Json, int]:
        return await admin.create_key(await body_json()), 201

    @app.patch("/api/keys/<key_id>")
    async def edit_key(key_id: str) -> Json:
        return await admin.edit_key(key_id, await body_json())

    @app.delete("/api/keys/<key_id>")
    async def revoke_key(key_id: str) -> Json:
        return await admin.revoke_key(key_id)

    @app.post("/api/keys/<key_id>/rotate")
    async def rotate_key(key_id: str) -> Json:
        return await admin.rotate_key(key_id)


# ================================================================ Admin API


def add_program_routes(app: Quart, gateway: Gateway) -> None:
    """Programs of this machine that are set up to use us. They are the files of the server's own user: nobody else may ask."""
    admin = gateway.admin

    def only_here() -> None:
        if not is_here():
            raise GatewayError(Kind.FORBIDDEN, "Programs are set up on their own machine. There: omni-connector setup NAME --url ADDRESS")

    @app.get("/api/clients")
    async def clients() -> Json:
        only_here()
        return await admin.clients()

    @app.post("/api/clients/<name>/setup")
    async def setup_client(name: str) -> Json:
        only_here()
        return await admin.setup_client(name, await body_json())

    @app.post("/api/clients/<name>/undo")
    async def undo_client(name: str) -> Json:
        only_here()
        return await admin.undo_client(name, await body_json())

    @app.get("/api/agent-prompt")
    async def agent_prompt() -> Json:
        from omni_connector.clients import prompt  # here, as no start needs it

        return {"text": prompt.agent_prompt(f"{request.scheme}://{request.host}")}


def told_usage(answer: Json) -> Json | Response:
    """Sums of usage as they were asked for: JSON, or a file for a spreadsheet."""
    if request.args.get("format") != "csv":
        return answer
    return Response(sheets.usage_csv(answer), 200, _attached("usage", "csv"))


def add_admin_routes(app: Quart, gateway: Gateway) -> None:
    admin = gateway.admin

    @app.get("/api/usage")
    async def usage_rows() -> Json | Response:
        return told_usage(await admin.usage(dict(request.args)))

    @app.get("/api/usage/<provider_id>")
    async def usage_of(provider_id: str) -> Json | Response:
        return told_usage(await admin.usage_of(provider_id, dict(request.args)))

    @app.get("/api/reconciliations")
    async def reconciliations() -> Json:
        return await admin.reconciliations(dict(request.args))

    @app.get("/api/quota")
    async def quota() -> Json:
        return await admin.quota()

    @app.get("/api/limits")
    async def limits() -> Json:
        return await admin.limits()

    @app.put("/api/limits/installation")
    async def set_installation_limit() -> Json:
        return await admin.set_installation_limit(await body_json())

    @app.delete("/api/limits/installation")
    async def remove_installation_limit() -> Json:
        return await admin.remove_installation_limit()

    @app.put("/api/limits/<any(provider,model):scope>/<path:subject>")
    async def set_limit(scope: Literal["provider", "model"], subject: str) -> Json:
        return await admin.set_limit(scope, subject, await body_json())

    @app.delete("/api/limits/<any(provider,model):scope>/<path:subject>")
    async def remove_limit(scope: Literal["provider", "model"], subject: str) -> Json:
        return await admin.remove_limit(scope, subject)

    @app.get("/api/prices")
    async def prices() -> Json:
        return await admin.prices()

    @app.post("/api/prices/reprice")
    async def reprice() -> Json:
        return await admin.reprice(await body_json())

    @app.put("/api/prices/<path:pattern>")
    async def set_price(pattern: str) -> Json:
        return await admin.set_price(pattern, await body_json())

    @app.delete("/api/prices/<path:pattern>")
    async def remove_price(pattern: str) -> Json:
        return await admin.remove_price(pattern, dict(request.args) or await body_json())

    @app.get("/api/requests")
    async def requests() -> Json | Response:
        form = request.args.get("format", "")
        if form in ("", "json"):
            return await admin.requests(dict(request.args))
        kind, pieces = admin.requests_file(dict(request.args))
        response = Response("" if request.method == "HEAD" else pieces, 200, {**_attached("requests", form), "content-type": kind})
        response.timeout = None  # a year of requests takes as long as the reader does
        return response

    @app.get("/api/requests/tail")
    async def follow_requests() -> Response:
        """Every request when it is settled, as server-sent events."""
        query = dict(request.args)
        after = request.headers.get("last-event-id", "") or query.pop("after", "")
        rows = admin.tail(query, after)
        era = gateway.live.era

        async def stream() -> AsyncIterator[bytes]:
            async with contextlib.aclosing(rows) as told:
                async for one in told:
                    if gateway.live.era != era:
                        return
                    yield following.event(one)

        return _events("" if request.method == "HEAD" else stream())

    @app.get("/api/requests/<request_id>")
    async def one_request(request_id: str) -> Json:
        return await admin.request(request_id)

    @app.get("/api/provider-models")
    async def provider_models() -> Json:
        return await admin.provider_models(None)

    @app.get("/api/provider-models/<provider_id>")
    async def provider_models_of(provider_id: str) -> Json:
        return await admin.provider_models(provider_id)

    @app.get("/api/system")
    async def system() -> Json:
        return await admin.system()

    @app.post("/api/update/check")
    async def check_update() -> Json:
        return await admin.check_update()

    @app.get("/api/service-mode")
    async def service_mode() -> Json:
        return await admin.service_mode()

    @app.post("/api/service-mode")
    async def change_service() -> tuple[Json, int]:
        return await admin.change_service(await body_json()), 202

    @app.post("/api/client-key")
    async def client_key_by_hand() -> tuple[Json, int]:
        return await admin.client_key(await body_json()), 201

    @app.get("/api/config")
    async def config() -> Json:
        return await admin.config()

    @app.post("/api/config")
    async def set_config() -> Json:
        return await admin.set_config(await body_json())

    @app.post("/api/reload-config")
    async def reload_config() -> Json:
        return await admin.reload_config()

    @app.get("/api/upload-configs")
    async def config_files() -> Json:
        return await admin.config_files()

    @app.get("/api/upload-configs/view/<path:name>")
    async def config_file(name: str) -> Json:
        return await admin.config_file(name)

    @app.delete("/api/upload-configs/delete/<path:name>")
    async def remove_config_file(name: str) -> Json:
        return await admin.remove_config_file(name)

    @app.get("/api/upload-configs/download-all")
    async def config_archive() -> Response:
        headers = {"content-type": "application/zip", "content-disposition": 'attachment; filename="omni-connector-files.zip"'}
        return Response(await admin.config_archive(), 200, headers)

    @app.get("/api/aliases/<path:name>")
    async def alias(name: str) -> Json:
        return await admin.alias(name)

    @app.put("/api/aliases/<path:name>")
    async def set_alias(name: str) -> Json:
        return await admin.set_alias(name, await body_json())

    @app.delete("/api/aliases/<path:name>")
    async def remove_alias(name: str) -> Json:
        return await admin.remove_alias(name)

    @app.get("/api/chains/<path:name>")
    async def chain(name: str) -> Json:
        return await admin.chain(name)

    @app.put("/api/chains/<path:name>")
    async def set_chain(name: str) -> Json:
        return await admin.set_chain(name, await body_json())

    @app.delete("/api/chains/<path:name>")
    async def remove_chain(name: str) -> Json:
        return await admin.remove_chain(name)

    @app.get("/api/alerts")
    async def alerts() -> Json:
        return await admin.alerts(dict(request.args))

    @app.get("/api/alerts/channels")
    async def alert_channels() -> Json:
        return await admin.alert_channels()

    @app.post("/api/alerts/channels")
    async def add_alert_channel() -> tuple[Json, int]:
        return await admin.add_alert_channel(await body_json()), 201

    @app.patch("/api/alerts/channels/<channel_id>")
    async def edit_alert_channel(channel_id: str) -> Json:
        return await admin.edit_alert_channel(channel_id, await body_json())

    @app.delete("/api/alerts/channels/<channel_id>")
    async def remove_alert_channel(channel_id: str) -> Json:
        return await admin.remove_alert_channel(channel_id)

    @app.post("/api/alerts/channels/<channel_id>/test")
    async def test_alert_channel(channel_id: str) -> Json:
        return await admin.test_alert_channel(channel_id)

    @app.get("/provider_health")
    async def provider_health() -> tuple[Json, int]:
        """Its status alone tells a monitor: 200 while somebody can serve, 503 when nobody can."""
        told = await admin.provider_health(dict(request.args))
        return told, 200 if told["healthy"] else 503

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(await scrape(gateway), 200, {"content-type": CONTENT_TYPE})

    @app.post("/v1/router/explain")
    async def explain() -> Json:
        """What a request would do now, without sending it."""
        return await admin.explain(await body_json())

    @app.get("/v1/router/status")
    async def router_status() -> Json:
        return await admin.router_status()

    @app.get("/v1/router/usage")
    async def router_usage() -> Json | Response:
        return told_usage(await admin.router_usage(dict(request.args)))

    @app.get("/v1/router/config")
    async def router_config() -> Json:
        return await admin.router_config()

    @app.post("/v1/router/config/<any(backend, strategy, alias, chain):part>")
    @app.post("/v1/router/config/<any(backend, strategy, alias, chain):part>/<path:name>")
    async def put_router(part: str, name: str = "") -> tuple[Json, int]:
        return await admin.put_router(part, name, await body_json()), 201 if part == "backend" and not name else 200

    @app.delete("/v1/router/config/<any(backend, strategy, alias, chain):part>")
    @app.delete("/v1/router/config/<any(backend, strategy, alias, chain):part>/<path:name>")
    async def drop_router(part: str, name: str = "") -> Json:
        return await admin.drop_router(part, name)


def _attached(name: str, form: str) -> dict[str, str]:
    """Headers of an answer that a browser keeps as a file."""
    stamp = datetime.now(UTC).strftime("%Y-%m-%d")
    return {
        "content-type": sheets.TYPES[form],
        "content-disposition": f'attachment; filename="omni-connector-{name}-{stamp}.{form}"',
        "cache-control": "no-store",
    }


# ================================================================ Live events


def add_events(app: Quart, gateway: Gateway) -> None:
    @app.get("/api/events")
    async def events() -> Response:
        async def stream() -> AsyncIterator[bytes]:
            async with contextlib.aclosing(gateway.live.stream(gateway.admin.opening)) as live:
                async for event in live:
                    yield event

        return _events("" if request.method == "HEAD" else stream())


def _events(stream: AsyncIterator[bytes] | str) -> Response:
    """A stream without an end; "" for HEAD: nobody would ever read the stream, or end it."""
    response = Response(stream, 200, {"content-type": "text/event-stream", "cache-control": "no-cache", "x-accel-buffering": "no"})
    response.timeout = None
    return response


# ================================================================ Pages

LLMS = """\
# omni-connector

> One local address and one key for every AI account of its owner. Send requests in OpenAI's, Anthropic's or Gemini's API; a connected \
account is chosen, formats are translated, failures go to the next account, and every request stands in the owner's books.

- Base URL: {base}/v1 for OpenAI's SDKs and everything OpenAI-compatible; {base} for Anthropic's and Google's SDKs
- Key: begins with omni-; send it as `Authorization: Bearer KEY`, `x-api-key`, `x-goog-api-key` or `?key=`. Only the owner can make one, \
in the dashboard at {base}/ or with `omni-connector key create`. Ask for it; do not look for it in files.
- Model: `auto` is always right. Also: a provider, a model, `provider/model`, an account's label or prefix before the model, \
`provider/LEVEL/model` for thinking (none, minimal, low, medium, high, xhigh, max), aliases. `GET /v1/models` lists what works.

## Conversations: any of these with any connected provider, whole or streamed

- POST /v1/chat/completions: OpenAI Chat Completions
- POST /v1/responses: OpenAI Responses; `previous_response_id` works with every provider. GET and DELETE /v1/responses/ID, \
GET /v1/responses/ID/input_items: answers that were kept (send `store: false` to keep none)
- POST /v1/messages: Anthropic Messages
- POST /v1beta/models/MODEL:generateContent, POST /v1beta/models/MODEL:streamGenerateContent: Gemini, also under /v1
- POST /v1/completions: a plain prompt

## Other calls

- POST /v1/embeddings, POST /v1beta/models/MODEL:embedContent, POST /v1beta/models/MODEL:batchEmbedContents: vectors, with providers of \
either form
- POST /v1/ocr: the text of a picture ({{"image": base64 or data URL}}, {{"image_url": URL}}, or a form with a file `image`), with an \
account that reads pictures
- POST /v1/images/generations, /v1/images/edits, /v1/images/variations, /v1/audio/speech, /v1/audio/transcriptions, \
/v1/audio/translations, /v1/moderations, /v1/rerank: bytes pass to a provider that follows OpenAI's API
- POST /v1/messages/count_tokens, POST /v1/responses/input_tokens, POST /v1beta/models/MODEL:countTokens: tokens of a request; \
`x-omni-usage` says whether they are reported, counted or estimated
- GET /v1/models, GET /v1beta/models, each also with /NAME: what the key may use
- GET /health: no key needed

## Good to know

- One provider only: its id before the path ({base}/openai/v1/chat/completions) or in the header `Model-Provider`.
- Answers tell in x-omni-provider, x-omni-account and x-omni-model who served, in x-omni-dropped what the provider's format could not \
say, in x-omni-cost the dollars, in x-omni-request-id the row of the books.
- Errors come in the API's own form. 429 and 503 carry Retry-After; a 503 lists every candidate with its reason.
- To check: GET {base}/health, then GET {base}/v1/models with the key, then a short message.

## Setting a program up

On the machine of the server one command does it, shows the changes first, and can undo them: `omni-connector setup NAME`, \
with NAME one of claude-code, codex, gemini-cli, opencode, aider, continue, zed, llm, openai-env; for cursor, cline and other it prints \
the steps. `--dry-run` only shows. What its owner can tell an agent instead:

```text
{block}```
"""
"""/llms.txt: what an agent needs to set a tool up, or to call us itself."""


def add_pages(app: Quart, gateway: Gateway, guard: Guard) -> None:
    @app.get("/")
    async def index() -> Response:
        token = request.args.get("t", "")
        if not token:
            return await app.send_static_file("index.html")
        # Away with the token from the address bar; a used or old one leads to the login like no token at all.
        response = Response("", 303, {"location": "/"})
        if await guard.redeem(token):
            guard.admit(response)
        return response

    @app.get("/llms.txt")
    async def llms() -> Response:
        base = f"{request.scheme}://{request.host}"
        from omni_connector.clients import prompt

        return Response(LLMS.format(base=base, block=prompt.agent_prompt(base)), 200, {"content-type": "text/plain; charset=utf-8"})

    @app.get("/openapi.json")
    async def described() -> Json:
        from omni_connector import openapi  # here, as no start needs it

        return openapi.document(f"{request.scheme}://{request.host}")

    @app.get("/favicon.ico")
    async def favicon() -> Response:
        return await app.send_static_file("icons/favicon.svg")

    app.after_request(Packed().pack)


class Packed:
    """The dashboard's texts, compressed once for each of their versions: a phone on the same network waits for a third of the bytes."""

    TEXTS = ("text/", "application/json", "application/manifest+json", "image/svg+xml")
    WORTH_BYTES = 1000

    def __init__(self) -> None:
        self._kept: dict[str, tuple[str, bytes]] = {}

    async def pack(self, response: Response) -> Response:
        is_text = (response.content_type or "").startswith(self.TEXTS)
        if not (request.path == "/" or request.path.startswith("/static/")) or not is_text or response.status_code != 200:
            return response
        response.headers.add("vary", "accept-encoding")
        version = response.headers.get("etag", "")
        if "gzip" not in request.headers.get("accept-encoding", "") or not version:
            return response
        kept = self._kept.get(request.path)
        if kept is None or kept[0] != version:
            body = await response.get_data(as_text=False)
            kept = self._kept[request.path] = (version, gzip.compress(body) if len(body) > self.WORTH_BYTES else b"")
        if kept[1]:
            response.set_data(kept[1])
            response.headers["content-encoding"] = "gzip"
            response.headers["etag"] = version if version.startswith("W/") else f"W/{version}"  # the same text in other bytes
        return response


# ================================================================ Jobs


def add_job_routes(app: Quart, gateway: Gateway) -> None:
    admin = gateway.admin

    @app.get("/api/jobs")
    async def jobs() -> Json:
        return await admin.jobs()

    @app.post("/api/jobs/<job_id>/run")
    async def run_job(job_id: str) -> Json:
        job = await admin.run_job(job_id)
        gateway.tick_soon()
        return job

    @app.post("/api/jobs/<job_id>/cancel")
    async def cancel_job(job_id: str) -> Json:
        return await admin.cancel_job(job_id)

    @app.post("/api/jobs/tick")
    async def tick() -> Json:
        seconds = request.args.get("seconds", str(TURN_S))
        if not seconds.isdecimal() or not 1 <= int(seconds) <= 600:
            raise bad_request("seconds is a whole number from 1 to 600.", param="seconds")
        await gateway.catch_breath()
        return await gateway.jobs.tick_for(int(seconds))


# ================================================================ main


class Assembled:
    """The app as `server` runs it."""

    def __init__(self, gateway: Gateway) -> None:
        self._app = create_app(gateway)
        client_api = self._app.asgi_app
        assert isinstance(client_api, ClientApi)
        self.asgi: App = self._app  # type: ignore[assignment]
        self.startup, self.shutdown = self._app.startup, self._app.shutdown
        self.quiet, self.drain = client_api.quiet, client_api.drain
        self.side_of = side_of


def side_of(path: str) -> Side:
    """Whose listener a path belongs to, where client API and administration have one each."""
    if path in BOTH_SIDES:
        return "both"
    return "client" if path in CLIENT_PAGES or CLIENT_PATH.match(path) else "admin"


def main(
    host: str | None = None, port: int | None = None, *, jobs: bool = True, open_browser: bool = False, workers: int | None = None
) -> int:
    """Serve until SIGTERM or SIGINT. None: what the settings say. Returns the exit code; what is wrong is one line on stderr."""
    make: server.Make = Assembled
    return server.main(make, host, port, jobs=jobs, open_browser=open_browser, workers=workers)


app = hosted.Hosted(Assembled)
"""For any ASGI host (`uvicorn app:app`). Nothing is opened before its lifespan event or first request (docs/serverless.md)."""


if __name__ == "__main__":
    sys.exit(main())

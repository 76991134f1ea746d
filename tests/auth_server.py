"""A mock authorization server on loopback that keeps to the protocols, strict where real ones are.

    async with AuthServer() as server:
        account options: {"endpoints": server.endpoints()}            # or server.endpoints("codex-device"), "aws-sso", "kiro-social", "key"
        profile, row = server.profile(), server.row()                 # a SignIn and a Provider that point here
        location = await server.visit(begun.url)                      # the browser's part: where it is sent back to

What it speaks
- `/authorize` → redirect with code, state and iss (RFC 6749, 7636 S256, 9207). Loopback redirects of any port are allowed (RFC 8252).
- `/token`: authorization_code (single use; a second use revokes what the first one gave), refresh_token (rotation; reuse of a spent one
  revokes its whole family), device_code. Forms and JSON.
- `/device`, `/activate` (RFC 8628); `/revoke` (RFC 7009); `/userinfo`; `/jwks`, `/.well-known/openid-configuration`, RS256 id_tokens.
- Dynamic clients: `client_id=dynamic_agent_client` at `/authorize` gets an `oaiapp_…` back in the callback.
- OpenRouter: `/auth?callback_url=…`, `/api/v1/auth/keys`. Codex device codes: `/api/accounts/deviceauth/{usercode,token}`.
  AWS SSO OIDC in camelCase: `/sso/{client/register,device_authorization,token}`. Kiro social: `/login`, `/oauth/token`, `/refreshToken`.

Knobs (attributes; set them any time)
- `access_s` (3600), `rotate` (True), `expires_in` (True; False: the answer leaves it out), `jwt_access` (False; True: the access token is
  a JWT with `exp`), `id_tokens` (True), `scope` (None: as asked for; else what is granted), `earliest_refresh_at` (None, Unix seconds),
  `interval_s` (device codes, 5), `consent` (False: the page redirects at once; True: a page with links #approve and #deny),
  `refuse` (""; else the error code that `/authorize` sends back), `send_iss` (True), `claims` (merged into id_tokens), `person`
  (user info), `secrets` (client id → client secret; a client that stands here must send it), `body` ("any", "form" or "json").
- `clock()` → seconds; `skip(seconds)` moves it. Nothing sleeps.
- `approve(user_code)`, `deny(user_code)`: what the user does on the device page.
- `fault(name, *faults)`: the next calls of that name get these instead. Names: see `Call.name`. `Fault(status, body, headers)`;
  `Fault(lost=True)`: the work is done (a token is rotated), then the connection breaks; `Fault(hang=True)`: silence.
- `hold(name)` → an Event: calls of that name are answered only once it is set; `waiting` counts those that wait.
- `revoke_all()`: every token is dead, as when the user removes the app at the provider.

What it tells
- `calls`: every `Call` (name, fields, headers, status). `count("refresh")`. `good(access_token)`. `reused`: spent refresh tokens that came
  again. `families`: refresh token family → "live" or "revoked".
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import secrets
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import urlencode, urlsplit

import aiohttp
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jose import jwk, jwt

from omni_connector.providers.provider import Provider, SignIn

Json = dict[str, Any]

CLIENT = "client-1"
DYNAMIC = "dynamic_agent_client"
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"


@dataclass
class Call:
    """One call as it was answered. `name`: authorize, code (exchange), refresh, poll, device, register, revoke, userinfo, jwks,
    discovery."""

    name: str
    fields: Json
    headers: dict[str, str]
    status: int = 0


@dataclass
class Fault:
    status: int = 500
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    lost: bool = False
    hang: bool = False


@dataclass
class _Grant:
    """What a code, a device code or a refresh token stands for."""

    client_id: str
    scope: str
    family: str = ""
    redirect_uri: str = ""
    challenge: str = ""
    nonce: str = ""
    expires: float = 0
    state: str = "fresh"
    polled: float = 0
    issued: str = ""


class Refused(Exception):
    def __init__(self, code: str, status: int = 400, words: str = "") -> None:
        super().__init__(code)
        self.code, self.status, self.words = code, status, words or f"{code} (said the test server)"


@cache
def signing_key(kid: str = "k1") -> tuple[str, Json]:
    """(private key as PEM, public JWK); one per kid and test run."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()
    public = private.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    shown = {
        name: value.decode() if isinstance(value, bytes) else value for name, value in jwk.construct(public, "RS256").to_dict().items()
    }
    return pem, {**shown, "kid": kid, "use": "sig", "alg": "RS256"}


class AuthServer:
    def __init__(self) -> None:
        self.url = ""
        self.calls: list[Call] = []
        self.access_s = 3600
        self.rotate = True
        self.expires_in = True
        self.jwt_access = False
        self.id_tokens = True
        self.scope: str | None = None
        self.earliest_refresh_at: int | None = None
        self.interval_s = 5
        self.consent = False
        self.refuse = ""
        self.send_iss = True
        self.body = "any"
        self.kid = "k1"
        self.claims: Json = {}
        self.person: Json = {"sub": "user-1", "email": "ada@example.org", "email_verified": True, "name": "Ada"}
        self.secrets: dict[str, str] = {}
        self.clients: set[str] = {CLIENT}
        self.reused: list[str] = []
        self.families: dict[str, str] = {}
        self.waiting = 0
        self.offset = 0.0
        self._codes: dict[str, _Grant] = {}
        self._devices: dict[str, _Grant] = {}
        self._user_codes: dict[str, str] = {}
        self._refresh: dict[str, _Grant] = {}
        self._access: dict[str, _Grant] = {}
        self._faults: dict[str, list[Fault]] = defaultdict(list)
        self._holds: dict[str, asyncio.Event] = {}
        self._runner: web.AppRunner | None = None

    # ------------------------------------------------------------ for tests

    async def __aenter__(self) -> AuthServer:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        application = web.Application()
        for method, path, handler in self._routes():
            application.router.add_route(method, path, handler)
        self._runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def clock(self) -> float:
        return time.time() + self.offset

    def skip(self, seconds: float) -> None:
        self.offset += seconds

    def fault(self, name: str, *faults: Fault) -> None:
        self._faults[name] += faults

    def hold(self, name: str) -> asyncio.Event:
        self._holds[name] = asyncio.Event()
        return self._holds[name]

    def count(self, name: str) -> int:
        return sum(call.name == name for call in self.calls)

    def last(self, name: str) -> Call:
        return next(call for call in reversed(self.calls) if call.name == name)

    def good(self, access_token: str) -> bool:
        found = self._access.get(access_token)
        return found is not None and self.clock() < found.expires and self.families.get(found.family) == "live"

    def approve(self, user_code: str) -> None:
        self._devices[self._user_codes[user_code]].state = "approved"

    def deny(self, user_code: str) -> None:
        self._devices[self._user_codes[user_code]].state = "denied"

    def revoke_all(self) -> None:
        self.families = dict.fromkeys(self.families, "revoked")

    async def visit(self, url: str) -> str:
        """What a browser does with the address of a sign-in: the Location that it is sent to; "" for a page or a refusal."""
        async with aiohttp.ClientSession() as session, session.get(url, allow_redirects=False) as answer:
            return answer.headers.get("location", "")

    def issue(self, client_id: str = CLIENT, scope: str = "openid email models") -> Json:
        """A token answer as a finished sign-in would have given it."""
        return self._tokens(_Grant(client_id, scope, self._family()))

    def endpoints(self, flavour: str = "") -> dict[str, str]:
        """Values for `options.endpoints`."""
        common = {"revoke": "/revoke", "user_info": "/userinfo", "jwks": "/jwks", "verification": "/activate"}
        paths = {
            "": {"authorization": "/authorize", "token": "/token", "device": "/device", **common},
            "codex-device": {"authorization": "/authorize", "token": "/token", "device": "/api/accounts/deviceauth/usercode", **common},
            "aws-sso": {"token": "/sso/token", "device": "/sso/device_authorization"},
            "kiro-social": {"authorization": "/login", "token": "/oauth/token"},
            "key": {"authorization": "/auth", "token": "/api/v1/auth/keys"},
        }[flavour]
        return {"issuer": self.url, **{name: self.url + path for name, path in paths.items()}}

    def profile(self, flavour: str = "", **more: Any) -> SignIn:
        fields: Json = {"client_id": CLIENT, "scopes": ("openid", "email", "models"), "flavour": flavour, **self.endpoints(flavour)}
        return SignIn(**{**fields, **more})

    def row(self, profile: SignIn | None = None, **more: Any) -> Provider:
        return Provider(**{"id": "mock", "label": "Mock", "base_url": f"{self.url}/v1", "sign_in": profile or self.profile(), **more})

    def id_token(self, client_id: str = CLIENT, nonce: str = "", **claims: Any) -> str:
        now = int(self.clock())
        said: Json = {"iss": self.url, "aud": client_id, "sub": self.person["sub"], "iat": now, "exp": now + 3600}
        said |= {"email": self.person.get("email"), "email_verified": True} | ({"nonce": nonce} if nonce else {}) | self.claims | claims
        return jwt.encode(said, signing_key(self.kid)[0], algorithm="RS256", headers={"kid": self.kid})

    # ------------------------------------------------------------ routes

    def _routes(self) -> list[tuple[str, str, Any]]:
        return [
            ("GET", "/authorize", self._named("authorize", self._authorize)),
            ("GET", "/login", self._named("authorize", self._authorize)),
            ("GET", "/auth", self._named("authorize", self._authorize_key)),
            ("GET", "/decide", self._named("decide", self._decide)),
            ("POST", "/token", self._named("token", self._token)),
            ("POST", "/device", self._named("device", self._device)),
            ("GET", "/activate", self._named("activate", self._activate)),
            ("POST", "/revoke", self._named("revoke", self._revoke)),
            ("GET", "/userinfo", self._named("userinfo", self._userinfo)),
            ("GET", "/jwks", self._named("jwks", self._jwks)),
            ("GET", "/.well-known/openid-configuration", self._named("discovery", self._discovery)),
            ("POST", "/api/v1/auth/keys", self._named("code", self._key)),
            ("POST", "/api/accounts/deviceauth/usercode", self._named("device", self._codex_device)),
            ("POST", "/api/accounts/deviceauth/token", self._named("poll", self._codex_poll)),
            ("POST", "/sso/client/register", self._named("register", self._sso_register)),
            ("POST", "/sso/device_authorization", self._named("device", self._sso_device)),
            ("POST", "/sso/token", self._named("token", self._sso_token)),
            ("POST", "/oauth/token", self._named("code", self._kiro_code)),
            ("POST", "/refreshToken", self._named("refresh", self._kiro_refresh)),
        ]

    def _named(self, name: str, work: Callable[[Json], Any]) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.StreamResponse:
            fields = await self._fields(request)
            grants = {"authorization_code": "code", "refresh_token": "refresh", DEVICE_GRANT: "poll"}
            grant = str(fields.get("grant_type", fields.get("grantType", "")))
            call = Call(grants.get(grant, name) if name == "token" else name, fields, {k.lower(): v for k, v in request.headers.items()})
            self.calls.append(call)
            faults = self._faults[call.name]
            fault = faults.pop(0) if faults else None
            if call.name in self._holds:
                self.waiting += 1
                await self._holds[call.name].wait()
            if fault is not None and fault.hang:
                await asyncio.get_running_loop().create_future()
            if fault is not None and not fault.lost:
                call.status = fault.status
                return web.json_response(fault.body or {"error": "server_error"}, status=fault.status, headers=dict(fault.headers))
            answer = self._work(work, {**fields, "_authorization": request.headers.get("authorization", "")})
            call.status = answer.status
            if fault is not None:
                assert request.transport is not None
                request.transport.abort()
            return answer

        return handle

    async def _fields(self, request: web.Request) -> Json:
        if request.method == "GET":
            return dict(request.query)
        kind = request.content_type
        if self.body != "any" and not kind.endswith({"form": "urlencoded", "json": "json"}[self.body]):
            return {"_wrong": kind}
        return dict(await request.json()) if kind == "application/json" else dict(await request.post())

    def _work(self, work: Callable[[Json], Any], fields: Json) -> web.StreamResponse:
        try:
            if "_wrong" in fields:
                raise Refused("invalid_request", words=f"not a {self.body} body")
            answer = work(fields)
        except Refused as error:
            return web.json_response({"error": error.code, "error_description": error.words}, status=error.status)
        return answer if isinstance(answer, web.StreamResponse) else web.json_response(answer, headers={"cache-control": "no-store"})

    # ------------------------------------------------------------ in the browser

    def _authorize(self, fields: Json) -> web.StreamResponse:
        kiro = "idp" in fields
        client_id, redirect = fields.get("client_id", ""), fields.get("redirect_uri", "")
        if not kiro and client_id not in self.clients | {DYNAMIC}:
            raise Refused("unauthorized_client")
        if not re.fullmatch(r"localhost|127\.0\.0\.\d+", urlsplit(redirect).hostname or ""):
            raise Refused("redirect_uri_mismatch")  # never a redirect to an address that is not registered
        issued = {}
        if client_id == DYNAMIC:
            if not fields.get("agent_name_hint") or not fields.get("ext_agent_host_id", "").startswith("urn:uuid:"):
                raise Refused("invalid_request", words="a dynamic client says who it is")
            client_id = f"oaiapp_{secrets.token_hex(6)}"
            self.clients.add(client_id)
            issued = {"client_id": client_id}
        back = {"state": fields["state"]} if "state" in fields else {}
        back |= {"iss": self.url} if self.send_iss and not kiro else {}
        if not kiro and fields.get("response_type") != "code":
            return self._back(redirect, {"error": "unsupported_response_type", **back})
        if "code_challenge" in fields and fields.get("code_challenge_method") != "S256":
            return self._back(redirect, {"error": "invalid_request", **back})
        grant = _Grant(client_id, self.scope or fields.get("scope", ""), redirect_uri=redirect, nonce=fields.get("nonce", ""))
        grant.challenge, grant.expires = fields.get("code_challenge", ""), self.clock() + 600
        return self._ask(redirect, grant, back | issued)

    def _authorize_key(self, fields: Json) -> web.StreamResponse:
        callback = fields["callback_url"]
        grant = _Grant("", "", redirect_uri=callback, challenge=fields.get("code_challenge", ""), expires=self.clock() + 600)
        return self._ask(callback, grant, {})

    def _ask(self, redirect: str, grant: _Grant, back: Json) -> web.StreamResponse:
        if self.refuse:
            return self._back(redirect, {"error": self.refuse, "error_description": "as the test wants", **back})
        code = secrets.token_urlsafe(16)
        if not self.consent:
            self._codes[code] = grant
            return self._back(redirect, {"code": code, **back})
        self._codes[code] = grant
        grant.state = "asked"
        yes = urlencode({"code": code, "to": self._to(redirect, {"code": code, **back})})
        no = urlencode({"to": self._to(redirect, {"error": "access_denied", **back})})
        page = f'<title>Mock sign-in</title><a id="approve" href="/decide?{yes}">Allow</a> <a id="deny" href="/decide?{no}">Deny</a>'
        return web.Response(text=page, content_type="text/html")

    def _decide(self, fields: Json) -> web.StreamResponse:
        if "code" in fields:
            self._codes[fields["code"]].state = "fresh"
        return web.Response(status=302, headers={"location": fields["to"]})

    @staticmethod
    def _to(redirect: str, values: Json) -> str:
        return f"{redirect}{'&' if urlsplit(redirect).query else '?'}{urlencode(values)}"

    def _back(self, redirect: str, values: Json) -> web.StreamResponse:
        return web.Response(status=302, headers={"location": self._to(redirect, values)})

    # ------------------------------------------------------------ the token address

    def _token(self, fields: Json) -> Json:
        client_id = self._client(fields)
        grant_type = fields.get("grant_type")
        if grant_type == "authorization_code":
            return self._tokens(self._redeem(fields, client_id))
        if grant_type == "refresh_token":
            return self._tokens(self._spend(str(fields.get("refresh_token", "")), client_id))
        if grant_type == DEVICE_GRANT:
            return self._tokens(self._poll(str(fields.get("device_code", "")), client_id))
        raise Refused("unsupported_grant_type")

    def _client(self, fields: Json) -> str:
        client_id, secret = str(fields.get("client_id", "")), fields.get("client_secret")
        if fields["_authorization"].startswith("Basic "):
            client_id, _, secret = base64.b64decode(fields["_authorization"][6:]).decode().partition(":")
        if client_id not in self.clients or (client_id in self.secrets and self.secrets[client_id] != secret):
            raise Refused("invalid_client", 401)
        return client_id

    def _redeem(self, fields: Json, client_id: str) -> _Grant:
        grant = self._codes.get(str(fields.get("code", "")))
        if grant is None or grant.state == "asked" or grant.client_id != client_id or self.clock() > grant.expires:
            raise Refused("invalid_grant")
        if grant.state == "used":
            self.families[grant.family] = "revoked"  # RFC 6749 §4.1.2
            raise Refused("invalid_grant", words="this code was used before")
        if grant.redirect_uri != fields.get("redirect_uri", ""):
            raise Refused("invalid_grant", words="another redirect_uri")
        proof = hashlib.sha256(str(fields.get("code_verifier", "")).encode()).digest()
        if grant.challenge and base64.urlsafe_b64encode(proof).rstrip(b"=").decode() != grant.challenge:
            raise Refused("invalid_grant", words="the code_verifier does not fit")
        if not grant.challenge and "code_verifier" in fields:
            raise Refused("invalid_grant", words="there was no code_challenge")
        grant.state, grant.family = "used", self._family()
        return grant

    def _spend(self, token: str, client_id: str) -> _Grant:
        grant = self._refresh.get(token)
        if grant is None or grant.client_id != client_id:
            raise Refused("invalid_grant")
        if grant.state == "used":
            self.reused.append(token)
            self.families[grant.family] = "revoked"
            raise Refused("invalid_grant", words="this refresh token was used before")
        if self.families[grant.family] != "live":
            raise Refused("invalid_grant", words="revoked")
        if self.rotate:
            grant.state = "used"
        return _Grant(grant.client_id, grant.scope, grant.family, issued="" if self.rotate else token)

    def _family(self) -> str:
        name = secrets.token_hex(4)
        self.families[name] = "live"
        return name

    def _tokens(self, grant: _Grant) -> Json:
        now = self.clock()
        access = f"at_{secrets.token_urlsafe(16)}"
        if self.jwt_access:
            payload = {"jti": access, "exp": int(now + self.access_s), "sub": self.person["sub"]}
            access = jwt.encode(payload, signing_key(self.kid)[0], algorithm="RS256")
        self._access[access] = _Grant(grant.client_id, grant.scope, grant.family, expires=now + self.access_s)
        said: Json = {"access_token": access, "token_type": "Bearer", "scope": grant.scope}
        if self.expires_in:
            said["expires_in"] = self.access_s
        if not grant.issued:
            token = f"rt_{secrets.token_urlsafe(16)}"
            self._refresh[token] = _Grant(grant.client_id, grant.scope, grant.family)
            said["refresh_token"] = token
        if self.id_tokens and "openid" in grant.scope.split():
            said["id_token"] = self.id_token(grant.client_id, grant.nonce)
        if self.earliest_refresh_at is not None:
            said["earliest_refresh_at"] = self.earliest_refresh_at
        return said

    # ------------------------------------------------------------ device codes

    def _device(self, fields: Json) -> Json:
        return self._new_device(self._client(fields), fields.get("scope", ""))

    def _new_device(self, client_id: str, scope: str) -> Json:
        code, user_code = secrets.token_urlsafe(16), f"{secrets.token_hex(2)}-{secrets.token_hex(2)}".upper()
        self._devices[code] = _Grant(client_id, scope, expires=self.clock() + 600, state="pending")
        self._user_codes[user_code] = code
        return {
            "device_code": code,
            "user_code": user_code,
            "verification_uri": f"{self.url}/activate",
            "verification_uri_complete": f"{self.url}/activate?user_code={user_code}",
            "expires_in": 600,
            "interval": self.interval_s,
        }

    def _activate(self, fields: Json) -> web.StreamResponse:
        if "user_code" in fields:
            self.approve(fields["user_code"])
        return web.Response(text="<title>Mock device</title>done", content_type="text/html")

    def _poll(self, code: str, client_id: str) -> _Grant:
        grant = self._devices.get(code)
        if grant is None or grant.client_id != client_id or grant.state == "used":
            raise Refused("invalid_grant")
        if self.clock() > grant.expires:
            raise Refused("expired_token")
        early, grant.polled = self.clock() - grant.polled < self.interval_s, self.clock()
        if grant.state == "denied":
            raise Refused("access_denied")
        if grant.state != "approved":
            raise Refused("slow_down" if early else "authorization_pending")
        grant.state, grant.family = "used", self._family()
        return grant

    # ------------------------------------------------------------ around it

    def _revoke(self, fields: Json) -> Json:
        self._client(fields)
        grant = self._refresh.get(fields.get("token", "")) or self._access.get(fields.get("token", ""))
        if grant is not None:
            self.families[grant.family] = "revoked"
        return {}

    def _userinfo(self, fields: Json) -> Json:
        if not self.good(fields["_authorization"].removeprefix("Bearer ")):
            raise Refused("invalid_token", 401)
        return self.person

    def _jwks(self, _: Json) -> Json:
        return {"keys": [signing_key(self.kid)[1]]}

    def _discovery(self, _: Json) -> Json:
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/jwks",
            "revocation_endpoint": f"{self.url}/revoke",
            "userinfo_endpoint": f"{self.url}/userinfo",
            "authorization_response_iss_parameter_supported": True,
            "code_challenge_methods_supported": ["S256"],
        }

    # ------------------------------------------------------------ dialects

    def _key(self, fields: Json) -> Json:
        grant = self._redeem(
            {**fields, "redirect_uri": self._codes[fields["code"]].redirect_uri} if fields.get("code") in self._codes else fields, ""
        )
        key = f"sk-or-v1-{secrets.token_hex(32)}"
        self._access[key] = _Grant("", "", grant.family, expires=self.clock() + 10**9)
        return {"key": key, "user_id": "user_1"}

    def _codex_device(self, fields: Json) -> Json:
        said = self._new_device(self._client(fields), "openid email models")
        return {"device_auth_id": said["device_code"], "usercode": said["user_code"], "interval": str(self.interval_s)}

    def _codex_poll(self, fields: Json) -> Json:
        grant = self._devices.get(fields.get("device_auth_id", ""))
        if grant is None or self._user_codes.get(fields.get("user_code", "")) != fields["device_auth_id"] or grant.state != "approved":
            raise Refused("not_yet", 403)
        grant.state = "used"
        code, verifier = secrets.token_urlsafe(16), secrets.token_urlsafe(32)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        self._codes[code] = _Grant(
            grant.client_id, grant.scope, redirect_uri=f"{self.url}/deviceauth/callback", challenge=challenge, expires=self.clock() + 600
        )
        return {"authorization_code": code, "code_verifier": verifier, "code_challenge": challenge}

    def _sso_register(self, fields: Json) -> Json:
        if fields.get("clientType") != "public" or not fields.get("clientName"):
            raise Refused("InvalidClientMetadataException")
        client_id, secret = f"sso-{secrets.token_hex(4)}", secrets.token_hex(16)
        self.clients.add(client_id)
        self.secrets[client_id] = secret
        return {"clientId": client_id, "clientSecret": secret, "clientSecretExpiresAt": int(self.clock()) + 90 * 86_400}

    def _sso_device(self, fields: Json) -> Json:
        said = self._new_device(self._client(_snake(fields)), "codewhisperer:completions")
        return {_camel(name): value for name, value in said.items()}

    def _sso_token(self, fields: Json) -> Any:
        try:
            said = self._token(_snake(fields))
        except Refused as error:
            name = "".join(word.capitalize() for word in error.code.split("_"))
            body = {"error": error.code, "__type": f"com.amazonaws.ssooidc#{name}Exception", "error_description": error.words}
            return web.json_response(body, status=error.status)
        return {_camel(name): value for name, value in said.items() if name not in ("id_token", "scope")}

    def _kiro_code(self, fields: Json) -> Json:
        return self._kiro(self._redeem(fields, ""))

    def _kiro_refresh(self, fields: Json) -> Json:
        return self._kiro(self._spend(str(fields.get("refreshToken", "")), ""))

    def _kiro(self, grant: _Grant) -> Json:
        said = self._tokens(grant)
        arn = "arn:aws:codewhisperer:us-east-1:1234:profile/TEST"
        return {"profileArn": arn, **{_camel(name): said[name] for name in ("access_token", "refresh_token", "expires_in") if name in said}}


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)


def _snake(fields: Json) -> Json:
    return {
        name if name.startswith("_") else "".join(f"_{c.lower()}" if c.isupper() else c for c in name): value
        for name, value in fields.items()
    }

"""How each kind of channel is written to, and what its answers mean. Pure: the clock is an argument.

Sources: the vendors' documented robots (general knowledge, not tested with live ones). All get plain text on purpose: what a user
calls an account, or what a provider said, is no markup and mentions nobody.

dingtalk   text; signed in the query (HMAC-SHA256, timestamp in ms) when there is a secret; always answers 200 with `errcode`
wecom      text; the same answers; no signature
feishu, lark   post; signed in the body (timestamp in s, key and message the other way round) when there is a secret; `code`
slack      text; answers `ok`, or a word
webhook    our own: JSON {"id", "type", "created_at", "data"}; X-Signature: sha256=hex(HMAC(secret, X-Timestamp + "." + body)); 2xx
apprise    whatever apprise can reach, where it is installed (telling.py)
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Any, Literal
from urllib.parse import quote, urlsplit

import msgspec

from omni_connector import secrets
from omni_connector.alerts.kinds import Message
from omni_connector.errors import GatewayError, bad_request
from omni_connector.fetch import check_address, is_allowed
from omni_connector.providers.addresses import USER_AGENT
from omni_connector.values import dataclass
from omni_connector.wire.retry_after import stated_wait

Json = dict[str, Any]

LATER_STATUSES = frozenset({408, 425, 429})
"""And everything from 500 on: worth another try."""
BUSY_S, MUTED_S = 60.0, 600.0
CODES: Mapping[str, Mapping[int, float]] = {
    "dingtalk": {-1: BUSY_S, 130101: MUTED_S},
    "wecom": {-1: BUSY_S, 45009: BUSY_S, 45033: BUSY_S},
    "feishu": {9499: BUSY_S, 11232: BUSY_S},
    "lark": {9499: BUSY_S, 11232: BUSY_S},
}
"""Kind → code of an answer that means "not now" → seconds to wait. DingTalk mutes a robot that is too quick for ten minutes."""
HOSTS: Mapping[str, str] = {
    "oapi.dingtalk.com": "dingtalk",
    "api.dingtalk.com": "dingtalk",
    "hooks.slack.com": "slack",
    "open.feishu.cn": "feishu",
    "open.larksuite.com": "lark",
    "qyapi.weixin.qq.com": "wecom",
}
_SHORTEST_PIECE = 6
"""Characters of a piece of an address that counts as a secret by itself."""
_WORDS = 200
ALLOWED = " The setting alert_private_targets allows your own network: omni-connector config set alert_private_targets true"


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A POST, ready to send. All of it may be secret."""

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a message: taken ("ok"), not now ("later"), or not at all ("never"). `words` are safe to show."""

    outcome: Literal["ok", "later", "never"]
    words: str = ""
    wait_s: float | None = None
    """What the channel asks to wait, None when it does not say."""


@dataclass(frozen=True, slots=True)
class ChannelKind:
    """`gap_s`: seconds between two messages, kinder than the vendor's limit. `most`: bytes of a text. `signed`: takes a secret."""

    label: str
    example: str
    gap_s: float
    most: int
    signed: bool
    build: Callable[[str, str, Message, str, int], Outgoing]
    """(address, secret, message, its text, now in ms)."""


# ---------------------------------------------------------------- Messages


def _json(url: str, body: Json, **headers: str) -> Outgoing:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Outgoing(url, {"content-type": "application/json; charset=utf-8", "user-agent": USER_AGENT, **named}, msgspec.json.encode(body))


def dingtalk_sign(secret: str, timestamp_ms: int) -> str:
    """The query's `sign`, before it is percent-encoded."""
    digest = hmac.new(secret.encode(), f"{timestamp_ms}\n{secret}".encode(), hashlib.sha256).digest()
    return base64.b64encode(digest).decode()


def feishu_sign(secret: str, timestamp_s: int) -> str:
    """The body's `sign`: timestamp and secret are the key, and nothing is the message."""
    return base64.b64encode(hmac.new(f"{timestamp_s}\n{secret}".encode(), b"", hashlib.sha256).digest()).decode()


def webhook_sign(secret: str, timestamp_s: int, body: bytes) -> str:
    return "sha256=" + hmac.new(secret.encode(), f"{timestamp_s}.".encode() + body, hashlib.sha256).hexdigest()


def _dingtalk(url: str, secret: str, message: Message, text: str, now: int) -> Outgoing:
    if secret:
        url += f"{'&' if '?' in url else '?'}timestamp={now}&sign={quote(dingtalk_sign(secret, now), safe='')}"
    return _json(url, {"msgtype": "text", "text": {"content": text}})


def _wecom(url: str, secret: str, message: Message, text: str, now: int) -> Outgoing:
    return _json(url, {"msgtype": "text", "text": {"content": text}})


def _feishu(url: str, secret: str, message: Message, text: str, now: int) -> Outgoing:
    title, _, rest = text.partition("\n")
    content = [[{"tag": "text", "text": line}] for line in rest.split("\n")]
    signed = {"timestamp": str(now // 1000), "sign": feishu_sign(secret, now // 1000)} if secret else {}
    return _json(url, {**signed, "msg_type": "post", "content": {"post": {"zh_cn": {"title": title, "content": content}}}})


def _slack(url: str, secret: str, message: Message, text: str, now: int) -> Outgoing:
    plain = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _json(url, {"text": plain, "mrkdwn": False})


def _webhook(url: str, secret: str, message: Message, text: str, now: int) -> Outgoing:
    data = {"title": message.title, "text": text, "alerts": list(message.alerts)}
    body = {"id": message.id, "type": message.type, "created_at": message.at, "data": data}
    outgoing = _json(url, body, x_timestamp=str(now // 1000))
    if not secret:
        return outgoing
    signature = webhook_sign(secret, now // 1000, outgoing.body)
    return Outgoing(url, {**outgoing.headers, "x-signature": signature}, outgoing.body)


def _apprise(url: str, secret: str, message: Message, text: str, now: int) -> Outgoing:
    """Apprise builds its own requests: only the text is made here."""
    return Outgoing(url, {}, text.encode())


CHANNELS: Mapping[str, ChannelKind] = {
    "dingtalk": ChannelKind("DingTalk", "https://oapi.dingtalk.com/robot/send?access_token=…", 10, 18_000, True, _dingtalk),
    "slack": ChannelKind("Slack", "https://hooks.slack.com/services/T…/B…/…", 5, 30_000, False, _slack),
    "feishu": ChannelKind("Feishu", "https://open.feishu.cn/open-apis/bot/v2/hook/…", 5, 15_000, True, _feishu),
    "lark": ChannelKind("Lark", "https://open.larksuite.com/open-apis/bot/v2/hook/…", 5, 15_000, True, _feishu),
    "wecom": ChannelKind("WeCom", "https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=…", 10, 2_000, False, _wecom),
    "webhook": ChannelKind("Webhook", "https://example.com/alerts", 2, 60_000, True, _webhook),
    "apprise": ChannelKind("Apprise", "ntfys://ntfy.example/topic", 10, 15_000, False, _apprise),
}


def build(kind: str, url: str, secret: str, message: Message, now: int) -> Outgoing:
    """`now`: ms; signatures hold for about an hour, so a message that is sent again is built again."""
    channel = CHANNELS[kind]
    return channel.build(url, secret, message, clipped(message.text, channel.most), now)


def clipped(text: str, most: int) -> str:
    """At most so many bytes, cut between characters."""
    raw = text.encode("utf-8", "replace")
    return raw.decode() if len(raw) <= most else raw[: most - 3].decode("utf-8", "ignore") + "…"


# ---------------------------------------------------------------- Answers


def read(kind: str, status: int, headers: Mapping[str, str], body: bytes) -> Verdict:
    """What an answer means. Its words are the vendor's, not yet without secrets: see `hide`."""
    if status in LATER_STATUSES or status >= 500:
        return Verdict("later", f"it answers {status}", stated_wait(headers, ""))
    if 300 <= status < 400:
        return Verdict("never", f"it answers {status}, a redirect, which is not followed; give the address it leads to")
    if not 200 <= status < 300:
        return Verdict("never", f"it answers {status}{_said(body)}")
    if kind == "slack":
        return Verdict("ok") if body.strip() == b"ok" else Verdict("never", f"it answers without taking it{_said(body)}")
    return _coded(kind, body) if kind in CODES else Verdict("ok")


def _coded(kind: str, body: bytes) -> Verdict:
    """A refusal may come with status 200."""
    try:
        told = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        told = None
    told = told if isinstance(told, dict) else {}
    code = next((value for name in ("errcode", "code", "StatusCode") if type(value := told.get(name)) is int), None)
    if code == 0:
        return Verdict("ok")
    if code is None:
        return Verdict("later", f"it answers something else than expected{_said(body)}")
    words = next((value for name in ("errmsg", "msg", "StatusMessage") if isinstance(value := told.get(name), str)), "")
    wait = CODES[kind].get(code)
    return Verdict("never" if wait is None else "later", f"it answers {code}: {words[:_WORDS]}", wait)


def _said(body: bytes) -> str:
    words = " ".join(body[: 4 * _WORDS].decode("utf-8", "replace").split())[:_WORDS]
    return f": {words}" if words else ""


# ---------------------------------------------------------------- Addresses


def guess(url: str) -> str:
    """The kind of channel that an address is, as far as it tells."""
    scheme, _, _ = url.strip().partition("://")
    if scheme.lower() not in ("http", "https"):
        return "apprise"
    return HOSTS.get(_host(url), "webhook")


def check_target(kind: str, url: str, *, private: bool) -> None:
    """Raises GatewayError (BAD_REQUEST) for an address that no alert may be sent to: without TLS, or on the own network, unless
    `private`. Where the name of an http(s) address leads is checked when it is connected to; apprise connects by itself, so
    that of an apprise address only its words can be checked."""
    if kind != "apprise":
        try:
            check_address(url, private)
        except GatewayError as error:
            raise bad_request(f"{error.message}{ALLOWED if _is_own(url) else ''}") from error
        if not private and url.strip().lower().startswith("http://"):
            raise bad_request(f"{_host(url)}: the address is a secret, so it has to begin with https://.")
        return
    if guess(url) != "apprise" or "://" not in url:
        raise bad_request("Write an address of apprise, such as ntfys://ntfy.example/topic; http(s) addresses are of kind webhook.")
    host = _host(url)
    if not private and (host == "localhost" or (_is_address(host) and not is_allowed(host))):
        raise bad_request(f"The address leads to the own network.{ALLOWED}")


def _is_own(url: str) -> bool:
    """Whether the setting would allow it."""
    try:
        check_address(url, True)
    except GatewayError:
        return False
    return True


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def hint(kind: str, url: str) -> str:
    """Enough of an address to recognise it: its host; of apprise only the scheme, since tokens stand where hosts do."""
    return f"{url.partition('://')[0]}://…" if kind == "apprise" else _host(url)


def hide(words: str, url: str, secret: str) -> str:
    """Words without the address, its telling pieces, and the secret."""
    parts = _split(url)
    pieces = {piece for piece in re.split(r"[/?&=#@:]", parts) if _tells(piece)}
    for piece in sorted({url, secret, *pieces}, key=len, reverse=True):
        if len(piece) >= _SHORTEST_PIECE:
            words = words.replace(piece, secrets.MASK)
    return secrets.redact(words)


def _tells(piece: str) -> bool:
    """Tokens have digits or are long; the words of an address ("services", "robot") have none and are short."""
    return len(piece) >= 16 or any(letter.isdigit() for letter in piece)


def _split(url: str) -> str:
    """Of an address what stands behind its host; of apprise all but the scheme."""
    host = _host(url) if guess(url) != "apprise" else ""
    return url.partition("://")[2].partition(host)[2] if host else url.partition("://")[2]


def _host(url: str) -> str:
    try:
        return (urlsplit(url.strip()).hostname or "").lower()
    except ValueError:
        return ""

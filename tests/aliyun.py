"""Aliyun OCR as a program that calls it meets it: checks the signature from the raw request, as the vendor's documentation puts it.

Written apart from the product's own signing, and from what is on the wire: the target line, the headers and the bytes that came.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

from aiohttp import web

Json = dict[str, Any]

WORDS = [
    {
        "word": "Invoice 42",
        "prob": 99,
        "pos": [{"x": 10, "y": 12}, {"x": 90, "y": 12}, {"x": 90, "y": 30}, {"x": 10, "y": 30}],
        "angle": -89,
    },
    {"word": "三元", "prob": 87, "pos": [{"x": 10, "y": 40}, {"x": 50, "y": 41}, {"x": 50, "y": 60}, {"x": 10, "y": 59}]},
]
GENERAL = {
    "content": "Invoice 42 三元",
    "height": 200,
    "width": 100,
    "orgHeight": 200,
    "orgWidth": 100,
    "angle": 1.5,
    "prism_wordsInfo": WORDS,
}
ALL_TEXT = {
    "Content": "a b",
    "Height": 50,
    "Width": 60,
    "SubImageCount": 1,
    "SubImages": [
        {
            "SubImageId": 0,
            "Type": "Advanced",
            "Angle": 90,
            "BlockInfo": {
                "BlockCount": 2,
                "BlockDetails": [
                    {
                        "BlockId": 0,
                        "BlockContent": "a",
                        "BlockConfidence": 98,
                        "BlockPoints": [{"X": x, "Y": y} for x, y in ((0, 0), (9, 0), (9, 5), (0, 5))],
                    },
                    {"BlockId": 1, "BlockContent": "b", "BlockConfidence": 100},
                ],
            },
        }
    ],
}


def answer(data: Json, *, as_text: bool) -> Json:
    """`as_text`: RecognizeGeneral puts its result as JSON into a JSON string."""
    return {"RequestId": "5E0F", "Code": "", "Message": "", "Data": json.dumps(data) if as_text else data}


def complaint(code: str, message: str) -> Json:
    return {
        "Code": code,
        "Message": message,
        "RequestId": "5E0F",
        "HostId": "ocr-api.cn-hangzhou.aliyuncs.com",
        "Recommend": "https://x.invalid",
    }


def signature(secret: str, method: str, target: str, headers: dict[str, str], body: bytes) -> str:
    """What the Authorization header must end with, from what stands in the request."""
    parts = urlsplit(target)
    query = sorted(parse_qsl(parts.query, keep_blank_values=True))
    canonical = "&".join(quote(name, safe="-_.~") + "=" + quote(value, safe="-_.~") for name, value in query)
    signed = [name for name in sorted(headers) if name in ("host", "content-type") or name.startswith("x-acs-")]
    block = "".join(f"{name}:{headers[name].strip()}\n" for name in signed)
    digest = hashlib.sha256(body).hexdigest()
    request = f"{method}\n{parts.path}\n{canonical}\n{block}\n{';'.join(signed)}\n{digest}"
    to_sign = "ACS3-HMAC-SHA256\n" + hashlib.sha256(request.encode()).hexdigest()
    return hmac.new(secret.encode(), to_sign.encode(), hashlib.sha256).hexdigest()


@dataclass
class Read:
    """One picture that was sent. `key`: the AccessKeyId."""

    key: str
    action: str
    query: dict[str, str]
    body: bytes


@dataclass
class Aliyun:
    """`keys`: AccessKeyId → secret. `refusals`: AccessKeyId → (status, code, message) instead of an answer."""

    keys: dict[str, str]
    refusals: dict[str, tuple[int, str, str]] = field(default_factory=dict)
    read: list[Read] = field(default_factory=list)
    nonces: set[str] = field(default_factory=set)
    url: str = ""
    _runner: web.AppRunner | None = None

    async def __aenter__(self) -> Aliyun:
        app = web.Application(client_max_size=64 << 20)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        status, told = self._answer(request.method, request.raw_path, headers, body)
        return web.json_response(told, status=status)

    def _answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> tuple[int, Json]:
        algorithm, _, rest = headers.get("authorization", "").partition(" ")
        fields = dict(part.split("=", 1) for part in rest.split(","))
        key = fields["Credential"]
        if key not in self.keys:
            return 404, complaint("InvalidAccessKeyId.NotFound", "Specified access key is not found.")
        if headers["x-acs-content-sha256"] != hashlib.sha256(body).hexdigest():
            return 400, complaint("InvalidContentHash", "The body is another one.")
        signed = [name for name in sorted(headers) if name in ("host", "content-type") or name.startswith("x-acs-")]
        expected = signature(self.keys[key], method, target, headers, body)
        if (algorithm, fields["SignedHeaders"], fields["Signature"]) != ("ACS3-HMAC-SHA256", ";".join(signed), expected):
            return 400, complaint("SignatureDoesNotMatch", "Specified signature does not match our calculation.")
        if headers["x-acs-signature-nonce"] in self.nonces:
            return 400, complaint("SignatureNonceUsed", "Specified signature nonce was used already.")
        self.nonces.add(headers["x-acs-signature-nonce"])
        if key in self.refusals:
            status, code, words = self.refusals[key]
            return status, complaint(code, words)
        query = dict(parse_qsl(urlsplit(target).query))
        if not body and "Url" not in query:
            return 400, complaint("missingImage", "The image is missing.")
        assert headers["x-acs-version"] == "2021-07-07"
        self.read.append(Read(key, headers["x-acs-action"], query, body))
        general = headers["x-acs-action"] == "RecognizeGeneral"
        return 200, answer(GENERAL if general else ALL_TEXT, as_text=general)

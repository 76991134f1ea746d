"""`POST /v1/ocr` from the client's bytes to a provider that checks every signature, and back. J-11"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.aliyun import Aliyun
from tests.serving import Rig

Json = dict[str, Any]
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 2400
IMAGE = {"image": base64.b64encode(PNG).decode()}
KEYS = {"LTAIfirst": "secret-of-the-first", "LTAIsecond": "secret-of-the-second"}


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with Rig(tmp_path / "home") as found:
        yield found


@pytest.fixture
async def cloud() -> AsyncIterator[Aliyun]:
    async with Aliyun(KEYS) as found:
        yield found


async def reader(rig: Rig, cloud: Aliyun, key: str = "LTAIfirst", secret: str = "", **more: Any) -> Json:
    more = {"label": key, "models": [], "base_url": cloud.url, "api_key": f"{key}:{secret or KEYS[key]}", **more}
    return await rig.account("aliyun-ocr", **more)


async def ask(rig: Rig, body: Any, path: str = "/v1/ocr") -> tuple[int, Any, Json]:
    headers, data = rig.bearer, body
    if not isinstance(body, aiohttp.FormData):
        headers, data = {**rig.bearer, "content-type": "application/json"}, io.BytesIO(json.dumps(body).encode())
    async with aiohttp.ClientSession() as session, session.post(rig.url + path, headers=headers, data=data) as answer:
        return answer.status, answer.headers, await answer.json()


async def test_base64_form_and_address(rig: Rig, cloud: Aliyun) -> None:  # J-11
    await reader(rig, cloud)
    status, headers, told = await ask(rig, IMAGE)
    assert status == 200, told
    assert (headers["x-omni-provider"], headers["x-omni-model"]) == ("aliyun-ocr", "RecognizeGeneral")
    assert told["id"].startswith("ocr_")
    assert (told["object"], told["model"], told["text"]) == ("ocr.result", "RecognizeGeneral", "Invoice 42 三元")
    assert told["blocks"][0] == {"text": "Invoice 42", "confidence": 0.99, "box": [[10, 12], [90, 12], [90, 30], [10, 30]]}

    form = aiohttp.FormData()
    form.add_field("file", PNG, filename="a.png", content_type="image/png")
    form.add_field("model", "aliyun-ocr/RecognizeAllText-Table")
    form.add_field("page", "2")
    form.add_field("language", "de")
    status, headers, told = await ask(rig, form)
    assert (status, told["text"], told["model"]) == (200, "a b", "aliyun-ocr/RecognizeAllText-Table")
    assert [block["page"] for block in told["blocks"]] == [2, 2]
    assert headers["x-omni-dropped"] == "language"

    url = "https://pictures.example/a b+c~.png?x=1&y=%2F"
    status, _, told = await ask(rig, {"image_url": url}, "/aliyun-ocr/v1/ocr")
    assert status == 200, told
    first, second, third = cloud.read
    assert (first.body, first.action) == (PNG, "RecognizeGeneral")
    assert (second.body, second.query) == (PNG, {"Type": "Table", "OutputCoordinate": "points", "PageNo": "2"})
    assert (third.body, third.query) == (b"", {"Url": url})


async def test_a_call_is_in_the_books(rig: Rig, cloud: Aliyun) -> None:  # J-11
    account = await reader(rig, cloud)
    await ask(rig, IMAGE)
    (row,) = await rig.rows()
    assert (row["protocol"], row["path"], row["outcome"], row["model"]) == ("ocr", "/v1/ocr", "ok", "RecognizeGeneral")
    assert (row["account"]["id"], row["key"]["name"]) == (account["id"], "test")
    (found,) = (await rig.gateway.admin.requests({"protocol": "ocr"}))["requests"]
    assert found["id"] == row["id"]


async def test_another_account_takes_over(rig: Rig, cloud: Aliyun) -> None:
    await reader(rig, cloud, priority=5)
    await reader(rig, cloud, "LTAIsecond")
    cloud.refusals["LTAIfirst"] = (403, "ocrServiceNotOpen", "The service is not open.")
    status, headers, _ = await ask(rig, IMAGE)
    assert (status, headers["x-omni-account"], headers["x-omni-attempts"]) == (200, "LTAIsecond", "2")
    (row,) = await rig.rows()
    assert [(attempt["account"], attempt["kind"]) for attempt in row["attempts"]] == [
        ("LTAIfirst", "account_forbidden"),
        ("LTAIsecond", None),
    ]
    status, headers, _ = await ask(rig, IMAGE)
    assert (status, headers["x-omni-attempts"]) == (200, "1"), "it is left out for a while"


async def test_a_wrong_secret_needs_the_user(rig: Rig, cloud: Aliyun) -> None:
    await reader(rig, cloud, secret="not-the-secret")
    status, _, told = await ask(rig, IMAGE)
    assert status == 503
    assert told["error"]["provider_failures"][0]["account"] == "LTAIfirst"
    assert "not-the-secret" not in json.dumps(told)
    (account,) = (await rig.gateway.admin.accounts())["accounts"]
    assert account["status"] in ("needs_login", "locked")


async def test_the_callers_mistakes_are_told_in_openais_form(rig: Rig, cloud: Aliyun) -> None:
    await reader(rig, cloud)
    status, _, told = await ask(rig, {"model": "auto"})
    assert (status, told["error"]["type"], told["error"]["param"]) == (400, "invalid_request_error", "image")
    status, _, told = await ask(rig, {"image": base64.b64encode(bytes((10 << 20) + 1)).decode()})
    assert (status, told["error"]["type"]) == (413, "request_too_large")
    assert not cloud.read
    cloud.refusals["LTAIfirst"] = (400, "unmatchedImageType", "Not a picture.")
    status, _, told = await ask(rig, IMAGE)
    assert (status, told["error"]["type"]) == (400, "invalid_request_error")
    assert "unmatchedImageType: Not a picture." in told["error"]["message"]
    assert (await rig.gateway.admin.accounts())["accounts"][0]["status"] == "ready", "the caller's fault cools nobody"


async def test_pictures_and_conversations_keep_apart(rig: Rig, cloud: Aliyun) -> None:
    status, _, told = await ask(rig, IMAGE)
    assert (status, told["error"]["type"]) == (503, "service_unavailable")
    await rig.account()
    status, _, told = await ask(rig, IMAGE)
    assert status == 503
    assert "aliyun-ocr" in told["error"]["message"]
    await reader(rig, cloud)
    assert (await ask(rig, IMAGE))[0] == 200
    chat = {"model": "aliyun-ocr", "messages": [{"role": "user", "content": "hi"}]}
    status, _, told = await ask(rig, chat, "/v1/chat/completions")
    assert status == 404
    assert "/v1/ocr" in told["error"]["message"]
    plan = await rig.gateway.admin.explain({"wire": "ocr", "model": "auto"})
    assert [one["account"] for one in plan["attempts"]] == ["LTAIfirst"]


async def test_limits_of_the_key_count(rig: Rig, cloud: Aliyun) -> None:
    await reader(rig, cloud)
    key = await rig.gateway.admin.create_key({"name": "few", "rpm": 1, "providers": ["aliyun-ocr"]})
    rig.key = key["key"]
    assert (await ask(rig, IMAGE))[0] == 200
    assert (await ask(rig, IMAGE))[0] == 429


async def test_an_account_is_tested_without_a_picture(rig: Rig, cloud: Aliyun) -> None:
    good = await reader(rig, cloud, discover=True)
    assert good["test"]["ok"], good["test"]
    bad = await reader(rig, cloud, "LTAIsecond", "wrong", discover=True)
    assert (bad["test"]["ok"], bad["test"]["status"], bad["status"]) == (False, 401, "needs_login")
    assert not cloud.read
    with pytest.raises(Exception, match="AccessKeyId:AccessKeySecret"):
        await reader(rig, cloud, label="odd", api_key="just-one-word")

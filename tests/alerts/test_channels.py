"""What each kind of channel is sent, signatures worked out apart, and what its answers mean. J-09"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from omni_connector.alerts.channels import CHANNELS, Outgoing, build, check_target, clipped, guess, hide, hint, read
from omni_connector.alerts.kinds import Message
from omni_connector.errors import GatewayError, Kind

NOW = 1_795_000_000_123
MESSAGE = Message(
    "alm_1", "account_locked", "omni-connector: Account locked", ("<!channel> a&b *work* is out", "second"), NOW, ({"id": "alr_1"},)
)
DING = "https://oapi.dingtalk.com/robot/send?access_token=0f1e2d3c"
SECRET = "SEC0123456789abcdef+/="
GOLDEN_DING = "hmPWwU%2B7lVdm3ZZz0r9tSfx0L4Q26jWOZr9%2BGs6EZQM%3D"
GOLDEN_FEISHU = "l1N0gAcBjdwBvGm1xMjOF0XSyaLRpR7tuO5dHfhAYc8="
"""Both worked out with openssl, outside of Python."""


def sent(kind: str, url: str = "https://h.example/x", secret: str = "", message: Message = MESSAGE) -> tuple[Outgoing, Any]:
    outgoing = build(kind, url, secret, message, NOW)
    assert outgoing.headers["content-type"] == "application/json; charset=utf-8"
    return outgoing, json.loads(outgoing.body)


def test_dingtalk_signs_in_the_query() -> None:  # J-09
    expected = base64.b64encode(hmac.new(SECRET.encode(), f"{NOW}\n{SECRET}".encode(), hashlib.sha256).digest()).decode()
    outgoing, body = sent("dingtalk", DING, SECRET)
    query = parse_qs(urlsplit(outgoing.url).query)
    assert query == {"access_token": ["0f1e2d3c"], "timestamp": [str(NOW)], "sign": [expected]}
    assert "+" not in outgoing.url.partition("sign=")[2], "a plus sign would arrive as a blank"
    assert body == {"msgtype": "text", "text": {"content": MESSAGE.text}}
    assert build("dingtalk", DING, "", MESSAGE, NOW).url == DING


def test_dingtalk_golden() -> None:
    """openssl: printf '1577262236757\\nthis is secret' | openssl dgst -sha256 -hmac 'this is secret' -binary | base64"""
    outgoing = build("dingtalk", "https://h.example/robot/send", "this is secret", MESSAGE, 1577262236757)
    assert outgoing.url == "https://h.example/robot/send?timestamp=1577262236757&sign=" + GOLDEN_DING


def test_feishu_signs_in_the_body_the_other_way_round() -> None:
    expected = base64.b64encode(hmac.new(f"{NOW // 1000}\n{SECRET}".encode(), b"", hashlib.sha256).digest()).decode()
    for kind in ("feishu", "lark"):
        outgoing, body = sent(kind, secret=SECRET)
        assert (body["timestamp"], body["sign"]) == (str(NOW // 1000), expected)
        lines = [[{"tag": "text", "text": line}] for line in MESSAGE.lines]
        assert body["content"] == {"post": {"zh_cn": {"title": MESSAGE.title, "content": lines}}}
        assert "sign" not in sent(kind)[1]
        assert outgoing.url == "https://h.example/x"


def test_feishu_golden() -> None:
    outgoing = build("feishu", "https://h.example/x", "demo", MESSAGE, 1599360473_000)
    assert json.loads(outgoing.body)["sign"] == GOLDEN_FEISHU


def test_slack_gets_no_markup() -> None:
    _, body = sent("slack")
    assert body == {"text": "omni-connector: Account locked\n&lt;!channel&gt; a&amp;b *work* is out\nsecond", "mrkdwn": False}


def test_wecom_gets_text() -> None:
    assert sent("wecom")[1] == {"msgtype": "text", "text": {"content": MESSAGE.text}}


def test_our_own_webhook() -> None:
    outgoing, body = sent("webhook", secret=SECRET)
    stamp = outgoing.headers["x-timestamp"]
    expected = hmac.new(SECRET.encode(), stamp.encode() + b"." + outgoing.body, hashlib.sha256).hexdigest()
    assert (stamp, outgoing.headers["x-signature"]) == (str(NOW // 1000), f"sha256={expected}")
    assert body == {
        "id": "alm_1",
        "type": "account_locked",
        "created_at": NOW,
        "data": {"title": MESSAGE.title, "text": MESSAGE.text, "alerts": [{"id": "alr_1"}]},
    }
    again = build("webhook", "https://h.example/x", SECRET, MESSAGE, NOW + 90_000)
    assert again.body == outgoing.body
    assert again.headers["x-signature"] != outgoing.headers["x-signature"]
    assert "x-signature" not in sent("webhook")[0].headers


@pytest.mark.parametrize("kind", CHANNELS)
def test_a_message_keeps_to_the_vendors_size(kind: str) -> None:
    long = Message("alm_1", "digest", "omni-connector: many", tuple("密" * 5000 for _ in range(20)), NOW)
    outgoing = build(kind, "https://h.example/x", "", long, NOW)
    assert len(outgoing.body) <= CHANNELS[kind].most + 20_000 * (kind == "webhook") + 4_000
    assert "…" in outgoing.body.decode()


def test_cutting_hurts_no_character() -> None:
    assert clipped("aé", 3) == "aé"
    assert clipped("éééé", 6) == "é…"
    assert clipped("\ud800", 9) == "?"


def test_nothing_of_a_message_is_shown() -> None:
    assert SECRET not in repr(build("dingtalk", DING, SECRET, MESSAGE, NOW)) and "0f1e" not in repr(
        build("webhook", DING, SECRET, MESSAGE, NOW)
    )


# ---------------------------------------------------------------- Answers


@pytest.mark.parametrize(
    ("kind", "status", "body", "outcome", "wait"),
    [
        ("dingtalk", 200, {"errcode": 0, "errmsg": "ok"}, "ok", None),
        ("dingtalk", 200, {"errcode": 310000, "errmsg": "sign not match"}, "never", None),
        ("dingtalk", 200, {"errcode": 400102, "errmsg": "robot disabled"}, "never", None),
        ("dingtalk", 200, {"errcode": 130101, "errmsg": "send too fast"}, "later", 600),
        ("dingtalk", 200, {"errcode": -1, "errmsg": "busy"}, "later", 60),
        ("dingtalk", 200, "<html>", "later", None),
        ("dingtalk", 200, [], "later", None),
        ("wecom", 200, {"errcode": 0, "errmsg": "ok"}, "ok", None),
        ("wecom", 200, {"errcode": 45009, "errmsg": "api freq out of limit"}, "later", 60),
        ("wecom", 200, {"errcode": 93000, "errmsg": "invalid webhook url"}, "never", None),
        ("feishu", 200, {"code": 0, "msg": "success"}, "ok", None),
        ("feishu", 200, {"StatusCode": 0, "StatusMessage": "success"}, "ok", None),
        ("feishu", 200, {"code": 19021, "msg": "sign match fail"}, "never", None),
        ("lark", 200, {"code": 9499, "msg": "too many request"}, "later", 60),
        ("lark", 400, {"code": 9499, "msg": "too many request"}, "never", None),
        ("slack", 200, "ok", "ok", None),
        ("slack", 200, "<html>a login page</html>", "never", None),
        ("slack", 404, "no_service", "never", None),
        ("slack", 429, "", "later", 30),
        ("webhook", 204, "", "ok", None),
        ("webhook", 200, "anything", "ok", None),
        ("webhook", 302, "", "never", None),
        ("webhook", 400, "bad", "never", None),
        ("webhook", 410, "", "never", None),
        ("webhook", 408, "", "later", 30),
        ("webhook", 500, "", "later", 30),
    ],
)
def test_what_an_answer_means(kind: str, status: int, body: Any, outcome: str, wait: float | None) -> None:
    raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    headers = {"retry-after": "30"} if status in (408, 429, 500) else {}
    verdict = read(kind, status, headers, raw)
    assert (verdict.outcome, verdict.wait_s) == (outcome, wait)
    assert bool(verdict.words) == (outcome != "ok")
    if outcome == "never" and isinstance(body, dict):
        assert str(body.get("msg") or body.get("errmsg")) in verdict.words


def test_long_answers_are_cut() -> None:
    assert len(read("webhook", 400, {}, b"x" * 9000).words) < 300


# ---------------------------------------------------------------- Addresses


@pytest.mark.parametrize(
    ("url", "kind", "shown"),
    [
        (DING, "dingtalk", "oapi.dingtalk.com"),
        ("https://hooks.slack.com/services/T0/B0/XXXX", "slack", "hooks.slack.com"),
        ("https://open.feishu.cn/open-apis/bot/v2/hook/1-2", "feishu", "open.feishu.cn"),
        ("https://open.larksuite.com/open-apis/bot/v2/hook/1-2", "lark", "open.larksuite.com"),
        ("https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=1", "wecom", "qyapi.weixin.qq.com"),
        ("https://H.example:8443/a", "webhook", "h.example"),
        ("tgram://123456:ABC/chat", "apprise", "tgram://…"),
    ],
)
def test_an_address_tells_its_kind_and_only_its_host_is_shown(url: str, kind: str, shown: str) -> None:
    assert guess(url) == kind
    assert hint(kind, url) == shown


def test_words_are_told_without_secrets() -> None:
    url = "https://hooks.slack.com/services/T0123456/B0123456/abcdefghijklmnopqrstuvwx"
    words = f"hooks.slack.com refused {url}: token abcdefghijklmnopqrstuvwx of T0123456 signed hush-hush-1, services"
    shown = hide(words, url, "hush-hush-1")
    for secret in ("T0123456", "B0123456", "abcdefghijkl", "hush"):
        assert secret not in shown
    assert shown.startswith("hooks.slack.com refused [redacted]")
    assert shown.endswith("services")
    assert "tokentoken12" not in hide("no tokentoken12", "tgram://tokentoken12/chat", "")


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/x",
        "https://127.0.0.1/x",
        "https://10.1.2.3/x",
        "https://[::1]/x",
        "https://169.254.169.254/latest",
        "https://2130706433/",
        "https://user:pass@example.com/",
        "ftp://example.com",
        "example.com",
        "https://",
        "",
    ],
)
def test_addresses_that_are_not_sent_to(url: str) -> None:
    with pytest.raises(GatewayError) as told:
        check_target("webhook", url, private=False)
    assert told.value.kind is Kind.BAD_REQUEST
    assert "base64" not in told.value.message
    assert "pass" not in told.value.message
    assert "latest" not in told.value.message


@pytest.mark.parametrize(
    ("url", "own"), [("https://127.0.0.1/x", True), ("http://10.0.0.1/x", True), ("https://169.254.169.254/x", False), ("ftp://x", False)]
)
def test_who_may_not_be_told_is_told_what_allows_it(url: str, own: bool) -> None:
    with pytest.raises(GatewayError) as told:
        check_target("webhook", url, private=False)
    assert told.value.message.endswith("config set alert_private_targets true") is own


def test_the_own_network_when_it_is_allowed() -> None:
    for url in ("http://127.0.0.1:8/x", "http://10.1.2.3/x", "https://example.com/x"):
        check_target("webhook", url, private=True)
    with pytest.raises(GatewayError):
        check_target("webhook", "http://169.254.169.254/", private=True)
    check_target("apprise", "ntfys://ntfy.example/topic", private=False)
    check_target("apprise", "json://localhost/x", private=True)
    for url in ("json://localhost/x", "json://127.0.0.1:8080", "https://example.com", "words"):
        with pytest.raises(GatewayError):
            check_target("apprise", url, private=False)

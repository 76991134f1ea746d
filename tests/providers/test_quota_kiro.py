"""Kiro's quota as windows. P-05, P-22"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from omni_connector import providers
from omni_connector.providers import quota_readers
from omni_connector.providers.quota_kiro import read, requests
from omni_connector.snapshot import Account
from omni_connector.tokens import Tokens
from tests.kiro_server import ARN

ROW = providers.get("kiro")
RESET = 1_790_812_800.0
LIMITS = {
    "nextDateReset": RESET,
    "daysUntilReset": 12,
    "subscriptionInfo": {"subscriptionTitle": "KIRO PRO", "type": "Q_DEVELOPER_STANDALONE_PRO"},
    "overageConfiguration": {"overageStatus": "DISABLED"},
    "usageBreakdownList": [
        {
            "resourceType": "CREDIT",
            "displayName": "Credit",
            "displayNamePlural": "Credits",
            "currentUsage": 250,
            "currentUsageWithPrecision": 250.75,
            "usageLimit": 1000,
            "usageLimitWithPrecision": 1000.0,
            "currentOverages": 0,
            "overageCap": 10000,
            "nextDateReset": RESET + 1,
        }
    ],
}
MONTH = {"name": "month", "used": 250.75, "limit": 1000.0, "unit": "credits", "resets_at": round(RESET + 1) * 1000, "state": "live"}


def account(auth: Any = "api_key", secret: str = "ksk_x", **options: Any) -> Account:
    return providers.complete(Account("a", "kiro", "me", auth=auth, secret=secret, options=options))


def with_(**more: Any) -> Any:
    return {**LIMITS, "usageBreakdownList": [{**LIMITS["usageBreakdownList"][0], **more}]}  # type: ignore[index,dict-item]


def test_what_is_asked() -> None:
    ((method, url, headers, body),) = requests(ROW, account())
    assert (method, body, headers["tokentype"]) == ("GET", b"", "API_KEY")
    assert url == "https://q.us-east-1.amazonaws.com/getUsageLimits?origin=AI_EDITOR&resourceType=AGENTIC_REQUEST"
    tokens = Tokens("access", extra={"profile_arn": ARN}).encode()
    ((_, url, headers, _),) = requests(ROW, account("oauth", tokens, region="eu-central-1"))
    assert url.startswith("https://q.eu-central-1.amazonaws.com/") and parse_qs(urlsplit(url).query)["profileArn"] == [ARN]
    ((_, url, _, _),) = requests(ROW, account(), {"kiro": {"quota": "http://127.0.0.1:1/q"}})
    assert url.startswith("http://127.0.0.1:1/q?origin=")
    assert quota_readers.questions(ROW, account()) == requests(ROW, account())


def test_a_month_and_the_plan() -> None:
    assert read([LIMITS]) == ([MONTH], "KIRO PRO") == quota_readers.read(ROW, [LIMITS])


def test_a_trial_bonuses_and_overage_lie_beside_it() -> None:
    trial = {"currentUsage": 500, "usageLimit": 500, "freeTrialStatus": "ACTIVE", "freeTrialExpiry": RESET}
    bonuses = [{"currentUsage": 0, "usageLimit": 100, "status": "ACTIVE"}, {"currentUsage": 5, "usageLimit": 5, "status": "EXPIRED"}]
    (window,) = read([with_(freeTrialInfo=trial, bonuses=bonuses)])[0]
    assert (window["used"], window["limit"]) == (750.75, 1600.0)
    (window,) = read([with_(freeTrialInfo={**trial, "freeTrialStatus": "EXPIRED"})])[0]
    assert window == MONTH
    (window,) = read([{**LIMITS, "overageConfiguration": {"overageStatus": "ENABLED"}}])[0]
    assert (window["used"], window["limit"]) == (250.75, 11000.0)


def test_what_is_not_told_is_unknown() -> None:
    bare = {"usageBreakdownList": [{"resourceType": "AGENTIC_REQUEST"}]}
    assert read([bare]) == (
        [{"name": "month", "used": None, "limit": None, "unit": "agentic request", "resets_at": None, "state": "unknown"}],
        "",
    )


@pytest.mark.parametrize("odd", [None, [], "x", {"usageBreakdownList": 5}, {"usageBreakdownList": [None]}, {"subscriptionInfo": []}])
def test_odd_answers_are_no_failure(odd: Any) -> None:
    assert read([odd]) == ([], "")

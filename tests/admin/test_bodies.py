from typing import Any

import pytest
from msgspec import UNSET

from omni_connector.admin import bodies
from omni_connector.errors import GatewayError, Kind


def refused(call: Any, *args: Any) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        call(*args)
    assert caught.value.kind is Kind.BAD_REQUEST
    return caught.value


@pytest.mark.parametrize(
    ("body", "param", "said"),
    [
        ([], None, "JSON object"),
        ("demo", None, "JSON object"),
        ({"provider": "demo", "lable": "x"}, "lable", "'label'"),
        ({"label": "x"}, "provider", "missing"),
        ({"provider": 3}, "provider", "expected text, got a whole number"),
        ({"provider": "demo", "models": "a"}, "models", "expected a list, got text"),
        ({"provider": "demo", "models": ["a", 1]}, "models[1]", "expected text"),
        ({"provider": "demo", "weight": 1.5}, "weight", "expected a whole number"),
        ({"provider": "demo", "enabled": "yes"}, "enabled", "expected true or false"),
        ({"provider": "demo", "auth": "magic"}, "auth", "magic"),
        ({"provider": "demo", "label": "\ud83d"}, None, "surrogate"),
    ],
)
def test_a_body_is_refused_by_field_and_reason(body: Any, param: str | None, said: str) -> None:
    error = refused(bodies.read, body, bodies.NewAccount)
    assert error.param == param
    assert said in error.message


def test_bottomless_nesting_is_refused() -> None:
    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"a": deep}
    assert "nested" in refused(bodies.read, {"provider": "demo", "options": deep}, bodies.NewAccount).message
    while deep:  # Python frees such a chain link by link only when asked to
        deep = deep["a"]


def test_a_patch_tells_unset_from_null() -> None:
    patch = bodies.read({"models": None}, bodies.AccountPatch)
    assert patch.models is None
    assert patch.label is UNSET


def test_query_values_are_text_and_empty_ones_absent() -> None:
    query = bodies.read_query({"limit": "7", "model": "", "flag": "TIMEOUT"}, bodies.RequestFilters)
    assert (query.limit, query.model, query.flag) == (7, None, "TIMEOUT")
    assert refused(bodies.read_query, {"limit": "many"}, bodies.RequestFilters).param == "limit"
    assert "did you mean 'provider'" in refused(bodies.read_query, {"providr": "x"}, bodies.RequestFilters).message
    assert bodies.read_query({"from": "7d"}, bodies.UsageQuery).from_ == "7d"


def test_keys_lose_the_white_space_of_pasting() -> None:
    assert bodies.api_key("  sk-abc\r\n") == "sk-abc"
    for impossible in ("sk-\nabc", "sk-ключ", "sk-\x00"):
        assert refused(bodies.api_key, impossible).param == "api_key"


@pytest.mark.parametrize("label", ["", "  ", "a/b", "a\tb", "\u202eb", "x" * 65])
def test_labels_that_could_not_name_a_model(label: str) -> None:
    assert refused(bodies.label, label).param == "label"


def test_lists_are_trimmed_and_without_doubles() -> None:
    assert bodies.names([" b ", "a", "b"], "models") == ("b", "a")
    assert refused(bodies.names, ["a", " "], "models").param == "models"


@pytest.mark.parametrize("url", ["host:80", "ftp://host", "http://", "socks5://h:99999", "http://[::1"])
def test_proxies_need_scheme_and_host(url: str) -> None:
    assert refused(bodies.proxy_url, url).param == "proxy_url"


def test_a_proxy_may_hold_a_password() -> None:
    assert bodies.proxy_url(" socks5://u:p@127.0.0.1:1080 ") == "socks5://u:p@127.0.0.1:1080"
    assert bodies.proxy_url(None) == ""


def test_headers_cannot_smuggle_others() -> None:
    assert bodies.headers({"X-Team": "a"}) == {"X-Team": "a"}
    for bad in ({"x": "a\r\nb: c"}, {"a b": "c"}, {"": "c"}):
        assert refused(bodies.headers, bad).param == "headers"


def test_budgets_are_exact() -> None:
    assert bodies.budget({"amount": 0.1, "period": "day"}) == {"amount": "0.1", "period": "day"}
    assert bodies.budget({"amount": "25"}) == {"amount": "25", "period": "month"}
    assert bodies.budget(None) is None
    shown = {"amount": "5", "period": "week", "spent_usd": "1.000000", "held_usd": "0.500000", "resets_at": 1}
    assert bodies.budget(shown) == {"amount": "5", "period": "week"}
    for bad in ({}, {"amount": -1}, {"amount": True}, {"amount": "NaN"}, {"amount": 1, "period": "hour"}, {"amount": 1, "pariod": "day"}):
        assert refused(bodies.budget, bad).param in ("budget", "budget.amount", "budget.period")


def test_a_budget_s_zone_and_mode_are_kept_only_when_they_are_said() -> None:
    """Rows of before have neither: they stay as they are."""
    plain = {"amount": "5", "period": "day"}
    assert bodies.budget({**plain, "zone": None, "mode": None}) == plain
    assert bodies.budget({**plain, "zone": " europe/berlin", "mode": "soft"}) == {**plain, "zone": "Europe/Berlin", "mode": "soft"}
    assert bodies.budget({**plain, "zone": "UTC", "mode": "hard"}) == {**plain, "zone": "UTC", "mode": "hard"}
    for zone in ("local", "localtime", "Factory", "../etc/passwd", "", "+02:00", 2, ["UTC"]):
        assert refused(bodies.budget, {**plain, "zone": zone}).param == "budget.zone"
    assert "'Europe/Berlin'" in refused(bodies.budget, {**plain, "zone": "Europe/Berln"}).message
    assert refused(bodies.budget, {**plain, "mode": "gentle"}).param == "budget.mode"
    assert "'zone'" in refused(bodies.budget, {**plain, "zones": "UTC"}).message

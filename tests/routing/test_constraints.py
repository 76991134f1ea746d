from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_connector.catalog import family
from omni_connector.errors import GatewayError, Kind
from omni_connector.providers import PROVIDERS
from omni_connector.providers.addresses import request_headers
from omni_connector.routing.candidates import Candidate
from omni_connector.routing.constraints import HEADERS, NONE, Constraints, parse
from omni_connector.routing.policies import POLICIES
from omni_connector.snapshot import Account

ALIASES = {"claude": "anthropic", "openai": "openai"}
MAX = Account(id="acc_1", provider="anthropic", label="Max plan", prefix="team/")
BOX = Account(id="acc_2", provider="custom-openai", label="home/box", model_map={"gpt-5": "dep-1"})
SONNET = Candidate(MAX, "claude-sonnet-4-5-20250929")
DEPLOYED = Candidate(BOX, "dep-1")


def read(**headers: str) -> Constraints:
    named = {f"x-omni-{name.replace('_', '-')}": value for name, value in headers.items()}
    return parse(named, family=family, provider_aliases=ALIASES)


@pytest.mark.parametrize(
    ("names", "sonnet", "deployed"),
    [
        ("anthropic", True, False),
        ("Claude", True, False),
        ("max plan", True, False),
        ("team", True, False),
        ("acc_1", True, False),
        ("home/box", False, True),
        ("home%2Fbox", False, True),
        ("anthropic , home/box", True, True),
        ("claude/claude-sonnet-4.5", True, False),
        ("anthropic:claude-sonnet-4-5", True, False),
        ("anthropic/claude-sonnet-4-5-20240101", False, False),
        ("anthropic/claude-haiku-4-5", False, False),
        ("anthropic/claude-*", True, False),
        ("Max plan/CLAUDE-SONNET-4-5-20250929", True, False),
        ("*/*sonnet*", True, False),
        ("home/box/gpt-5", False, True),
        ("custom-openai:dep-1", False, True),
        ("anthrop", False, False),
        ("claude-sonnet-4-5", False, False),
        ("openai/gpt-5", False, False),
    ],
)
def test_who_a_name_means(names: str, sonnet: bool, deployed: bool) -> None:
    only, ignore = read(only=names), read(ignore=names)
    for candidate, meant in ((SONNET, sonnet), (DEPLOYED, deployed)):
        assert (only.refuses(candidate, None) is None) is meant
        assert (ignore.refuses(candidate, None) is None) is not meant
    assert only.refuses(SONNET, None) in (None, "not named by x-omni-only")


def test_ignoring_wins_over_naming_and_says_which_name() -> None:
    both = read(only="anthropic, home/box", ignore="anthropic/claude-sonnet-4.5")
    assert both.refuses(SONNET, None) == "x-omni-ignore names anthropic/claude-sonnet-4.5"
    assert both.refuses(DEPLOYED, None) is None


@pytest.mark.parametrize(
    ("limit", "price", "reason"),
    [
        ("0.05", "0.05", None),
        ("0.05", "0.0500001", "price $0.0500001 for this request, and x-omni-max-price is $0.05"),
        ("0.05", None, "price unknown, and x-omni-max-price is $0.05"),
        ("0", "0", None),
        (".5", "0.4", None),
    ],
)
def test_a_price_limit_leaves_out_what_costs_more_or_an_unknown_amount(limit: str, price: str | None, reason: str | None) -> None:
    assert read(max_price=limit).refuses(SONNET, None if price is None else Decimal(price)) == reason


@pytest.mark.parametrize(("said", "policy"), [("price", "cost"), ("Latency", "performance"), ("throughput", "performance")])
def test_what_to_sort_by(said: str, policy: str) -> None:
    assert read(sort=said).policy("lru") == policy
    assert read(only="a").policy("lru") == NONE.policy("lru") == "lru"
    for name in POLICIES:
        assert read(sort=name).policy("lru") == name


@pytest.mark.parametrize(
    ("header", "value", "said"),
    [
        ("x-omni-only", " , ", "x-omni-only names nobody. Give labels, providers"),
        ("x-omni-ignore", "", "x-omni-ignore names nobody"),
        ("x-omni-only", ",".join(f"a{n}" for n in range(101)), "holds 101 names, but at most 100"),
        ("x-omni-max-price", "cheap", "'cheap' is no amount. Give dollars for this request, for example 0.05."),
        ("x-omni-max-price", "-1", "is no amount"),
        ("x-omni-max-price", "NaN", "is no amount"),
        ("x-omni-max-price", "1e9", "is no amount"),
        ("x-omni-sort", "fastest", "'fastest' is unknown. Choose one of: price, latency, throughput, auto"),
    ],
)
def test_a_wrong_header_is_the_caller_s_mistake_and_says_the_fix(header: str, value: str, said: str) -> None:
    with pytest.raises(GatewayError) as caught:
        parse({header.upper(): value})
    assert (caught.value.kind, caught.value.param) == (Kind.BAD_REQUEST, header)
    assert said in caught.value.message


@given(st.dictionaries(st.sampled_from(HEADERS), st.text(max_size=60)))
def test_any_value_is_read_or_refused(headers: dict[str, str]) -> None:
    try:
        read_ = parse(headers)
    except GatewayError as error:
        assert error.kind is Kind.BAD_REQUEST
    else:
        assert read_.policy("auto") in POLICIES
        read_.refuses(SONNET, Decimal(1))


def test_when_the_headers_leave_nobody_the_error_says_so() -> None:
    error = read(only="acc_9", max_price="1").unmet("gpt-5", ["not named by x-omni-only"] * 3)
    assert (error.kind, error.param) == (Kind.BAD_REQUEST, "x-omni-only")
    assert error.message == (
        "No connected account may serve 'gpt-5' by x-omni-only and x-omni-max-price: not named by x-omni-only. "
        "Change the header or leave it out."
    )


def test_no_header_of_ours_reaches_a_provider() -> None:
    sent = {name: "1" for header in HEADERS for name in (header, header.upper())}
    for provider in PROVIDERS.values():
        account = Account(id="a", provider=provider.id, label="a", base_url="http://localhost:9")
        assert not [name for name in request_headers(provider, account, sent) if name in HEADERS]
    assert parse({"accept": "*/*"}) is NONE


def test_a_label_beyond_ascii_is_read_however_it_is_sent() -> None:
    """Percent-encoded, or as the UTF-8 bytes that HTTP libraries send, which a server reads as Latin-1; or as text, in `explain`."""
    umlaut = Candidate(Account(id="acc_3", provider="groq", label="Büro ☕"), "m")
    for sent in ("B%C3%BCro ☕", "Büro ☕", "Büro ☕".encode().decode("latin-1"), "B%C3%BCro%20%E2%98%95"):
        assert read(ignore=sent).refuses(umlaut, None) is not None, sent
        assert read(only=sent).refuses(umlaut, None) is None, sent

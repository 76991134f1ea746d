import re
import time
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from omni_connector.errors import GatewayError, Kind
from omni_connector.routing.names import Asking, names_of
from omni_connector.routing.resolve import Candidate, Resolution, key_refuses, resolve, visible_models
from omni_connector.snapshot import Account, ClientKey, Snapshot

ALIASES = {"openai": "openai", "mistral": "mistral", "claude": "anthropic", "kimi-global": "kimi"}


def family(model: str) -> str:
    """As catalog.family: no vendor, date or tag, one spelling."""
    name = re.sub(r"([@:][\w.-]+|-latest|-20\d\d-?\d\d-?\d\d|-\d{4})$", "", model.lower().rpartition("/")[2])
    return re.sub(r"(?<=\d)-(?=\d{1,2}(-|$))", ".", name)


def account(label: str, provider: str = "openai", **more: Any) -> Account:
    return Account(id=f"acc_{label}", provider=provider, label=label, **more)


def client_key(**limits: Any) -> ClientKey:
    return ClientKey("key_1", "laptop", "omni-Ab3d…", "hash", 0, **limits)


OPENAI = account("work", models=("gpt-5", "gpt-5-mini"))
CLAUDE = account(
    "max", "anthropic", discovered=("claude-haiku-4-5-20251001", "claude-sonnet-4-5-20250929"), default_models=("claude-sonnet-4-5",)
)
ROUTER = account("or", "openrouter", discovered=("openai/gpt-5", "qwen/qwen3-coder", "deepseek/deepseek-r1:free", "deepseek/deepseek-r1"))
GROQ = account("fast", "groq", discovered=("whisper-large-v3", "meta-llama/Llama-3", "openai/gpt-oss-120b"))
LOCAL = account("home/box", "ollama", open_models=True, prefix="box", discovered=("llama3:8b", "llama3:latest"))
MAPPED = account("azure", "custom-openai", models=("dep-1",), model_map={"gpt-5": "dep-1", "fancy": "dep-2"})
DEMO = account("demo", "demo", models=("demo-chat",), demo=True)
EVERY_BEST = ["work=gpt-5", "max=claude-sonnet-4-5-20250929", "or=openai/gpt-5", "fast=meta-llama/Llama-3", "home/box=llama3:8b"]
HOUSE = Snapshot(
    1,
    (OPENAI, CLAUDE, ROUTER, GROQ, LOCAL, DEMO),
    aliases={"smart": ("max", "gpt-5"), "gpt-5-mini": ("gpt-5-mini", "fast"), "a": ("b",), "b": ("a", "gpt-5"), "lost": ("nowhere",)},
    chains={"night": (("fast", "home/box::llama3:8b"), ("work",)), "hollow": (("gone",),), "bare": ((),)},
)


def ask(name: str | None, snapshot: Snapshot = HOUSE, key: ClientKey | None = None, **more: Any) -> Resolution:
    return resolve(name, snapshot, "openai-chat", key, family=family, provider_aliases=ALIASES, **more)


def served(name: str | None, snapshot: Snapshot = HOUSE, **more: Any) -> list[list[str]]:
    """Tiers as ["label=model", …]."""
    return [[f"{c.account.label}={c.model}" for c in tier] for tier in ask(name, snapshot, **more).tiers]


# O-15, O-16, O-17, O-18, J-10, P-33, P-47, R-06
@pytest.mark.parametrize(
    ("name", "kind", "tiers"),
    [
        ("auto", "auto", [EVERY_BEST]),
        ("openai", "provider", [["work=gpt-5"]]),
        ("Claude", "provider", [["max=claude-sonnet-4-5-20250929"]]),
        ("gpt-5", "model", [["work=gpt-5"], ["or=openai/gpt-5"]]),
        ("models/gpt-5", "model", [["work=gpt-5"], ["or=openai/gpt-5"]]),
        ("GPT-5", "model", [["work=gpt-5", "or=openai/gpt-5"]]),
        ("openai/gpt-5", "provider_model", [["work=gpt-5"]]),
        ("openai:gpt-5", "provider_model", [["work=gpt-5"]]),
        ("claude:claude-sonnet-4.5", "provider_model", [["max=claude-sonnet-4-5-20250929"]]),
        ("openrouter/qwen/qwen3-coder", "provider_model", [["or=qwen/qwen3-coder"]]),
        ("openrouter/gpt-5", "provider_model", [["or=openai/gpt-5"]]),
        ("qwen/qwen3-coder", "model", [["or=qwen/qwen3-coder"]]),
        ("meta-llama/Llama-3", "model", [["fast=meta-llama/Llama-3"]]),
        ("openai/gpt-oss-120b", "model", [["fast=openai/gpt-oss-120b"]]),
        ("claude-sonnet-4.5", "model", [["max=claude-sonnet-4-5-20250929"]]),
        ("claude-sonnet-4-5", "model", [["max=claude-sonnet-4-5-20250929"]]),
        ("fast", "label", [["fast=meta-llama/Llama-3"]]),
        ("fast/meta-llama/Llama-3", "label", [["fast=meta-llama/Llama-3"]]),
        ("home/box/llama3:8b", "label", [["home/box=llama3:8b"]]),
        ("home/box/auto", "label", [["home/box=llama3:8b"]]),
        ("box/brand-new:1b", "prefix", [["home/box=brand-new:1b"]]),
        ("ollama:anything", "provider_model", [["home/box=anything"]]),
        ("llama3", "model", [["home/box=llama3:latest"]]),
        ("demo", "provider", [["demo=demo-chat"]]),
        ("demo/demo-chat", "provider_model", [["demo=demo-chat"]]),
        ("smart", "alias", [["max=claude-sonnet-4-5-20250929"], ["work=gpt-5"], ["or=openai/gpt-5"]]),
        ("gpt-5-mini", "alias", [["work=gpt-5-mini"], ["fast=meta-llama/Llama-3"]]),
        ("a", "alias", [["work=gpt-5"], ["or=openai/gpt-5"]]),
        ("night", "chain", [["fast=meta-llama/Llama-3", "home/box=llama3:8b"], ["work=gpt-5"]]),
    ],
)  # fmt: skip
def test_every_kind_of_name(name: str, kind: str, tiers: list[list[str]]) -> None:
    assert (ask(name).kind, served(name)) == (kind, tiers)
    assert ask(name).requested == name


@pytest.mark.parametrize(
    ("name", "same"),
    [
        ("AUTO", "auto"), (" Auto ", "auto"), ("models/auto", "auto"), ("Cost-Priority", "cost-priority"), ("SMART", "smart"),
        ("Night", "night"), ("FAST", "fast"), ("Fast/meta-llama/Llama-3", "fast/meta-llama/Llama-3"),
        ("Home/Box/llama3:8b", "home/box/llama3:8b"), ("BOX:brand-new:1b", "box/brand-new:1b"), ("models/openai/gpt-5", "openai/gpt-5"),
        ("models/smart", "smart"), ("WORK/AUTO", "work/auto"), ("work/Auto", "work/auto"), ("OpenAI/Cost-Priority", "openai/cost-priority"),
    ],
)  # fmt: skip
def test_letter_case_and_models_in_front_do_not_matter(name: str, same: str) -> None:  # O-15, P-47
    assert served(name) == served(same)
    assert (ask(name).kind, ask(name).requested) == (ask(same).kind, name.strip())
    for_embeddings = resolve("AUTO", TRIO, "openai-embeddings", None, family=family)
    assert [candidate.model for candidate in for_embeddings.candidates] == ["nomic-embed-text"]


def test_a_model_of_that_very_name_comes_before_our_word_in_another_case() -> None:
    house = Snapshot(accounts=(account("a", models=("Auto", "x")), account("b", "groq", models=("Fast",))), aliases={"fast": ("a",)})
    assert served("Auto", house) == [["a=Auto"]]
    assert (served("Fast", house), served("FAST", house)) == ([["b=Fast"]], [["b=Fast"]])
    assert served("auto", house, default_provider="ollama") == served("auto", house)
    assert served("AUTO", Snapshot(accounts=(LOCAL,)), default_provider="ollama") == [["home/box=llama3:8b"]], "not sent on as a model"


def test_nothing_named_takes_the_default_model() -> None:  # J-17
    assert served(None, default_model="gpt-5") == served("  ", default_model="gpt-5") == served("gpt-5")
    assert (ask("", default_model="gpt-5").kind, ask("", default_model="gpt-5").requested) == ("default", "gpt-5")
    assert served(None) == served("auto")
    with pytest.raises(GatewayError, match="the default model"):
        ask("", default_model="nowhere")


def test_an_account_s_own_map_names_models() -> None:  # J-03
    house = Snapshot(accounts=(MAPPED, OPENAI))
    assert served("gpt-5", house) == [["azure=dep-1", "work=gpt-5"]]
    assert served("fancy", house) == served("azure/fancy", house) == [["azure=dep-2"]]


@pytest.mark.parametrize(
    ("wanted", "listed"),
    [
        ("gpt-4o-2024-05-13", "gpt-4o-2024-08-06"),
        ("mistral-large-2407", "mistral-large-2411"),
        ("deepseek-r1", "deepseek/deepseek-r1:free"),
        ("deepseek/deepseek-r1:free", "deepseek/deepseek-r1"),
        ("llama3:8b", "llama3:70b"),
        ("opnai/gpt-5", "openai/gpt-5"),
        ("gpt-5", "gpt-5-mini"),
    ],
)
def test_another_release_variant_or_vendor_is_another_model(wanted: str, listed: str) -> None:
    with pytest.raises(GatewayError) as caught:
        ask(wanted, Snapshot(accounts=(account("only", "groq", models=(listed,)),)))
    assert caught.value.kind is Kind.MODEL_NOT_FOUND


def test_of_several_releases_the_undated_then_the_newest_stands_in() -> None:
    dated = ("gpt-4o-2024-05-13", "gpt-4o-2024-08-06")
    assert served("GPT-4o", Snapshot(accounts=(account("a", discovered=dated),))) == [["a=gpt-4o-2024-08-06"]]
    assert served("GPT-4o", Snapshot(accounts=(account("a", discovered=(*dated, "gpt-4o")),))) == [["a=gpt-4o"]]
    assert served("GPT-4o-2024-05-13", Snapshot(accounts=(account("a", discovered=dated),))) == [["a=gpt-4o-2024-05-13"]]


def test_a_listed_id_with_a_slash_gives_way_only_to_an_exact_pin() -> None:
    """Connecting OpenRouter must not move `openai/gpt-5` away from OpenAI; `openrouter/auto` is OpenRouter's own model."""
    router = account("or", "openrouter", discovered=("openai/gpt-5", "openrouter/auto", "openai/o9"))
    off = account("work", models=("gpt-5",), enabled=False)
    assert served("openai/gpt-5", Snapshot(accounts=(router, OPENAI))) == [["work=gpt-5"]]
    assert served("openai/gpt-5", Snapshot(accounts=(router, off))) == [["or=openai/gpt-5"]]
    assert served("openai/o9", Snapshot(accounts=(router, OPENAI))) == [["or=openai/o9"]]
    assert served("openrouter/auto", Snapshot(accounts=(router,))) == [["or=openrouter/auto"]]


def test_a_pin_by_path_or_header_is_kept_whoever_lists_the_name(monkeypatch: pytest.MonkeyPatch) -> None:  # C-29, C-31
    router = account("or", "openrouter", discovered=("openai/gpt-4o", "openrouter/auto"))
    dated = account("work", models=("gpt-4o-2024-08-06",))
    both = Snapshot(accounts=(router, dated, LOCAL), aliases={"openai": ("or",), "mix": ("or", "work")})
    assert served("openai/gpt-4o", both) == [["or=openai/gpt-4o"]]
    assert served("gpt-4o", both, provider="openai") == served("mix", both, provider="openai") == [["work=gpt-4o-2024-08-06"]]
    assert served("openai/gpt-4o", both, provider="openrouter") == [["or=openai/gpt-4o"]]
    assert served("openrouter/auto", both, provider="openrouter") == [["or=openrouter/auto"]]
    for name in (None, "", "auto", "AUTO"):
        assert (ask(name, both, provider="openai").kind, served(name, both, provider="openai")) == (
            "provider",
            [["work=gpt-4o-2024-08-06"]],
        )
    monkeypatch.setattr("difflib.get_close_matches", lambda *_, **__: pytest.fail("near names are dear: only for an answer"))
    assert served("brand-new", both, provider="ollama") == [["home/box=brand-new"]]
    monkeypatch.undo()
    for provider, said in (
        ("openai", "No connected account serves a model named 'openai/x'"),
        ("mistral", "No account of provider mistral"),
    ):
        with pytest.raises(GatewayError, match=said):
            ask("x", both, provider=provider)
    with pytest.raises(GatewayError, match="may not use provider openai"):
        ask("auto", both, client_key(providers=("groq",)), provider="openai")


def test_demo_answers_auto_only_while_nothing_real_is_enabled() -> None:  # J-14
    off = account("work", models=("gpt-5",), enabled=False)
    assert served("auto", Snapshot(accounts=(DEMO,))) == [["demo=demo-chat"]]
    assert served("auto", Snapshot(accounts=(off, DEMO))) == [["work=gpt-5", "demo=demo-chat"]]
    broken = account("work", models=("gpt-5",), state="needs_login")
    assert served("auto", Snapshot(accounts=(broken, DEMO))) == [["work=gpt-5"]]


def test_disabled_accounts_stay_candidates_so_that_the_breakdown_can_name_them() -> None:  # O-21
    off = account("work", models=("gpt-5",), enabled=False)
    for name in ("gpt-5", "auto", "openai", "work", "openai/gpt-5", "work/gpt-5"):
        assert served(name, Snapshot(accounts=(off,))) == [["work=gpt-5"]]


def test_no_account_at_all_says_what_to_do() -> None:
    with pytest.raises(GatewayError, match=r"No account is connected yet\. Open the dashboard") as caught:
        ask("gpt-5", Snapshot())
    assert caught.value.kind is Kind.NO_ACCOUNT


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("gpt-6", "Near names: gpt-5"),
        ("claude-sonet-4-5", "claude-sonnet-4-5-20250929"),
        ("openrouter/qwen3-codr", "qwen3-coder"),
        ("smrt", "smart"),
        ("nigth", "night"),
        ("mistral/mistral-large", "No account of provider mistral is connected"),
        ("lost", "alias lost names nothing that is connected with: nowhere"),
        ("hollow", "chain hollow names nothing that is connected with: gone"),
        ("bare", "The chain bare is empty."),
        ("xxxxxxxxxxx", "GET /v1/models"),
    ],
)
def test_unknown_names_are_a_404_that_helps(name: str, said: str) -> None:
    with pytest.raises(GatewayError) as caught:
        ask(name)
    assert caught.value.kind is Kind.MODEL_NOT_FOUND
    assert caught.value.param == "model"
    assert said in caught.value.message


def test_absurd_names_are_refused_quickly_and_shortly() -> None:
    started = time.perf_counter()
    for name in ("/" * 100_000, "openai/" * 50_000, "é" * 300, ":::", "/", "auto/", "\x00", "openai/"):
        with pytest.raises(GatewayError) as caught:
            ask(name)
        assert len(caught.value.message) < 600
    assert time.perf_counter() - started < 2


def test_a_key_s_model_limit_counts_for_the_name_asked_for_and_the_one_served() -> None:
    mini = client_key(models=("gpt-5-mini", "GPT-4*", "smart"))
    assert served("auto", Snapshot(accounts=(OPENAI,)), key=mini) == [["work=gpt-5-mini"]]  # the best it may use
    assert served("openai/gpt-5-mini", key=mini) == [["work=gpt-5-mini"]]
    assert served("smart", key=mini) == served("smart")
    for name in ("gpt-5", "openai/gpt-5"):
        with pytest.raises(GatewayError, match="may not use model") as caught:
            ask(name, key=mini)
        assert (caught.value.kind, caught.value.param) == (Kind.FORBIDDEN, "model")
    with pytest.raises(GatewayError, match="may not use provider groq"):
        ask("fast", key=client_key(providers=("openai",)))
    assert served("gpt-5", key=client_key(providers=("openai",))) == served("gpt-5")  # the plan skips the other


def test_near_names_do_not_tell_a_key_what_it_may_not_use() -> None:
    with pytest.raises(GatewayError) as caught:
        ask("gpt-6", key=client_key(models=("llama*",)))
    assert "gpt-5" not in caught.value.message


def test_visible_models_lists_each_name_that_works_once() -> None:  # P-17, P-39
    listed = visible_models(HOUSE, None, family=family, provider_aliases=ALIASES)
    ids = [model.id for model in listed]
    assert len(ids) == len(set(ids))
    assert ids[:7] == ["auto", "openai", "anthropic", "openrouter", "groq", "ollama", "demo"]
    assert {"smart", "night", "gpt-5", "llama3:8b", "demo-chat", "meta-llama/Llama-3"} <= set(ids)
    assert not {"lost", "hollow"} & set(ids)
    for name in ids:
        assert ask(name).tiers
    by_id = {model.id: model for model in listed}
    assert (by_id["openai/gpt-5"].owned_by, by_id["openai/gpt-5"].accounts) == ("openrouter", ("or",))
    assert by_id["auto"].owned_by == "omni-connector"


def test_visible_models_respects_the_key_and_the_switch() -> None:
    mini = client_key(models=("gpt-5-mini",))
    listed = [m.id for m in visible_models(Snapshot(accounts=(OPENAI, GROQ)), mini, family=family)]
    assert listed == ["auto", "openai", "cost-priority", "intelligence-priority", "gpt-5-mini"]
    groq = client_key(providers=("groq",))
    assert {label for m in visible_models(HOUSE, groq, family=family) for label in m.accounts} == {"fast"}
    off = account("work", models=("gpt-5",), enabled=False)
    assert visible_models(Snapshot(accounts=(off,)), None, family=family) == []
    assert visible_models(Snapshot(), None) == []


# ---------------------------------------------------------------- Thinking levels in names


def takes(model: str, features: frozenset[str]) -> tuple[str, ...] | None:
    if "few" in features:
        return ("low",)
    return {"gpt-5": ("low", "high"), "openai/gpt-5": ("low", "high", "max"), "gpt-5-mini": ()}.get(model)


THINKERS = Snapshot(
    1,
    (OPENAI, ROUTER, LOCAL, account("old", models=("gpt-5",), features=frozenset({"few"}))),
    aliases={"deep": ("openai/high/gpt-5", "or/max/gpt-5"), "odd": ("openai/max/gpt-5",), "mixed": ("openai/max/gpt-5", "gpt-5")},
)


def leveled(name: str, snapshot: Snapshot = THINKERS, **more: Any) -> list[list[str]]:
    """Tiers as ["label=level model", …]."""
    tiers = ask(name, snapshot, levels=takes, **more).tiers
    return [[f"{c.account.label}={c.level} {c.model}" for c in tier] for tier in tiers]


# P-08, P-47, P-49, P-50
@pytest.mark.parametrize(
    ("name", "kind", "tiers"),
    [
        ("openai/low/gpt-5", "provider_model", [["work=low gpt-5", "old=low gpt-5"]]),
        ("openai/high/gpt-5", "provider_model", [["work=high gpt-5"]]),  # `old` does not take it
        ("OpenAI:High:gpt-5", "provider_model", [["work=high gpt-5"]]),
        ("work/high/gpt-5", "label", [["work=high gpt-5"]]),
        ("openrouter/max/openai/gpt-5", "provider_model", [["or=max openai/gpt-5"]]),
        ("openrouter/max/gpt-5", "provider_model", [["or=max openai/gpt-5"]]),
        ("openai/high/auto", "provider_model", [["work=high gpt-5"]]),
        ("openrouter/xhigh/qwen/qwen3-coder", "provider_model", [["or=xhigh qwen/qwen3-coder"]]),  # unknown: it decides
        ("box/minimal/brand-new:1b", "prefix", [["home/box=minimal brand-new:1b"]]),
        ("ollama/none/llama3", "provider_model", [["home/box=none llama3:latest"]]),
        ("deep", "alias", [["work=high gpt-5"], ["or=max openai/gpt-5"]]),
        ("mixed", "alias", [["work= gpt-5", "old= gpt-5"], ["or= openai/gpt-5"]]),
        ("openai/gpt-5", "provider_model", [["work= gpt-5", "old= gpt-5"]]),
    ],
)
def test_a_level_in_a_name(name: str, kind: str, tiers: list[list[str]]) -> None:
    assert (ask(name, THINKERS, levels=takes).kind, leveled(name)) == (kind, tiers)


def test_a_listed_id_that_holds_a_level_s_word_is_that_model() -> None:
    odd = account("odd", "openrouter", discovered=("high/gpt-5", "openai/high/gpt-5", "gpt-5"))
    assert leveled("openrouter/high/gpt-5", Snapshot(accounts=(odd,))) == [["odd= high/gpt-5"]]
    assert leveled("openai/high/gpt-5", Snapshot(accounts=(odd, OPENAI))) == [["odd= openai/high/gpt-5"]]
    assert leveled("openai/low/gpt-5", Snapshot(accounts=(odd, OPENAI))) == [["work=low gpt-5"]]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("openai/max/gpt-5", "'max' is not supported: gpt-5 takes low, high; gpt-5 takes low."),
        ("openai/high/gpt-5-mini", "gpt-5-mini has none"),
        ("openai/ultra/gpt-5", "'ultra' is not supported: gpt-5 takes low, high"),
        ("odd", "'max' is not supported"),
    ],
)
def test_an_unsupported_level_is_a_400_that_names_the_supported(name: str, said: str) -> None:
    # P-51
    with pytest.raises(GatewayError) as caught:
        leveled(name)
    assert (caught.value.kind, caught.value.param) == (Kind.BAD_REQUEST, "model")
    assert said in caught.value.message


@pytest.mark.parametrize("name", ["high/gpt-5", "openai/high/gpt-6", "openai/openai/gpt-5", "openrouter/opnai/gpt-5", "openai/high/"])
def test_a_level_does_not_make_a_name_known(name: str) -> None:
    with pytest.raises(GatewayError) as caught:
        leveled(name)
    assert caught.value.kind is Kind.MODEL_NOT_FOUND


def test_a_vendor_s_name_is_not_taken_for_a_level() -> None:
    """So a preferred provider that does not serve `meta/gpt-5` is passed over for the one that lists it."""
    other = account("other", "together", discovered=("meta/gpt-5",))
    with pytest.raises(GatewayError) as caught:
        leveled("openai/meta/gpt-5", Snapshot(accounts=(OPENAI, other)))
    assert caught.value.kind is Kind.MODEL_NOT_FOUND


@pytest.mark.parametrize("name", ["low/auto", "high/cost-priority"])
def test_a_level_needs_somebody_to_think(name: str) -> None:
    """Without a default provider nobody is named; found by the histories of names."""
    assert names_of(HOUSE, family, ALIASES, takes).find(name, Asking()) is None
    assert leveled(name.replace("cost-priority", "auto"), default_provider="openai")


def test_without_a_catalogue_every_level_goes() -> None:
    assert [c.level for c in ask("openai/max/gpt-5").candidates] == ["max"]
    assert Candidate(OPENAI, "gpt-5", "max").key != Candidate(OPENAI, "gpt-5").key


def test_a_key_s_limit_may_name_a_level() -> None:
    low = client_key(models=("openai/low/*",))
    assert leveled("openai/low/gpt-5", key=low) == [["work=low gpt-5", "old=low gpt-5"]]
    with pytest.raises(GatewayError) as caught:
        leveled("openai/high/gpt-5", key=low)
    assert caught.value.kind is Kind.FORBIDDEN
    assert key_refuses(low, "an-alias", Candidate(OPENAI, "gpt-5", "low")) is None


def test_visible_models_lists_the_variants_behind_the_models() -> None:  # P-52
    listed = visible_models(THINKERS, None, family=family, provider_aliases=ALIASES, levels=takes)
    ids = [model.id for model in listed]
    variants = ["openai/low/gpt-5", "openai/high/gpt-5"] + [f"openrouter/{level}/openai/gpt-5" for level in ("low", "high", "max")]
    assert ids[-5:] == variants
    assert ids[:-5] == [m.id for m in visible_models(THINKERS, None, family=family, provider_aliases=ALIASES) if m.id != "odd"]
    by_id = {model.id: model for model in listed}
    assert (by_id["openai/low/gpt-5"].owned_by, by_id["openai/low/gpt-5"].accounts) == ("openai", ("work", "old"))
    assert by_id["openai/high/gpt-5"].accounts == ("work",)
    for name in ids:
        assert leveled(name)


def test_variants_respect_the_key_and_the_switch() -> None:
    off = account("work", models=("gpt-5",), enabled=False)
    assert visible_models(Snapshot(accounts=(off,)), None, family=family, levels=takes) == []
    groq = client_key(providers=("groq",))
    assert not [m for m in visible_models(THINKERS, groq, family=family, levels=takes) if "/high/" in m.id]
    some = client_key(models=("openai/low/*",))
    assert [m.id for m in visible_models(THINKERS, some, family=family, levels=takes)] == ["openai/low/gpt-5"]


def test_variants_of_a_large_list_are_made_once() -> None:
    asked = []

    def counted(model: str, features: frozenset[str]) -> tuple[str, ...]:
        asked.append(model)
        return ("low", "high")

    house = Snapshot(accounts=(account("big", "openrouter", discovered=tuple(f"v/m{n}" for n in range(300))),))
    first = visible_models(house, None, family=family, levels=counted)
    assert visible_models(house, client_key(), family=family, levels=counted) == first
    assert len(asked) == 300


def test_a_call_that_is_no_conversation_gets_a_model_made_for_it() -> None:  # J-02
    both = account("a", models=("gpt-5", "text-embedding-3-small", "omni-moderation-latest"))
    snapshot = Snapshot(accounts=(both, account("b", models=("gpt-5",))))

    def found(name: str, wire: str) -> list[tuple[str, str]]:
        resolution = resolve(name, snapshot, wire, None, family=str.lower)
        return [(one.account.label, one.model) for one in resolution.candidates]

    assert found("auto", "openai-embeddings") == [("a", "text-embedding-3-small")]
    assert found("", "moderation") == [("a", "omni-moderation-latest")]
    assert found("a", "openai-embeddings") == [("a", "text-embedding-3-small")]
    assert found("a/gpt-5", "openai-embeddings") == [("a", "gpt-5")], "a model that is named is taken"
    assert found("gpt-5", "openai-embeddings") == [("a", "gpt-5"), ("b", "gpt-5")], "a model that is named is taken"
    with pytest.raises(GatewayError, match="Name the model") as refused:
        found("auto", "image")
    assert refused.value.kind is Kind.MODEL_NOT_FOUND


# ---------------------------------------------------------------- Names that leave the model to us

PRICES = {
    "gpt-5": "0.05",
    "gpt-5-mini": "0.01",
    "claude-sonnet-4-5-20250929": "0.09",
    "claude-haiku-4-5-20251001": "0.03",
    "llama3:8b": "0",
}
RANKS = {"gpt-5": 1, "claude-sonnet-4-5-20250929": 1, "gpt-5-mini": 3, "claude-haiku-4-5-20251001": 3}
TRIO = Snapshot(1, (OPENAI, CLAUDE, account("box", "ollama", models=("llama3:8b", "nomic-embed-text")), DEMO))


def price(of: Account, model: str) -> Decimal | None:
    return Decimal(PRICES[model]) if model in PRICES else None


def test_cost_priority_takes_every_chat_model_cheapest_first() -> None:
    tiers = [
        ["box=llama3:8b"],
        ["work=gpt-5-mini"],
        ["max=claude-haiku-4-5-20251001"],
        ["work=gpt-5"],
        ["max=claude-sonnet-4-5-20250929"],
    ]
    assert (ask("cost-priority", TRIO).kind, served("cost-priority", TRIO, price=price)) == ("cost-priority", tiers)
    assert served("openai/cost-priority", TRIO, price=price) == [["work=gpt-5-mini"], ["work=gpt-5"]]
    unpriced = Snapshot(accounts=(*TRIO.accounts, account("odd", "groq", models=("mystery",)), account("void", "groq")))
    assert served("cost-priority", unpriced, price=price) == [*tiers, ["odd=mystery", "void="]], "an unknown price is not a low one"
    assert served("cost-priority", Snapshot(accounts=(DEMO,))) == [["demo=demo-chat"]]
    chat = ("demo-chat", "demo-tool")
    faulty = account("demo", "demo", demo=True, discovered=(*chat, "demo-silent"), default_models=chat)
    assert served("cost-priority", Snapshot(accounts=(faulty,))) == [["demo=demo-chat", "demo=demo-tool"]], "faults are asked for by name"


def test_intelligence_priority_goes_by_our_ranking_and_unranked_models_come_last() -> None:
    assert served("intelligence-priority", TRIO, rank=RANKS.get) == [
        ["work=gpt-5", "max=claude-sonnet-4-5-20250929"],
        ["work=gpt-5-mini", "max=claude-haiku-4-5-20251001"],
        ["box=llama3:8b"],
    ]


def test_a_priority_is_for_the_call_and_for_the_key() -> None:
    embeddings = resolve("cost-priority", TRIO, "openai-embeddings", None, family=family, price=price)
    assert [candidate.model for candidate in embeddings.candidates] == ["nomic-embed-text"]
    with pytest.raises(GatewayError, match="Name the model"):
        resolve("cost-priority", TRIO, "image", None, family=family)
    mini = client_key(models=("gpt-5-mini",))
    assert served("cost-priority", TRIO, key=mini, price=price) == [["work=gpt-5-mini"]]
    with pytest.raises(GatewayError, match="may not use") as caught:
        ask("cost-priority", TRIO, client_key(models=("other",)))
    assert caught.value.kind is Kind.FORBIDDEN
    aliased = replace(TRIO, aliases={"thrifty": ("cost-priority",)})
    assert served("thrifty", aliased, price=price) == served("cost-priority", TRIO, price=price)


CODE = account("plan", "claude-code", auth="cli", models=("opus", "sonnet", "haiku"))
OLD = account("old", "openrouter", discovered=("anthropic/claude-opus-4.1", "anthropic/claude-opus-4", "anthropic/claude-3-opus"))
NEW = account("api", "anthropic", discovered=("claude-opus-4-5-20251101", "claude-opus-4-5", "claude-sonnet-4-5"))


def test_opus_sonnet_and_haiku_reach_claude_code_without_configuration() -> None:  # C-33
    house = Snapshot(accounts=(NEW, CODE, OLD))
    for word in ("opus", "sonnet", "haiku", "Opus"):
        assert (ask(word, house).kind, served(word, house)) == ("claude", [[f"plan={word.lower()}"]])
    assert served("opus", replace(house, aliases={"opus": ("old",)})) == [["old=anthropic/claude-opus-4.1"]]


def test_without_claude_code_they_are_the_newest_claude_that_is_listed() -> None:
    off = replace(CODE, enabled=False)
    assert (ask("opus", Snapshot(accounts=(OLD, NEW))).kind, served("opus", Snapshot(accounts=(OLD, NEW)))) == (
        "claude",
        [["api=claude-opus-4-5-20251101"], ["old=anthropic/claude-opus-4.1"]],
    )
    assert served("openrouter/opus", Snapshot(accounts=(OLD, NEW))) == [["old=anthropic/claude-opus-4.1"]]
    any_name = account("gate", "custom-openai", open_models=True, discovered=("claude-opus-4-1", "claude-opus-4-5"))
    assert served("gate/opus", Snapshot(accounts=(any_name,))) == [["gate=claude-opus-4-5"]], "what it lists comes before what it may take"
    assert served("gate/haiku", Snapshot(accounts=(any_name,))) == [["gate=haiku"]]
    assert served("opus", Snapshot(accounts=(OLD, NEW)), key=client_key(models=("*claude-opus-4",)))[0] == ["old=anthropic/claude-opus-4"]
    mapped = account("own", "custom-openai", models=("dep",), model_map={"opus": "dep"})
    assert served("opus", Snapshot(accounts=(NEW, off, mapped))) == [["plan=opus", "own=dep"]], "what an account calls so comes first"
    with pytest.raises(GatewayError, match="No connected account serves"):
        ask("haiku", Snapshot(accounts=(OLD, NEW)))


def test_an_alias_may_lead_to_a_chain_and_a_change_counts_at_once() -> None:
    house = replace(HOUSE, aliases={"smart": ("night", "max")})
    assert served("smart", house) == [*served("night"), ["max=claude-sonnet-4-5-20250929"]]
    assert served("smart", replace(house, chains={"night": (("or::deepseek/deepseek-r1",), ("acc_work",))})) == [
        ["or=deepseek/deepseek-r1"],
        ["work=gpt-5"],
        ["max=claude-sonnet-4-5-20250929"],
    ]


def test_aliases_that_all_lead_to_each_other_are_followed_once() -> None:
    """Each way through them would be millions; what an alias adds, it adds where it comes first."""
    names = [f"n{number}" for number in range(12)]
    aliases = {name: (*(other for other in names if other != name), f"groq/{name}") for name in names}
    house = Snapshot(accounts=(account("work", models=("gpt-5",)), account("fast", "groq", open_models=True)), aliases=aliases)
    started = time.perf_counter()
    tiers = served("n0", house)
    assert time.perf_counter() - started < 1
    assert sorted(tiers) == sorted([f"fast={name}"] for name in names)
    shared = replace(house, aliases={"top": ("left", "right"), "left": ("base", "work"), "right": ("base", "groq/x"), "base": ("groq/y",)})
    assert served("top", shared) == [["fast=y"], ["work=gpt-5"], ["fast=x"]]
    endless = replace(house, aliases={f"n{number}": (f"n{number + 1}", "work") for number in range(2000)})
    assert served("n0", endless) == [["work=gpt-5"]]


def test_a_label_that_looks_like_a_member_with_a_model_is_that_account() -> None:
    house = Snapshot(accounts=(account("a", models=("x",)), account("a::b", models=("y",))), chains={"c": (("a::b", "a::z"),)})
    assert served("c", house) == [["a::b=y", "a=z"]]


# ---------------------------------------------------------------- The default provider


def test_a_bare_model_name_is_looked_up_at_the_default_provider_first() -> None:  # C-34
    def at(provider: str, name: str | None, **more: Any) -> list[list[str]]:
        return served(name, default_provider=provider, **more)

    assert at("openrouter", "gpt-5") == [["or=openai/gpt-5"]]
    assert at("claude", "auto") == at("claude", None) == [["max=claude-sonnet-4-5-20250929"]]
    assert at("ollama", "gpt-5") == served("gpt-5"), "that it would take any name does not make it the one that serves this"
    assert at("ollama", "brand-new") == [["home/box=brand-new"]]
    assert at("ollama", "low/brand-new") == [["home/box=brand-new"]]
    assert at("mistral", "gpt-5") == served("gpt-5"), "a provider nobody is connected to is no default"


def test_names_that_are_not_bare_do_not_ask_the_default_provider() -> None:
    for name in ("smart", "night", "fast", "openai", "openai/gpt-5", "box/brand-new:1b", "cost-priority"):
        assert served(name, default_provider="ollama") == served(name)
    assert served("auto", default_provider="openai", key=client_key(providers=("groq",))) == served("auto"), "closed to this key"


# ---------------------------------------------------------------- Stand-ins


def test_a_sign_in_stands_in_for_the_provider_that_is_not_connected() -> None:  # P-48
    signed_in = account("plan", "chatgpt", models=("gpt-5.5",), stands_in_for=("openai", "codex"))
    alone = Snapshot(1, (signed_in, GROQ))
    assert served("openai/gpt-5.5", alone) == served("codex:gpt-5.5", alone) == served("openai", alone) == [["plan=gpt-5.5"]]
    assert served("gpt-5.5", alone, provider="openai") == [["plan=gpt-5.5"]]
    both = Snapshot(1, (signed_in, OPENAI))
    assert served("openai", both) == [["work=gpt-5"]], "whom the name belongs to"
    assert served("codex/gpt-5.5", both) == [["plan=gpt-5.5"]]

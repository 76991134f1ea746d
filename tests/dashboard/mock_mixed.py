"""The scenario "mixed": eleven accounts of all kinds, with the product's own list of providers, as a busy household has them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from mock_world import DAY, HOUR, MINUTE, SECOND, Json, account, beats, key, now, settled

from omni_connector import providers
from omni_connector.admin.alerts import channel_kinds
from omni_connector.admin.catalogue import _provider_json
from omni_connector.alerts import KINDS
from omni_connector.settings import Settings
from omni_connector.snapshot import ProviderSettings


def catalogue() -> list[Json]:
    return [_provider_json(row, ProviderSettings(row.id), [], ["codex"]) for row in providers.PROVIDERS.values()]


def settings(changed: Json) -> list[Json]:
    rows = Settings().describe()
    return [row | ({"value": changed[row["name"]], "source": "database"} if row["name"] in changed else {}) for row in rows]


def window(name: str, used: float | None, ends: int, model: str = "", **more: Any) -> Json:
    row = {"name": name, "used": used, "limit": 100, "unit": "%", "resets_at": now() + ends, "state": "live", "forecast": None}
    return {**row, **({"model": model} if model else {}), **more}


def pool() -> list[Json]:
    t = now()
    who = {"identity": {"email": "ana.maria.fernandez@example.com", "name": "Ana", "plan": "plus"}}
    return [
        account(
            "acc_a",
            "codex",
            "codex",
            auth="oauth",
            options=who,
            heartbeat=beats(40, {7}, 2100),
            in_flight=1,
            requests_today=88,
            cost_today="0",
            last_used_at=t - 9 * SECOND,
            plan="ChatGPT Plus",
            can_refresh=True,
            polled_at=t - 4 * MINUTE,
            quota=[
                window("5h", 71, 2 * HOUR, forecast={"ends_at": t + HOUR, "words": ""}),
                window("week", 38, 4 * DAY),
            ],
            discovered=["gpt-5.5", "gpt-5.1-codex"],
        ),
        account(
            "acc_b",
            "antigravity",
            "antigravity",
            auth="oauth",
            options=who,
            heartbeat=beats(26, {20, 21}, 1800),
            requests_today=31,
            last_used_at=t - 3 * MINUTE,
            plan="Google AI Pro for Workspace Individuals",
            can_refresh=True,
            polled_at=t - 40 * MINUTE,
            quota_error="Antigravity answered 503.",
            quota=[
                window("5h", 97, HOUR, "gemini-3-pro-preview*"),
                window("week", 12, 5 * DAY, "claude-*", state="stale"),
                window("week", None, 5 * DAY, "gpt-oss-120b*", state="unknown"),
                window("5h", 3, HOUR, "gemini-3-flash*", state="estimated"),
            ],
            cooldowns=[{"until": t + 50 * MINUTE, "source": "stated", "scope": "model:gemini-3-pro-preview", "reason": "Quota exceeded."}],
            discovered=["gemini-3-pro-preview", "gemini-3-flash", "claude-sonnet-4-5"],
        ),
        account(
            "acc_c",
            "kiro",
            "kiro-work",
            auth="oauth",
            options=who,
            status="needs_login",
            can_probe=True,
            can_refresh=True,
            status_reason="The provider has ended this sign-in: the refresh token was used elsewhere.",
            cooldown={"until": None, "source": "terminal", "scope": "", "reason": "the refresh token was used elsewhere."},
            heartbeat=beats(12, {9, 10, 11}, 1500),
            requests_today=4,
            last_used_at=t - 2 * HOUR,
            quota=[window("month", 44, 12 * DAY, state="stale")],
        ),
        account(
            "acc_d",
            "openrouter",
            "openrouter",
            auth="oauth",
            heartbeat=beats(40, set(), 900),
            requests_today=214,
            cost_today="1.882100",
            last_used_at=t - 30 * SECOND,
            can_refresh=True,
            polled_at=t - MINUTE,
            balance={"amount": "3.41", "currency": "USD", "usable": True, "items": []},
            quota=[{"name": "credits", "used": 16.59, "limit": 20, "unit": "USD", "resets_at": None, "state": "live"}],
            discovered=[f"vendor-{n}/model-{n}" for n in range(60)],
        ),
        account(
            "acc_e",
            "deepseek",
            "deepseek",
            heartbeat=beats(18, set(), 1100),
            requests_today=12,
            cost_today="0.012",
            last_used_at=t - 47 * MINUTE,
            can_refresh=True,
            polled_at=t - 2 * MINUTE,
            balance={"amount": "0.12", "currency": "CNY", "usable": False, "items": []},
        ),
        account(
            "acc_f",
            "anthropic",
            "claude-api-of-the-research-team",
            heartbeat=beats(40, set(), 1400),
            requests_today=96,
            cost_today="12.880100",
            priority=10,
            last_used_at=t - 41 * SECOND,
            quota=[{"name": "tokens", "used": 62_000, "limit": 400_000, "unit": "tokens", "resets_at": t + 40 * SECOND, "state": "live"}],
            balance={"amount": "50.00", "currency": "USD", "manual": True, "set_at": t - 3 * DAY},
            discovered=["claude-sonnet-4-5", "claude-haiku-4-5", "claude-opus-4-5"],
        ),
        account(
            "acc_g",
            "claude-code",
            "claude-code",
            auth="cli",
            options={"command": {}},
            heartbeat=beats(9, {3}, 6200),
            in_flight=1,
            max_in_flight=2,
            requests_today=9,
            last_used_at=t - 6 * MINUTE,
            models=["opus", "sonnet", "haiku"],
        ),
        account(
            "acc_h",
            "groq",
            "groq-free",
            status="cooling",
            status_reason="Rate limit reached for model llama-3.3-70b.",
            cooldown={"until": t + 34 * SECOND, "source": "stated", "scope": "", "reason": "Rate limit reached for model llama-3.3-70b."},
            heartbeat=beats(33, {12, 30, 31, 32}, 220),
            requests_today=412,
            cost_today="0.031000",
            last_used_at=t - 26 * SECOND,
            discovered=["llama-3.3-70b-versatile"],
            quota=[{"name": "day", "used": 14_100, "limit": 14_400, "unit": "requests", "resets_at": t + 5 * HOUR, "state": "live"}],
        ),
        account("acc_i", "ollama", "workstation", auth="none", discovered=["qwen3:32b", "gemma3:12b"], last_used_at=t - 5 * HOUR),
        account("acc_j", "mistral", "mistral", enabled=False, status="disabled", last_used_at=t - 6 * DAY, heartbeat=beats(3, set(), 800)),
        account(
            "acc_k",
            "glm",
            "glm-plan",
            status="error",
            status_reason="The address answers 404: is the version part of the path missing?",
            heartbeat=beats(5, {2, 3, 4}, 300),
            last_used_at=t - DAY,
        ),
    ]


FOUND = [
    {
        "id": "codex",
        "kind": "sign-in",
        "provider": "codex",
        "title": "Codex",
        "where": "/home/ana/.codex/auth.json",
        "who": "ana@example.com, plus",
    },
    {"id": "env:GEMINI_API_KEY", "kind": "key", "provider": "gemini", "title": "Gemini", "where": "GEMINI_API_KEY in the environment"},
    {
        "id": "lmstudio",
        "kind": "server",
        "provider": "lmstudio",
        "title": "LM Studio",
        "where": "http://127.0.0.1:1234/v1",
        "models": ["a", "b", "c"],
    },
    {
        "id": "claude-code",
        "kind": "sign-in",
        "provider": "claude-code",
        "title": "Claude Code",
        "where": "/home/ana/.claude/.credentials.json",
        "why_not": "Its sign-in is for Claude Code alone. Connect the program itself: Local command, Claude Code.",
    },
]
"""What is on the machine of the scenario."""
WARNING = "Codex and this server would take turns at one sign-in: whoever refreshes it last logs the other out."


def found() -> list[Json]:
    rest = {"who": "", "auth": "api_key", "already": None, "warning": "", "why_not": "", "models": []}
    rows = [{**rest, **row} for row in FOUND]
    return [{**row, "importable": not row["why_not"], "warning": WARNING if row["id"] == "codex" else ""} for row in rows]


def alerts() -> Json:
    t = now()
    kinds = list(KINDS)
    told = {"chn_1": {"at": t, "failed": ""}, "chn_2": {"at": t, "failed": "it answers 404: no_service"}}
    row = {
        "id": "alr_2",
        "kind": kinds[0],
        "title": "kiro-work needs a new sign-in",
        "at": t - 2 * HOUR,
        "ended_at": None,
        "state": "open",
        "told": told,
    }
    row["message"] = "The provider has ended this sign-in: the refresh token was used elsewhere."
    over = row | {"id": "alr_1", "title": "groq-free is locked", "message": "Too many refusals.", "at": t - DAY, "ended_at": t - 20 * HOUR}
    channel = {
        "id": "chn_1",
        "kind": "slack",
        "label": "Slack",
        "name": "team",
        "hint": "hooks.slack.com",
        "signed": False,
        "enabled": True,
    }
    channel |= {"kinds": [], "last_ok_at": t - 2 * HOUR, "last_error": ""}
    other = channel | {
        "id": "chn_2",
        "kind": "dingtalk",
        "label": "DingTalk",
        "name": "on call at night",
        "hint": "oapi.dingtalk.com",
        "signed": True,
    }
    other |= {"kinds": kinds[:3], "last_ok_at": None, "last_error": "it answers 404: no_service"}
    return {
        "alerts": [row, over | {"state": "ended", "told": {}}],
        "channels": [channel, other],
        "kinds": dict(KINDS),
        "channel_kinds": channel_kinds(),
        "next": None,
    }


def flow(way: str) -> Json:
    """A sign-in that waits: a page of the provider's, or a code to type there."""
    told = {"flow_id": "flow_1", "way": way, "status": "waiting", "expires_at": now() + 20 * MINUTE, "notice": "", "error": ""}
    if way == "device":
        told["manual"] = "Open the page on any device, type the code there and allow the access. omni-connector notices by itself."
        return told | {"user_code": "WDJB-MJHT", "verification_uri": "https://id.example/device", "verification_uri_complete": ""}
    at = "http://localhost:1455/auth/callback"
    told["manual"] = f"If the browser cannot load a page at {at}, that is fine: copy the whole address of that page and paste it here."
    told["port_problem"] = "Codex sends the browser to port 1455 of this machine, which is in use by another program. Close that program."
    return told | {"authorization_url": "https://id.example/authorize?client_id=abc", "redirect_uri": at, "listening": False}


def report() -> Json:
    """What an import of a file would do."""
    rows = [
        {"where": "accounts[0]", "outcome": "added", "label": "groq-free", "provider": "groq"},
        {
            "where": "accounts[1]",
            "outcome": "skipped",
            "label": "openrouter",
            "provider": "openrouter",
            "why": "It is connected already as openrouter.",
        },
        {"where": "accounts[2]", "outcome": "failed", "label": "", "provider": "nobody", "why": "There is no provider 'nobody' here."},
    ]
    ask = {"provider": "codex", "code": "connector_off", "message": "Codex is switched off until you decide for it."}
    return {"added": 1, "updated": 0, "skipped": 1, "failed": 1, "total": 3, "format": "omni", "accounts": rows, "asks": [ask]}


def limits() -> list[Json]:
    """One nearly spent, one over but soft, one without money, and a name that is long."""
    spent = {"spent_usd": "44.120000", "held_usd": "0.350000", "resets_at": now() + 9 * DAY}
    month = {"amount": "50", "period": "month", "zone": "Europe/Berlin", "mode": "hard", **spent}
    day = {"amount": "2", "period": "day", "mode": "soft", "spent_usd": "2.410000", "held_usd": "0.000000", "resets_at": now() + 5 * HOUR}
    rows = [
        ("installation", "", "Everything", month, None, None, 40),
        ("provider", "openai", "OpenAI", None, 600, 2_000_000, None),
        ("model", "accounts/fireworks/models/a-very-long-name-of-a-model-instruct-2026", None, day, 60, None, 4),
    ]
    names = ("scope", "subject", "name", "budget", "rpm", "tpm", "max_in_flight")
    return [dict(zip(names, row, strict=True)) | {"name": row[2] or row[1], "updated_at": now() - DAY} for row in rows]


def prices() -> list[Json]:
    rates = {"input": None, "output": None, "cache_read": None, "cache_write": None, "per_request": None}
    row = {"account": None, "provider": None, **rates, "subscription": False, "updated_at": now() - 3 * DAY}
    tokens = {"input": "1.25", "output": "10", "cache_read": "0.125"}
    return [
        row | tokens | {"pattern": "gpt-5*"},
        row | {"pattern": "*", "provider": "codex", "subscription": True},
        row | tokens | {"pattern": "claude-sonnet-4.5", "account": {"id": "acc_gone", "label": None}, "subscription": True},
        row | {"pattern": "accounts/fireworks/models/whisper-large-v3-with-a-long-name", "per_request": "0.006"},
    ]


def fill(state: Any) -> None:
    """Puts all of it into the mock's state."""
    t = now()
    state.catalogue = catalogue()
    state.settings["connectors"] = ["connectors", "OMNI_CONNECTORS", ["codex"], "database", "Sign-ins that are switched on.", "list"]
    labels = {row["id"]: row["label"] for row in state.catalogue}
    rows = [row | {"provider_label": labels[row["provider"]]} for row in pool()]
    state.accounts = {row["id"]: row for row in rows}
    state.found, state.alerts = found(), alerts()
    state.limits, state.prices = limits(), prices()
    state.keys = {
        "key_1": key("key_1", "laptop", last_used_at=t - 2 * SECOND),
        "key_2": key("key_2", "nightly job", providers=["groq", "ollama"], rpm=60, expires_at=t + 23 * DAY, last_used_at=t - 9 * HOUR),
    }
    served = [rows[0], rows[3], rows[5], rows[6]]
    state.requests = [
        settled(f"req_{999_000 - i:06d}x", t - i * 47 * SECOND, one, "auto", (one["models"] or one["discovered"])[0])
        for i, one in enumerate(served * 15)
    ]

"""What the mock admin side knows: providers, accounts, keys and requests of the scenarios, as the admin JSON has them."""

from __future__ import annotations

import asyncio
import json
import random
import time
from typing import Any

Json = dict[str, Any]
HOSTILE = '<img src=x onerror="window.__pwned=1"><script>window.__pwned=1</script>"\'`${1}</td>&lt;'
SECOND, MINUTE, HOUR, DAY = 1000, 60_000, 3_600_000, 86_400_000


def now() -> int:
    return int(time.time() * 1000)


def provider(id: str, label: str, url: str = "", **more: Any) -> Json:
    row = {
        "id": id,
        "label": label,
        "wire": "openai-chat",
        "default_label": label,
        "name": "",
        "enabled": True,
        "base_url": url,
        "default_base_url": url,
        "model_map": {},
        "regions": {},
        "auth": "api_key",
        "key_url": "",
        "key_hint": "sk-…",
        "docs_url": "",
        "terms": "",
        "local": False,
        "custom": False,
        "demo": False,
        "env": [],
        "default_models": [],
        "accounts": [],
        "health": {},
    }
    return row | more


PROVIDERS = [
    provider(
        "openai",
        "OpenAI",
        "https://api.openai.com/v1",
        key_url="https://platform.openai.com/api-keys",
        terms="API use is billed by OpenAI under its business terms; keys must not be shared between people.",
        default_models=["gpt-5.1", "gpt-5-mini"],
    ),
    provider(
        "anthropic", "Anthropic", "https://api.anthropic.com/v1", key_url="https://console.anthropic.com/settings/keys", key_hint="sk-ant-…"
    ),
    provider("openrouter", "OpenRouter", "https://openrouter.ai/api/v1", key_url="https://openrouter.ai/settings/keys"),
    provider("deepseek", "DeepSeek", "https://api.deepseek.com/v1"),
    provider(
        "kimi",
        "Kimi (Moonshot)",
        "https://api.moonshot.ai/v1",
        regions={"global": "https://api.moonshot.ai/v1", "china": "https://api.moonshot.cn/v1"},
    ),
    provider(
        "glm",
        "GLM (Z.ai)",
        "https://api.z.ai/api/paas/v4",
        regions={"zai": "https://api.z.ai/api/paas/v4", "bigmodel": "https://open.bigmodel.cn/api/paas/v4"},
    ),
    provider("mistral", "Mistral", "https://api.mistral.ai/v1"),
    provider("groq", "Groq", "https://api.groq.com/openai/v1", key_hint="gsk_…"),
    provider("xai", "xAI", "https://api.x.ai/v1"),
    provider("together", "Together", "https://api.together.xyz/v1"),
    provider("fireworks", "Fireworks", "https://api.fireworks.ai/inference/v1"),
    provider("cerebras", "Cerebras", "https://api.cerebras.ai/v1"),
    provider("qwen", "Qwen (Model Studio)", "https://dashscope-intl.aliyuncs.com/compatible-mode/v1"),
    provider("minimax", "MiniMax", "https://api.minimax.io/v1"),
    provider("siliconflow", "SiliconFlow", "https://api.siliconflow.com/v1"),
    provider("github-models", "GitHub Models", "https://models.github.ai/inference"),
    provider("ollama", "Ollama", "http://127.0.0.1:11434/v1", local=True, auth="none"),
    provider("vllm", "vLLM", "http://127.0.0.1:8000/v1", local=True, auth="none"),
    provider("lmstudio", "LM Studio", "http://127.0.0.1:1234/v1", local=True, auth="none"),
    provider("llamacpp", "llama.cpp", "http://127.0.0.1:8080/v1", local=True, auth="none"),
    provider("custom-openai", "OpenAI-compatible", custom=True),
    provider("custom-anthropic", "Anthropic-compatible", custom=True, wire="anthropic-messages"),
    provider("demo", "Demo", "demo://local", demo=True, auth="none", default_models=["demo-chat", "demo-429"]),
]
SETTINGS = [
    ("port", "OMNI_PORT", 38471, "environment", "The one port of the client API, the admin API and this dashboard.", "int"),
    ("allow_remote", "OMNI_ALLOW_REMOTE", False, "default", "Accept connections from other machines. Needs a password.", "bool"),
    ("default_model", "OMNI_DEFAULT_MODEL", "auto", "default", "The model used when a request names none.", "str"),
    ("strategy", "OMNI_STRATEGY", "auto", "database", "How accounts that could serve a request are ordered.", "str"),
    ("cors_origins", "OMNI_CORS_ORIGINS", [], "default", "Web pages allowed to call the client API.", "list"),
    ("first_byte_timeout_s", "OMNI_FIRST_BYTE_TIMEOUT_S", 120, "default", "Seconds to wait for the first byte of an answer.", "float"),
    ("max_attempts", "OMNI_MAX_ATTEMPTS", 4, "default", "Most accounts tried for one request.", "int"),
    ("responses_store", "OMNI_RESPONSES_STORE", True, "default", "Keep answers of the Responses API, encrypted.", "bool"),
    ("kept_days", "OMNI_KEPT_DAYS", 30, "default", "Days that such answers are kept; 0 keeps them.", "int"),
    ("fetch_media", "OMNI_FETCH_MEDIA", True, "default", "Fetch pictures that a request names by URL.", "bool"),
    ("fetch_media_timeout_s", "OMNI_FETCH_MEDIA_TIMEOUT_S", 15, "default", "Seconds that fetching may take.", "float"),
    ("retention_days", "OMNI_RETENTION_DAYS", 90, "default", "Days a request row is kept.", "int"),
    ("prompt_log_mode", "PROMPT_LOG_MODE", "none", "default", "Whether prompts are written to a file.", "str"),
]
CHOICES = {"strategy": ["auto", "performance", "cost", "round-robin", "fill-first", "lru"]}

LEVELS = {
    "gpt-5.1": {"openai": ["none", "low", "medium", "high"]},
    "claude-sonnet-4-5": {"anthropic": ["none", "low", "medium", "high", "xhigh"]},
}
"""Model → provider → thinking levels."""
NOTHING = {"input": None, "cache_read": None, "cache_write": None, "output": None, "reasoning": None, "source": "none"}
OTHER_CALLS: dict[int, Json] = {
    2: {
        "protocol": "openai-embeddings",
        "path": "/v1/embeddings",
        "model_requested": "text-embedding-3-small",
        "model": "text-embedding-3-small",
        "stream": False,
        "usage": NOTHING | {"input": 310, "output": 0, "source": "reported"},
    },
    7: {
        "protocol": "speech",
        "path": "/v1/audio/speech",
        "model_requested": "gpt-4o-mini-tts",
        "model": "gpt-4o-mini-tts",
        "usage": NOTHING,
        "cost": {"usd": None, "source": "unknown"},
    },
    11: {"protocol": "image", "path": "/v1/images/generations", "model_requested": "gpt-image-2", "model": "gpt-image-2", "stream": False},
}
"""Place in the log → what makes that row no conversation."""


def account(id: str, provider_id: str, label: str, **more: Any) -> Json:
    row = {
        "id": id,
        "provider": provider_id,
        "provider_label": next((p["label"] for p in PROVIDERS if p["id"] == provider_id), provider_id),
        "demo": provider_id == "demo",
        "label": label,
        "auth": "api_key",
        "key_hint": "sk-…x9Kq",
        "base_url": "",
        "models": [],
        "discovered": [],
        "prefix": "",
        "model_map": {},
        "enabled": True,
        "priority": 0,
        "weight": 1,
        "max_in_flight": None,
        "budget": None,
        "options": {},
        "proxy": False,
        "status": "ready",
        "status_reason": "",
        "cooldown": None,
        "cooldowns": [],
        "quota": [],
        "balance": None,
        "in_flight": 0,
        "last_used_at": None,
        "created_at": now() - 9 * DAY,
        "heartbeat": [],
        "requests_today": 0,
        "cost_today": None,
        "can_probe": False,
        "plan": None,
        "forecast": None,
        "polled_at": None,
        "quota_error": None,
        "can_refresh": False,
    }
    return row | more


def beats(count: int, bad: set[int], base_ms: int) -> list[Json]:
    rng = random.Random(count + base_ms)
    return [
        {
            "at": now() - (count - i) * 3 * MINUTE,
            "ok": i not in bad,
            "ms": int(base_ms * rng.uniform(0.6, 1.8)),
            "flag": "ACCOUNT_LIMIT" if i in bad else "",
        }
        for i in range(count)
    ]


def key(id: str, name: str, **more: Any) -> Json:
    row = {
        "id": id,
        "name": name,
        "hint": "omni-Ab3d…x9Kq",
        "created_at": now() - 6 * DAY,
        "expires_at": None,
        "revoked_at": None,
        "last_used_at": None,
        "models": None,
        "providers": None,
        "rpm": None,
        "tpm": None,
        "max_in_flight": None,
        "budget": None,
        "status": "active",
    }
    return row | more


def settled(id: str, at: int, who: Json | None, asked: str, model: str | None, **more: Any) -> Json:
    good = (
        {"account": who["label"], "provider": who["provider"], "model": model, "status": 200, "ms": 1180, "kind": None, "message": None}
        if who
        else None
    )
    row = {
        "id": id,
        "at": at,
        "state": "settled",
        "outcome": "ok" if who else "failed",
        "flag": "",
        "protocol": "openai-chat",
        "path": "/v1/chat/completions",
        "stream": True,
        "client": "OpenAI/Python 3.3.0",
        "key": {"id": "key_1", "name": "laptop"},
        "model_requested": asked,
        "model": model,
        "provider": who["provider"] if who else None,
        "account": {"id": who["id"], "label": who["label"]} if who else None,
        "http_status": 200 if who else 503,
        "attempts": [good] if good else [],
        "skipped": [],
        "route": "auto: best of 4 by health and load",
        "dropped": [],
        "first_token_ms": 312 if who else None,
        "duration_ms": 1204 if who else 6,
        "usage": {"input": 1840, "cache_read": 11200, "cache_write": 0, "output": 412, "reasoning": None, "source": "reported"},
        "cost": {"usd": "0.008231", "source": "genai-prices"},
        "error": None,
    }
    return row | more


class State:
    """Everything the mock knows; `scenario` fills it."""

    def __init__(self) -> None:
        self.listeners: set[asyncio.Queue[str | None]] = set()
        self.port = 0
        self.scenario("empty")

    def scenario(self, name: str) -> None:
        self.name, self.accounts, self.keys, self.requests, self.secrets = name, {}, {}, [], {}
        self.calls: list[Json] = []
        self.signed_in, self.serial, self.refuse = name != "login", 0, False
        self.away: Json | None = None
        self.nodes = ["desk"]
        """Names of those that live, this one first; one name for each process."""
        self.settings = {row[0]: list(row) for row in SETTINGS}
        self.catalogue = PROVIDERS
        self.found: list[Json] = []
        self.limits: list[Json] = []
        self.prices: list[Json] = []
        self.alerts: Json = {"alerts": [], "channels": [], "kinds": {}, "channel_kinds": [], "next": None}
        self.names: dict[str, Json] = {
            "aliases": {"fast": ["groq/llama-3.3-70b-versatile"]},
            "chains": {"careful": [["claude-work", "openai"], ["groq-free"]]},
        }
        if name in ("busy", "login"):
            self._busy()
        if name == "hostile":
            self._hostile()
        if name == "crowd":
            import mock_crowd

            mock_crowd.fill(self)
        if name == "mixed":
            import mock_mixed  # It needs the product's package: only where it is asked for.

            mock_mixed.fill(self)

    def _busy(self) -> None:
        t = now()
        pool = [
            account(
                "acc_1",
                "openai",
                "openai",
                heartbeat=beats(40, {11}, 700),
                in_flight=3,
                max_in_flight=8,
                requests_today=184,
                cost_today="1.204410",
                last_used_at=t - 2 * SECOND,
                discovered=["gpt-5.1", "gpt-5-mini", "o4"],
            ),
            account(
                "acc_2",
                "anthropic",
                "claude-work",
                heartbeat=beats(40, set(), 1400),
                in_flight=1,
                requests_today=96,
                cost_today="2.880100",
                priority=10,
                last_used_at=t - 41 * SECOND,
                discovered=["claude-sonnet-4-5", "claude-haiku-4-5"],
                quota=[
                    {"name": "requests", "used": 3100, "limit": 4000, "unit": "requests", "resets_at": t + 40 * SECOND, "state": "live"},
                    {"name": "tokens", "used": 62_000, "limit": 400_000, "unit": "tokens", "resets_at": t + 40 * SECOND, "state": "live"},
                ],
            ),
            account(
                "acc_3",
                "groq",
                "groq-free",
                status="cooling",
                status_reason="Rate limit reached for model llama-3.3-70b.",
                heartbeat=beats(33, {12, 30, 31, 32}, 220),
                cooldown={
                    "until": t + 34 * SECOND,
                    "source": "stated",
                    "scope": "",
                    "reason": "Rate limit reached for model llama-3.3-70b.",
                },
                requests_today=412,
                cost_today="0.031000",
                last_used_at=t - 26 * SECOND,
                discovered=["llama-3.3-70b-versatile"],
                quota=[{"name": "day", "used": 14_100, "limit": 14_400, "unit": "requests", "resets_at": t + 5 * HOUR, "state": "live"}],
            ),
            account(
                "acc_4",
                "kimi",
                "kimi",
                status="needs_login",
                status_reason="The provider refuses the key: Invalid Authentication.",
                can_probe=True,
                balance={"amount": "49.58894", "currency": "USD", "usable": True, "items": []},
                heartbeat=beats(18, {16, 17}, 900),
                requests_today=12,
                cost_today=None,
                last_used_at=t - 3 * HOUR,
            ),
            account(
                "acc_5",
                "ollama",
                "workstation",
                auth="none",
                heartbeat=beats(9, set(), 2600),
                requests_today=4,
                cost_today="0",
                last_used_at=t - 47 * MINUTE,
                discovered=["qwen3:32b", "gemma3:12b"],
            ),
            account(
                "acc_6", "deepseek", "deepseek", enabled=False, status="disabled", last_used_at=t - 6 * DAY, heartbeat=beats(3, set(), 800)
            ),
        ]
        self.accounts = {row["id"]: row for row in pool}
        self.keys = {
            "key_1": key("key_1", "laptop", last_used_at=t - 2 * SECOND),
            "key_2": key(
                "key_2",
                "nightly job",
                hint="omni-Zq81…PmT4",
                providers=["groq", "ollama"],
                rpm=60,
                expires_at=t + 23 * DAY,
                last_used_at=t - 9 * HOUR,
            ),
            "key_3": key("key_3", "old phone", hint="omni-77Hc…a0Lk", status="revoked", revoked_at=t - 2 * DAY),
        }
        failed = {
            "account": "groq-free",
            "provider": "groq",
            "model": "llama-3.3-70b-versatile",
            "status": 429,
            "ms": 210,
            "kind": "account_rate_limited",
            "message": "Rate limit reached for model llama-3.3-70b. Please try again in 34s.",
        }
        skip = {"account": "kimi", "provider": "kimi", "model": "kimi-k2", "reason": "needs sign-in: the provider refuses the key"}
        cool = {
            "account": "groq-free",
            "provider": "groq",
            "model": "llama-3.3-70b-versatile",
            "reason": "cooling for 31 s: rate limited, stated by the provider",
        }
        for i in range(130):
            at, who = t - i * 47 * SECOND - 2 * SECOND, pool[(0, 1, 0, 2, 0, 1, 4)[i % 7]]
            model = {"openai": "gpt-5.1", "anthropic": "claude-sonnet-4-5", "groq": "llama-3.3-70b-versatile", "ollama": "qwen3:32b"}[
                who["provider"]
            ]
            row = settled(
                f"req_{999_000 - i:06d}x",
                at,
                who,
                "auto" if i % 3 else model,
                model,
                duration_ms=700 + 137 * (i % 11),
                first_token_ms=180 + 31 * (i % 9),
            )
            if who["provider"] == "anthropic":
                row |= {"client": "claude-cli/2.1.4", "protocol": "anthropic-messages", "path": "/v1/messages"}
            if who["provider"] == "ollama":
                row |= {"cost": {"usd": "0", "source": "local"}, "usage": row["usage"] | {"source": "counted", "cache_read": None}}
            if i == 0:
                row |= {
                    "state": "open",
                    "outcome": None,
                    "http_status": None,
                    "duration_ms": None,
                    "first_token_ms": None,
                    "cost": {"usd": None, "source": None},
                    "usage": NOTHING,
                    "attempts": [dict(row["attempts"][0], status=None, ms=None)],
                }
            if i in OTHER_CALLS:
                row |= OTHER_CALLS[i] | {"attempts": [dict(row["attempts"][0], model=OTHER_CALLS[i]["model"])]}
            if i in (1, 9):
                row |= {"attempts": [failed, row["attempts"][0]], "skipped": [skip], "route": "auto: groq-free first by cost, then openai"}
            if i in (4, 40):
                row = settled(
                    row["id"],
                    at,
                    None,
                    "kimi-k2",
                    None,
                    flag="NO_ACCOUNT",
                    skipped=[skip, cool],
                    cost={"usd": None, "source": None},
                    usage=NOTHING,
                    error={"kind": "no_account", "message": "No connected account can serve kimi-k2 now: kimi needs a new key."},
                    route="model kimi-k2: 2 candidates, none available",
                )
            if i == 6:
                row |= {
                    "outcome": "client_left",
                    "flag": "CLIENT_LEFT",
                    "http_status": 499,
                    "usage": row["usage"] | {"source": "estimated"},
                }
            if i == 12:
                row |= {
                    "outcome": "cut",
                    "flag": "UPSTREAM",
                    "error": {"kind": "upstream_failed", "message": "The stream ended without its terminal event."},
                }
            self.requests.append(row)

    def _hostile(self) -> None:
        bad = account(
            "acc_h",
            "custom-openai",
            HOSTILE,
            status="error",
            status_reason=HOSTILE,
            models=[HOSTILE],
            key_hint=HOSTILE,
            last_used_at=now(),
            cooldowns=[{"until": now() + MINUTE, "source": "guessed", "scope": "model:" + HOSTILE, "reason": HOSTILE}],
            quota=[{"name": HOSTILE, "used": 1, "limit": 2, "unit": HOSTILE, "resets_at": None, "state": "live"}],
        )
        self.accounts = {"acc_h": bad}
        self.names = {"aliases": {HOSTILE: [HOSTILE]}, "chains": {HOSTILE: [[HOSTILE]]}}
        self.keys = {"key_h": key("key_h", HOSTILE, hint=HOSTILE, models=[HOSTILE])}
        fail = {"account": HOSTILE, "provider": HOSTILE, "model": HOSTILE, "status": 500, "ms": 5, "kind": HOSTILE, "message": HOSTILE}
        self.requests = [
            settled(
                "req_hostile",
                now(),
                bad,
                HOSTILE,
                HOSTILE + "2",
                client=HOSTILE,
                route=HOSTILE,
                flag=HOSTILE,
                attempts=[fail],
                dropped=[HOSTILE],
                path=HOSTILE,
                key={"id": "key_h", "name": HOSTILE},
                outcome="failed",
                skipped=[{"account": HOSTILE, "provider": "x", "model": "m", "reason": HOSTILE}],
                error={"kind": HOSTILE, "message": HOSTILE},
                provider=HOSTILE,
            )
        ]

    # ---------------------------------------------------------------- events
    def publish(self, name: str, data: Any) -> None:
        for queue in self.listeners:
            queue.put_nowait(f"event: {name}\ndata: {json.dumps(data)}\n\n")

    def system(self) -> Json:
        return {
            "version": "0.1.0",
            "started_at": now() - 3 * HOUR,
            "uptime_s": 10_800,
            "memory_mb": 84.2,
            "cpu_s": 12.4,
            "home": "/home/me/.omni-connector",
            "in_flight": sum(row["in_flight"] for row in self.accounts.values()),
            "database": "sqlite:////home/me/.omni-connector/omni.db",
            "database_away": self.away,
            "node": self.nodes[0],
            "nodes": [
                {"id": f"prc_{i}.{name}", "node": name, "started_at": now() - 3 * HOUR, "seen_at": now()}
                for i, name in enumerate(self.nodes)
            ],
            "base_url": self.base_url,
            "python": "3.11.7",
            "pid": 4242,
            "server": "hypercorn 0.18",
        }

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def providers(self) -> list[Json]:
        return [p | {"accounts": [a["id"] for a in self.accounts.values() if a["provider"] == p["id"]]} for p in self.catalogue]

    def snapshot(self) -> Json:
        return {
            "version": "0.1.0",
            "accounts": list(self.accounts.values()),
            "keys": list(self.keys.values()),
            "requests": self.requests[:50],
            "system": self.system(),
            "providers": self.providers(),
        }

    def put_request(self, row: Json) -> None:
        self.requests = [row, *(old for old in self.requests if old["id"] != row["id"])]
        self.publish("request", row)

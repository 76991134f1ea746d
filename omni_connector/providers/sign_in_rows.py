"""Providers that are reached by signing in at OpenAI, Moonshot and OpenRouter, and the one that a user describes. Data only.

Sources: reference "Upstream protocol facts", §0.1, §6A, §6B, §10b and §12. Nothing here pretends to be a vendor's own program: the
User-Agent, `originator` and `X-Msh-*` say omni-connector.
"""

from __future__ import annotations

from omni_connector import __version__
from omni_connector.providers.provider import Face, Provider, SignIn

NAME = "omni-connector"
OPENAI_AUTH = "https://auth.openai.com"
OPENAI_API = "https://api.openai.com/v1"
KIMI_AUTH = "https://auth.kimi.com/api/oauth"
CODEX_LIST = "0.169.0"
"""The generation of the Codex protocol whose model list is asked for; the list leaves out models that need a newer one."""

RESPONSES = frozenset(
    {"reasoning_effort", "json_schema", "json_object", "vision", "documents", "parallel_tools", "custom_tools", "allowed_tools"}
    | {"developer_role", "encrypted_reasoning", "no_sampling", "codex_backend"}
)
GPT_MODELS = ("gpt-5.6-sol", "gpt-5.5", "gpt-5.4", "gpt-5.6-terra", "gpt-5.4-mini", "gpt-5.6-luna")
SPENT = frozenset({"invalid_grant", "refresh_token_expired", "refresh_token_reused", "refresh_token_invalidated"})
"""OpenAI's words for a refresh token that is good for nothing any more."""
KIMI_DEVICE = {
    "X-Msh-Platform": NAME,
    "X-Msh-Version": __version__,
    "X-Msh-Device-Name": NAME,
    "X-Msh-Device-Model": NAME,
    "X-Msh-Device-Id": "{device_id}",
}

OPENROUTER_SIGN_IN = SignIn(  # §12
    ways=("key",),
    flavour="key",
    authorization="https://openrouter.ai/auth",
    token="https://openrouter.ai/api/v1/auth/keys",  # noqa: S106 - an address
)

SIGN_IN_ROWS: tuple[Provider, ...] = (
    Provider(  # §6A
        id="codex",
        label="Codex (ChatGPT sign-in of the Codex client)",
        wire="openai-responses",
        base_url="https://chatgpt.com/backend-api/codex",
        docs_url="https://developers.openai.com/codex",
        terms=(
            "This sign-in uses the client of OpenAI's Codex programs, which OpenAI has not released for others; `chatgpt` is the "
            "sanctioned way to use a plan in your own runtime. Usage counts against your ChatGPT plan."
        ),
        models_path=f"/models?client_version={CODEX_LIST}",
        features=RESPONSES,
        default_models=GPT_MODELS,
        price_id="subscription",
        extra_headers={"originator": NAME},
        identity_headers={"chatgpt-account-id": "account_id"},
        stands_in_for=("openai",),
        sign_in=SignIn(
            ways=("browser", "device"),
            flavour="codex-device",
            authorization=f"{OPENAI_AUTH}/oauth/authorize",
            token=f"{OPENAI_AUTH}/oauth/token",
            device=f"{OPENAI_AUTH}/api/accounts/deviceauth/usercode",
            verification=f"{OPENAI_AUTH}/codex/device",
            revoke=f"{OPENAI_AUTH}/oauth/revoke",
            client_id="app_EMoamEEZ73f0CkXaXp7hrann",
            scopes=("openid", "profile", "email", "offline_access"),
            authorization_extra={"id_token_add_organizations": "true", "codex_cli_simplified_flow": "true", "originator": NAME},
            refresh_body="json",
            redirect_ports=(1455, 1457),
            redirect_path="/auth/callback",
            lead_s=2 * 86_400,
            dead=SPENT,
            notice=(
                "This signs in with the client of OpenAI's Codex programs. OpenAI offers other programs `chatgpt` instead and may "
                "refuse this one, or act against the account. Your own account only: sharing or pooling plans breaks OpenAI's terms."
            ),
            opt_in=True,
        ),
        quota="codex",
        quota_path="/backend-api/wham/usage",
        notes=(
            "Always streamed and never stored there; settings that the backend refuses (`temperature`, output limits, `user`, …) are left "
            "out and named. `originator` and User-Agent say omni-connector, which the backend may refuse. A device code must be allowed in "
            "ChatGPT's security settings first. Read in OpenAI's own client, not tried with a live account."
        ),
    ),
    Provider(  # §6B
        id="chatgpt",
        label="ChatGPT plan (Sign in with ChatGPT)",
        wire="openai-responses",
        base_url=OPENAI_API,
        docs_url="https://developers.openai.com/siwc/token-sharing-open-source",
        terms=(
            "OpenAI's sign-in for open-source programs that run on your own machine, for Plus and Pro plans. Usage counts against your "
            "plan; pooling of plans and evading their limits are forbidden."
        ),
        features=RESPONSES | {"namespaced_tools"},
        default_models=GPT_MODELS,
        price_id="subscription",
        stands_in_for=("openai", "codex"),
        sign_in=SignIn(
            issuer=OPENAI_AUTH,
            discovery=True,
            nonce=True,
            dynamic="dynamic_agent_client",
            scopes=("openid", "profile", "email", "offline_access", "resource.invoke", "chatgpt.tokens.use.direct"),
            authorization_extra={"resource": OPENAI_API},
            token_extra={"resource": OPENAI_API},
            redirect_host="127.0.0.1",
            redirect_ports=(1455, 0),  # 0: any that is free; the host must be the address, the path this one
            redirect_path="/auth/callback",
            dead=SPENT | {"invalid_refresh_token", "token_expired"},
            notice=(
                "Using ChatGPT plan: calls count against your Plus or Pro plan, up to the weekly cap that you set there. Sign in with your "
                "own account and keep this server to yourself. OpenAI forbids pooling: one such account is used at a time."
            ),
            opt_in=True,
            single=True,
            plan="Using ChatGPT plan",
        ),
        notes=(
            "A preview of OpenAI's. Always streamed and never stored there; no file search, code interpreter, pictures made or hosted MCP. "
            "What is left of the plan is told only at https://chatgpt.com/settings/usage. Ask for `chatgpt/MODEL` to stay on the plan: a "
            "name without its provider may be answered, and billed, by an API key that you connected. Not tried with a live account."
        ),
    ),
    Provider(  # §10b
        id="kimi-code",
        label="Kimi Code (coding plan)",
        base_url="https://api.kimi.com/coding/v1",
        env=("KIMI_CODE_API_KEY",),
        key_hint="sk-kimi-…",
        key_url="https://www.kimi.com/code",
        docs_url="https://www.kimi.com/code/docs",
        terms="Coding-plan keys and sign-ins are limited by their terms to coding tools; read them before you connect one.",
        features=frozenset(
            {"stream_options", "json_object", "reasoning_content", "reasoning_replay_in_tool_loop", "reasoning_replay_always"}
            | {"thinking_toggle", "thinking_effort"}
        ),
        default_models=("kimi-k3", "kimi-k2.7-code", "kimi-k2.6"),
        price_id="subscription",
        faces={"anthropic-messages": Face({"": "https://api.kimi.com/coding/v1"})},
        extra_headers=KIMI_DEVICE,
        stands_in_for=("kimi",),
        sign_in=SignIn(
            ways=("device",),
            device=f"{KIMI_AUTH}/device_authorization",
            token=f"{KIMI_AUTH}/token",
            client_id="17e5f671-d194-4dfb-9706-5516cb48c098",
            pkce=False,
            lead_s=300,
            dead=frozenset({"invalid_grant", "access_denied", "401", "403"}),
            headers=KIMI_DEVICE,
            notice=(
                "This signs in with the client of Moonshot's kimi-cli; the plan's terms limit it to coding tools. Whether Moonshot serves "
                "other programs is its decision."
            ),
            opt_in=True,
        ),
        quota="kimi",
        quota_path="/coding/v1/usages",
        notes=(
            "Read in a peer's code, not in the vendor's documentation; model ids may carry a prefix there. The sign-in names itself "
            "omni-connector and a random device id per account. Its quota is asked at an undocumented address."
        ),
    ),
    Provider(
        id="custom-oauth",
        label="Custom, with an OAuth sign-in that you describe",
        base_url="",
        terms="You name the servers and the client; their operators' terms apply.",
        custom=True,
        features=frozenset({"completions", "stream_options"}),
        sign_in=SignIn(ways=("browser", "device"), described=True),
        notes=(
            "`options.oauth` describes the sign-in (authorization, token, device, client_id, scopes, pkce, user_info, issuer, …), "
            "`options.endpoints.inference` is the API's address and `options.wire` its format. Addresses are https, or on this machine. A "
            "client secret is given with the sign-in, never in the options."
        ),
    ),
)

SIGN_IN_ALIASES: dict[str, tuple[str, str]] = {
    "openai-codex": ("codex", ""),
    "openai-codex-oauth": ("codex", ""),
    "codex-oauth": ("codex", ""),
    "chatgpt-plan": ("chatgpt", ""),
    "sign-in-with-chatgpt": ("chatgpt", ""),
    "kimi-coding": ("kimi-code", ""),
    "kimi-for-coding": ("kimi-code", ""),
    "openai-oauth": ("codex", ""),
    "zai-coding-plan": ("glm", "zai-coding"),
    "zai-coding": ("glm", "zai-coding"),
    "glm-coding": ("glm", "zai-coding"),
    "zhipuai-coding-plan": ("glm", "bigmodel-coding"),
    "bigmodel-coding": ("glm", "bigmodel-coding"),
}

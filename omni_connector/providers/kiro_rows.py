"""Kiro (AWS CodeWhisperer): an API key, or the sign-in of a Kiro that is installed on this machine. Data only.

Sources: reference "Upstream protocol facts", §9. What a signed-in account needs beside its tokens (`kiro_login` reads it from the cache):

| where | |
|---|---|
| `Tokens.extra["flavour"]` | "kiro-social" for Google and GitHub; absent for AWS SSO (Builder ID, IAM Identity Center) |
| `Tokens.extra["profile_arn"]`, `options.identity.profile_arn` | whose calls they are; Builder ID has none. `options.project` wins |
| `Tokens.client_id`, `client_secret` | the client registration of AWS SSO |
| `options.region` | where calls go: the profile's region |
| `options.sso_region` | where it is renewed: the sign-in's own region |
"""

from __future__ import annotations

from omni_connector.providers.provider import Provider, SignIn

REGIONS = ("us-east-1", "eu-central-1")
"""Where profiles can be."""
OIDC = "https://oidc.{region}.amazonaws.com"
START_URL = "https://view.awsapps.com/start"
"""Where a Builder ID signs in; a company has its own (`options.start_url`)."""

KIRO_ROWS: tuple[Provider, ...] = (
    Provider(
        id="kiro",
        label="Kiro",
        wire="kiro",
        base_url="https://q.us-east-1.amazonaws.com",
        regions={region: f"https://q.{region}.amazonaws.com" for region in REGIONS},
        env=("KIRO_API_KEY",),
        key_hint="ksk_…",
        key_url="https://app.kiro.dev",
        docs_url="https://kiro.dev/docs/cli/headless",
        terms=(
            "API keys (Pro plans and above) are made for Kiro's own command line without a browser; calls count against your Kiro plan. "
            "AWS says nothing about other programs, and its interface is private."
        ),
        models_path="/ListAvailableModels",
        models_query={"origin": "AI_EDITOR", "profileArn": "{project}"},
        features=frozenset({"vision", "no_documents", "no_audio", "reduced_schema", "thinking_tags", "single_choice"}),
        default_models=(
            "claude-sonnet-4.6",
            "claude-opus-4.7",
            "claude-opus-4.6",
            "claude-opus-4.5",
            "claude-sonnet-4.5",
            "claude-haiku-4.5",
            "claude-sonnet-4",
            "auto",
            "deepseek-3.2",
            "glm-5",
            "minimax-m2.5",
            "minimax-m2.1",
            "qwen3-coder-next",
        ),
        price_id="subscription",
        extra_headers={"x-amzn-codewhisperer-optout": "true", "x-amzn-kiro-agent-mode": "vibe"},
        key_headers={"tokentype": "API_KEY"},
        project_from="profile_arn",
        sign_in=SignIn(
            ways=("device",),
            flavour="aws-sso",
            # Of the social sign-in only the refresh is used, beside this address.
            authorization="https://prod.{region}.auth.desktop.kiro.dev/login",
            token=f"{OIDC}/token",
            device=f"{OIDC}/device_authorization",
            authorization_extra={"start_url": START_URL},
            scopes=("codewhisperer:completions", "codewhisperer:analysis", "codewhisperer:conversations"),
            body="json",
            pkce=False,
            lead_s=600,
            dead=frozenset({"invalid_grant", "expired_token", "invalid_client", "unauthorized_client", "access_denied"}),
            notice=(
                "Kiro's sign-in is meant for Kiro's own programs, and its interface is private: AWS may refuse or suspend an account that "
                "other programs use. An API key is the way that Kiro offers for use without a browser."
            ),
            opt_in=True,
        ),
        quota="kiro",
        quota_path="/getUsageLimits",
        notes=(
            "A private interface, as peers found it; nothing of it was tried with a live account. Answers are always streamed, and told in "
            "credits: tokens are counted here and marked so. Instructions go in front of the first user's text; thoughts are asked for in "
            "words (`thinking_tags`). Signed thoughts are shown again only with `reasoning_replay_always`. `base_url` takes a newer host "
            "such as `https://runtime.us-east-1.kiro.dev`; `cli_origin` asks for Amazon Q's quota. A company's sign-in needs "
            "`options.start_url` and `options.sso_region`, and its profile's ARN in `options.project`. An imported sign-in is renewed "
            "here, which may log the Kiro out that it came from."
        ),
    ),
)

KIRO_ALIASES: dict[str, tuple[str, str]] = {
    "claude-kiro-oauth": ("kiro", ""),
    "kiro-cli": ("kiro", ""),
    "codewhisperer": ("kiro", ""),
    "amazon-q": ("kiro", ""),
}

"""The two providers that are reached with a Google sign-in: Gemini Code Assist (gemini-cli) and Antigravity. Data only.

Client id and secret are the user's own (DESIGN.md, law 8): an OAuth client of type "Desktop app" made in the Google Cloud console,
or one that the user names in the environment or a file. Sources: reference "Upstream protocol facts", §0.1, §4 and §5.
"""

from __future__ import annotations

from typing import Any

from omni_connector.providers.provider import Provider, SignIn

CODE_ASSIST = "https://cloudcode-pa.googleapis.com"
DAILY = "https://daily-cloudcode-pa.googleapis.com"
SCOPE = "https://www.googleapis.com/auth/"
BASIC_SCOPES = (f"{SCOPE}cloud-platform", f"{SCOPE}userinfo.email", f"{SCOPE}userinfo.profile")
CLIENT_ENV = (
    ("ONEAPI_GEMINI_OAUTH_CLIENT_ID", "ONEAPI_GEMINI_OAUTH_CLIENT_SECRET"),
    ("GEMINI_OAUTH_CLIENT_ID", "GEMINI_OAUTH_CLIENT_SECRET"),
)
FROM_GEMINI = frozenset({"vision", "documents", "audio", "json_schema", "json_object", "top_k", "count_tokens"})

GOOGLE: dict[str, Any] = {
    "authorization": "https://accounts.google.com/o/oauth2/v2/auth",
    "token": "https://oauth2.googleapis.com/token",
    "revoke": "https://oauth2.googleapis.com/revoke",
    "user_info": "https://www.googleapis.com/oauth2/v2/userinfo?alt=json",
    "own_client": True,
    "authorization_extra": {"access_type": "offline", "prompt": "consent"},
    "lead_s": 300,
    "opt_in": True,
}

GOOGLE_ROWS: tuple[Provider, ...] = (
    Provider(  # §4
        id="gemini-cli",
        label="Gemini Code Assist (Google sign-in)",
        wire="code-assist",
        stands_in_for=("gemini",),
        base_url=CODE_ASSIST,
        docs_url="https://developers.google.com/gemini-code-assist/resources/quotas",
        terms=(
            "Google's documentation of Gemini CLI calls the use of its sign-in by other programs a violation of the terms that may "
            "suspend the account; without a Code Assist Standard or Enterprise licence it is switched off since 2026-06-18."
        ),
        models_path="/v1internal:retrieveUserQuota",
        models_post={"project": "{project}"},
        models_partial=True,
        features=FROM_GEMINI,
        default_models=(  # C-01, and the ids of gemini-cli itself
            "gemini-3.1-pro-preview",
            "gemini-3-pro-preview",
            "gemini-3-flash-preview",
            "gemini-3.5-flash",
            "gemini-2.5-pro",
            "gemini-2.5-flash",
            "gemini-3.1-flash-lite",
            "gemini-2.5-flash-lite",
            "gemini-2.5-pro-preview-06-05",
            "gemini-2.5-flash-preview-09-2025",
            "gemini-2.0-flash",
        ),
        price_id="subscription",
        sign_in=SignIn(
            **GOOGLE,
            client_env=CLIENT_ENV,
            client_file_env="ONEAPI_GEMINI_OAUTH_SOURCE_FILE",
            scopes=BASIC_SCOPES,
            redirect_ports=(8085,),
            redirect_path="/oauth2callback",
            notice=(
                "Google allows this sign-in only for its own clients and may suspend an account that other programs use; accounts "
                "without a Code Assist Standard or Enterprise licence are refused since 2026-06-18."
            ),
        ),
        quota="code-assist",
        notes=(
            "Client id and secret are yours. The project is found at sign-in; name one with `options.project` or "
            "`GOOGLE_CLOUD_PROJECT` where Google asks for it. Models are those of the quota's answer and the ids of gemini-cli. "
            "There are no embeddings. Not verified with a live account; whether a client of your own is served is Google's decision."
        ),
    ),
    Provider(  # §5
        id="antigravity",
        label="Antigravity (Google sign-in)",
        wire="code-assist",
        base_url=DAILY,
        regions={"daily": DAILY, "prod": CODE_ASSIST},
        docs_url="https://antigravity.google/docs",
        terms=(
            "A private interface without documentation; Google's terms for the services behind its command line forbid the use by "
            "other programs, and accounts have been suspended for it."
        ),
        models_path="/v1internal:fetchAvailableModels",
        models_post={"project": "{project}"},
        features=FROM_GEMINI | {"antigravity_envelope", "reduced_schema"},
        default_models=(  # as a peer lists them, then C-02's older ids
            "claude-opus-4-6-thinking",
            "claude-sonnet-4-6",
            "gemini-3.1-pro-low",
            "gemini-pro-agent",
            "gemini-3.7-flash-high",
            "gemini-3.6-flash-high",
            "gemini-3-flash",
            "gemini-3-flash-agent",
            "gemini-3.5-flash-low",
            "gemini-3.5-flash-extra-low",
            "gemini-3.1-flash-lite",
            "gpt-oss-120b-medium",
            "gemini-3-pro-preview",
            "gemini-3-flash-preview",
            "gemini-2.5-flash",
            "gemini-2.5-computer-use-preview-10-2025",
            "claude-opus-4-5-thinking",
            "gemini-claude-opus-4-5-thinking",
            "gemini-claude-sonnet-4-5-thinking",
            "gemini-claude-sonnet-4-5",
            "gemini-3.1-flash-image",
            "gemini-3-pro-image-preview",
        ),
        price_id="subscription",
        sign_in=SignIn(
            **GOOGLE,
            client_env=(("ANTIGRAVITY_OAUTH_CLIENT_ID", "ANTIGRAVITY_OAUTH_CLIENT_SECRET"), *CLIENT_ENV),
            scopes=(*BASIC_SCOPES, f"{SCOPE}cclog", f"{SCOPE}experimentsandconfigs"),
            # A note elsewhere says that PKCE and the scope `openid` lead to a consent page that never answers.
            pkce=False,
            redirect_ports=(8086, 51121),
            redirect_path="/oauth-callback",
            notice=(
                "A private interface that Google's terms reserve for its own clients: an account that other programs use may be "
                "suspended. No third-party use is known to be allowed."
            ),
        ),
        quota="code-assist",
        notes=(
            "Reverse-engineered by others, nothing of it is documented. `userAgent` and the User-Agent header say omni-connector; "
            "newer models may be refused to clients that are not Google's. `options.region` chooses the daily host or `prod`; a busy "
            "host is not left for the other one by itself. Paid credits are never asked for. Recorded traffic shows that an answer's "
            "limit is taken for Gemini models; the feature `no_max_tokens` leaves it out. Claude has rules of its own (schemas, "
            "VALIDATED calls, budgets), as a peer found them. Signatures of one model are not shown to another."
        ),
    ),
)

GOOGLE_ALIASES: dict[str, tuple[str, str]] = {
    "gemini-cli-oauth": ("gemini-cli", ""),
    "gemini-oauth": ("gemini-cli", ""),
    "code-assist": ("gemini-cli", ""),
    "gemini-antigravity": ("antigravity", ""),
}

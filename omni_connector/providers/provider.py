"""What a provider is: one row of data, and the words its features are said in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from types import MappingProxyType
from typing import Any, Literal

from omni_connector.values import dataclass

EMPTY: Mapping[str, Any] = MappingProxyType({})

WIRES = ("openai-chat", "openai-responses", "anthropic-messages", "gemini-generate")
"""The wire formats an account may be told to speak (options.wire): names of wire.TWO_WAY."""

Auth = Literal["bearer", "x-api-key", "x-goog-api-key", "signed", "none"]
"""How a request shows the credential. "signed": it never travels, each request is signed with it by code of its own."""

FEATURES: Mapping[str, str] = {
    # How a request is said
    "max_completion_tokens": "wants `max_completion_tokens`; `max_tokens` is deprecated or refused",
    "stream_options": "reports usage in a stream only when `stream_options.include_usage` asks for it",
    "developer_role": "knows the role `developer`; elsewhere it is sent as `system`",
    "random_seed": "calls `seed` `random_seed`",
    "strict_fields": "answers 422 to any field it does not know",
    "single_stop": "takes one stop sequence only",
    "single_choice": "gives one choice: `n` must be 1",
    "no_logprobs": "refuses `logprobs`, `top_logprobs` and `logit_bias`",
    "no_penalties": "refuses `presence_penalty`, `frequency_penalty` and `logit_bias`",
    "no_sampling": "refuses `temperature`, `top_p` and `top_k` other than the defaults",
    "no_sampling_with_thinking": "refuses sampling values while it thinks",
    "top_k": "takes `top_k`",
    "min_p": "takes `min_p`",
    "safety_identifier": "calls `user` `safety_identifier`",
    "mid_system": "knows the role `system` in the middle of a conversation",
    "cache_control": "takes prompt-cache markers on content blocks",
    # Tools and structured answers
    "parallel_tools": "takes `parallel_tool_calls` (or its negation)",
    "allowed_tools": "takes a `tool_choice` that lists the allowed tools",
    "custom_tools": "has free-text tools (`type: custom`)",
    "strict_tools": "holds tool arguments to their schema (`strict`)",
    "short_call_ids": "takes only tool call ids of nine letters and digits",
    "tool_stream": "streams tool arguments only with `tool_stream: true`",
    "json_schema": "holds an answer to a JSON schema",
    "json_object": "holds an answer to be some JSON object",
    # Reasoning
    "reasoning_effort": "takes `reasoning_effort`",
    "reasoning_object": "takes `reasoning: {effort | max_tokens, …}`",
    "reasoning_content": "gives thoughts as `reasoning_content`",
    "reasoning_field": "gives thoughts as `reasoning`",
    "reasoning_details": "gives thoughts as `reasoning_details[]`, to be sent back unchanged in a tool loop",
    "reasoning_replay_in_tool_loop": "wants its thoughts back within a tool loop, and only there",
    "reasoning_replay_always": "wants its thoughts back on every assistant message with tool calls",
    "reasoning_split": "keeps thoughts out of the text only with `reasoning_split: true`",
    "thinking_toggle": "takes `thinking: {type: enabled | disabled}`",
    "thinking_effort": "takes the effort inside it: `thinking: {type, effort}`",
    "enable_thinking": "takes `enable_thinking` and `thinking_budget`",
    "adaptive_thinking": "takes `thinking: {type: adaptive}`",
    "effort": "takes `output_config.effort`",
    "no_thinking_budget": "refuses `thinking: {type: enabled, budget_tokens}`",
    "always_thinking": "cannot switch thinking off",
    "encrypted_reasoning": "gives its thoughts encrypted, to be sent back unchanged (`include: reasoning.encrypted_content`)",
    "thinking_level": "takes `thinkingConfig.thinkingLevel`",
    "thinking_budget": "takes `thinkingConfig.thinkingBudget`",
    "thought_signatures_required": "refuses a replayed function call without a signature or the placeholder for foreign ones",
    # How it differs beyond that
    "reduced_schema": "knows only part of JSON schema in tools and structured output",
    "json_with_tools": "holds an answer to JSON while it may call functions",
    "no_call_ids": "refuses `id` on function calls and results",
    "function_response_media": "takes pictures and documents inside a function's result",
    "url_images": "fetches pictures that are given by URL",
    "bytes_only": "takes pictures and documents only as bytes, never by URL",
    "count_tokens": "has a counter of its own for the tokens of a request",
    "flat_tools": "knows no namespaces of tools",
    "no_custom_tools": "has no free-text tools",
    "cache_breakpoints": "takes prompt-cache breakpoints on parts of the input",
    "stored_responses": "keeps answers itself and takes `previous_response_id` (Responses)",
    "completions": "completes a plain prompt (`/completions`)",
    "namespaced_tools": "takes functions and free-text tools only inside a namespace",
    "codex_backend": "speaks the Responses dialect of the Codex backend: always streamed, never stored, few settings",
    "antigravity_envelope": "speaks Antigravity's variant of the Code Assist format",
    "no_max_tokens": "is not told how long an answer of its models (but Claude) may be",
    "thinking_tags": "is asked for thoughts in words, and tells them inside `<thinking>` at the beginning of its text",
    "cli_origin": "is asked as `CLI` (Amazon Q's quota), not as `AI_EDITOR`",
    "ocr": "reads text out of pictures (`/v1/ocr`), and does nothing else",
    # What may be shown to it; absent and not negated = unknown, the provider decides
    "vision": "some of its models see images",
    "no_vision": "none of its models sees images",
    "documents": "some of its models read documents (PDF) from the request",
    "no_documents": "none of its models reads documents from the request",
    "document_urls": "fetches documents that are given by URL",
    "audio": "some of its models hear sound",
    "no_audio": "none of its models hears sound",
    "no_tools": "no tool calls",
    "no_json": "no structured answers",
}
"""The vocabulary of `Provider.features`, `Account.features`, `Target.features` and `catalog.profile`."""


@dataclass(frozen=True, slots=True)
class Balance:
    """Where a provider tells what is left on an account. Paths are dotted names inside the JSON answer."""

    path: str
    """Below the host, not below the base URL: "/user/balance"."""
    amount: str
    currency: str
    """A dotted path when it starts with ".", else the currency itself; regions may differ, see `currencies`."""
    currencies: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    """Region → currency, where the answer does not name it."""
    minus: str = ""
    """Subtracted from `amount` (OpenRouter states credits and usage)."""
    items: str = ""
    """A list of balances, one per currency: `amount` and `currency` are then inside each item."""
    usable: str = ""
    """Boolean: may calls be made."""


@dataclass(frozen=True, slots=True)
class Face:
    """A second wire format that a provider speaks, at addresses of its own (base URLs with their version, by region)."""

    urls: Mapping[str, str]
    features: frozenset[str] = frozenset()


Way = Literal["browser", "device", "key"]
"""How a sign-in goes: a page that comes back with a code; a code that the user types on the provider's page; a page that comes
back with something that is exchanged for a lasting API key."""


@dataclass(frozen=True, slots=True)
class SignIn:
    """How an account is connected by signing in, as data (OAuth 2.0: RFC 6749, 7636, 8252, 8628; OpenID Connect Core).

    Every address can be replaced per account (`options.endpoints`) and for the server (endpoints file) under the name of its field.
    """

    ways: tuple[Way, ...] = ("browser",)
    authorization: str = ""
    token: str = ""
    device: str = ""
    verification: str = ""
    """Where the user types a device's code, when the provider's answer does not say."""
    revoke: str = ""
    user_info: str = ""
    issuer: str = ""
    """Of the id_token, which is verified when this is set; with `discovery`, its addresses come from /.well-known."""
    jwks: str = ""
    discovery: bool = False
    client_id: str = ""
    """A public client's id. "" with `own_client`: the user's own."""
    own_client: bool = False
    """The user supplies client id and secret (DESIGN.md, law 8); `client_env` names the variables."""
    client_env: tuple[tuple[str, str], ...] = ()
    """(id, secret) pairs of environment names, the first that is set wins."""
    client_file_env: str = ""
    """A variable naming a file that holds client id and secret."""
    dynamic: str = ""
    """The client id with which a first sign-in asks to be registered ("dynamic_agent_client")."""
    scopes: tuple[str, ...] = ()
    authorization_extra: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    token_extra: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    pkce: bool = True
    nonce: bool = False
    body: Literal["form", "json"] = "form"
    refresh_body: Literal["", "form", "json"] = ""
    """"": as `body`."""
    state_in_token: bool = False
    redirect_host: str = "localhost"
    redirect_ports: tuple[int, ...] = ()
    """Ports that the provider's registration demands, in the order they are tried. Empty: the dashboard's own address."""
    redirect_path: str = "/oauth/callback"
    pasted_redirect: str = ""
    """The redirect address with which the provider shows the code for copying; "" where the failed address is pasted instead."""
    lead_s: int = 300
    """Seconds before its end that a token is refreshed."""
    dead: frozenset[str] = frozenset({"invalid_grant"})
    """Error codes of a refresh that mean: sign in again."""
    notice: str = ""
    """The provider's terms in one line, shown and acknowledged once before the first sign-in."""
    opt_in: bool = False
    """Off until the user switches the connector on (setting `connectors`)."""
    single: bool = False
    """The provider's terms forbid pooling: an installation uses one account of it, and no second one."""
    plan: str = ""
    """What the account's plan is called as long as nobody tells its name."""
    described: bool = False
    """Everything here stands in the account's `options.oauth` instead (user_oauth.py)."""
    headers: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    """Sent with every call of the sign-in; "{device_id}" stands for the account's option of that name (sign_ins.py)."""
    flavour: str = ""
    """The dialect of providers that differ from the standard; read by oauth.py ("codex-device", "aws-sso", "kiro-social", "key")."""


@dataclass(frozen=True, slots=True)
class Provider:
    """One row. Base URLs hold their version ("https://api.openai.com/v1"), so a wire format's PATH can be appended.

    `regions`: name → base URL, the first is the default; accounts choose by `options["region"]`.
    `price_id`: genai-prices' id, or one of usage.FREE; `region_price_ids` replace it by region. None: prices unknown.
    `faces`: wire format → `Face`; accounts choose by `options["wire"]`.
    `default_models`: best first, for `auto` while neither the user nor the provider's own list says more.
    `notes`: what is not verified, in words for the reader of docs/providers.md.
    """

    id: str
    label: str
    base_url: str
    key_url: str = ""
    docs_url: str = ""
    terms: str = ""
    wire: str = "openai-chat"
    auth: Auth = "bearer"
    env: tuple[str, ...] = ()
    env_base_url: tuple[str, ...] = ()
    """Variables that name the address the key in the environment is for."""
    regions: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    models_path: str = "/models"
    models_urls: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    """Region ("" without regions) → whole address of the model list, where it is not below the base URL."""
    models_post: Mapping[str, Any] | None = None
    """The body with which its list is asked by POST; "{project}" stands for the account's project. None: by GET."""
    models_query: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    """What stands behind the `?` of that address; "{project}" as in `models_post`."""
    models_partial: bool = False
    """The list is not all there is: `default_models` stand behind it."""
    key_hint: str = ""
    local: bool = False
    custom: bool = False
    demo: bool = False
    features: frozenset[str] = frozenset()
    default_models: tuple[str, ...] = ()
    price_id: str | None = None
    region_price_ids: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    extra_headers: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    """Sent with every call; "{device_id}" stands for the account's option of that name, and its header is left out without it."""
    faces: Mapping[str, Face] = field(default_factory=lambda: EMPTY)
    balance: Balance | None = None
    key_headers: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    """Sent only with an API key, where the provider takes sign-ins too."""
    project_from: str = ""
    """Where the account's project is known from beside `options.project`: a name in what came with its tokens, else in its identity."""
    sign_in: SignIn | None = None
    identity_headers: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    """Header → name in the account's `options.identity`, sent with every call ("chatgpt-account-id": "account_id")."""
    quota: str = ""
    """The reader of its quota answer (quota_readers.READERS); "" where it tells none."""
    quota_path: str = ""
    """Where it is asked: below the host when it starts with "/", else a whole address."""
    cost: str = ""
    """The reader of what an answer says that it took (reported_cost.READERS); "" where it does not say."""
    bill: str = ""
    """The reader of what it says a day took (bill_readers.READERS); "" where nobody may ask."""
    stands_in_for: tuple[str, ...] = ()
    """Providers whose name in a model ("gemini/…") means this one too, while no account of theirs is connected."""
    retired: str = ""
    """Why nobody can connect it any more; accounts that exist go on as long as they work."""
    command: bool = False
    """Its "address" is a program on this machine (commands.py)."""
    notes: str = ""

    @property
    def open_models(self) -> bool:
        """True: any model name may be sent, because no complete list is to be had."""
        return self.custom or self.local or self.command

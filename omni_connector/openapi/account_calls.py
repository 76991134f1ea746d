"""The admin API, first half: sessions, accounts and how they come and go, sign-ins, providers, client keys."""

from __future__ import annotations

from collections.abc import Mapping

from omni_connector.admin import bodies
from omni_connector.admin.backups import MakeBackup
from omni_connector.admin.exports import ExportAccounts
from omni_connector.admin.onboarding import AdoptSignIn, CompleteSignIn, StartSignIn
from omni_connector.admin.uploads import SECRET, SPOKEN, ImportAccounts
from omni_connector.openapi.operation import JSON, TEXT, Operation, fields, row

FILE = "application/octet-stream"
FORM = "multipart/form-data"

SESSIONS = (
    row(
        "GET /api/session",
        "Whether this browser is signed in, and the CSRF token that its changes must carry.",
        {"authenticated": "bool", "login_needed": "bool", "password_set": "bool", "csrf": "text", "version": "text", "base_url": "text"},
        access="open",
    ),
    row(
        "POST /api/session/link",
        "An address that signs a browser in, once and within a minute.",
        {"url": "text", "expires_in_s": "int"},
        201,
    ),
    row(
        "POST /api/login",
        "Sign in with the dashboard's password.",
        {"authenticated": "bool"},
        body=fields("password", password=TEXT),
        refusals=(401, 429),
        access="open",
    ),
    row("POST /api/logout", "End every session of the dashboard.", {"authenticated": "bool"}),
    row(
        "POST /api/admin-password",
        "Set or change the dashboard's password; an empty one removes it. Every session ends.",
        {"password_set": "bool"},
        body=fields("password", password=TEXT, current=TEXT),
        refusals=(409, 429),
    ),
    row("GET /api/hello", "Whether somebody is there, as Claude Code asks.", {"status": "text"}, access="open"),
)

ACTIONS: Mapping[str, tuple[str, object]] = {
    "enable": ("Switch the account on.", "Account"),
    "disable": ("Switch the account off; what is in flight ends normally.", "Account"),
    "test": ("Ask the provider for its models with this account.", "Test"),
    "refresh": ("Ask what is left of its quota and money, and renew its sign-in where that is due.", "Account"),
    "clear-cooldown": ("Let the account in again at once.", "Account"),
    "probe": ("Ask at once whether the account is back.", {"job": "text?", "message": "text"}),
}
"""What is done with one account, under both of its addresses."""
BY_PROVIDER = "/api/providers/{provider_id}/{wanted}"


def _about_one(path: str, *, also: str = "") -> tuple[Operation, ...]:
    """The calls about one account. `also`: words for its other address."""
    patch = [
        row(f"{method} {path}", f"Change the account; what is not named stays.{also}", "Account", body=bodies.AccountPatch, refusals=(409,))
        for method in (("PUT", "PATCH") if also else ("PATCH",))
    ]
    return (
        row(f"GET {path}", f"One account.{also}", "Account"),
        *patch,
        row(f"DELETE {path}", f"Remove the account.{also}", {"id": "text", "label": "text", "removed": "bool"}),
        *(row(f"POST {path}/{name}", words + also, shape, refusals=(400, 409)) for name, (words, shape) in ACTIONS.items()),
    )


ACCOUNTS = (
    row("GET /api/accounts", "Every account with its live state.", {"accounts": ["Account"]}),
    row(
        "POST /api/accounts",
        "Connect an account.",
        "Account",
        201,
        body=bodies.NewAccount,
        refusals=(404, 409),
    ),
    row(
        "POST /api/accounts/test",
        "Try an account without storing it.",
        "Test",
        body=bodies.TriedAccount,
        refusals=(404, 409),
    ),
    *_about_one("/api/accounts/{account_id}"),
    row("GET /api/accounts/discover", "Logins and keys on this machine that could be taken over.", {"found": ["object"]}),
    *(
        row(
            f"POST {path}",
            "Take over accounts: of what was discovered, or from a file (as the body, in a form, or as `content`).",
            {"format": "text", "dry_run": "bool", "total": "int", "accounts": ["object"]},
            body=ImportAccounts,
            body_kinds=(JSON, FORM, FILE),
            query=fields(**dict.fromkeys((name for name in SPOKEN if name not in SECRET), TEXT)),
            refusals=(404, 409),
        )
        for path in ("/api/accounts/import", "/api/upload-oauth-credentials")
    ),
    row(
        "GET /api/accounts/export",
        "The accounts as a file. With their secrets the admin key is wanted in the header.",
        "any",
        query=fields(format={"enum": ["omni", "oneproxy"]}, secrets={"enum": ["0", "1"]}, ids=TEXT, include=TEXT),
        refusals=(404,),
    ),
    row(
        "POST /api/accounts/export",
        "The accounts as a file; `download` false: told about, with the file as `content`.",
        "any",
        body=ExportAccounts,
        refusals=(404, 429),
    ),
    row(
        "GET /api/backups",
        "The copies of the database that are made by themselves.",
        {"snapshots": [{"name": "text", "made_at": "time", "bytes": "int"}], "kept": "int", "every_h": "int"},
    ),
    row(
        "POST /api/backup",
        "Everything in one encrypted file.",
        {"file": "text", "filename": "text", "bytes": "int", "made_at": "time"},
        body=MakeBackup,
        kinds=(JSON, FILE),
        refusals=(429,),
    ),
)

SIGN_INS = (
    *(
        row(
            f"POST {path}",
            "Begin to sign in at a provider; 409 with code `notice` tells terms to acknowledge.",
            "Flow",
            body=StartSignIn,
            refusals=(404, 409, 502, 504),
        )
        for path in ("/api/oauth/{provider_id}/start", "/api/providers/{provider_id}/generate-auth-url")
    ),
    row("POST /api/oauth/{provider_id}/adopt", "Take over the tokens of a sign-in that another program did.", "Account", 201,
        body=AdoptSignIn, refusals=(409, 502, 504)),
    row("GET /api/oauth/flows/{flow_id}", "How a sign-in stands.", "Flow"),
    row("POST /api/oauth/flows/{flow_id}/complete", "End a sign-in by the pasted code or address.", "Flow", body=CompleteSignIn,
        refusals=(409, 502, 504)),
    row("POST /api/oauth/flows/{flow_id}/cancel", "Give a sign-in up.", "Flow", refusals=(409,)),
)  # fmt: skip

PROVIDERS = (
    row("GET /api/providers", "Every provider that is known, used or not.", {"providers": ["Provider"]}),
    row("GET /api/providers/{provider_id}", "One provider with its accounts.", "Provider"),
    row("PATCH /api/providers/{provider_id}", "What holds for all accounts of the provider.", "Provider", body=bodies.ProviderPatch),
    row("POST /api/providers/{provider_id}/enable", "Switch the provider on.", "Provider"),
    row("POST /api/providers/{provider_id}/disable", "Switch the provider off, all its accounts.", "Provider"),
    row("POST /api/providers/{provider_id}/health-check", "Try each of its accounts.", {"results": ["object"]}),
    row("POST /api/providers/{provider_id}/reset-health", "Let all its accounts in again.", {"accounts": ["Account"]}),
    *_about_one(BY_PROVIDER, also=" By provider, and id or label."),
    row("GET /api/provider-models", "Models of the accounts that are switched on.", {"models": ["Model"]}),
    row("GET /api/provider-models/{provider_id}", "Those of one provider.", {"models": ["Model"]}),
)

KEYS = (
    row("GET /api/keys", "Every client key, without the key itself.", {"keys": ["Key"]}),
    row(
        "POST /api/keys",
        "Make a client key. The key stands in this answer only.",
        "NewlyMadeKey",
        201,
        body=bodies.NewKey,
        refusals=(404, 409),
    ),
    row(
        "POST /api/client-key",
        "The key named `client` becomes this one, or a random one that stands in this answer only.",
        {"id": "text", "name": "text", "key?": "text"},
        201,
        body=fields(key=TEXT),
        refusals=(409,),
    ),
    row(
        "POST /api/admin-key",
        "Another admin key, or a random one that stands in this answer only. Every session ends.",
        {"file": "text", "key?": "text"},
        201,
        body=fields(key=TEXT, password=TEXT, admin_key=TEXT),
        refusals=(409, 429),
    ),
    row("PATCH /api/keys/{key_id}", "Change what the key may do.", "Key", body=bodies.KeyPatch, refusals=(409,)),
    row("DELETE /api/keys/{key_id}", "Revoke the key, at once and for ever.", "Key"),
    row("POST /api/keys/{key_id}/rotate", "Another key in its place. It stands in this answer only.", "NewlyMadeKey", refusals=(409,)),
)

TAGS: Mapping[str, tuple[Operation, ...]] = {
    "Sessions": SESSIONS,
    "Accounts": ACCOUNTS,
    "Signing in": SIGN_INS,
    "Providers": PROVIDERS,
    "Keys": KEYS,
}

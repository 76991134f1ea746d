"""Every setting once: name, variable, default, help. Environment → database → default. Imports no other room.

The fields of `Settings` are the table: the docs page, the dashboard's form and `--help` are made from it.
"""

from __future__ import annotations

import dataclasses
import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

SettingKind = Literal["str", "int", "float", "bool", "list"]
Source = Literal["environment", "database", "default"]
Value = str | int | float | bool | tuple[str, ...]

MASK = "••••••"
_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})
_KINDS: Mapping[str, SettingKind] = {"str": "str", "int": "int", "float": "float", "bool": "bool", "tuple[str, ...]": "list"}


class SettingsError(ValueError):
    """A setting cannot be used. The message names variable, value (unless secret), reason and fix."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table. `seed_names`: other variables that are accepted, after `env`. `low`/`high`: inclusive.
    `stored` False: only the environment can set it (needed before the database is open)."""

    name: str
    env: str
    default: Value
    kind: SettingKind
    help: str
    seed_names: tuple[str, ...] = ()
    secret: bool = False
    choices: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    stored: bool = True


def _row(default: Any, help: str, *, env: str = "", seed: tuple[str, ...] = (), **more: Any) -> Any:
    return dataclasses.field(default=default, metadata={"help": help, "env": env, "seed_names": seed, **more})


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings with their types. `Settings()` is the defaults; `load` is how a running program gets them."""

    # Listening
    host: str = _row(
        "127.0.0.1", "Address to listen on. Another one than this machine's own also needs allow_remote.", seed=("HOST",), stored=False
    )
    port: int = _row(38471, "Port to listen on; 0 takes any free one.", seed=("PORT",), low=0, high=65535, stored=False)
    client_bind: str = _row(
        "", "Address:port of the client API, where it is to have a listener of its own, for example 0.0.0.0:3000; empty: host and port."
    )
    admin_bind: str = _row(
        "", "Address:port of the admin API and the dashboard, where they are to have a listener of their own; empty: host and port."
    )
    client_tls_cert: str = _row(
        "", "File of the client listener's certificate (PEM, with its chain). With its key, the listener takes TLS only."
    )
    client_tls_key: str = _row("", "File of the key of that certificate (PEM, without a passphrase).")
    admin_tls_cert: str = _row("", "File of the admin listener's certificate, where that one is separate.")
    admin_tls_key: str = _row("", "File of the key of that certificate.")
    admin_state: bool = _row(
        True, "Whether the admin API and the dashboard are open at all; off closes them, and commands work on the database."
    )
    trusted_proxies: tuple[str, ...] = _row(
        (), "Addresses or networks of proxies whose X-Forwarded-For, -Proto and -Host are believed; nobody else's are."
    )
    node_name: str = _row(
        "", "Name of this node in the request log, in metrics and in GET /api/system; empty: this machine's name.", stored=False
    )
    jobs: str = _row(
        "internal",
        "Who runs the background jobs: this process, or a clock outside that asks for POST /api/jobs/tick (docs/serverless.md).",
        choices=("internal", "external"),
        stored=False,
    )
    workers: int = _row(
        1, "Processes that serve. One is enough for most; more need Linux or macOS, and use more cores.", low=1, high=64, stored=False
    )
    server: str = _row(
        "hypercorn",
        "What reads and writes the connections; uvicorn and granian need the extra fast, and cost less for each request.",
        choices=("hypercorn", "uvicorn", "granian"),
        stored=False,
    )
    allow_remote: bool = _row(
        False, "Let other machines reach the dashboard and admin API.", seed=("ALLOW_REMOTE_DASHBOARD",), stored=False
    )
    cors_origins: tuple[str, ...] = _row((), "Web origins whose pages may call the client API, for example https://app.example.")
    open_browser: bool = _row(False, "Open the dashboard in a browser when the server starts.")
    body_limit_mb: int = _row(128, "Largest request body, in MiB.", low=1, high=4096)
    # Storage
    database_url: str = _row(
        "", "Database: empty for omni.db in OMNI_HOME, or sqlite:////path/omni.db, or postgresql://…", stored=False, secret=True
    )
    retention_days: int = _row(90, "Days that finished requests are kept in the books; 0 keeps them.", low=0)
    retention_rows: int = _row(1_000_000, "Finished requests that are kept at most; 0 is no limit.", low=0)
    retention_whole_months: bool = _row(
        False, "PostgreSQL: let requests go with the table of their month, so up to a month later, instead of row by row."
    )
    keep_requests_mb: int = _row(
        4096, "MiB of the SQLite file that may be in use; beyond it the oldest requests and kept answers go. 0 is no limit.", low=0
    )
    disk_reserve_mb: int = _row(
        256, "MiB free on the disk below which an alert begins and the oldest requests make room for new ones; 0 never does that.", low=0
    )
    responses_store: bool = _row(
        True, "Keep answers of the Responses API, encrypted, so that previous_response_id works with every provider."
    )
    kept_days: int = _row(30, "Days that such answers, and what goes with tool calls, are kept; 0 keeps them.", low=0)
    snapshot_hours: int = _row(24, "Hours between copies of the database in backups/; 0 makes none.", low=0)
    snapshots_kept: int = _row(7, "Copies of the database that are kept.", low=1)
    group_commit_ms: int = _row(
        -1,
        "Milliseconds that book entries wait for others, to share one flush; 0 does not wait, -1 is 1 with SQLite and 2 with PostgreSQL.",
        low=-1,
        high=5,
    )
    spill_mb: int = _row(
        256, "MiB of OMNI_HOME/spill that book entries may take up while the database is away; 0 is none: then requests fail.", low=0
    )
    spill_new_requests: str = _row(
        "auto",
        "Whether new requests begin while the database is away; auto: when it is PostgreSQL. Those with a hard budget never do.",
        choices=("auto", "yes", "no"),
    )
    spill_minutes: int = _row(60, "Minutes that the database may be away until no new requests begin; 0 is no limit.", low=0)
    database_wait_s: float = _row(
        3.0, "Seconds that a request waits for PostgreSQL; after them the database counts as away. 0 waits as long as it takes.", low=0
    )
    # Who may enter
    client_auth: bool = _row(True, "Ask clients for an omni-key. Off is only meant for a machine nobody else can reach.")
    required_api_key: str = _row("", "A further key that clients may use, beside the omni-keys.", seed=("REQUIRED_API_KEY",), secret=True)
    admin_password: str = _row("", "The dashboard's password, instead of one that was set there.", secret=True, stored=False)
    first_password: bool = _row(
        False, "Where other machines are let in and there is no password: make one at the start, and print it once.", stored=False
    )
    connectors: tuple[str, ...] = _row(
        (), "Sign-ins that are off until you decide for them and are switched on, by provider id, for example codex; docs/providers.md."
    )
    # Routing
    default_model: str = _row("auto", "Model for requests that name none.")
    default_provider: str = _row("", "Provider that a bare model name is looked up at first.", seed=("MODEL_PROVIDER",))
    strategy: str = _row(
        "auto",
        "How accounts are ordered when several can serve a request.",
        choices=("auto", "performance", "cost", "round-robin", "fill-first", "lru"),
    )
    spoof_unknown_models: bool = _row(
        False, "Serve an unknown model name as auto would be served, under its own name, instead of an error."
    )
    endpoints_file: str = _row("", "TOML file of provider → name → address, to replace built-in addresses.")
    filtered_falls_over: bool = _row(False, "Let another provider answer what one refused for its content policy.")
    continue_broken_streams: bool = _row(False, "Let another account go on with a streamed answer in plain text that broke off.")
    # Attempts
    max_attempts: int = _row(4, "Accounts that are tried for one request at most.", low=1, high=50)
    attempts_window_s: float = _row(60.0, "Seconds after which an account that fails has no successor.", low=0)
    retry_budget: float = _row(0.2, "Second attempts that may run at once, as a share of all running requests.", low=0, high=1)
    retry_budget_min: int = _row(10, "Second attempts that may always run at once.", low=0)
    guessed_cooldown_max_s: int = _row(600, "Longest time an account is out when the provider states none, in seconds.", low=1, high=600)
    max_error_count: int = _row(
        5, "Failures in a row after which an account is out for a model for minutes instead of seconds.", low=1, high=100
    )
    wait_for_account_s: float = _row(
        5.0, "Longest wait for an account that is back soon, when all are out; the header x-omni-wait replaces it.", low=0, high=60
    )
    # Looking after accounts that are out
    probe_first_s: int = _row(30, "Seconds until an account that is out is asked for the first time whether it is back.", low=1)
    probe_max_s: int = _row(3600, "Longest time between two such questions, in seconds; they double up to it. 0 asks never.", low=0)
    probe_billed_per_day: int = _row(
        4, "Such questions a day and account that may cost something: one token, when nothing else can tell. 0 is none.", low=0
    )
    quota_refresh_interval: int = _row(
        5,
        "Minutes between two questions about what is left of an account's quota and money; 0 asks never.",
        seed=("QUOTA_REFRESH_INTERVAL",),
        low=0,
        high=1440,
    )
    # Deadlines
    connect_timeout_s: float = _row(10.0, "Seconds to connect to a provider.", low=0.1)
    first_byte_timeout_s: float = _row(120.0, "Seconds until a provider begins to answer.", low=0.1)
    idle_timeout_s: float = _row(120.0, "Seconds of silence inside an answer.", low=0.1)
    whole_timeout_s: float = _row(
        300.0, "Seconds for an answer in one piece (not streamed), while another account could still be tried.", low=0.1
    )
    total_timeout_s: float = _row(1800.0, "Seconds that one request may take in all.", low=1)
    keepalive_s: float = _row(15.0, "Seconds between signs of life to a waiting client, where the protocol has them.", low=1)
    drain_s: float = _row(30.0, "Seconds that running requests are given to finish when the server stops.", low=0)
    leave_s: float = _row(
        0.0,
        "Behind a balancer: seconds that a server goes on with everything when it is to stop, while /ready says no already. More than the "
        "balancer needs to notice.",
        low=0,
        high=300,
    )
    # Network
    use_system_proxy_openai: bool = _row(False, "Reach OpenAI through HTTP(S)_PROXY.", seed=("USE_SYSTEM_PROXY_OPENAI",))
    use_system_proxy_gemini: bool = _row(
        False, "Reach Gemini, gemini-cli and Antigravity through HTTP(S)_PROXY.", seed=("USE_SYSTEM_PROXY_GEMINI",)
    )
    use_system_proxy_claude: bool = _row(False, "Reach Anthropic through HTTP(S)_PROXY.", seed=("USE_SYSTEM_PROXY_CLAUDE",))
    # Files named by address
    fetch_media: bool = _row(True, "Fetch pictures and documents that a request names by URL, for providers that take bytes only.")
    fetch_private_media: bool = _row(
        False, "Fetch them from private addresses and this machine too. Only when all clients may read your own network."
    )
    fetch_media_mb: int = _row(20, "Most that is fetched for one request, in MiB.", low=1, high=512)
    fetch_media_timeout_s: float = _row(15.0, "Seconds that fetching for one request may take.", low=0.1, high=300)
    # Alerts
    alert_low_balance: float = _row(
        1.0, "An account with less than this left is an alert, in the currency of its balance; 0 is none.", low=0
    )
    alert_locked_min: int = _row(30, "An account that is out for at least so many minutes is an alert.", low=1)
    alert_private_targets: bool = _row(
        False,
        "Send alerts also to private addresses, to this machine, and without TLS. Who adds a channel can then reach your own network.",
    )
    alert_ding: str = _row(
        "",
        "Address of a DingTalk robot that gets the alerts; it becomes the channel dingtalk-env.",
        seed=("ONEAPI_ALERT_DING", "oneapi.alert.ding"),
        secret=True,
        stored=False,
    )
    alert_ding_secret: str = _row(
        "", "Secret of that robot (SEC…), when it wants signed messages.", seed=("ONEAPI_ALERT_DING_SECRET",), secret=True, stored=False
    )
    # Logs
    log_level: str = _row("info", "How much is logged.", choices=("debug", "info", "warning", "error"))
    log_format: str = _row("text", "How a line of the log looks: words for people, or one JSON object.", choices=("text", "json"))
    log_target: str = _row(
        "file", "Where the log goes: OMNI_HOME/logs, or standard error, as containers want it.", choices=("file", "stderr"), stored=False
    )
    prompt_log_mode: str = _row(
        "none",
        "Write down what clients ask and what they are answered: nowhere, in OMNI_HOME/logs/prompts, or on the server's console. "
        "Known forms of secrets are masked; everything else is as it was said.",
        seed=("PROMPT_LOG_MODE",),
        choices=("none", "file", "console"),
    )
    prompt_log_file: str = _row("prompts.jsonl", "Name of that file; a folder in front of it is ignored.", seed=("PROMPT_LOG_FILENAME",))
    prompt_log_days: int = _row(7, "Days that such files are kept; 0 keeps them until there are too many.", low=0)
    prompt_log_kb: int = _row(64, "KiB of each request and of each answer that are written down.", low=1, high=16384)
    # Monitoring
    monitor_key: str = _row(
        "", "A key that opens /metrics and /provider_health and nothing else, for a monitoring system.", secret=True, stored=False
    )
    tracing: str = _row(
        "off",
        "Send a trace of every request to an OpenTelemetry collector (needs the extra otel); OTEL_EXPORTER_OTLP_ENDPOINT is its address.",
        choices=("off", "otlp"),
    )
    trace_upstream: bool = _row(False, "Tell providers the trace that a request belongs to, in the header traceparent.")
    sources: Mapping[str, Source] = dataclasses.field(default_factory=dict, repr=False, compare=False)
    """Name → where the value came from; what is not listed is a default."""

    def describe(self) -> list[dict[str, Any]]:
        """One dict a setting: name, env, kind, help, value, default, source, choices, stored, secret; secret values masked."""
        found = []
        for row in SETTINGS:
            value = getattr(self, row.name)
            found.append(
                {
                    "name": row.name,
                    "env": row.env,
                    "kind": row.kind,
                    "help": row.help,
                    "value": MASK if row.secret and value else _plain(value),
                    "default": _plain(row.default),
                    "source": self.sources.get(row.name, "default"),
                    "choices": list(row.choices),
                    "stored": row.stored,
                    "secret": row.secret,
                }
            )
        return found

    def __repr__(self) -> str:
        changed = ", ".join(f"{entry['name']}={entry['value']!r}" for entry in self.describe() if entry["source"] != "default")
        return f"<Settings {changed or 'all default'}>"


def _table() -> tuple[Setting, ...]:
    rows = []
    for field in dataclasses.fields(Settings):
        if field.name != "sources":
            more = {**field.metadata, "env": field.metadata["env"] or f"OMNI_{field.name.upper()}"}
            default: Any = field.default
            rows.append(Setting(name=field.name, default=default, kind=_KINDS[str(field.type)], **more))
    return tuple(rows)


SETTINGS: tuple[Setting, ...] = _table()
BY_NAME: Mapping[str, Setting] = MappingProxyType({row.name: row for row in SETTINGS})

ENVIRONMENT_ONLY: Mapping[str, str] = {
    "OMNI_HOME": "Folder of everything the installation owns (default ~/.omni-connector). Only from the real environment.",
    "OMNI_MASTER_KEY": "Master key(s) for secrets at rest, instead of OMNI_HOME/master.key. Also accepted: DATA_ENCRYPTION_KEY.",
    "OMNI_ADMIN_KEY": "Key of the admin API, instead of the one in OMNI_HOME/admin.key.",
}
"""Variables that are no settings: they are read before there are any, and never shown."""

IN_FILES = "_FILE"
"""NAME_FILE names a file that holds the secret NAME, as containers get theirs."""
KEYS_AT_REST = ("OMNI_MASTER_KEY", "DATA_ENCRYPTION_KEY", "OMNI_ADMIN_KEY")
"""Secrets that are no settings."""


def load(env: Mapping[str, str], stored: Mapping[str, str] = MappingProxyType({})) -> Settings:
    """Settings from environment → database → default. An empty variable counts as not set; unknown stored names are ignored.

    Raises SettingsError.
    """
    values: dict[str, Any] = {}
    sources: dict[str, Source] = {}
    for row in SETTINGS:
        variable = next((name for name in (row.env, *row.seed_names) if env.get(name, "").strip()), None)
        if variable is not None:
            values[row.name], sources[row.name] = parse(row, env[variable], variable), "environment"
        elif row.stored and row.name in stored:
            values[row.name], sources[row.name] = parse(row, stored[row.name], f"stored setting {row.name}"), "database"
    return Settings(**values, sources=sources)


def parse(row: Setting, text: str, place: str | None = None) -> Value:
    """The typed value of `text`. Raises SettingsError naming `place` (default: the setting), value, reason and fix."""
    text = text.strip()
    try:
        value = _PARSERS[row.kind](text)
    except ValueError:
        raise _error(row, text, place, f"is not {_EXPECTED[row.kind]}", f"use {_example(row)}") from None
    if row.choices and value not in row.choices:
        raise _error(row, text, place, "is not a choice", f"use one of {', '.join(row.choices)}")
    if isinstance(value, int | float) and not isinstance(value, bool):
        if row.low is not None and value < row.low:
            raise _error(row, text, place, "is too small", f"use at least {row.low:g}")
        if row.high is not None and value > row.high:
            raise _error(row, text, place, "is too large", f"use at most {row.high:g}")
    return value


def check(row: Setting, value: object) -> str:
    """The text to store for a setting changed through the API or command line (JSON values are fine). Raises SettingsError."""
    name = row.name
    if not row.stored:
        raise SettingsError(f"{name} can only be set by the environment variable {row.env}.")
    if isinstance(value, bool):
        text = "true" if value else "false"
    elif isinstance(value, list | tuple):
        text = ",".join(str(item) for item in value)
    elif isinstance(value, str | int | float):
        text = str(value)
    else:
        raise SettingsError(f"{name}: a {type(value).__name__} is not {_EXPECTED[row.kind]}; use {_example(row)}.")
    return _text(parse(row, text, name))


def _text(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(value) if isinstance(value, tuple) else str(value)


def _plain(value: Value) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _bool(text: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise ValueError(text)


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _list(text: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in text.split(",") if item.strip())


_PARSERS: Mapping[SettingKind, Callable[[str], Value]] = {"str": str, "int": int, "float": _float, "bool": _bool, "list": _list}
_EXPECTED: Mapping[SettingKind, str] = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "a yes or no",
    "list": "a list of texts",
}


def _example(row: Setting) -> str:
    if row.kind == "bool":
        return "true or false"
    return "items separated by commas" if row.kind == "list" else f"a value like {_text(row.default)}"


def _error(row: Setting, text: str, place: str | None, reason: str, fix: str) -> SettingsError:
    shown = "" if row.secret else f"={text!r}"
    return SettingsError(f"{place or row.name}{shown} {reason}; {fix}.")


# ---------------------------------------------------------------- Home and .env


def home_path(env: Mapping[str, str] | None = None) -> Path:
    """OMNI_HOME, made absolute, or ~/.omni-connector."""
    given = (os.environ if env is None else env).get("OMNI_HOME", "").strip()
    return Path(given).expanduser().absolute() if given else Path.home() / ".omni-connector"


def prepare_home(path: Path) -> None:
    """Makes the folder (0700) and logs/, backups/, releases/ in it. Raises SettingsError when that is not possible."""
    try:
        for folder in (path, path / "logs", path / "backups", path / "releases"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.stat().st_mode & 0o077:
            path.chmod(0o700)
    except OSError as error:
        raise SettingsError(f"OMNI_HOME={path} cannot be used: {error}. Choose another folder by the variable OMNI_HOME.") from error


def environment(home: Path, env: Mapping[str, str] | None = None) -> dict[str, str]:
    """The variables in force: `home`/.env, overruled by the real environment. Nothing is read from the current directory."""
    real = os.environ if env is None else env
    file = home / ".env"
    try:
        text = file.read_text("utf-8-sig")
    except FileNotFoundError:
        return _with_files(real)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file} cannot be read: {error}. Make it a text file in UTF-8 that this user may read.") from error
    return {**_with_files(parse_dotenv(text, str(file))), **_with_files(real)}


def _with_files(env: Mapping[str, str]) -> dict[str, str]:
    secret = [name for row in SETTINGS if row.secret for name in (row.env, *row.seed_names)]
    given = {name: said(env, name) for name in (*secret, *KEYS_AT_REST)}
    return {**env, **{name: text for name, text in given.items() if text}}


def said(env: Mapping[str, str], name: str) -> str:
    """What the variable says, else what the file says that NAME_FILE names, without the line break at its end; "" for neither. Raises
    SettingsError for both, and for a file that cannot be read or is empty."""
    place = env.get(f"{name}{IN_FILES}", "").strip()
    if not place:
        return env.get(name, "")
    if env.get(name, "").strip():
        raise SettingsError(f"{name} and {name}{IN_FILES} are both set. Keep one of them.")
    try:
        text = Path(place).read_text("utf-8-sig").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{name}{IN_FILES}={place} cannot be read: {error}. Name a text file that this user may read.") from error
    if not text.strip():
        raise SettingsError(f"{name}{IN_FILES}={place} is empty. Write the secret into it, or leave the variable out.")
    return text


_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\", "$": "$"}


def parse_dotenv(text: str, place: str = ".env") -> dict[str, str]:
    """KEY=VALUE lines; "#" comments, `export`, 'literal' and "escaped" quotes. Strict: raises SettingsError naming the line."""
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise SettingsError(f"{place}, line {number}: expected NAME=value; begin the line with # if it is a comment.")
        found[match[1]] = _dotenv_value(match[2], f"{place}, line {number}")
    return found


def _dotenv_value(text: str, place: str) -> str:
    if not text.startswith(("'", '"')):
        return re.split(r"(?:^|\s+)#", text, maxsplit=1)[0].strip()
    quoted = re.fullmatch(r"""(?:'([^']*)'|"((?:[^"\\]|\\.)*)")\s*(?:#.*)?""", text)
    if quoted is None:
        raise SettingsError(f"{place}: the value begins with a quote that does not end; close it on the same line.")
    if quoted[1] is not None:
        return quoted[1]
    return re.sub(r"\\(.)", lambda escape: _ESCAPES.get(escape[1], escape[0]), quoted[2])

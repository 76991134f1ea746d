"""Commands as providers: what may be run for requests, from the account's `options.command`. Pure.

A template is a list of arguments and never goes through a shell, so `; rm -rf /` is one argument like any other. What clients send
replaces placeholders inside single arguments; it can neither become the program nor an option of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import PurePath
from typing import Any, Literal

import msgspec

from omni_connector.errors import GatewayError, bad_request
from omni_connector.providers.command_presets import PRESETS
from omni_connector.providers.rows import ROWS
from omni_connector.snapshot import Account, Json

FIELD = "options.command"
PLACEHOLDER = re.compile(r"\{(model|effort|system|system_file|prompt)\}")
DEFAULT_MODEL = "default"
"""The model of a command that chooses its own: its `{model}` is empty."""
MOST_ARGUMENTS, LONGEST_ARGUMENT = 200, 131_071
"""Linux takes no argument of 128 KiB or more (MAX_ARG_STRLEN)."""

INTERPRETERS = frozenset(
    {"sh", "bash", "dash", "zsh", "ksh", "fish", "ash", "csh", "tcsh", "pwsh", "powershell", "cmd"}
    | {"python", "perl", "ruby", "node", "deno", "bun", "php", "lua"}
)
_CODE = re.compile(r"(?i)-[a-z]*[ce]|--eval|--command|/[ck]|-encodedcommand")
_WITH_CODE = re.compile(r"(?i)-[^-]|--(?:eval|command)=")
"""Options behind which, or in which, an interpreter expects a program: what a client sends must not be part of one."""

OURS = ("OMNI_", "ONEAPI_")
OUR_NAMES = frozenset({"DATA_ENCRYPTION_KEY", "REQUIRED_API_KEY"})
PROVIDERS_KEYS = frozenset(name for row in ROWS for name in row.env)
"""A program that finds one of these would be billed by it, whatever account it is signed in with."""

HEARD = frozenset({"model", "messages", "stream", "stream_options"})
"""Fields of a chat completion that a command gets to know."""


class Output(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the answer is read. Pointers are JSON pointers (RFC 6901).

    text: all of standard output. json-pointer: one JSON document; `text`, `usage` (input, cache_read, output, reasoning → pointer)
    and `error` point into it. json-lines: the same for each line; `when` (pointer → value) says which lines hold text, `join` stands
    between two of them, and `done` says what the last line looks like. claude-code: the stream-json of Claude Code.
    """

    kind: Literal["text", "json-pointer", "json-lines", "claude-code"] = "text"
    text: str = ""
    when: dict[str, Any] = {}
    usage: dict[str, str] = {}
    error: str = ""
    done: dict[str, Any] = {}
    join: str = ""


class Template(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`options.command`. Times in seconds.

    argv: program and arguments; an inner list is left out where one of its placeholders is empty.
    program: another program in place of the preset's. check: arguments that prove it is there; login: what the user runs to sign in,
    when `check` fails without a sign-in. input: how the conversation goes to standard input: all of it as text, its last message,
    one line of Claude Code's stream-json, `stdin` with its placeholders filled as JSON, or nothing.
    timeout_s: for all of it; idle_s: without a sign of life. max_in_flight: runs at the same time;
    max_waiting: requests that wait for one of them to end, before others go elsewhere.
    env: names passed on from the server's environment; set: names and values. cwd: "" an empty folder for each run, "account" one
    for each account, or an absolute path.
    """

    argv: tuple[str | tuple[str, ...], ...] = ()
    program: str = ""
    input: Literal["text", "last", "json-lines", "json", "none"] = "text"
    stdin: Any = None
    output: Output = Output()
    check: tuple[str, ...] = ()
    login: str = ""
    timeout_s: float = 900
    idle_s: float = 300
    max_output_bytes: int = 16 << 20
    max_in_flight: int = 2
    max_waiting: int = 8
    env: tuple[str, ...] = ()
    set: dict[str, str] = {}
    cwd: str = ""
    models: tuple[str, ...] = ()
    efforts: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The program, as people say it."""
        return PurePath(self.argv[0]).name if isinstance(self.argv[0], str) else ""

    def holds(self, *placeholders: str) -> bool:
        texts = [*self.flat, json.dumps(self.stdin) if self.input == "json" else ""]
        return any(placeholder in text for placeholder in placeholders for text in texts)

    @property
    def flat(self) -> Iterator[str]:
        for element in self.argv:
            yield from (element,) if isinstance(element, str) else element


# ---------------------------------------------------------------- From options to a template


def template(provider_id: str, options: Mapping[str, Any]) -> Template:
    """The checked template of an account. Raises GatewayError BAD_REQUEST naming the field ("options.command.argv[2]"), the reason and
    the fix."""
    given = options.get("command")
    if given is None:
        given = {}
    if not isinstance(given, Mapping):
        raise _wrong("", "an object with argv or preset")
    fields: Json = dict(given)
    preset = fields.pop("preset", None) or (provider_id if provider_id in PRESETS else None)
    if preset is not None:
        if not isinstance(preset, str) or preset not in PRESETS:
            raise _wrong("preset", f"one of {', '.join(PRESETS)}, not {preset!r}")
        known = PRESETS[preset].command
        added = {name: [*known.get(name, ()), *fields[name]] for name in ("env",) if isinstance(fields.get(name), list)}
        fields = {**known, **fields, **added}
    try:
        found = msgspec.convert(fields, Template)
    except msgspec.ValidationError as error:
        what, _, place = str(error).partition(" - at `$")
        raise _wrong(place.rstrip("`").lstrip("."), what[:1].lower() + what[1:]) from error
    if found.program and found.argv:
        check = (found.program, *found.check[1:]) if found.check else ()
        found = msgspec.structs.replace(found, argv=(found.program, *found.argv[1:]), check=check)
    _check_arguments(found)
    if preset is not None and (edit := PRESETS[preset].edit) and edit in found.flat:
        whole = " ".join(found.flat).replace(edit, f"YOUR_{edit}")
        raise _wrong("argv", f"write yours in place of {edit} (on the command line: --preset {preset} --command '{whole}')")
    _check_limits(found)
    _check_environment(found)
    return found


def _wrong(place: str, what: str) -> GatewayError:
    field = f"{FIELD}{'' if not place or place.startswith('[') else '.'}{place}"
    return bad_request(f"{field}: {what}.", field)


def _check_arguments(found: Template) -> None:
    if not found.argv or not isinstance(found.argv[0], str) or not found.argv[0].strip():
        raise _wrong("argv", 'a list that begins with the program, such as ["llm", "-m", "{model}"], or name a preset')
    if PLACEHOLDER.search(found.argv[0]):
        raise _wrong("argv[0]", "the program itself cannot come from a request")
    flat = list(found.flat)
    if len(flat) > MOST_ARGUMENTS:
        raise _wrong("argv", f"{len(flat)} arguments, and {MOST_ARGUMENTS} are the most")
    for name, texts in (("argv", flat), ("check", found.check), ("set", found.set.values())):
        for text in texts:
            if "\0" in text or len(text.encode("utf-8", "replace")) > LONGEST_ARGUMENT:
                raise _wrong(name, "no text with NUL in it, and none of 128 kB or more")
    if any(PLACEHOLDER.search(text) for text in found.check):
        raise _wrong("check", "it is run without a request, so it has no placeholders")
    if any(map(_interprets, flat)):
        _check_interpreter(found, flat)


def _check_interpreter(found: Template, flat: list[str]) -> None:
    """A shell, Python and the like run texts: none of a client's may be where they look for one."""
    first = next(place for place, text in enumerate(flat) if _interprets(text))
    rest = flat[first + 1 :]
    fix = "Give it a script, and the placeholder as an argument behind it or the conversation on standard input"
    for before, text in pairwise([*rest, ""]):
        inside = PLACEHOLDER.search(before) and _WITH_CODE.match(before)
        if inside or (_CODE.fullmatch(before) and PLACEHOLDER.search(text)):
            raise _wrong("argv", f"{flat[first]} would run what clients send as a program. {fix}")
    scripted = any(not text.startswith("-") for text in rest)
    if found.input != "none" and not scripted:
        raise _wrong("argv", f"{flat[first]} without a script would run what clients send as one. {fix}")


def _interprets(argument: str) -> bool:
    return re.sub(r"[\d.]+$|\.exe$", "", PurePath(argument.replace("\\", "/")).name.lower()) in INTERPRETERS


def _check_limits(found: Template) -> None:
    limits: tuple[tuple[str, float, float, float], ...] = (
        ("timeout_s", found.timeout_s, 0.1, 86_400),
        ("idle_s", found.idle_s, 0.1, 86_400),
        ("max_output_bytes", found.max_output_bytes, 1, 1 << 30),
        ("max_in_flight", found.max_in_flight, 1, 256),
        ("max_waiting", found.max_waiting, 0, 256),
    )
    for name, value, least, most in limits:
        if not least <= value <= most:
            raise _wrong(name, f"a number from {least:g} to {most:g}, not {value:g}")
    if found.cwd not in ("", "account") and not PurePath(found.cwd).is_absolute():
        raise _wrong("cwd", f'"", "account" or an absolute path, not {found.cwd!r}')
    if found.input == "json" and found.stdin is None:
        raise _wrong("stdin", 'with input "json", the JSON to send, such as {"prompt": "{prompt}"}')
    pointers = {"text": found.output.text, "error": found.output.error, **found.output.usage}
    for name, pointer in (*pointers.items(), *((key, key) for key in (*found.output.when, *found.output.done))):
        if pointer and not pointer.startswith("/"):
            raise _wrong("output", f"{name}: a JSON pointer such as /result/text, not {pointer!r}")
    if found.output.kind in ("json-pointer", "json-lines") and not found.output.text:
        raise _wrong("output.text", "the JSON pointer to the answer, such as /result/text")
    if unknown := found.output.usage.keys() - {"input", "cache_read", "cache_write", "output", "reasoning"}:
        raise _wrong("output.usage", f"input, cache_read, cache_write, output or reasoning, not {min(unknown)!r}")


def _check_environment(found: Template) -> None:
    for field, names in (("env", found.env), ("set", tuple(found.set))):
        for name in names:
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,127}", name):
                raise _wrong(field, f"names of environment variables, not {name[:40]!r}")
            if is_private(name):
                raise _wrong(field, f"{name} is a key of this server or of a provider, which no command gets")


def is_private(name: str) -> bool:
    """Whether an environment variable is ours or holds a provider's key."""
    upper = name.upper()
    return upper.startswith(OURS) or upper in OUR_NAMES or upper in PROVIDERS_KEYS


# ---------------------------------------------------------------- What it means for an account


def facts(account: Account) -> Json:
    """Fields of `Account` that its template decides: default_models, features, max_in_flight. A template that is not valid gives
    nothing: the account says so when it is tested or asked."""
    try:
        found = template(account.provider, account.options)
    except GatewayError:
        return {}
    models = found.models or (() if found.holds("{model}") else (DEFAULT_MODEL,))
    features = account.features | ({"reasoning_effort"} if found.holds("{effort}") else set())
    places = account.max_in_flight or found.max_in_flight + found.max_waiting
    return {"default_models": models, "features": features, "max_in_flight": places}


def proves_login(account: Account) -> bool:
    """Whether its `check` fails while nobody is signed in."""
    return bool(login(account))


def login(account: Account) -> str:
    """What the user runs to sign in, where its `check` fails while nobody is; else ""."""
    try:
        found = template(account.provider, account.options)
    except GatewayError:
        return ""
    return found.login if found.check else ""


def unheard(body: Json) -> tuple[str, ...]:
    """The fields of a chat completion that no command gets to know. Their names as clients know them."""
    names = {"max_completion_tokens": "max_tokens", "reasoning_effort": ""}
    told = (names.get(name, name) for name, value in body.items() if name not in HEARD and value is not None)
    return tuple(dict.fromkeys(name for name in told if name))

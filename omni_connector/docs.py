"""The pages of docs/ that are written by the tables they describe.

    python -m omni_connector.docs        rewrites them, in a checkout

`tests/test_house.py` compares every page with its table, so a page that is out of date fails the suite. The tables are imported
inside the functions: a page is only as expensive as its own source.
"""

from __future__ import annotations

import ast
import io
import math
import re
import sys
import tokenize
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from omni_connector.root import ROOT

if TYPE_CHECKING:
    from omni_connector.providers import Provider

DOCS = ROOT / "docs"
TESTS = ROOT / "tests"
PROMISES = TESTS / "promises.txt"

_ID = re.compile(r"\b([RJCOP])-(\d{2,3})(?:\s*…\s*\1-(\d{2,3}))?")
_HEADER = "<!-- Written by `python -m omni_connector.docs` from {source}; do not edit by hand. -->\n\n"
_END = "<!-- End of the generated section. -->\n"

CALLS: Mapping[str, tuple[str, str]] = {
    "openai-chat": ("a conversation: OpenAI Chat Completions", "passes or is translated"),
    "openai-responses": ("a conversation: OpenAI Responses", "passes or is translated; the answer is [kept](#kept-answers)"),
    "anthropic-messages": ("a conversation: Anthropic Messages", "passes or is translated"),
    "gemini-generate": ("a conversation: Gemini", "passes or is translated"),
    "openai-completions": ("a prompt to go on with", "passes where prompts are completed, else becomes a user's message"),
    "openai-embeddings": ("vectors of texts", "passes or is translated"),
    "gemini-embeddings": ("vectors of texts", "passes or is translated"),
    "ocr": ("the text of a picture", "[has a schema of its own](#text-of-pictures)"),
    "image": ("pictures", "passes byte for byte"),
    "speech": ("a sound of a text", "passes byte for byte"),
    "transcription": ("the text of a sound", "passes byte for byte"),
    "moderation": ("a verdict on a text", "passes byte for byte"),
    "rerank": ("documents in order of a question", "passes byte for byte"),
}
"""Wire format or purpose of a POST → what it is for, and what happens to its body."""

GEMINI_VERBS = ("generateContent", "streamGenerateContent", "embedContent", "batchEmbedContents")

LOOKS: Mapping[str, str] = {
    "hello": "whether somebody is there, as Claude Code asks; no key needed",
    "health": "state and version; no key needed",
    "ready": "200, or 503 while a balancer should send nothing here (`?database=1`: nor while the database is out of reach); no key needed",
    "models": "every name the key may use, in the form of the SDK that asks",
    "model": "one of them",
    "count_messages": "tokens of a request, Anthropic's form",
    "count_input": "tokens of a request, the Responses form",
    "gemini_verb": "tokens of a request, Gemini's form",
    "response": "an answer that was [kept](#kept-answers)",
    "input_items": "what its request brought (`limit`, `after`, `order`)",
    "forget_response": "forgets it",
}
"""Function of app.py that answers the rest of the client API → what it tells."""


def errors_page() -> str:
    """docs/errors.md: every failure, its status, its owner, and what the relay does next."""
    from omni_connector.errors import KINDS

    owner = {"us": "omni-connector", "nobody": "nobody", "caller": "the caller", "account": "the account"}
    rows = [
        (
            f"`{kind}`",
            str(info.status),
            owner.get(info.fault, f"the {info.fault}"),
            "yes" if info.retry else "no",
            "yes" if info.cools else "no",
            f"`{info.flag}`",
            info.meaning,
        )
        for kind, info in KINDS.items()
    ]
    head = ("Kind", "Status", "Whose fault", "Another account is tried", "Cools", "Flag", "Meaning")
    return (
        _HEADER.format(source="omni_connector/errors.py")
        + "# Errors\n\n"
        + "Every failure has one kind, one owner and one HTTP status; each endpoint says it in the words of its own format.\n"
        + "*Another account is tried* only while no byte of the answer has reached the client. *Cools* means that the account, or only\n"
        + "the family of models the error named, is left out for a while. The flag stands on the request's row in the activity.\n\n"
        + _table(head, rows)
    )


def settings_page() -> str:
    """docs/settings.md: every setting with its variables, default and meaning."""
    from omni_connector.settings import ENVIRONMENT_ONLY, KEYS_AT_REST, SETTINGS

    rows = []
    for setting in SETTINGS:
        names = ", ".join(map(_code, dict.fromkeys([setting.env, *setting.seed_names])))
        meaning = setting.help
        if setting.choices:
            meaning += f" One of: {', '.join(setting.choices)}."
        if not setting.stored:
            meaning += " Only from the environment."
        rows.append((_code(setting.name), names, setting.kind, _code(_plain(setting.default)), meaning))
    return (
        _HEADER.format(source="omni_connector/settings.py")
        + "# Settings\n\n"
        + "A setting comes from the environment, else from the database (the dashboard, or `omni-connector config set NAME VALUE`),\n"
        + "else from its default. `OMNI_HOME/.env` counts as environment, and the real environment wins over it. Where several\n"
        + "variables are named, the first one that is set is used. A value that cannot be read stops the start with a message that\n"
        + "names the variable and the fix.\n\n"
        + _table(("Setting", "Variables", "Kind", "Default", "Meaning"), rows)
        + "\nRead before there are settings, and never shown:\n\n"
        + _table(("Variable", "Meaning"), [(_code(name), text) for name, text in ENVIRONMENT_ONLY.items()])
        + "\n## Secrets in files\n\n"
        + "`NAME_FILE` names a file that holds what the variable `NAME` would say, as containers get their secrets: for\n"
        + ", ".join(_code(setting.env) for setting in SETTINGS if setting.secret)
        + ",\n"
        + ", ".join(map(_code, KEYS_AT_REST))
        + ", and for the keys of [providers](providers.md) (`OPENAI_API_KEY_FILE`).\n"
        + "A line break at its end does not count. A variable and its file at once, or a file that is empty or cannot be read, stop\n"
        + "the start.\n"
    )


def providers_page() -> str:
    """docs/providers.md: one table of all providers, then what is worth knowing about each."""
    from omni_connector.providers import FEATURES, PROVIDERS

    rows = []
    details = []
    for provider in PROVIDERS.values():
        kind = "demo" if provider.demo else "custom" if provider.custom else "local" if provider.local else "hosted"
        variables = ", ".join(map(_code, provider.env))
        rows.append((f"[{provider.label}](#{provider.id})", _code(provider.id), _code(provider.wire), kind, variables))
        details.append(_provider_section(provider))
    used = sorted({word for provider in PROVIDERS.values() for word in provider.features})
    return (
        _HEADER.format(source="omni_connector/providers/rows.py")
        + "# Providers\n\n"
        + "Every provider is one row of data. `base_url` of an account, `options.endpoints.*`, or the file that `OMNI_ENDPOINTS_FILE`\n"
        + "names replace any address. A feature that is not named is unknown, not refused.\n\n"
        + _table(("Provider", "Id", "Wire format", "Kind", "Key from the environment"), rows)
        + "\n"
        + "\n".join(details)
        + "\n## The feature words\n\n"
        + _table(("Word", "The provider…"), [(_code(word), FEATURES[word]) for word in used])
    )


def _provider_section(provider: Provider) -> str:
    lines = [f"### {provider.id}", "", f"**{provider.label}.** {provider.terms}".rstrip(), ""]
    if provider.regions:
        lines += [f"- Region `{name}`: `{url}`" for name, url in provider.regions.items()]
    elif provider.base_url:
        lines.append(f"- Address: `{provider.base_url}`")
    for wire, face in provider.faces.items():
        lines.append(f"- Also speaks `{wire}`: " + ", ".join(f"`{url}`" for url in face.urls.values()))
    if provider.key_url:
        shape = f" (looks like `{provider.key_hint}`)" if provider.key_hint else ""
        lines.append(f"- Key: <{provider.key_url}>{shape}")
    if provider.docs_url:
        lines.append(f"- Its own documentation: <{provider.docs_url}>")
    if provider.default_models:
        lines.append("- `auto` prefers: " + ", ".join(map(_code, provider.default_models)))
    if provider.features:
        lines.append("- Features: " + ", ".join(map(_code, sorted(provider.features))))
    if provider.notes:
        lines.append(f"- Note: {provider.notes}")
    return "\n".join(lines) + "\n"


def client_api_page() -> str:
    """docs/client-api.md: written by hand but for its tables of paths."""
    return with_section((DOCS / "client-api.md").read_text(encoding="utf-8"), client_paths(), "omni_connector/paths.py and app.py")


def admin_api_page() -> str:
    """docs/admin-api.md: written by hand but for its tables of calls."""
    return with_section((DOCS / "admin-api.md").read_text(encoding="utf-8"), admin_calls(), "omni_connector/openapi")


def admin_calls() -> str:
    """Every call of the admin API, by what it is about."""
    from omni_connector.openapi import OPERATIONS

    tags: dict[str, list[tuple[str, str]]] = {}
    for operation in OPERATIONS:
        if operation.access == "admin" or operation.path.startswith("/api") or operation.path in ("/openapi.json", "/llms.txt"):
            tags.setdefault(operation.tag, []).append((_code(operation.call), operation.summary))
    return "\n".join(f"## {tag}\n\n{_table(('Call', 'What it does'), rows)}" for tag, rows in tags.items())


def routing_page() -> str:
    """docs/routing-explained.md: written by hand but for what `auto` weighs."""
    return with_section((DOCS / "routing-explained.md").read_text(encoding="utf-8"), score_parts(), "omni_connector/routing/score.py")


def monitoring_page() -> str:
    """docs/monitoring.md: written by hand but for its table of metrics."""
    return with_section((DOCS / "monitoring.md").read_text(encoding="utf-8"), metric_families(), "omni_connector/metrics/families.py")


def metric_families() -> str:
    """Every metric with its kind and labels."""
    from omni_connector.metrics import FAMILIES

    rows = [(_code(name), row.kind, ", ".join(map(_code, row.labels)), row.help) for name, row in FAMILIES.items()]
    return _table(("Metric", "Kind", "Labels", "What it says"), rows)


def score_parts() -> str:
    """What `auto` weighs, with the most and the least points of each part."""
    from omni_connector.routing.score import PARTS

    def points(value: float) -> str:
        return "without limit" if math.isinf(value) else f"{value:+g}" if value else "0"

    rows = [(_code(name), points(part.weight * part.low), points(part.weight * part.high), part.sentence) for name, part in PARTS.items()]
    return _table(("Part", "Least", "Most", "What it does"), rows)


def with_section(page: str, section: str, source: str) -> str:
    """The page with its generated section, which stands between two comment lines, written anew. ValueError: it has none."""
    begin = _HEADER.format(source=source)
    head, found, rest = page.partition(begin)
    _, closed, tail = rest.partition(_END)
    if not found or not closed:
        raise ValueError(f"the page has no section between {begin.strip()!r} and {_END.strip()!r}")
    return f"{head}{begin}{section}\n{_END}{tail}"


def client_paths() -> str:
    """Every path of the client API: the calls that an account answers, then what omni-connector tells by itself."""
    from omni_connector.paths import POSTS, client_route

    gemini: dict[str, list[str]] = {}
    for verb in GEMINI_VERBS:
        route = client_route(f"/v1beta/models/MODEL:{verb}")
        assert route is not None, verb
        gemini.setdefault(route.wire, []).append(f"`/v1beta/models/{{model}}:{verb}`")
    paths = [(f"`{path}`", wire) for path, wire in POSTS.items()] + [(", ".join(each), wire) for wire, each in gemini.items()]
    paths.sort(key=lambda row: list(CALLS).index(row[1]))
    calls = [(path, CALLS[wire][0], _code(wire), _who_serves(wire, path.strip("`")), CALLS[wire][1]) for path, wire in paths]
    looks = [(", ".join(map(_code, each)), LOOKS[name]) for name, each in _client_routes().items()]
    return (
        _table(("POST", "For", "Name in the activity", "Who can serve it", "The body"), calls)
        + "\nAnswered by omni-connector itself, or asked of an account's counter:\n\n"
        + _table(("Call", "What it tells"), looks)
    )


def _who_serves(wire: str, path: str) -> str:
    from omni_connector.prepare import EMBEDDING_WIRE
    from omni_connector.providers import PROVIDERS
    from omni_connector.routing.serving import TRADES
    from omni_connector.wire import CLIENT_FORMATS, EMBEDDINGS
    from omni_connector.wire.raw import RAW

    if wire in CLIENT_FORMATS:
        return "every account"
    if wire in TRADES:
        return "accounts of " + ", ".join(_code(row.id) for row in PROVIDERS.values() if TRADES[wire] in row.features)
    spoken = EMBEDDING_WIRE if wire in EMBEDDINGS else RAW[path].wires
    return "accounts that speak " + ", ".join(map(_code, sorted(spoken)))


def _client_routes() -> dict[str, list[str]]:
    """Function of app.py → its calls ("GET /v1/models"), without those below /{provider}. Read from the source: routes are
    declared inside a function that wants a running gateway."""
    tree = ast.parse((ROOT / "app.py").read_text(encoding="utf-8"))
    declaring = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "add_client_routes")
    found: dict[str, list[str]] = {}
    for node in [inner for inner in ast.walk(declaring) if isinstance(inner, ast.AsyncFunctionDef)]:
        for verb, path in _declared(node):
            if not path.startswith("/<provider>"):
                shown = re.sub(r"<(?:path:)?(\w+)>", r"{\1}", path)
                found.setdefault(node.name, []).append(f"{verb} {shown}{':countTokens' if node.name == 'gemini_verb' else ''}")
    return found


def _declared(function: ast.AsyncFunctionDef) -> Iterator[tuple[str, str]]:
    """("GET", "/v1/models") of each `@app.get("/v1/models")`."""
    for decorator in function.decorator_list:
        match decorator:
            case ast.Call(ast.Attribute(ast.Name("app"), verb), [ast.Constant(str(path)), *_]):
                yield verb.upper(), path


def promises_page() -> str:
    """docs/promises.md: every promise, and the test files that keep it."""
    promises = read_promises()
    kept = kept_by(TESTS)
    rows = [(name, text, ", ".join(f"`{file}`" for file in kept.get(name, ())) or "—") for name, text in promises.items()]
    done = sum(1 for name in promises if name in kept)
    return (
        _HEADER.format(source="tests/promises.txt and the comments of the tests")
        + "# Promises\n\n"
        + f"What omni-connector promises, and the tests that hold it to that: {done} of {len(promises)} are named by a test so far.\n"
        + "A promise without a test is not kept yet, or not proved.\n\n"
        + _table(("Id", "Promise", "Tests"), rows)
    )


def read_promises(path: Path = PROMISES) -> dict[str, str]:
    """Id → text. Lines are `O-01  text`; `#` begins a comment line. Raises ValueError for anything else."""
    promises: dict[str, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, _, text = line.partition(" ")
        if not _ID.fullmatch(name) or not text.strip() or name in promises:
            raise ValueError(f"{path.name}:{number}: expected a new id and its text, found {line!r}")
        promises[name] = text.strip()
    return promises


def kept_by(tests: Path) -> dict[str, tuple[str, ...]]:
    """Promise id → the test files whose comments name it, relative to the folder of tests."""
    found: dict[str, set[str]] = {}
    for path in sorted(tests.rglob("test_*.py")):
        for name in promise_ids(path.read_text(encoding="utf-8")):
            found.setdefault(name, set()).add(path.relative_to(tests).as_posix())
    return {name: tuple(sorted(files)) for name, files in found.items()}


def promise_ids(source: str) -> set[str]:
    """The ids named in the comments of a Python source: single ones, and ranges written `C-39…C-45`."""
    names: set[str] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        for letter, first, last in _ID.findall(token.string):
            names.update(f"{letter}-{number:02d}" for number in range(int(first), int(last or first) + 1))
    return names


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [" | ".join(head), " | ".join("---" for _ in head)]
    lines += [" | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) for row in rows]
    return "".join(f"| {line} |\n" for line in lines)


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return "" if value is None else str(value)


PAGES: Mapping[str, Callable[[], str]] = {
    "errors.md": errors_page,
    "settings.md": settings_page,
    "providers.md": providers_page,
    "client-api.md": client_api_page,
    "admin-api.md": admin_api_page,
    "routing-explained.md": routing_page,
    "monitoring.md": monitoring_page,
    "promises.md": promises_page,
}
"""File in docs/ → what it must hold."""


def write(folder: Path = DOCS) -> list[str]:
    """Rewrites the pages that changed and returns their names."""
    changed = []
    for name, page in PAGES.items():
        path = folder / name
        text = page()
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            changed.append(name)
    return changed


def main() -> None:
    if not DOCS.is_dir() or not TESTS.is_dir():
        sys.exit("The generated pages are written in a checkout; there is none here.")
    for name in write():
        print(f"docs/{name}")


if __name__ == "__main__":
    main()

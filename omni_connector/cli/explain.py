"""`omni-connector explain`: whom a request would go to now, and why; nothing is sent."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import IO, Any

import click

from omni_connector.cli.base import json_option
from omni_connector.cli.desk import ask
from omni_connector.cli.output import note, say, show, span, table

Json = dict[str, Any]


@click.command()
@click.argument("model", default="")
@click.option(
    "--body", type=click.File(encoding="utf-8"), metavar="FILE", help="A request as your program sends it (JSON; '-': standard input)."
)
@click.option(
    "--wire", default="openai-chat", show_default=True, help="Its format: openai-responses, anthropic-messages, gemini-generate, …"
)
@click.option("--key", help="Ask for a key (name or id): its limits on models and providers count.")
@click.option("--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="A header of the request; may be repeated.")
@json_option
def explain(model: str, body: IO[str] | None, wire: str, key: str | None, headers: Sequence[str], as_json: bool) -> None:
    """Whom a request for MODEL would go to now, in order, and why; and every account that is left out, with its reason.

    The router itself is asked, with its live state; nothing is sent and nothing changes. MODEL is any name that a program may
    use: auto, a model, a provider, provider/model, an alias, a chain. Without it the default model is asked about.
    Without a running server nothing is known of what accounts do right now, only what is stored.

    \b
    Examples:
      omni-connector explain auto
      omni-connector explain gpt-5 --body request.json      does it need tools, pictures, a larger window?
      omni-connector explain opus --key laptop              may this key use it?
      omni-connector explain auto --header "Model-Provider: groq"
    """
    question: Json = {"model": model, "wire": wire, "headers": dict(_header(text) for text in headers)}
    if body is not None:
        question["body"] = _read(body)
    if key is not None:
        question["key"] = key
    show(ask("explain", question), as_json, _show)


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise click.UsageError(f"--header {text!r}: write it as 'Name: value'.")
    return name.strip(), value.strip()


def _read(file: IO[str]) -> Json:
    try:
        value = json.load(file)
    except (ValueError, RecursionError) as error:
        raise click.UsageError(f"--body {file.name}: it is not valid JSON ({error}).") from None
    if not isinstance(value, dict):
        raise click.UsageError(f"--body {file.name}: it must hold one JSON object.")
    return value


def _show(answer: Json) -> None:
    say(f"{answer['requested']}: {answer['kind'].replace('_', '/')}, by strategy {answer['policy']}")
    say(answer["route"])
    if answer["note"]:
        note(f"{answer['note']}.")
    if answer["attempts"]:
        say()
        _show_attempts(answer["attempts"])
    if answer["skipped"]:
        say()
        say("left out:")
        rows = [(s["account"], s["provider"], s["model"], _back(s), s["reason"]) for s in answer["skipped"]]
        table(("ACCOUNT", "PROVIDER", "MODEL", "BACK IN", "REASON"), rows)
    if answer["refusal"]:
        say()
        wait = f" Retry after {span(answer['retry_after'])}." if answer["retry_after"] else ""
        if answer["waits_s"] is not None:
            say(f"The request would wait {span(answer['waits_s'])} for the first that is back; after that, without success:")
        say(f"The client would be told {answer['refusal']['status']}: {answer['refusal']['message']}{wait}")
    if answer["panic"]:
        note("All accounts are out, on our own guess only: the least bad one is tried all the same.")


def _show_attempts(attempts: Sequence[Json]) -> None:
    """Each part of the score that is not 0 for all is a column; a policy without scores has none."""
    scores = [attempt["score"]["parts"] for attempt in attempts if attempt["score"]]
    parts = list(dict.fromkeys(name for score in scores for name, points in score.items() if points))
    scored = any(attempt["score"] for attempt in attempts)
    numbers = [name.replace("_", " ").upper() for name in parts]
    rows = []
    for attempt in attempts:
        score = attempt["score"] or {"total": None, "parts": {}}
        figures = [_figure(score["parts"].get(name)) for name in parts]
        model = f"{attempt['model']} ({attempt['level']})" if attempt["level"] else attempt["model"]
        total = [_figure(score["total"])] if scored else []
        rows.append((attempt["rank"], attempt["account"], attempt["provider"], model, *total, *figures, attempt["reason"]))
    table(("#", "ACCOUNT", "PROVIDER", "MODEL", *(["SCORE"] if scored else []), *numbers, "WHY"), rows, right=("#", "SCORE", *numbers))


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}".rstrip("0").rstrip(".")


def _back(skipped: Json) -> str:
    if skipped["until"] is None:
        return "–"
    left = span(skipped["until"] / 1000 - time.time())
    return f"about {left}" if skipped["guess"] else left

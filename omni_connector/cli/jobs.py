"""`omni-connector jobs …`: the periodic work of the installation: what is due, run one now, pause one."""

from __future__ import annotations

from typing import Any

import click

from omni_connector.cli.base import Group, Stop, json_option, near
from omni_connector.cli.desk import Desk, ask, at_desk
from omni_connector.cli.output import note, say, show, table, when

Json = dict[str, Any]


@click.group(cls=Group, invoke_without_command=True)
@json_option
@click.pass_context
def jobs(ctx: click.Context, as_json: bool) -> None:
    """What the server does by itself: copies, renewals, quotas, probes, clearing up. Without a command: the list.

    A JOB is its id, its kind, or kind and key as the list shows them.

    \b
    Examples:
      omni-connector jobs
      omni-connector jobs run snapshot
      omni-connector jobs cancel quota/acc_…
    """
    if ctx.invoked_subcommand is None:
        show(ask("jobs"), as_json, _show)


@jobs.command("list")
@json_option
def list_jobs(as_json: bool) -> None:
    """Every job: when it is due, when it ran, and what went wrong."""
    show(ask("jobs"), as_json, _show)


def _show(answer: Json) -> None:
    if not answer["jobs"]:
        say("No job yet: the server makes them when it first starts.")
        return
    rows = [(_name(j), j["state"], when(j["due_at"]), when(j["last_ok_at"]), j["attempts"], j["last_error"]) for j in answer["jobs"]]
    table(("JOB", "STATE", "DUE", "LAST OK", "TRIES", "LAST ERROR"), rows, right=("TRIES",))


def _name(job: Json) -> str:
    return f"{job['kind']}/{job['key']}" if job["key"] else str(job["kind"])


@jobs.command()
@click.argument("job")
@json_option
def run(job: str, as_json: bool) -> None:
    """Run a job now; one that was paused goes on."""
    answer, place = at_desk(lambda desk: _one(desk, "run_job", job))
    show(answer, as_json, lambda one: say(f"{_name(one)} is due now."))
    if place == "database":
        note("No server runs: it will be run when one does.")


@jobs.command()
@click.argument("job")
@json_option
def cancel(job: str, as_json: bool) -> None:
    """Pause a job until it is run by hand. One that runs ends as it began."""
    answer, _ = at_desk(lambda desk: _one(desk, "cancel_job", job))
    show(answer, as_json, lambda one: say(f"{_name(one)} is paused. To go on: omni-connector jobs run {_name(one)}"))


async def _one(desk: Desk, operation: str, wanted: str) -> tuple[Json, str]:
    known: list[Json] = (await desk.call("jobs"))["jobs"]
    found = [job for job in known if wanted in (job["id"], _name(job))] or [job for job in known if wanted == job["kind"]]
    if not found:
        raise Stop(f"There is no job {wanted!r}{near(wanted, [_name(job) for job in known])}. See: omni-connector jobs")
    if len(found) > 1:
        raise Stop(f"There are {len(found)} jobs {wanted!r}: name one of {', '.join(_name(job) for job in found[:5])}.")
    return await desk.call(operation, found[0]["id"]), desk.place

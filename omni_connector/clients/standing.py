"""Where each client points now, and whether that is right: for the list of `setup`, the dashboard and `doctor`. It only looks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from omni_connector.clients import CLIENTS, kept
from omni_connector.clients.client import Client, Places, Pointing, on_path, same_place
from omni_connector.errors import GatewayError
from omni_connector.values import dataclass

State = Literal["not set up", "points here", "points elsewhere", "unreadable", "by hand"]


@dataclass(frozen=True, slots=True)
class Standing:
    """`installed`: the program, or the folder that it left; "" for neither. `undoable`: this installation set it up."""

    client: Client
    state: State
    installed: str
    pointing: Pointing | None = None
    undoable: bool = False
    why: str = ""


@dataclass(frozen=True, slots=True)
class Remark:
    """What doctor says: `level` ok or warn."""

    level: Literal["ok", "warn"]
    what: str
    message: str
    fix: str = ""


def look(client: Client, places: Places, url: str) -> Standing:
    """`url`: where we are."""
    installed = on_path(client.programs, places.env) or next((f"~/{mark}" for mark in client.marks if (places.home / mark).exists()), "")
    if not client.writes:
        return Standing(client, "by hand", installed)
    try:
        undoable = kept.read_note(places, client.name) is not None
        pointing = client.read(places)
    except (GatewayError, ValueError) as error:
        return Standing(client, "unreadable", installed, why=error.message if isinstance(error, GatewayError) else str(error))
    if pointing is None:
        return Standing(client, "not set up", installed, undoable=undoable)
    state: State = "points here" if same_place(pointing.url, url) else "points elsewhere"
    return Standing(client, state, installed, pointing, undoable)


def all_of(places: Places, url: str) -> list[Standing]:
    return [look(client, places, url) for client in CLIENTS.values()]


def findings(
    home: Path, url: str, *, env: Mapping[str, str] | None = None, user: Path | None = None, works: Callable[[str], bool] | None = None
) -> list[Remark]:
    """What is to be said of the clients that were set up from here or point here. `home`: OMNI_HOME; `user`: the user's home; `works`:
    whether a key is one of ours and may be used. Nothing is said of programs that have nothing to do with us."""
    places = Places(user or Path.home(), home, env or {})
    remarks = [remark for standing in all_of(places, url) if (remark := _remark(standing, url, works)) is not None]
    return remarks or [Remark("ok", "clients", "No program's own configuration points here.", "")]


def _remark(standing: Standing, url: str, works: Callable[[str], bool] | None) -> Remark | None:
    what, again = f"client {standing.client.name}", f"omni-connector setup {standing.client.name}"
    if standing.state == "unreadable":
        return Remark("warn", what, f"Its configuration cannot be read: {standing.why}", "Repair the file.") if standing.installed else None
    if standing.state == "points here" and standing.pointing is not None:
        if standing.pointing.key and works is not None and not works(standing.pointing.key):
            return Remark("warn", what, "It points here with a key that is not valid any more.", again)
        return Remark("ok", what, "It points here.")
    if standing.undoable and standing.state in ("points elsewhere", "not set up"):
        there = standing.pointing.url if standing.pointing else "somewhere else"
        return Remark("warn", what, f"It was set up here, and now points to {there}; we are at {url}.", f"{again}   (or: {again} --undo)")
    return None

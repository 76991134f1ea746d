"""Everything that reads OPENAI_BASE_URL and OPENAI_API_KEY: a snippet in OMNI_HOME, and a few marked lines in the shell's own startup
file that read it. Those are written only when the user says so."""

from __future__ import annotations

import shlex
from pathlib import Path

from omni_connector.clients import env_file
from omni_connector.clients.client import Client, Edit, Places, Pointing, Wanted, read_bytes

NAME = "openai-env"
BASH, ZSH, FISH = "bash", "zsh", "fish"


def snippet(places: Places, shell: str = "sh") -> Path:
    return places.omni / "setup" / f"{NAME}.{'fish' if shell == FISH else 'sh'}"


def shell_of(places: Places) -> str:
    return Path(places.env.get("SHELL", "")).name


def startup(places: Places) -> list[Path]:
    """What the user's shell reads: when somebody logs in, and in each new window."""
    shell = shell_of(places)
    if shell == FISH:
        return [places.config("fish", "config.fish")]
    if shell == ZSH:
        return [places.folder("ZDOTDIR") / ".zshrc"]
    login = next((places.home / name for name in (".bash_profile", ".bash_login") if shell == BASH and (places.home / name).exists()), None)
    files = [login or places.home / ".profile"]
    return [*files, places.home / ".bashrc"] if shell == BASH else files


def values(wanted: Wanted) -> dict[str, str]:
    """OPENAI_API_BASE is what older programs read."""
    address = f"{wanted.url}/v1"
    return {"OPENAI_API_KEY": wanted.key, "OPENAI_BASE_URL": address, "OPENAI_API_BASE": address, "OPENAI_MODEL": wanted.model}


def _edits(places: Places, wanted: Wanted) -> list[Edit]:
    fish = shell_of(places) == FISH
    file = snippet(places, shell_of(places))
    form = "set -gx {} {}\n" if fish else "export {}={}\n"
    told = "".join(form.format(name, shlex.quote(value) if not fish else f"'{value}'") for name, value in values(wanted).items())
    path = shlex.quote(str(file))
    lines = [f"test -r {path}; and source {path}"] if fish else [f"[ -r {path} ] && . {path}"]
    return [
        Edit(file, lambda _: told),
        *(Edit(path, lambda text: env_file.put_block(text, lines), private=False, startup=True) for path in startup(places)),
    ]


def _read(places: Places) -> Pointing | None:
    text = (read_bytes(snippet(places, shell_of(places))) or b"").decode()
    url = env_file.get(text, "OPENAI_BASE_URL")
    return Pointing(url, env_file.get(text, "OPENAI_API_KEY"), env_file.get(text, "OPENAI_MODEL")) if url else None


def _notes(places: Places, _: Wanted) -> list[str]:
    file = snippet(places, shell_of(places))
    word = "source" if shell_of(places) == FISH else "."
    return [f"In this shell: {word} {shlex.quote(str(file))}   (new ones read it by themselves where the startup file says so)"]


CLIENT = Client(
    name=NAME,
    label="Programs that read OPENAI_BASE_URL",
    wire="openai-chat",
    edits=_edits,
    read=_read,
    notes=_notes,
)

"""A user's home with what a test puts there, and the two steps that matter: what would change, and what is there then."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from omni_connector.clients import CLIENTS, Places, Wanted, kept, plan
from omni_connector.clients.client import Change, Pointing
from omni_connector.secrets import mint_key

URL = "http://127.0.0.1:38471"


@dataclass
class Machine:
    home: Path
    omni: Path
    env: dict[str, str] = field(default_factory=dict)
    key: str = field(default_factory=mint_key)

    @property
    def places(self) -> Places:
        return Places(self.home, self.omni, self.env, "linux")

    def put(self, name: str, text: str | bytes, mode: int = 0o644) -> Path:
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        path.chmod(mode)
        return path

    def plan(self, client: str, model: str = "auto", url: str = URL) -> list[Change]:
        return plan(CLIENTS[client], self.places, Wanted(url, self.key, model))

    def text(self, client: str, name: str) -> str:
        """What the file would hold."""
        return next(change.after.decode() for change in self.plan(client) if change.path == self.home / name)

    def apply(self, client: str, model: str = "auto") -> kept.Note:
        changes = self.plan(client, model)
        return kept.apply(self.places, kept.Note(client, 1, URL, model, "key_1"), changes, self.key)

    def undo(self, client: str, *, keep_later: bool = False) -> None:
        note = kept.read_note(self.places, client)
        assert note is not None
        kept.undo(self.places, note, kept.returns(self.places, note, self.key, keep_later=keep_later))

    def read(self, client: str) -> Pointing | None:
        return CLIENTS[client].read(self.places)

    def tree(self) -> Mapping[str, tuple[int, bytes]]:
        """Everything in the home, with its mode."""
        return {
            str(path.relative_to(self.home)): (path.stat().st_mode & 0o777, path.read_bytes() if path.is_file() else b"")
            for path in sorted(self.home.rglob("*"))
        }

    def points_here_and_back(self, client: str) -> None:
        """Set up, it points here with our key, and a second time changes nothing; undone, everything is as it was."""
        before = self.tree()
        self.apply(client)
        pointing = self.read(client)
        assert pointing is not None
        assert pointing.url.removesuffix("/v1") == URL
        assert pointing.key == self.key
        assert self.plan(client) == []
        self.undo(client)
        assert self.tree() == before
        assert not (self.omni / "setup").exists()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    (tmp_path / "user").mkdir()
    return Machine(tmp_path / "user", tmp_path / "omni")

from __future__ import annotations

import pytest

from omni_connector.updating import journal
from omni_connector.updating.journal import Entry
from omni_connector.updating.releases import UpdateError
from tests.updating.conftest import Home


def test_what_was_decided_is_read_again(home: Home) -> None:
    assert journal.read(home.path) is None
    entry = Entry("update", "restart", "1.0", "2.0", previous="0.9", running=True, args=["serve", "--port", "1"])
    journal.write(home.path, entry)
    assert journal.read(home.path) == entry
    assert (home.path / journal.FILE).stat().st_mode & 0o777 == 0o600
    journal.clear(home.path)
    journal.clear(home.path)
    assert journal.read(home.path) is None


def test_one_of_a_newer_release_is_understood_and_a_torn_one_named(home: Home) -> None:
    (home.path / journal.FILE).write_text('{"kind": "update", "step": "switch", "old": "1", "new": "2", "more": 1}')
    assert journal.read(home.path) == Entry("update", "switch", "1", "2")
    (home.path / journal.FILE).write_text('{"kind": ')
    with pytest.raises(UpdateError, match="cannot be read"):
        journal.read(home.path)


def test_one_at_a_time(home: Home) -> None:
    with journal.alone(home.path), pytest.raises(UpdateError, match="at work"), journal.alone(home.path):
        pass
    with journal.alone(home.path):
        pass

"""What a sign-in is begun with may be logged: it shows no secret."""

from __future__ import annotations

from omni_connector.oauth import Client
from omni_connector.onboarding import Asked


def test_secrets_do_not_stand_in_its_words() -> None:
    shown = repr(Asked(client=Client("id", "s3cret"), proxy_url="http://u:s3cret@host", session="s3cret"))
    assert "s3cret" not in shown

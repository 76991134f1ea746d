from pathlib import Path

import pytest

from omni_connector.cli import office
from omni_connector.cli.base import Stop
from omni_connector.secrets import SecretsError
from omni_connector.settings import SettingsError


def test_home_is_where_the_environment_says(omni_home: Path) -> None:
    assert office.home() == omni_home
    assert not omni_home.exists()


@pytest.mark.parametrize("error", [SettingsError("bad port"), SecretsError("no key")])
def test_what_cannot_be_used_ends_the_command_in_plain_words(error: Exception) -> None:
    with pytest.raises(Stop, match=str(error)), office.plain_errors():
        raise error


def test_other_faults_stay_faults() -> None:
    with pytest.raises(KeyError), office.plain_errors():
        raise KeyError("bug")


async def test_a_new_home_is_made_ready(omni_home: Path) -> None:
    async with office.local_gateway(omni_home) as gateway:
        assert await gateway.admin.accounts() == {"accounts": []}
    assert (omni_home / "omni.db").stat().st_mode & 0o077 == 0


async def test_a_wrong_master_key_is_said_and_nothing_is_reset(omni_home: Path) -> None:
    async with office.local_gateway(omni_home) as gateway:
        await gateway.admin.add_account({"provider": "openai", "api_key": "sk-abcdefgh12345678", "discover": False})
    (omni_home / "master.key").unlink()
    with pytest.raises(Stop, match="master"):
        async with office.local_gateway(omni_home):
            pass

"""The installation from the command line's side: its home, its environment, and the same operations without a server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from omni_connector.cli.base import Stop

if TYPE_CHECKING:
    from omni_connector.gateway import Gateway


def home() -> Path:
    """OMNI_HOME or ~/.omni-connector, whether it is there or not."""
    from omni_connector.settings import home_path

    return home_path()


def environment(place: Path) -> dict[str, str]:
    """The variables in force: the home's .env under the real environment."""
    from omni_connector import settings

    with plain_errors():
        return settings.environment(place)


@contextmanager
def plain_errors() -> Iterator[None]:
    """What settings and secrets say when they cannot be used is one plain sentence: it ends the command."""
    from omni_connector.settings import SettingsError

    try:
        yield
    except SettingsError as error:
        raise Stop(str(error)) from error
    except Exception as error:
        # By name, because importing the class costs the import of cryptography.
        if type(error).__name__ == "SecretsError":
            raise Stop(str(error)) from error
        raise


@asynccontextmanager
async def local_gateway(place: Path) -> AsyncIterator[Gateway]:
    """The whole installation in this process, without serving: made ready when it is new, closed at the end."""
    with plain_errors():
        from omni_connector.gateway import Gateway

        gateway = await Gateway.open(place)
    try:
        # For `backend test` and `backend add`, which ask providers.
        await gateway.upstream.open()
        with plain_errors():
            yield gateway
    finally:
        # In this order: what a sign-in still has to say to its provider is said while the gateway closes.
        await gateway.close()
        await gateway.upstream.close()

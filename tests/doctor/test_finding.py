"""doctor: what a check gives."""

from omni_connector.doctor.finding import Finding, safely, verdict
from omni_connector.secrets import SecretsError


async def test_a_check_that_breaks_is_a_finding() -> None:
    async def breaks() -> list[Finding]:
        raise SecretsError("cannot be read")

    assert await safely("secrets", breaks()) == [Finding("fail", "secrets", "cannot be read")]


def test_warnings_are_no_failures() -> None:
    assert verdict([Finding("ok", "a", "b"), Finding("warn", "a", "b")])
    assert not verdict([Finding("fail", "a", "b")])

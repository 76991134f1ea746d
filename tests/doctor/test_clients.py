from dataclasses import replace
from pathlib import Path

from omni_connector.doctor.clients import clients
from omni_connector.doctor.finding import Patient
from omni_connector.secrets import hash_key, mint_key
from omni_connector.settings import Settings
from omni_connector.snapshot import ClientKey, Snapshot


async def test_a_program_that_points_here_and_its_key(tmp_path: Path) -> None:
    key = mint_key()
    row = ClientKey("key_1", "codex", "hint", hash_key(key), 1)
    patient = Patient(tmp_path / "omni", {"HOME": str(tmp_path)}, Settings(), Snapshot(keys={row.hash: row}), None)
    assert [one.level for one in await clients(patient)] == ["ok"]
    (tmp_path / ".aider.conf.yml").write_text(f'openai-api-base: "http://localhost:38471/v1"\nopenai-api-key: "{key}"\n')
    assert [(one.level, one.what) for one in await clients(patient)] == [("ok", "client aider")]
    (found,) = await clients(replace(patient, picture=Snapshot(keys={row.hash: replace(row, revoked_at=2)})))
    assert (found.level, found.fix) == ("warn", "omni-connector setup aider")
    assert [one.level for one in await clients(replace(patient, picture=None))] == ["ok"], "an unread database says nothing about keys"


async def test_without_a_home_nothing_is_said(tmp_path: Path) -> None:
    assert await clients(Patient(tmp_path, {}, Settings(), None, None)) == []

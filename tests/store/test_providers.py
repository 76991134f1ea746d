from omni_connector.snapshot import ProviderSettings
from omni_connector.store import providers
from omni_connector.store import settings as rows
from omni_connector.store.engine import Database


async def test_what_is_named_is_set_and_the_rest_stays(db: Database) -> None:  # J-03, J-23
    assert await db.run(lambda conn: providers.get(conn, "groq")) == ProviderSettings("groq")
    assert await db.run(providers.list_providers) == {}
    before = await db.run(rows.config_version)
    await db.tx(lambda conn: providers.put(conn, "groq", {"model_map": {"fast": "llama"}, "name": "Mine", "updated_at": 5}))
    found = await db.tx(lambda conn: providers.put(conn, "groq", {"enabled": False, "base_url": "http://lan/v1"}))
    assert found == ProviderSettings("groq", False, "http://lan/v1", {"fast": "llama"}, "Mine", 5)
    assert await db.run(providers.list_providers) == {"groq": found}
    assert await db.run(rows.config_version) == before + 2, "every process hears of it"

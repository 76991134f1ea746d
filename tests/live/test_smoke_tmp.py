import pytest
from tests.live.answers import Said
from tests.live.conftest import Stage
pytestmark = pytest.mark.asyncio(loop_scope="module")

@pytest.mark.parametrize("provider,wire", [("openai","openai-chat"),("anthropic","anthropic-messages")])
@pytest.mark.parametrize("client", ["openai","anthropic"])
@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("sync", [False, True])
async def test_x(stage: Stage, client, provider, wire, streamed, sync) -> None:
    await stage.account(provider)
    stage.upstream.answer(Said("Hallo, Wörld 🌍!").answer(wire, streamed))
    body = {"model": "asked-model", "max_tokens": 300, "messages": [{"role": "user", "content": "Hi"}]}
    if client=="openai" and streamed: body["stream_options"]={"include_usage":True}
    heard = await stage.ask(client, body, streamed=streamed, sync=sync)
    print(heard); print(stage.upstream.seen[0]); print(await stage.row())
    assert heard.text == "Hallo, Wörld 🌍!"

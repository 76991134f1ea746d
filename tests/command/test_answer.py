import json

import pytest

from omni_connector.chat import ChatRequest, Finish, Message, ReasoningPart, TextPart, Usage, fold
from omni_connector.command.answer import WIRE, Answer
from omni_connector.meter import reading
from omni_connector.providers.command_output import TextReader
from omni_connector.providers.command_talk import talk
from omni_connector.providers.commands import Output


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("reported", [None, Usage(input=9, output=4), Usage(output=4)])
def test_thoughts_and_text_and_what_they_used(stream: bool, reported: Usage | None) -> None:
    request = ChatRequest("openai-chat", "m", (Message("user", (TextPart("a question"),)),), stream=stream)
    answer, reader = Answer(request, talk(request)), TextReader(Output(), lambda: 0.0)
    reader.usage, reader.finish, reader.model = reported, Finish.LENGTH, "m-2026"
    told = answer.say("reasoning", "hm", reader) + answer.say("text", "yes", reader) + answer.say("text", "!", reader)
    told += answer.end(reader)
    parser = WIRE.ResponseParser(None)
    whole = fold([*parser.feed(told), *parser.close()] if stream else parser.whole(json.loads(told)))
    assert [(type(part), part.text) for part in whole.choices[0].parts if isinstance(part, TextPart | ReasoningPart)] == [
        (ReasoningPart, "hm"),
        (TextPart, "yes!"),
    ]
    assert whole.choices[0].finish is Finish.LENGTH
    assert whole.usage is not None
    known = reported is not None and reported.input is not None
    assert (whole.usage.input, whole.usage.output) == ((9, 4) if known else (2, 4 if reported else 2))
    # The ledger says the same of these figures as the client reads in its usage block.
    assert reading(whole.usage, 4, Finish.STOP, 100).source == ("reported" if known else "counted")

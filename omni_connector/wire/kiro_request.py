"""ChatRequest → the body of a Kiro request: one `conversationState` (upstreams.md §9).

Feature words of the target beside those of `kiro_tools`: "thinking_tags" (thoughts are asked for in words), "cli_origin" (another
quota), "reasoning_replay_always" (signed thoughts are shown again). `target.project` is the account's profile ARN.
"""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import fields as dataclass_fields

from omni_connector.chat import EFFORT_BUDGET, ChatRequest, Json, OutputFormat, Rendered, Target
from omni_connector.errors import bad_request
from omni_connector.wire.kiro_tools import Offered, render_tools
from omni_connector.wire.kiro_turns import Turn, Turns
from omni_connector.wire.kiro_words import CLI_ORIGIN, ORIGIN, dumps, thinking_prompt


def render_request(request: ChatRequest, model: str, target: Target) -> Rendered:
    """The body; it is always answered by a stream. Raises GatewayError (BAD_REQUEST) where dropping would change the meaning."""
    try:
        return _Body(request, model, target).rendered()
    except RecursionError:
        raise bad_request("The body is nested too deeply. Flatten it; about 1000 levels is the most JSON readers take.") from None


class _Body:
    def __init__(self, request: ChatRequest, model: str, target: Target) -> None:
        self._request = request
        self._target = target
        self._dropped: dict[str, None] = {}
        self._spoken = {"modelId": model, "origin": CLI_ORIGIN if "cli_origin" in target.features else ORIGIN}
        self._offered: Offered = render_tools(request, target.features, self._dropped)
        self._turns = Turns(request, target, self._dropped, tools=bool(self._offered.told))

    def rendered(self) -> Rendered:
        turns = self._turns.turns
        conversation = self._conversation(turns[0])
        turns[0].texts[:0] = self._instructions()
        current = self._message(turns[-1])
        if self._offered.told:
            current["userInputMessage"].setdefault("userInputMessageContext", {})["tools"] = list(self._offered.told)
        state: Json = {
            "chatTriggerType": "MANUAL",
            "conversationId": conversation,
            "agentTaskType": "vibe",
            "currentMessage": current,
            "history": [self._message(turn) for turn in turns[:-1]],
        }
        body: Json = {"conversationState": state}
        if self._target.project:
            body["profileArn"] = self._target.project
        config = self._config()
        if config:
            body["inferenceConfig"] = config
        self._drop_rest()
        return Rendered(body, tuple(self._dropped))

    def _drop(self, *names: str) -> None:
        self._dropped.update(dict.fromkeys(names))

    # ------------------------------------------------------------ the conversation

    def _conversation(self, first: Turn) -> str:
        """The same for every turn of a conversation, so that what the provider keeps of it is found again."""
        begun = "\n".join((self._target.project, *self._turns.system, first.text))
        return str(uuid.UUID(bytes=hashlib.sha256(begun.encode("utf-8", "replace")).digest()[:16], version=4))

    def _instructions(self) -> list[str]:
        output = self._request.output
        wanted = [*self._thinking(), *self._turns.system, *self._offered.manual]
        if output is not None and output.kind != "text":
            self._drop("response_format (as an instruction)")
            wanted.append(_instruction(output))
        return wanted

    def _message(self, turn: Turn) -> Json:
        if turn.role == "assistant":
            said: Json = {"content": turn.text}
            if turn.calls:
                said["toolUses"] = list(turn.calls.values())
            if turn.thought is not None:
                said["reasoningContent"] = turn.thought
            return {"assistantResponseMessage": said}
        asked: Json = {"content": turn.text, **self._spoken}
        if turn.images:
            asked["images"] = turn.images
        if turn.results:
            asked["userInputMessageContext"] = {"toolResults": list(turn.results.values())}
        return {"userInputMessage": asked}

    # ------------------------------------------------------------ settings

    def _thinking(self) -> list[str]:
        thinking = self._request.thinking
        if thinking is None:
            return []
        budget = thinking.budget if thinking.budget is not None else EFFORT_BUDGET.get(thinking.effort or "medium", EFFORT_BUDGET["medium"])
        if thinking.enabled is False or budget <= 0:
            return []
        if "thinking_tags" not in self._target.features:
            self._drop("thinking")
            return []
        return [thinking_prompt(budget)]

    def _config(self) -> Json:
        """Whether the provider heeds any of it is not known."""
        config: Json = {}
        if self._request.max_tokens is not None:
            config["maxTokens"] = self._request.max_tokens
        if self._request.sampling.temperature is not None:
            config["temperature"] = self._request.sampling.temperature
        return config

    def _drop_rest(self) -> None:
        request = self._request
        if request.sampling.n not in (None, 1):
            raise bad_request("`n`: this provider gives one answer a request. Leave `n` out or send 1.", "n")
        sampling = ((item.name, getattr(request.sampling, item.name)) for item in dataclass_fields(request.sampling))
        self._drop(*(name for name, value in sampling if name not in ("temperature", "n") and value is not None))
        unknown = (
            ("stop", request.stop or None),
            ("user", request.user),
            ("verbosity", request.verbosity),
            ("service_tier", request.service_tier),
            ("prompt_cache_key", request.cache_key),
            ("metadata", request.metadata),
        )
        self._drop(*(name for name, value in unknown if value is not None), *request.extra)


def _instruction(output: OutputFormat) -> str:
    if output.kind == "json_schema" and output.schema:
        return f"Answer only with a JSON object that is valid under this JSON Schema:\n{dumps(output.schema)}"
    return "Answer with one JSON object only."

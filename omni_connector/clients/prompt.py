"""What an agent needs to set a tool up for its user, with the address filled in. (O-06)"""

from __future__ import annotations

BLOCK = """\
Set up <TOOL> to use omni-connector as its AI provider. It speaks OpenAI's API.

Base URL: {base}/v1
API key:  {key}
Model:    {model}

Use the tool's settings for an OpenAI-compatible or custom provider. Replace a base URL, key or model that is already
set there and change nothing else. A tool that only speaks Anthropic's API takes {base} as base URL.
To check: GET {base}/health needs no key, GET /v1/models needs the key; /llms.txt tells the rest.
Ask me for the parts in <> if I left them open.
"""
NO_KEY = "<YOUR KEY, it begins with omni->"


def agent_prompt(base: str, key: str = NO_KEY, model: str = "auto") -> str:
    return BLOCK.format(base=base.rstrip("/"), key=key, model=model)

import re
from pathlib import Path

from omni_connector.clients.prompt import agent_prompt

README = Path(__file__).resolve().parent.parent.parent / "README.md"


def test_the_block_is_complete_by_itself() -> None:  # O-06
    text = agent_prompt("http://gate.invalid:1/", "omni-x", "gpt-5")
    assert "Base URL: http://gate.invalid:1/v1\nAPI key:  omni-x\nModel:    gpt-5\n" in text
    assert "{" not in text


def test_the_readme_tells_the_same() -> None:  # O-06
    block = next(text for text in re.findall(r"```text\n(.*?)```", README.read_text(), re.S) if "Model:" in text)
    assert block == agent_prompt("http://localhost:38471")

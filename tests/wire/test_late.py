"""The codecs of a format are loaded with its first use, and all of them before a fork."""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType

import pytest

from omni_connector.wire import CLIENT_FORMATS, FORMATS, late

EACH = {**FORMATS, **CLIENT_FORMATS}


@pytest.mark.parametrize("module", EACH.values(), ids=EACH)
def test_each_name_is_there_and_stays(module: ModuleType) -> None:
    for name in module.__all__:
        found = getattr(module, name)
        assert vars(module)[name] is found
    with pytest.raises(AttributeError, match=f"module '{module.__name__}' has no attribute 'nothing'"):
        _ = module.nothing


def test_it_comes_with_the_first_use_only() -> None:
    said = """
import sys, omni_connector.wire as wire
from omni_connector.wire import late
def loaded(): return sum(f"omni_connector.wire.{part}" in sys.modules for part in late._PARTS)
before = loaded()
wire.FORMATS["openai-chat"].parse_request({"model": "m", "messages": [{"role": "user", "content": "hi"}]})
first = loaded()
late.load_all()
print(before, first > 0, loaded() == len(late._PARTS))
"""
    shown = subprocess.run([sys.executable, "-c", said], capture_output=True, check=True, text=True, timeout=30).stdout
    assert shown == "0 True True\n"
    assert len(late._PARTS) > 20

from __future__ import annotations

import omni_connector.wire.code_assist as code_assist
from omni_connector.wire import CLIENT_FORMATS, FORMATS, TWO_WAY, dialect, upstream_path


def test_a_format_of_providers_only() -> None:
    assert FORMATS["code-assist"] is code_assist is dialect("code-assist")
    assert "code-assist" not in CLIENT_FORMATS and "code-assist" not in TWO_WAY
    assert set(code_assist.__all__) <= set(vars(code_assist))
    assert upstream_path("code-assist", "m", True) == "/v1internal:streamGenerateContent?alt=sse"

from omni_connector.routing.spelling import EXACT, SPELLED, spellings, stands_for


def test_the_exact_name_then_another_spelling_then_nothing() -> None:  # J-03
    listed = spellings(("gpt-5", "Claude-X"), (("fast", "dep-1"), ("gpt-5", "dep-5")), str.lower)
    assert listed.find("models/gpt-5") == (EXACT, "dep-5"), "what is mapped goes by its map, listed or not"
    assert listed.find("fast") == (EXACT, "dep-1")
    assert listed.find("claude-x") == (SPELLED, "Claude-X")
    assert listed.find("gpt-6") is None


def test_a_date_variant_or_vendor_that_was_named_is_kept() -> None:
    assert stands_for("m", "vendor/m-2025-01-01")
    assert not stands_for("other/m", "vendor/m")
    assert not stands_for("m-2025-01-01", "m-2025-02-02")
    assert not stands_for("m:free", "m")
    assert stands_for("m", "m:latest")

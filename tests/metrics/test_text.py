"""The text as Prometheus reads it: by its own parser where it is installed, and by eye."""

from __future__ import annotations

from typing import Any

import pytest

from omni_connector.metrics import FAMILIES, Metrics, render
from omni_connector.metrics.text import Spread
from tests.metrics.test_counting import record


def test_labels_are_escaped_and_buckets_add_up() -> None:
    counts = [1, 0, 2, *[0] * 11, 1]
    text = render(
        {
            "omni_cost_dollars_total": {("openai", 'a"b\\c\nd'): 0.5},
            "omni_ledger_waiting": {(): 3},
            "omni_request_duration_seconds": {("openai-chat", "demo"): Spread(counts, 5250)},
            "omni_jobs": {},
        }
    )
    assert 'omni_cost_dollars_total{provider="openai",model="a\\"b\\\\c\\nd"} 0.5\n' in text
    assert "# TYPE omni_ledger_waiting gauge\nomni_ledger_waiting 3\n" in text
    at = 'omni_request_duration_seconds_bucket{protocol="openai-chat",provider="demo",le='
    assert [line.removeprefix(at) for line in text.splitlines() if line.startswith(at)][:4] == [
        '"0.05"} 1', '"0.1"} 1', '"0.25"} 3', '"0.5"} 3'
    ]  # fmt: skip
    assert f'{at}"+Inf"}} 4\n' in text
    assert 'omni_request_duration_seconds_sum{protocol="openai-chat",provider="demo"} 5.25\n' in text
    assert "omni_jobs" not in text


def test_prometheus_reads_all_of_it() -> None:
    parser: Any = pytest.importorskip("prometheus_client.parser")
    metrics = Metrics(lambda _: True)
    metrics.settled(record('odd "model"\\'))
    read = {family.name: family for family in parser.text_string_to_metric_families(render(metrics.samples()))}
    assert read["omni_tokens"].samples[0].labels["model"] == 'odd "model"\\'
    assert read["omni_request_duration_seconds"].type == "histogram"
    assert {sample.value for sample in read["omni_requests"].samples} == {1.0}


def test_names_follow_the_rules_of_prometheus() -> None:
    for name, family in FAMILIES.items():
        assert (family.kind == "counter") == name.endswith("_total"), name
        assert bool(family.bounds) == (family.kind == "histogram") and list(family.bounds) == sorted(family.bounds)
        assert family.help.endswith(".")

"""Samples → the text that Prometheus reads (exposition format 0.0.4, https://prometheus.io/docs/instrumenting/exposition_formats/)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from omni_connector.metrics.families import FAMILIES, Family
from omni_connector.values import dataclass

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


@dataclass(slots=True)
class Spread:
    """A histogram of one set of labels. `counts`: one a bucket, and one for what is longer than all of them."""

    counts: list[int]
    total_ms: int = 0


Samples = Mapping[str, Mapping[tuple[str, ...], "float | Spread"]]
"""Family → values of its labels → figure."""


def render(samples: Samples) -> str:
    """Families in the order of their table; those without a sample are left out."""
    lines: list[str] = []
    for name, family in FAMILIES.items():
        if found := samples.get(name):
            lines += (f"# HELP {name} {family.help.translate(_ESCAPES)}", f"# TYPE {name} {family.kind}")
            for values, figure in sorted(found.items()):
                labels = [f'{label}="{value.translate(_ESCAPES)}"' for label, value in zip(family.labels, values, strict=True)]
                lines += _spread(name, family, labels, figure) if isinstance(figure, Spread) else [_line(name, labels, figure)]
    return "\n".join(lines) + "\n"


def _line(name: str, labels: list[str], figure: float) -> str:
    return f"{name}{{{','.join(labels)}}} {figure!r}" if labels else f"{name} {figure!r}"


def _spread(name: str, family: Family, labels: list[str], spread: Spread) -> Iterator[str]:
    passed = 0
    for bound, count in zip((*family.bounds, None), spread.counts, strict=True):
        passed += count
        end = "+Inf" if bound is None else f"{bound / 1000:g}"
        yield _line(f"{name}_bucket", [*labels, f'le="{end}"'], passed)
    yield _line(f"{name}_sum", labels, spread.total_ms / 1000)
    yield _line(f"{name}_count", labels, passed)

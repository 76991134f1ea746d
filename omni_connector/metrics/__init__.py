"""Figures for Prometheus: what is counted, how it is counted, and how it is told."""

from omni_connector.metrics.counting import Metrics, known
from omni_connector.metrics.families import FAMILIES, Family
from omni_connector.metrics.readings import Parts, readings
from omni_connector.metrics.text import CONTENT_TYPE, Samples, render

__all__ = ["CONTENT_TYPE", "FAMILIES", "Family", "Metrics", "Parts", "Samples", "known", "readings", "render"]

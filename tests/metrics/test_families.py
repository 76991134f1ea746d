"""The table of metrics."""

from omni_connector.metrics.families import FAMILIES

NAMES = {"key", "account", "label", "client", "user", "request", "id", "path"}


def test_no_label_names_a_person_or_a_request() -> None:
    assert not {label for family in FAMILIES.values() for label in family.labels} & NAMES

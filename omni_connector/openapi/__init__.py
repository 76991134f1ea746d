"""GET /openapi.json: the whole client and admin API, from the tables and Structs that the program itself reads by."""

from omni_connector.openapi.building import OPERATIONS, document
from omni_connector.openapi.operation import Operation

__all__ = ["OPERATIONS", "Operation", "document"]

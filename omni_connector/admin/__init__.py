"""The operations of the admin API, whoever asks: HTTP routes, the dashboard's events, or the command line.

`Admin` has one async method per operation; each returns the JSON of the admin API and raises GatewayError. Every change is
durable and effective when its method returns, and is published to the dashboards.
"""

from omni_connector.admin.alerts import Alerts
from omni_connector.admin.backups import Backups
from omni_connector.admin.clients import Clients
from omni_connector.admin.exports import Exports
from omni_connector.admin.files import Files
from omni_connector.admin.following import Following
from omni_connector.admin.keys import Keys
from omni_connector.admin.limits import Limits
from omni_connector.admin.listening import Listening
from omni_connector.admin.opening import Opening
from omni_connector.admin.prices import Prices
from omni_connector.admin.providers import Providers
from omni_connector.admin.quotas import Quotas
from omni_connector.admin.reconciliations import Reconciliations
from omni_connector.admin.room import Process, now_ms
from omni_connector.admin.router import Router
from omni_connector.admin.shapes import TestResult
from omni_connector.admin.updates import Updates

__all__ = ["Admin", "Process", "TestResult", "now_ms"]


class Admin(
    Opening,
    Backups,
    Clients,
    Exports,
    Files,
    Following,
    Listening,
    Providers,
    Quotas,
    Reconciliations,
    Router,
    Limits,
    Prices,
    Keys,
    Alerts,
    Updates,
):
    """All operations in one place; see the parts for what each does."""

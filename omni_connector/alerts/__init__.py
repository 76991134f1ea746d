"""What is wrong with the accounts, and whoever wants to hear of it.

    kinds.py       the alerts there are, and their words
    channels.py    how each kind of channel is written to, and what its answers mean. Pure
    watch.py       Watch: account states → alerts that begin and end
    telling.py     Teller: each channel hears of each alert once, politely

The rows are in store/alerts.py.
"""

from omni_connector.alerts.channels import CHANNELS, guess, hint
from omni_connector.alerts.kinds import KINDS, shape
from omni_connector.alerts.telling import Teller
from omni_connector.alerts.watch import Watch

__all__ = ["CHANNELS", "KINDS", "Teller", "Watch", "guess", "hint", "shape"]

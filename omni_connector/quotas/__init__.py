"""What is left on the accounts: asked in the background, overheard in ordinary answers, shown, and looked ahead.

Poller, Hands                  the jobs of kind "quota", and what they need of the house (poller.py)
Memory                         what such a job remembers from one run to the next (memory.py)
shape                          an account's quota as the admin API shows it (shape.py)
merge, overheard, is_news, …   the list of windows (windows.py)
forecast, note                 "5h window ends 14:20 at this pace" (forecast.py)
"""

from omni_connector.quotas.memory import Memory
from omni_connector.quotas.poller import KIND, Hands, Poller
from omni_connector.quotas.shape import shape

__all__ = ["KIND", "Hands", "Memory", "Poller", "shape"]

"""A lean HTTP/1.1 client for addresses that are reached without a proxy: llhttp on the loop's own transports.

pool = Pool(connect_timeout=10, agent="me/1")
answer = await pool.ask("POST", url, headers, body)     # raises DirectError, ValueError
while piece := await answer.read(): ...                 # raises GatewayError
answer.close()

No redirects, no cookies, no proxies, nothing of the environment: each request sends what it was given. A connection is used again as soon
as an answer has come to its clean end, and never when anything about it is doubtful.
"""

from __future__ import annotations

from omni_connector.direct.answer import Answer
from omni_connector.direct.connection import SLICE
from omni_connector.direct.faults import FAULTS, DirectError, Disconnected, Reset, told
from omni_connector.direct.names import Names
from omni_connector.direct.pool import Pool
from omni_connector.direct.tls import Trust

__all__ = ["FAULTS", "SLICE", "Answer", "DirectError", "Disconnected", "Names", "Pool", "Reset", "Trust", "told"]

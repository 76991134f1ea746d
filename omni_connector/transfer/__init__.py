"""Accounts in files: reading those of other programs and our own, writing and sealing ours. Pure: no file is opened here, nothing that
a file names is opened, fetched or run.

`read(data)` → `Imported`: whatever the format, accounts as `Draft`s and a `Problem` for each entry that cannot become one. `write` and
`write_oneproxy` make the documents that `read` understands; `seal` encrypts one with a passphrase, and `read` opens it again.
"""

from __future__ import annotations

from omni_connector.transfer.ours import WARNING, document, listed
from omni_connector.transfer.reading import read, read_value
from omni_connector.transfer.sealed import SHORTEST, seal
from omni_connector.transfer.shapes import MOST_ACCOUNTS, MOST_BYTES, Draft, Imported, Problem

__all__ = [
    "MOST_ACCOUNTS",
    "MOST_BYTES",
    "SHORTEST",
    "WARNING",
    "Draft",
    "Imported",
    "Problem",
    "document",
    "listed",
    "read",
    "read_value",
    "seal",
]

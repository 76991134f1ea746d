"""What can go wrong on a direct connection, each with the kind and the words that a client is told."""

from __future__ import annotations

from collections.abc import Mapping

from omni_connector.errors import GatewayError, Kind


class DirectError(Exception):
    """The exchange failed, in a way that has no class of its own."""


class ConnectTimeout(DirectError):
    """Looking up the name, connecting and TLS together took too long."""


class NameUnknown(DirectError):
    """No address belongs to the host's name."""


class CertificateInvalid(DirectError):
    """The server's certificate is not valid for the host."""


class HandshakeFailed(DirectError):
    """TLS failed for another reason."""


class NothingAnswers(DirectError):
    """No address of the host takes a connection."""


class Broke(DirectError):
    """The connection broke before an answer began."""


class Reset(Broke):
    """The same on a connection that was used before: the server may have let go of it just then."""


class Disconnected(DirectError):
    """The server closed the connection, and not a byte of an answer had come."""


class BrokenOff(DirectError):
    """The answer began, and did not come to its end."""


class NotHttp(DirectError):
    """The answer's head, or what stands in its place, is not HTTP/1.1 that can be read in one way only."""


class Unreadable(DirectError):
    """The answer is compressed in a way that was not asked for."""


_UNREACHABLE, _FAILED, _TIMEOUT = Kind.UPSTREAM_UNREACHABLE, Kind.UPSTREAM_FAILED, Kind.UPSTREAM_TIMEOUT

FAULTS: Mapping[type[BaseException], tuple[Kind, str]] = {
    ConnectTimeout: (_TIMEOUT, "connecting took too long"),
    NameUnknown: (_UNREACHABLE, "the host name is unknown"),
    CertificateInvalid: (_UNREACHABLE, "the TLS certificate is not valid"),
    HandshakeFailed: (_UNREACHABLE, "the TLS handshake failed"),
    NothingAnswers: (_UNREACHABLE, "nothing answers at the address"),
    Broke: (_UNREACHABLE, "the connection broke"),
    Reset: (_UNREACHABLE, "the connection broke"),
    Disconnected: (_UNREACHABLE, "the provider closed the connection without an answer"),
    BrokenOff: (_FAILED, "the answer broke off"),
    NotHttp: (_FAILED, "the answer is not valid HTTP"),
    Unreadable: (_FAILED, "the answer is compressed in a way that was not asked for"),
    DirectError: (_FAILED, "the exchange failed"),
}


def told(error: DirectError, host: str) -> GatewayError:
    """The words for a client: the host and the reason, never the whole URL."""
    kind, words = FAULTS[type(error)]
    return GatewayError(kind, f"{host}: {words}.")

"""TLS for channels. A certificate is verified or there is no channel; there is no way to say "do not look".

A module finds its files through its InitBlob's ``env``: ``SDK_CHANNEL_CA`` (who may be the orchestrator), and for
``security_level`` ``Mtls`` also ``SDK_CHANNEL_CERTIFICATE`` and ``SDK_CHANNEL_KEY``; ``SDK_CHANNEL_SERVER_NAME`` if the
orchestrator's certificate names something else than its address.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from sdk.core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

CA: Final = "SDK_CHANNEL_CA"
CERTIFICATE: Final = "SDK_CHANNEL_CERTIFICATE"
KEY: Final = "SDK_CHANNEL_KEY"
SERVER_NAME: Final = "SDK_CHANNEL_SERVER_NAME"


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Paths of PEM files."""

    ca: str
    certificate: str | None = None
    key: str | None = None
    server_name: str | None = None

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        """``ConfigurationError`` if there is no CA: without one nothing can be verified."""
        if CA not in env:
            raise ConfigurationError(f"TLS is demanded but {CA} is not given: whose certificate is to be trusted?")
        return cls(env[CA], env.get(CERTIFICATE), env.get(KEY), env.get(SERVER_NAME))


def client_context(files: TlsFiles, *, mutual: bool = False) -> ssl.SSLContext:
    """``ConfigurationError`` if a file is missing or wrong."""
    if mutual and (files.certificate is None or files.key is None):
        raise ConfigurationError(f"mutual TLS is demanded: give {CERTIFICATE} and {KEY}")
    context = _context(ssl.PROTOCOL_TLS_CLIENT, files)
    context.verify_mode = ssl.CERT_REQUIRED
    context.check_hostname = True
    return context


def server_context(files: TlsFiles, *, mutual: bool = False) -> ssl.SSLContext:
    """``mutual``: a client without a certificate of the CA is turned away. ``ConfigurationError``."""
    if files.certificate is None or files.key is None:
        raise ConfigurationError("a TLS listener needs a certificate and its key")
    context = _context(ssl.PROTOCOL_TLS_SERVER, files)
    context.verify_mode = ssl.CERT_REQUIRED if mutual else ssl.CERT_NONE
    return context


def _context(protocol: ssl._SSLMethod, files: TlsFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_verify_locations(files.ca)
        if files.certificate is not None:
            context.load_cert_chain(files.certificate, files.key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"a TLS file cannot be used: {error.strerror or error}") from error
    return context

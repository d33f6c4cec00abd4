"""Keeps registered secrets out of logs, tracebacks and streams.

register_secret(password, holder=wrapper)      # forgotten a grace time after the wrapper is gone
uninstall = install_secret_redaction_filter()  # every logging handler there is, and uncaught exceptions
configure_logging(redact=redact_secrets)       # and finished lines of sdk.service.logging
"""

from sdk.module_runtime.secrets.redaction.logs import (
    RedactedException,
    SecretRedactionFilter,
    install_secret_redaction_filter,
    secret_redaction_processor,
)
from sdk.module_runtime.secrets.redaction.registry import SECRETS, SecretRegistry, redact_secrets, register_secret
from sdk.module_runtime.secrets.redaction.streaming import StreamRedactor
from sdk.module_runtime.secrets.redaction.values import redact_exception, redact_value

__all__ = [
    "SECRETS",
    "RedactedException",
    "SecretRedactionFilter",
    "SecretRegistry",
    "StreamRedactor",
    "install_secret_redaction_filter",
    "redact_exception",
    "redact_secrets",
    "redact_value",
    "register_secret",
    "secret_redaction_processor",
]

"""Errors about secrets. None shows a value.

RuntimeModuleError
└─ SecretError
   ├─ SecretNotFound (LookupError)     nobody has a secret of that name
   ├─ SecretDenied                     this module may not do that with that name
   ├─ SecretInvalid (ValueError)       a name or value that cannot be one; what it must be
   ├─ SecretUnsupported                this provider cannot do that (set, delete, list)
   ├─ SecretParseError (ValueError)    the value is no int, bool, … as asked; what it should be
   ├─ SecretUnreadable                 stored, but the key is missing or the row was altered
   ├─ SecretThrottled                  asked for too often                                   (retryable)
   └─ SecretBackendError               the file, keyring or orchestrator behind it failed    (retryable)
"""

from __future__ import annotations

from sdk.module_runtime.errors import RuntimeModuleError


class SecretError(RuntimeModuleError):
    code = "ERR_SECRET"

    def __init__(self, name: str, reason: str = "") -> None:
        self.name, self.reason = name, reason
        super().__init__(name, reason)

    def __str__(self) -> str:
        return f"secret {self.name!r}: {self.reason}"


class SecretNotFound(SecretError, LookupError):
    code = "ERR_SECRET_NOT_FOUND"

    def __str__(self) -> str:
        return f"secret {self.name!r} is not known{f': {self.reason}' if self.reason else ''}"


class SecretDenied(SecretError):
    code = "ERR_SECRET_DENIED"

    def __str__(self) -> str:
        return f"no right to {self.reason or 'read'} the secret {self.name!r}"


class SecretInvalid(SecretError, ValueError):
    code = "ERR_SECRET_INVALID"


class SecretUnsupported(SecretError):
    code = "ERR_SECRET_UNSUPPORTED"


class SecretParseError(SecretError, ValueError):
    code = "ERR_SECRET_PARSE"


class SecretUnreadable(SecretError):
    code = "ERR_SECRET_UNREADABLE"


class SecretThrottled(SecretError):
    code = "ERR_SECRET_THROTTLED"
    retryable = True


class SecretBackendError(SecretError):
    code = "ERR_SECRET_BACKEND"
    retryable = True

"""Errors of the model manager; their text begins with the reference's words (spec 6.2, 6.3).

ModelError
├─ ModelUnsupported      a database that cannot do what the model says
├─ ModelApplyError       the database refused a change; what was done before it is said
└─ ChangesHeldBack       changes that take something away, and were not asked for
"""

from __future__ import annotations

from sdk.module_runtime.errors import RuntimeModuleError


class ModelError(RuntimeModuleError):
    code = "ERR_MODEL"

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)

    def __str__(self) -> str:
        return f"Model definition error: {self.reason}"


class ModelUnsupported(ModelError):
    code = "ERR_MODEL_UNSUPPORTED"

    def __str__(self) -> str:
        return f"Unsupported feature: {self.reason}"


class ModelApplyError(ModelError):
    code = "ERR_MODEL_APPLY"

    def __str__(self) -> str:
        return f"the models were not applied: {self.reason}"


class ChangesHeldBack(ModelError):
    code = "ERR_MODEL_CHANGES_HELD_BACK"

    def __str__(self) -> str:
        return f"nothing was changed: {self.reason}"

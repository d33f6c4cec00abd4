"""Tables described once, for SQLite, PostgreSQL and MariaDB: read, checked, written as SQL, applied and compared.

    models = read_models(Path("models.yaml"))
    print(generate(models, "postgres"))

Names are imported on first use, so that a module pays only for what it needs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from sdk.module_runtime.models.definitions import ColumnDescriptor, IndexDescriptor, ModelDescriptor
    from sdk.module_runtime.models.errors import ModelError, ModelUnsupported
    from sdk.module_runtime.models.live import Change, apply_models, diff_models, sync_models
    from sdk.module_runtime.models.reading import read_models
    from sdk.module_runtime.models.sql import generate
    from sdk.module_runtime.models.validation import validate_model, validate_models

_WHERE: Final = {
    "Change": "live",
    "ColumnDescriptor": "definitions",
    "IndexDescriptor": "definitions",
    "ModelDescriptor": "definitions",
    "ModelError": "errors",
    "ModelUnsupported": "errors",
    "apply_models": "live",
    "diff_models": "live",
    "generate": "sql",
    "read_models": "reading",
    "sync_models": "live",
    "validate_model": "validation",
    "validate_models": "validation",
}

__all__ = [
    "Change",
    "ColumnDescriptor",
    "IndexDescriptor",
    "ModelDescriptor",
    "ModelError",
    "ModelUnsupported",
    "apply_models",
    "diff_models",
    "generate",
    "read_models",
    "sync_models",
    "validate_model",
    "validate_models",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)

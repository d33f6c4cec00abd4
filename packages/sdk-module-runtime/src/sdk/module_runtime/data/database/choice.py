"""Through the orchestrator where there is one, directly where there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING, overload

if TYPE_CHECKING:
    from sdk.module_runtime.data.database.config import DatabaseConfig
    from sdk.module_runtime.data.database.direct import Database
    from sdk.module_runtime.data.database.interface import ModuleDatabase
    from sdk.module_runtime.data.database.limits import StatementLimits
    from sdk.module_runtime.ports import OrchestratorLink


@overload
async def open_database(
    config: DatabaseConfig, link: None = None, *, limits: StatementLimits | None = None
) -> Database: ...
@overload
async def open_database(config: DatabaseConfig, link: OrchestratorLink | None) -> ModuleDatabase: ...
async def open_database(
    config: DatabaseConfig, link: OrchestratorLink | None = None, *, limits: StatementLimits | None = None
) -> ModuleDatabase:
    """With ``link``, the database that the stack lends this module under the name ``config.database``; the rest of
    ``config`` is the orchestrator's to say. Without, the one that ``config`` describes, within ``limits``.

    Raises ``DatabaseConfigurationError`` and ``DatabaseConnectionError``.
    """
    if link is not None:
        from sdk.module_runtime.data.database.proxied import open_proxied

        return await open_proxied(link, config)
    from sdk.module_runtime.data.database.direct import open_direct

    return await open_direct(config, limits)

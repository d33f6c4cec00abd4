"""A session that a module has of a database: what it asks, and how long it may leave a transaction open.

``session_execute`` takes ``{"packed": [SQL, values]}`` and ``session_execute_many`` ``{"packed": [SQL, rows,
returning]}``, packed as ``data.sessions.values`` does it. Both answer ``{"packed": {"state", …}}`` with one of
``answer``, ``failure`` (of the driver) and ``refused`` (by us, in words). Anything else is the end of the session.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from sdk.module_runtime.data.database.engine import query_error
from sdk.module_runtime.data.database.errors import LimitExceeded, NotPermitted, QueryError
from sdk.module_runtime.data.database.session import DriverFailed
from sdk.module_runtime.data.sessions.failures import failure_of
from sdk.module_runtime.data.sessions.values import pack, unpack
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import TypeAlias

    from sdk.module_runtime.data.database.direct import Database
    from sdk.module_runtime.data.database.session import Answer, Session
    from sdk.module_runtime.data.sessions.values import JsonText
    from sdk.module_runtime.orchestrator.hosts.scopes import DatabaseLimits

    Work: TypeAlias = Callable[[Session, object], Awaitable[Answer]]

_log = get_logger(__name__)


class LentSession:
    """Its lease ends when a transaction is open and nothing is done for ``idle_seconds``, or
    ``transaction_seconds`` after the transaction began.
    """

    def __init__(self, module_id: str, name: str, database: Database, limits: DatabaseLimits) -> None:
        self.name, self._module_id = name, module_id
        self._database, self._limits = database, limits
        self._session: Session | None = None
        self._in_use = 0
        """Operations under way or waiting for their turn."""
        self._timer: asyncio.TimerHandle | None = None
        self._last: float | None = None
        self._ending: asyncio.Task[None] | None = None

    @property
    def open(self) -> int:
        """Transactions, of which a session has one at most."""
        return int(self._session is not None and self._session.state in ("open", "failed"))

    async def begin(self) -> None:
        """Raises ``DatabaseError``."""
        self._session = await self._database.open_session()

    async def operate(self, operation: str, params: dict[str, Any]) -> Any:
        work = _OPERATIONS.get(operation)
        if work is None or self._session is None:
            raise QueryError(f"a session has no operation {operation[:64]!r}")
        self._in_use += 1
        self._set_timer()
        try:
            return {"packed": await self._answered(self._session, work, params.get("packed"))}
        finally:
            self._in_use -= 1
            self._set_timer()

    async def close(self) -> None:
        self._stop_timer()
        if self._session is not None:
            await self._session.end("was closed")
        if self._ending is not None:
            await self._ending

    async def _answered(self, session: Session, work: Work, packed: object) -> str:
        """The state is that after the statement, whatever came of it."""
        try:
            answer: dict[str, Any] = {"answer": _members(await work(session, packed))}
        except DriverFailed as error:
            answer = {"failure": failure_of(error.error)}
            self._note(query_error(error.error))
        except QueryError as error:
            answer = {"refused": str(error)}
            self._note(error)
        try:
            return pack({"state": session.state, **answer})
        except (QueryError, UnicodeEncodeError) as error:
            return pack({"state": session.state, "refused": str(error)})

    def _note(self, error: QueryError) -> None:
        """The operator hears of what was forbidden, without its text, which may hold values."""
        if isinstance(error, (NotPermitted, LimitExceeded)):
            _log.warning("database_refused", module_id=self._module_id, scope=self.name, code=error.code)

    def _set_timer(self) -> None:
        """For as long as it may stay as it is: in use, or idle in a transaction."""
        self._stop_timer()
        if not self.open:
            self._last = None
            return
        loop = asyncio.get_running_loop()
        if self._last is None:
            self._last = loop.time() + self._limits.transaction_seconds
        end = self._last if self._in_use else min(loop.time() + self._limits.idle_seconds, self._last)
        self._timer = loop.call_at(end, self._over)

    def _over(self) -> None:
        if self._session is not None:
            _log.warning(
                "session_ended",
                module_id=self._module_id,
                scope=self.name,
                reason="it left a transaction open too long",
            )
            work = self._session.end("was ended, for it left a transaction open too long")
            self._ending = asyncio.get_running_loop().create_task(work)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _members(answer: Answer) -> list[Any]:
    return [answer.description, answer.rows, answer.rowcount, answer.lastrowid, answer.status, answer.results]


async def _execute(session: Session, packed: object) -> Answer:
    sql, values = _request(session, packed, 2)
    if not (values is None or isinstance(values, (list, dict))):
        raise QueryError("the values of a statement are a list, or named")
    return await session.execute(sql, values)


async def _execute_many(session: Session, packed: object) -> Answer:
    sql, rows, returning = _request(session, packed, 3)
    if not isinstance(rows, list) or not all(isinstance(each, (list, dict)) for each in rows):
        raise QueryError("the rows of values are a list of lists")
    return await session.execute_many(sql, rows, returning=returning is True)


def _request(session: Session, packed: object, members: int) -> list[Any]:
    found = unpack(packed, _psycopg_json if session.dialect == "postgresql" else _text)
    if not isinstance(found, list) or len(found) != members or not isinstance(found[0], str):
        raise QueryError(f"the request is no packed list of {members} that begins with SQL")
    return found


def _psycopg_json(value: JsonText) -> Any:
    from psycopg.types.json import Json, Jsonb

    return (Jsonb if value.is_binary else Json)(value.text, dumps=str)


def _text(value: JsonText) -> str:
    return value.text


_OPERATIONS: Final[dict[str, Work]] = {
    "session_execute": _execute,
    "session_execute_many": _execute_many,
}

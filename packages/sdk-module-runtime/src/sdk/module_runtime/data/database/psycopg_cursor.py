"""psycopg's streaming cursor, which forgets how many rows a statement without a result has changed; this one does not.

It stands on ``_stream_fetchone_gen`` of psycopg 3, which its tests would miss first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.generators import fetch
from psycopg.pq import ExecStatus

if TYPE_CHECKING:
    from psycopg.abc import PQGen
    from psycopg.pq.abc import PGresult

_ROWS = (ExecStatus.SINGLE_TUPLE, ExecStatus.TUPLES_CHUNK)


class CountingCursor(psycopg.Cursor[Any]):
    affected = 0
    ended_with: str | None = None
    """What the server called the statement when it was done, as ``INSERT 0 1``."""

    def _stream_fetchone_gen(self, first: bool) -> PQGen[PGresult | None]:
        """The next row as a result, or None after the last."""
        result: PGresult | None = yield from fetch(self._pgconn)
        if result is None:
            return None
        if result.status in _ROWS:
            self.pgresult = result
            self._tx.set_pgresult(result, set_loaders=first)
            if first:
                self._make_row = self._make_row_maker()
            return result
        if result.status not in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK):
            self._raise_for_result(result)
        self.affected = result.command_tuples or 0
        self.ended_with = (result.command_status or b"").decode()
        if first:
            self.pgresult = result  # it tells the columns of no rows
        while result is not None:
            result = yield from fetch(self._pgconn)
        return None

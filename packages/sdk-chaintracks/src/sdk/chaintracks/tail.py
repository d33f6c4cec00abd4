"""``sdk chaintracks tail``: what happens to the chain, a line each, as a server tells it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdk.chaintracks.client import ChaintracksClient
from sdk.chaintracks.client.stream import POLL
from sdk.chaintracks.client.updates import Gap, ReorgUpdate
from sdk.chaintracks.server.positions import read_cursor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sdk.chaintracks.client.updates import HeadersUpdate


def line_of(update: HeadersUpdate | ReorgUpdate | Gap) -> str:
    """``<cursor> <what>``: the first word resumes after this line.

    >>> line_of(Gap("7-ab", "the log goes no further back", "9-cd"))
    '9-cd gap after 7-ab: the log goes no further back'
    """
    if isinstance(update, Gap):
        return f"{update.cursor} gap after {update.last_good}: {update.reason}"
    if isinstance(update, ReorgUpdate):
        gone = " ".join(header.hash() for _, header in update.deactivated)
        return f"{update.cursor} reorg depth {update.depth} from {update.old_tip[0]} to {update.new_tip[0]}: {gone}"
    count = f" ({update.count} headers)" if update.count > 1 else ""
    removed = f", {update.removed} removed" if update.removed else ""
    return f"{update.cursor} tip {update.height} {update.tip.hash()}{count}{removed}"


async def follow(
    urls: Sequence[str],
    cursor: str | None,
    chain: str | None,
    say: Callable[[str], None],
    *,
    most: int | None = None,
    poll: float = POLL,
) -> None:
    """Call ``say`` with a line for each change, for ever or ``most`` times. Reconnects and resumes by itself.

    ``ParseError`` for a cursor that no server can have given.
    """
    if cursor is not None:
        read_cursor(cursor)
    async with ChaintracksClient(list(urls), chain=chain, poll=poll) as client:
        async for update in client.header_updates(cursor=cursor):
            say(line_of(update))
            most = None if most is None else most - 1
            if most == 0:
                return

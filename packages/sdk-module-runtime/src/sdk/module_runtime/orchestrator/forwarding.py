"""Which headers pass the gateway. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sdk.module_runtime.channels.http_messages import HOP_BY_HOP

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

NOT_PASSED: Final = HOP_BY_HOP | {"proxy-connection"}
"""Whatever else ``Connection`` names is not passed either."""
SPOKEN_BY_US: Final = frozenset(
    (
        "forwarded",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-real-ip",
        "x-request-id",
        "x-auth-subject",
        "x-auth-claims",
    )
)
"""A module believes these of its gateway, so a client cannot say them."""


def end_to_end(headers: Iterable[tuple[str, str]], connection: str, drop: frozenset[str]) -> Iterator[tuple[str, str]]:
    """The headers without those of one connection and those of ``drop``, lower case."""
    named = {name.strip().lower() for name in connection.split(",")} if connection else ()
    for name, value in headers:
        lower = name.lower()
        if lower not in NOT_PASSED and lower not in drop and lower not in named:
            yield name, value


def single(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Each header once, as a message holds them: repeated ones joined."""
    joined: dict[str, str] = {}
    for name, value in headers:
        separator = "; " if name.lower() == "cookie" else ", "
        joined[name] = f"{joined[name]}{separator}{value}" if name in joined else value
    return joined

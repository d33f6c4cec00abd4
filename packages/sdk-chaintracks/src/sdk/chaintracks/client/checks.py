"""What is believed of a header that another program sent: its hash, and that hash's work. Pure."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from sdk.core.chain import ChainParameters
from sdk.core.errors import ConfigurationError, ServiceUnavailable
from sdk.service.header_calls import header_from_members

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sdk.core.header import BlockHeader


class HeaderChecks:
    """``chain`` sets how easy a target may be; without it any target is let pass, as test networks need.

    All raise ``ServiceUnavailable``: a service that sends nonsense gives no verdict (R52).
    """

    def __init__(self, service: str, chain: str | None = None) -> None:
        self.service, self.chain = service, chain
        try:
            self._limit = None if chain is None else ChainParameters.named(chain).pow_limit
        except ValueError as error:
            raise ConfigurationError(str(error)) from None

    def header(self, value: object) -> tuple[int, BlockHeader]:
        """Height and header of a JSON header object."""
        height, header = header_from_members(self.service, value)
        self.work(header)
        return self.height(height), header

    def height(self, value: object) -> int:
        if type(value) is not int or not 0 <= value <= 0x7FFFFFFF:
            raise self.nonsense(f"named a height that is none: {value!r:.60}")
        return value

    def work(self, header: BlockHeader) -> None:
        met = header.meets_target() if self._limit is None else header.meets_target(self._limit)
        if not met:
            raise self.nonsense(f"sent header {header.hash()}, whose hash does not prove its work")

    def run(self, headers: Sequence[BlockHeader]) -> None:
        """They follow one another."""
        for before, after in pairwise(headers):
            if after.previous_hash != before.hash():
                raise self.nonsense("sent headers that do not follow one another")

    def nonsense(self, detail: str) -> ServiceUnavailable:
        return ServiceUnavailable(self.service, detail)

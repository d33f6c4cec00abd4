"""What is believed of a header that another program sent: its hash, and that hash's work. Pure."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from sdk.core.chain import ChainParameters
from sdk.core.errors import ConfigurationError, ParseError, ServiceUnavailable
from sdk.core.header import BlockHeader

if TYPE_CHECKING:
    from collections.abc import Sequence


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
        if not isinstance(value, dict):
            raise self.nonsense(f"sent no header object: {value!r:.60}")
        try:
            version = value["version"]
            header = BlockHeader(
                version=version - (1 << 32) if version > 0x7FFFFFFF else version,
                previous_hash=value["previousHash"],
                merkle_root=value["merkleRoot"],
                time=value["time"],
                bits=value["bits"],
                nonce=value["nonce"],
            )
            height, named = value["height"], value["hash"]
        except (KeyError, TypeError, ValueError, ParseError) as error:
            raise self.nonsense(f"sent a malformed header: {error}") from None
        if header.hash() != named:
            raise self.nonsense(f"sent a header whose hash is not {named!r:.70}")
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

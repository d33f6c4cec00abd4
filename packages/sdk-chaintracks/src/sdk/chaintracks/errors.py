"""Errors of the header service.

SdkError
└─ ChaintracksError
   ├─ InvalidHeader (ValueError)   a header breaks a rule of consensus; which, where
   ├─ UnknownParent                a header whose previous hash we do not know
   ├─ SourceError                  a source of headers failed
   │  ├─ SourceUnavailable         no answer, or nonsense; try again              (retryable)
   │  └─ SourceLied                its headers contradict consensus or one another
   ├─ StoreCorrupted               the stored headers are not those that were written, or of another network
   └─ StoreMoved                   another writer has changed the stored chain; it is read again  (retryable)
"""

from __future__ import annotations

from sdk.core.errors import SdkError


class ChaintracksError(SdkError):
    code = "ERR_CHAINTRACKS"


class InvalidHeader(ChaintracksError, ValueError):
    """A header breaks a consensus rule.

    ``rule`` is the node's reject reason (spec/consensus.md §2.8): ``high-hash``, ``prev-blk-not-found``,
    ``checkpoint mismatch``, ``bad-fork-prior-to-checkpoint``, ``bad-diffbits``, ``time-too-old``, ``time-too-new``,
    ``bad-version``, or ``foreign-fork``, ``bad-genesis``. ``temporary`` means it may become valid later.
    """

    code = "ERR_INVALID_HEADER"

    def __init__(self, rule: str, height: int, block_hash: str, detail: str) -> None:
        self.rule, self.height, self.block_hash, self.detail = rule, height, block_hash, detail
        super().__init__(rule, height, block_hash, detail)

    @property
    def temporary(self) -> bool:
        return self.rule == "time-too-new"

    def __str__(self) -> str:
        return f"header at height {self.height} ({self.block_hash}) is invalid, {self.rule}: {self.detail}"


class UnknownParent(ChaintracksError):
    code = "ERR_UNKNOWN_PARENT"

    def __init__(self, block_hash: str, previous_hash: str) -> None:
        self.block_hash, self.previous_hash = block_hash, previous_hash
        super().__init__(block_hash, previous_hash)

    def __str__(self) -> str:
        return f"header {self.block_hash} builds on {self.previous_hash}, which is not known here"


class SourceError(ChaintracksError):
    code = "ERR_SOURCE"

    def __init__(self, source: str, detail: str) -> None:
        self.source, self.detail = source, detail
        super().__init__(source, detail)

    def __str__(self) -> str:
        return f"source {self.source}: {self.detail}"


class SourceUnavailable(SourceError):
    code = "ERR_SOURCE_UNAVAILABLE"
    retryable = True


class SourceLied(SourceError):
    code = "ERR_SOURCE_LIED"


class StoreCorrupted(ChaintracksError):
    code = "ERR_HEADER_STORE_CORRUPTED"


class StoreMoved(ChaintracksError):
    code = "ERR_HEADER_STORE_MOVED"
    retryable = True

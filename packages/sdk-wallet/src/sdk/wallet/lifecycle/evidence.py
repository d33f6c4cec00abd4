"""What may move a request or a transaction from one status to the next.

A piece of evidence is a fact somebody checked, never a guess: a service that did not answer gives ``NoVerdict``. Each
carries what the submitter needs to know (R9), and renders itself as a history note (wallet-stack appendix E).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Evidence:
    what: ClassVar[str] = "status"

    def note(self) -> dict[str, str | int | bool]:
        """The members of a history note: ``what`` and this evidence's own fields."""
        own = {each.name: getattr(self, each.name) for each in fields(self)}
        return {"what": self.what, "evidence": type(self).__name__} | own


# --- of the wallet's own making


@dataclass(frozen=True, slots=True)
class SignedToHold(Evidence):
    """processAction with noSend: signed bytes are stored and nobody is to send them."""

    what: ClassVar[str] = "processAction"


@dataclass(frozen=True, slots=True)
class SignedToQueue(Evidence):
    """processAction, delayed: signed bytes are stored, the monitor sends them."""

    what: ClassVar[str] = "processAction"


@dataclass(frozen=True, slots=True)
class SignedToSend(Evidence):
    """processAction, immediate: signed bytes are stored and the same call goes on to post them."""

    what: ClassVar[str] = "processAction"


@dataclass(frozen=True, slots=True)
class SendRequested(Evidence):
    """The owner asks for a held transaction to be sent (sendWith, or internalize merged into noSend: R44)."""

    what: ClassVar[str] = "sendRequested"


@dataclass(frozen=True, slots=True)
class SendStarted(Evidence):
    """A worker holds the lease and is about to post: recorded before the first byte leaves (R19)."""

    what: ClassVar[str] = "sendStarted"
    owner: str


@dataclass(frozen=True, slots=True)
class UserAbort(Evidence):
    """The owner gives it up, and it was never posted from here (R7, R45). ``checked``: the network was asked too."""

    what: ClassVar[str] = "abortAction"
    checked: bool


@dataclass(frozen=True, slots=True)
class AbandonedUnsigned(Evidence):
    """No signed bytes of it were ever stored, and the age limit has passed (R47)."""

    what: ClassVar[str] = "failAbandoned"
    idle_seconds: int


@dataclass(frozen=True, slots=True)
class ParentFailed(Evidence):
    """It spends an output of a transaction that failed for good (R24)."""

    what: ClassVar[str] = "parentFailed"
    parent: str


@dataclass(frozen=True, slots=True)
class ProofOverdue(Evidence):
    """Accepted once, and still no proof after the limit: send it again (R18)."""

    what: ClassVar[str] = "proofOverdue"
    attempts: int


@dataclass(frozen=True, slots=True)
class ReviewRequested(Evidence):
    """An operator or a review task doubts a terminal failure (R56, R57)."""

    what: ClassVar[str] = "reviewRequested"
    by: str


# --- from services


@dataclass(frozen=True, slots=True)
class BroadcastAccepted(Evidence):
    """A named provider says of this very txid that it accepted it, or had it already (R12)."""

    what: ClassVar[str] = "postBeefSuccess"
    provider: str
    word: str
    already_known: bool = False


@dataclass(frozen=True, slots=True)
class NetworkKnows(Evidence):
    """Asked independently of a post, a provider has the transaction in its mempool or in a block."""

    what: ClassVar[str] = "getStatusForTxids"
    provider: str
    word: str


@dataclass(frozen=True, slots=True)
class NoVerdict(Evidence):
    """Time-outs, errors, contradictions: nothing was learnt (R10, R11)."""

    what: ClassVar[str] = "postBeefError"
    reason: str


@dataclass(frozen=True, slots=True)
class ConditionUnmet(Evidence):
    """A condition, not a verdict about the bytes: missing parent, lock time, full mempool, fee floor (R8)."""

    what: ClassVar[str] = "postBeefCondition"
    reason: str


@dataclass(frozen=True, slots=True)
class InvalidVerdict(Evidence):
    """A provider judged the bytes invalid, nobody accepted them now or before, nobody else knows them."""

    what: ClassVar[str] = "postBeefInvalid"
    provider: str
    reason: str


@dataclass(frozen=True, slots=True)
class LateRejection(Evidence):
    """A refusal of something a provider had accepted before: to be sent again, never terminal (R18, R20)."""

    what: ClassVar[str] = "lateRejection"
    provider: str
    reason: str


@dataclass(frozen=True, slots=True)
class DoubleSpendVerified(Evidence):
    """The network knows the named rival, which spends one of our inputs, and does not know ours (R11)."""

    what: ClassVar[str] = "confirmDoubleSpend"
    competitor: str
    outpoint: str
    provider: str


# --- from our own header chain


@dataclass(frozen=True, slots=True)
class DoubleSpendMined(Evidence):
    """The named rival has a proof that our header chain confirms."""

    what: ClassVar[str] = "confirmDoubleSpend"
    competitor: str
    outpoint: str
    block_hash: str
    height: int


@dataclass(frozen=True, slots=True)
class VerifiedProof(Evidence):
    """Leaf, path, root and header were checked against our own chain (R2, R49)."""

    what: ClassVar[str] = "getMerklePathSuccess"
    block_hash: str
    height: int
    merkle_root: str


@dataclass(frozen=True, slots=True)
class HeaderDeactivated(Evidence):
    """Our own verified chain has another block at that height than the one the proof stands on (R51)."""

    what: ClassVar[str] = "reorg"
    block_hash: str
    height: int
    replaced_by: str


@dataclass(frozen=True, slots=True)
class ReviewFoundNothing(Evidence):
    """A review got definite answers, and the network does not know the transaction."""

    what: ClassVar[str] = "unfailNotFound"
    provider: str

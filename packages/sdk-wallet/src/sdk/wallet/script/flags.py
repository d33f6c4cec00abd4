"""Which script rules hold: flags by the node's names, the sets that follow from heights (consensus.md §4.1, 4.2)."""

from __future__ import annotations

from enum import IntFlag
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Self

    from sdk.core.chain import ChainParameters


class ScriptFlags(IntFlag):
    """GENESIS and CHRONICLE are eras of the spending transaction, UTXO_AFTER_… those of the output it spends."""

    NONE = 0
    P2SH = 1 << 0
    STRICTENC = 1 << 1
    DERSIG = 1 << 2
    LOW_S = 1 << 3
    NULLDUMMY = 1 << 4
    SIGPUSHONLY = 1 << 5
    MINIMALDATA = 1 << 6
    DISCOURAGE_UPGRADABLE_NOPS = 1 << 7
    CLEANSTACK = 1 << 8
    CHECKLOCKTIMEVERIFY = 1 << 9
    CHECKSEQUENCEVERIFY = 1 << 10
    MINIMALIF = 1 << 13
    NULLFAIL = 1 << 14
    COMPRESSED_PUBKEYTYPE = 1 << 15
    SIGHASH_FORKID = 1 << 16
    GENESIS = 1 << 18
    UTXO_AFTER_GENESIS = 1 << 19
    CHRONICLE = 1 << 20
    UTXO_AFTER_CHRONICLE = 1 << 21

    @classmethod
    def parse(cls, names: str) -> Self:
        """From ``P2SH,STRICTENC``. Raises ``KeyError`` for a name that does not exist."""
        flags = cls(0)
        for name in filter(None, names.split(",")):
            flags |= cls[name]
        return flags


_F = ScriptFlags
_SINCE_GENESIS = _F.GENESIS | _F.SIGPUSHONLY

MANDATORY = _F.P2SH | _F.STRICTENC | _F.SIGHASH_FORKID | _F.NULLFAIL | _F.LOW_S
"""A transaction that breaks one of these is never mined."""

CONSENSUS = (
    MANDATORY
    | _F.DERSIG
    | _F.CHECKLOCKTIMEVERIFY
    | _F.CHECKSEQUENCEVERIFY
    | _SINCE_GENESIS
    | _F.CHRONICLE
    | _F.UTXO_AFTER_GENESIS
    | _F.UTXO_AFTER_CHRONICLE
)
"""What a block must keep today, for outputs of today."""

POLICY_ONLY = _F.NULLDUMMY | _F.DISCOURAGE_UPGRADABLE_NOPS | _F.CLEANSTACK | _F.MINIMALDATA
STANDARD = CONSENSUS | POLICY_ONLY
"""What a node relays today: consensus and its policy."""

_P2SH, _DERSIG = _F.P2SH.value, _F.DERSIG.value
_LOCK_TIME, _SEQUENCE = _F.CHECKLOCKTIMEVERIFY.value, _F.CHECKSEQUENCEVERIFY.value
_UAHF = (_F.STRICTENC | _F.SIGHASH_FORKID).value
_DAA = (_F.LOW_S | _F.NULLFAIL).value
_GENESIS, _CHRONICLE = _SINCE_GENESIS.value, _F.CHRONICLE.value
_UTXO_AFTER_BOTH = _F.UTXO_AFTER_GENESIS | _F.UTXO_AFTER_CHRONICLE


def block_flags(height: int, utxo_height: int, chain: ChainParameters) -> ScriptFlags:
    """The rules for an input in the block at ``height`` that spends an output mined at ``utxo_height``.

    For a transaction that is not mined yet both are the height of the next block where no other is known.
    """
    parent = height - 1
    flags = 0  # a plain integer: each union of two flags costs a microsecond
    if parent >= chain.p2sh_height:
        flags |= _P2SH
    if height >= chain.bip66_height:
        flags |= _DERSIG
    if height >= chain.bip65_height:
        flags |= _LOCK_TIME
    if height >= chain.csv_height:
        flags |= _SEQUENCE
    if parent >= chain.uahf_height:
        flags |= _UAHF
    if parent >= chain.daa_height:
        flags |= _DAA
    if height >= chain.genesis_height:
        flags |= _GENESIS
    if height >= chain.chronicle_height:
        flags |= _CHRONICLE
    return ScriptFlags(flags | utxo_flags(utxo_height, chain).value)


def utxo_flags(utxo_height: int, chain: ChainParameters) -> ScriptFlags:
    """The flags that say when the spent output was mined."""
    if utxo_height >= chain.chronicle_height:
        return _UTXO_AFTER_BOTH
    return _F.UTXO_AFTER_GENESIS if utxo_height >= chain.genesis_height else _F.NONE

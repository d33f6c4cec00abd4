"""Answers that look right and are not, for tests of what a client believes.

A lie changes the true answer of the endpoints it is for; ``forgotten`` replaces it, and the transaction is lost.
Nothing here is random: the same lie about the same thing has the same words.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from enum import Enum
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from sdk.core.merkle_path import MerklePath

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sdk.devnet.chain.chain import Chain

BLOCKS_INVENTED = 1000


class Lie(Enum):
    FORGOTTEN = "forgotten"  # accepted, says the answer; nobody has it
    OTHER_TXID = "other-txid"  # accepted, but the answer names another transaction
    REJECTED = "rejected"  # rejected, says the answer; it was accepted
    DOUBLE_SPEND = "double-spend"  # the same with a double spend, whose rival is not named
    INVENTED_RIVAL = "invented-rival"  # the same, with a rival nobody has seen
    MINED = "mined"  # mined, without a proof
    UNKNOWN = "unknown"  # never heard of it
    FORGED_PROOF = "forged-proof"  # a proof that leads to no block
    OTHER_BLOCK = "other-block"  # the proof of the true block, said to be of the one before
    OTHER_BYTES = "other-bytes"  # another transaction than the one asked for
    HIGHER_TIP = "higher-tip"  # blocks that are not there
    SPENT = "spent"  # no output is unspent


@dataclass(frozen=True, slots=True)
class Told:
    """An answer: the name of its endpoint, HTTP status, text."""

    endpoint: str
    status: int
    text: str

    @property
    def parsed(self) -> Any:
        return json.loads(self.text)

    def instead(self, answer: object) -> Told:
        return replace(self, text=json.dumps(answer))

    def with_members(self, **members: object) -> Told:
        return self.instead({**self.parsed, **members})


_BROADCASTS = frozenset({"arc.submit", "whatsonchain.broadcast"})
_WORDS = frozenset({"arc.submit", "arc.status"})
_PROOFS = frozenset({"arc.status", "whatsonchain.proof"})
_STATUSES = frozenset({"arc.status", "whatsonchain.statuses"})
_HEX = "whatsonchain.transaction_hex"

ENDPOINTS: Mapping[Lie, frozenset[str]] = {
    Lie.FORGOTTEN: _BROADCASTS,
    Lie.OTHER_TXID: _BROADCASTS,
    Lie.REJECTED: _WORDS,
    Lie.DOUBLE_SPEND: _WORDS,
    Lie.INVENTED_RIVAL: _WORDS,
    Lie.MINED: _STATUSES,
    Lie.UNKNOWN: _STATUSES | {"whatsonchain.proof", _HEX},
    Lie.FORGED_PROOF: _PROOFS,
    Lie.OTHER_BLOCK: _PROOFS,
    Lie.OTHER_BYTES: frozenset({_HEX}),
    Lie.HIGHER_TIP: frozenset({"whatsonchain.chain_info"}),
    Lie.SPENT: frozenset({"whatsonchain.unspent"}),
}
"""Where each lie can be told; a fault with a lie passes over all other endpoints."""


def tell(lie: Lie, told: Told, chain: Chain) -> Told:
    """``told``, made untrue; what is no success to begin with stays as it is."""
    return told if told.status != 200 else _TELLERS[lie](told, chain)


def thanks(endpoint: str, txid: str) -> Told:
    """What ``forgotten`` answers."""
    words = {"txid": txid, "txStatus": "SEEN_ON_NETWORK", "status": 200, "title": "OK"}
    return Told(endpoint, 200, json.dumps(txid if endpoint == "whatsonchain.broadcast" else words))


def invented(txid: str) -> str:
    """A txid or hash of nothing."""
    return sha256(bytes.fromhex(txid)).hexdigest()


def _other_txid(told: Told, _chain: Chain) -> Told:
    answer = told.parsed
    if isinstance(answer, str):
        return told.instead(invented(answer))
    return told.with_members(txid=invented(answer["txid"]))


def _rejected(told: Told, _chain: Chain) -> Told:
    return told.with_members(txStatus="REJECTED", extraInfo="bad-txns-in-belowout")


def _double_spend(told: Told, _chain: Chain) -> Told:
    return told.with_members(txStatus="DOUBLE_SPEND_ATTEMPTED", competingTxs=None)


def _invented_rival(told: Told, _chain: Chain) -> Told:
    rival = invented(told.parsed["txid"])
    return told.with_members(txStatus="DOUBLE_SPEND_ATTEMPTED", competingTxs=[rival])


def _mined(told: Told, chain: Chain) -> Told:
    if told.endpoint == "arc.status":
        return told.with_members(txStatus="MINED", merklePath="", blockHash=chain.tip.hash, blockHeight=chain.height)
    members = {"blockhash": chain.tip.hash, "blockheight": chain.height, "confirmations": 1}
    return told.instead([{"txid": each["txid"], **members} for each in told.parsed])


def _unknown(told: Told, _chain: Chain) -> Told:
    if told.endpoint == "whatsonchain.statuses":
        return told.instead([{"txid": each["txid"], "error": "unknown"} for each in told.parsed])
    words = {"status": 404, "title": "Not found", "detail": "transaction not found"}
    return Told(told.endpoint, 404, json.dumps(words) if told.endpoint == "arc.status" else "Not Found")


def _forged_proof(told: Told, _chain: Chain) -> Told:
    if told.endpoint == "whatsonchain.proof":
        return told.instead([{**each, "nodes": _forge(each["nodes"])} for each in told.parsed or ()])
    answer = told.parsed
    if not answer["merklePath"]:
        return told
    path, txid = MerklePath.from_hex(answer["merklePath"]), answer["txid"]
    index, nodes = path.to_tsc(txid)
    forged = MerklePath.from_tsc(path.block_height, txid, index, _forge(nodes))
    return told.with_members(merklePath=forged.to_hex())


def _forge(nodes: list[str]) -> list[str]:
    return [each if each == "*" else invented(each) for each in nodes]


def _other_block(told: Told, chain: Chain) -> Told:
    if told.endpoint == "whatsonchain.proof":
        return told.instead([{**each, "target": _before(chain, each["target"])} for each in told.parsed or ()])
    answer = told.parsed
    if not answer["merklePath"]:
        return told
    path = MerklePath.from_hex(answer["merklePath"])
    moved = MerklePath(path.block_height - 1, path.path)
    return told.with_members(
        merklePath=moved.to_hex(), blockHeight=moved.block_height, blockHash=_before(chain, answer["blockHash"])
    )


def _before(chain: Chain, block_hash: str) -> str:
    return chain.nodes[block_hash].block.header.previous_hash


def _other_bytes(told: Told, _chain: Chain) -> Told:
    lock_time = int(told.text[-8:], 16) ^ 1
    return replace(told, text=f"{told.text[:-8]}{lock_time:08x}")


def _higher_tip(told: Told, _chain: Chain) -> Told:
    height = told.parsed["blocks"] + BLOCKS_INVENTED
    return told.with_members(blocks=height, headers=height, bestblockhash=invented(told.parsed["bestblockhash"]))


def _spent(told: Told, _chain: Chain) -> Told:
    return told.with_members(result=[])


_TELLERS: Mapping[Lie, Callable[[Told, Chain], Told]] = {
    Lie.OTHER_TXID: _other_txid,
    Lie.REJECTED: _rejected,
    Lie.DOUBLE_SPEND: _double_spend,
    Lie.INVENTED_RIVAL: _invented_rival,
    Lie.MINED: _mined,
    Lie.UNKNOWN: _unknown,
    Lie.FORGED_PROOF: _forged_proof,
    Lie.OTHER_BLOCK: _other_block,
    Lie.OTHER_BYTES: _other_bytes,
    Lie.HIGHER_TIP: _higher_tip,
    Lie.SPENT: _spent,
}

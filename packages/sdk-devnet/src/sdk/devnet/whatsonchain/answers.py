"""What WhatsOnChain says about blocks, transactions and scripts, as JSON members (spec/arc.md §3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sdk.core.header import decode_target
from sdk.devnet.chain.chain import Outcome
from sdk.devnet.errors import RefusalKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sdk.core.transaction import Transaction
    from sdk.devnet.chain.chain import Chain, Node
    from sdk.devnet.errors import TransactionRefused

_DIFFICULTY_ONE = decode_target(0x1D00FFFF) or 1
_CODES = {RefusalKind.FEE: 66, RefusalKind.NON_FINAL: 64, RefusalKind.CONFLICT: 258, RefusalKind.FULL: 259}


def header_members(chain: Chain, node: Node) -> dict[str, Any]:
    """The header object; a stale block has ``confirmations`` -1."""
    header = node.block.header
    active = chain.is_active(node)
    following = chain.active[node.height + 1].hash if active and node.height < chain.height else ""
    count = len(node.block.transactions)
    return {
        "hash": node.hash,
        "confirmations": chain.height - node.height + 1 if active else -1,
        "size": node.block.size,
        "height": node.height,
        "version": header.version,
        "versionHex": f"{header.version & 0xFFFFFFFF:08x}",
        "merkleroot": header.merkle_root,
        "time": header.time,
        "mediantime": chain.median_time(node),
        "nonce": header.nonce,
        "bits": f"{header.bits:08x}",
        "difficulty": _difficulty(header.bits),
        "chainwork": f"{node.chain_work:064x}",
        "previousblockhash": header.previous_hash if node.height else "",
        "nextblockhash": following,
        "nTx": count,
        "num_tx": count,
        "txcount": count,
    }


def chain_members(chain: Chain, network: str) -> dict[str, Any]:
    tip = chain.tip
    return {
        "chain": network,
        "blocks": chain.height,
        "headers": chain.height,
        "bestblockhash": tip.hash,
        "difficulty": _difficulty(tip.block.header.bits),
        "mediantime": chain.median_time(tip),
        "verificationprogress": 1.0,
        "pruned": False,
        "chainwork": f"{tip.chain_work:064x}",
    }


def _difficulty(bits: int) -> float:
    return _DIFFICULTY_ONE / (decode_target(bits) or 1)


def find_block(chain: Chain, name: str) -> Node | None:
    """By height on the best chain, or by hash in the whole tree."""
    if len(name) <= 10 and name.isascii() and name.isdigit():
        height = int(name)
        return chain.active[height] if height <= chain.height else None
    return chain.nodes.get(name.lower())


def known_transaction(chain: Chain, txid: str) -> Transaction | None:
    """Mined on the best chain, or waiting to be."""
    if txid in chain.mempool or chain.block_of(txid) is not None:
        return chain.transactions[txid]
    return None


def status_members(chain: Chain, txid: str) -> dict[str, Any]:
    """One entry of ``/txs/status``."""
    node = chain.block_of(txid)
    if node is not None:
        return {
            "txid": txid,
            "blockhash": node.hash,
            "blockheight": node.height,
            "blocktime": node.block.header.time,
            "confirmations": chain.height - node.height + 1,
        }
    return {"txid": txid} if txid in chain.mempool else {"txid": txid, "error": "unknown"}


def proof_members(chain: Chain, txid: str) -> list[dict[str, Any]] | None:
    """The TSC proof, or ``None`` while it is not mined."""
    node, path = chain.block_of(txid), chain.merkle_path(txid)
    if node is None or path is None:
        return None
    index, nodes = path.to_tsc(txid)
    return [{"index": index, "txOrId": txid, "target": node.hash, "nodes": nodes}]


def unspent_members(chain: Chain, key: str) -> list[dict[str, Any]]:
    """Unspent outputs of the script, the mined ones first; those a waiting transaction spends are marked."""
    confirmed: list[dict[str, Any]] = []
    waiting: list[dict[str, Any]] = []
    for outpoint in chain.scripts.outputs(key):
        coin = chain.ledger.coins.get(outpoint)
        output = coin.output if coin is not None else chain.mempool.output(outpoint)
        if output is None:
            continue
        members = {
            "height": coin.height if coin is not None else 0,
            "tx_pos": outpoint.vout,
            "tx_hash": outpoint.txid,
            "value": output.satoshis,
            "isSpentInMempoolTx": outpoint in chain.mempool.spenders,
            "status": "unconfirmed" if coin is None else "confirmed",
        }
        (waiting if coin is None else confirmed).append(members)
    return confirmed + waiting


def confirmed_history(chain: Chain, key: str) -> list[dict[str, Any]]:
    """Mined transactions that touch the script, oldest block first."""
    nodes = ((txid, chain.block_of(txid)) for txid in chain.scripts.history(key))
    found = [(node.height, node.block.positions[txid], txid) for txid, node in nodes if node is not None]
    return [{"tx_hash": txid, "height": height} for height, _, txid in sorted(found)]


def unconfirmed_history(chain: Chain, key: str) -> list[dict[str, Any]]:
    return [{"tx_hash": txid} for txid in chain.scripts.history(key) if txid in chain.mempool]


def refusal_text(refused: TransactionRefused) -> str:
    """The body of a refused broadcast, in the node's words."""
    if refused.kind in (RefusalKind.MISSING, RefusalKind.SPENT):
        return _node_said("Missing inputs")
    standard = {"dust": 64, "scriptpubkey": 64, "scriptsig-size": 64}
    code = _CODES.get(refused.kind, standard.get(refused.reason, 16))
    return _node_said(f"{code}: {refused.reason}")


def known_text(outcome: Outcome) -> str:
    """The body for what is there already."""
    if outcome is Outcome.MINED:
        return _node_said("257: txn-already-known")
    return _node_said("Transaction already in the mempool")


def _node_said(words: str) -> str:
    return f"unexpected response code 500: {words}"


def headers_bytes(nodes: Sequence[Node]) -> bytes:
    return b"".join(node.block.header.to_bytes() for node in nodes)

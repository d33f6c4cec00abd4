"""Keys, encryption and script checks: ours beside bsv-sdk, @bsv/sdk and a bare loop over coincurve and hashlib.

The bare loop is the physical line: the same curve operations and hashes with nothing around them. There are two for
derivation. ``bare coincurve`` multiplies the secret in variable time (a small one takes a quarter of the time of a
large one, which is what an attacker would measure); ``bare constant time`` uses the library's ECDH, as we do.
"""

from __future__ import annotations

import hashlib
import hmac
from itertools import cycle
from typing import TYPE_CHECKING, Any

import coincurve

from sdk.core.beef import Beef
from sdk.core.script import Script
from sdk.core.transaction import OutPoint, Transaction, TransactionInput, TransactionOutput
from sdk.wallet.keys import KeyDeriver, PrivateKey, ProtoWallet, curve
from sdk.wallet.script import SignatureHasher, verify_script
from sdk.wallet.script.spv import check, prepare
from sdk.wallet.script.templates import p2pkh, pushdrop
from sdk.wallet.script.templates.signing import Coin
from support.measuring import contest, contestant, import_time, one_core
from support.payments import chain_of
from support.peers import Peer

if TYPE_CHECKING:
    from collections.abc import Callable

    Report = Callable[..., None]
    Asking = Callable[..., dict[str, Callable[[float], float]]]

ROOT = PrivateKey(b"\x11" * 32)
PROTOCOL = (2, "benchmarks")
PAYMENT = (2, "3241645161d8")
DATA = bytes([7]) * 100
FIELDS = [bytes([7]) * 40, bytes([8]) * 40]


def now(call: Any) -> Any:
    """The result of a coroutine that waits for nothing, without an event loop's cost."""
    try:
        call.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("the method waits for something")


def many(count: int) -> list[str]:
    return [PrivateKey.from_int(1000 + number).public_key.to_hex() for number in range(count)]


def run(report: Report) -> None:
    with (
        one_core(),
        Peer.node("keys_wallet") as node,
        Peer.python("keys_wallet") as python,
        Peer.node("script_spend") as scripts,
    ):
        derivation(report, asking(python, node))
        operations(report, asking(python, node))
        script_checks(report, asking(python, scripts))
    imports(report)


def asking(python: Peer, node: Peer) -> Asking:
    def peers(job: str, **request: Any) -> dict[str, Callable[[float], float]]:
        def measured(peer: Peer) -> Callable[[float], float]:
            return lambda seconds: float(peer.call("rate", job=job, seconds=seconds, **request))

        return {"bsv-sdk": measured(python), "@bsv/sdk": measured(node)}

    return peers


def derivation(report: Report, asking: Asking) -> None:
    secret, names = ROOT.to_bytes(), many(20_000)
    raw = cycle([bytes.fromhex(name) for name in names])
    invoice = b"2-3241645161d8-prefix suffix"

    def bare_private() -> bytes:
        shared = coincurve.PublicKey(next(raw)).multiply(secret).format()
        scalar = hmac.digest(shared, invoice, "sha256")
        total = int.from_bytes(scalar, "big") + int.from_bytes(secret, "big")
        return (total % curve.ORDER).to_bytes(32, "big")

    keeper = coincurve.PrivateKey(secret)

    def bare_constant_private() -> bytes:
        scalar = hmac.digest(keeper.ecdh(next(raw)), invoice, "sha256")
        total = int.from_bytes(scalar, "big") + int.from_bytes(secret, "big")
        return (total % curve.ORDER).to_bytes(32, "big")

    def bare_constant_public() -> bytes:
        name = next(raw)
        return coincurve.PublicKey(name).add(hmac.digest(keeper.ecdh(name), invoice, "sha256")).format()

    def bare_public() -> bytes:
        theirs = coincurve.PublicKey(next(raw))
        return theirs.add(hmac.digest(theirs.multiply(secret).format(), invoice, "sha256")).format()

    new = cycle(names)  # more than the cache holds, so each is new when it comes round again
    deriver = KeyDeriver(ROOT)
    ours, others = contest(
        lambda: deriver.derive_private_key(PAYMENT, "prefix suffix", next(new)),
        {
            **asking("derive_private"),
            "bare coincurve": contestant(bare_private),
            "bare constant time": contestant(bare_constant_private),
        },
    )
    report("BRC-42 private, new counterparty", ours, "op/s", others, limit=0.85 * others["bare constant time"])
    ours, others = contest(
        lambda: deriver.derive_public_key(PAYMENT, "prefix suffix", next(new)),
        {
            **asking("derive_public"),
            "bare coincurve": contestant(bare_public),
            "bare constant time": contestant(bare_constant_public),
        },
    )
    report("BRC-42 public, new counterparty", ours, "op/s", others, limit=0.85 * others["bare coincurve"])
    numbered = cycle([f"prefix {number}" for number in range(5_000)])
    seen = names[0]
    ours, _ = contest(lambda: deriver.derive_private_key(PAYMENT, next(numbered), seen))
    report("BRC-42 private, seen counterparty", ours, "op/s", limit=60_000)
    ours, _ = contest(lambda: deriver.derive_public_key(PAYMENT, next(numbered), seen))
    report("BRC-42 public, seen counterparty", ours, "op/s", limit=20_000)


def named(counterparty: str, **args: object) -> dict[str, object]:
    return {"protocolID": PROTOCOL, "keyID": "1", "counterparty": counterparty, **args}


def operations(report: Report, asking: Asking) -> None:
    wallet, names = ProtoWallet(ROOT), many(20_000)
    new, seen, plaintext = cycle(names), names[0], bytes([7]) * 1024
    ours, others = contest(lambda: now(wallet.encrypt(named(next(new), plaintext=plaintext))), asking("encrypt"))
    report("encrypt 1 KiB, new counterparty", ours, "op/s", others, limit=1.5 * others["bsv-sdk"])
    ours, others = contest(lambda: now(wallet.encrypt(named(seen, plaintext=plaintext))), asking("encrypt_seen"))
    report("encrypt 1 KiB, seen counterparty", ours, "op/s", others, limit=5 * others["bsv-sdk"])

    deriver = KeyDeriver(ROOT)
    sealed = [(name, deriver.derive_symmetric_key(PROTOCOL, "1", name).encrypt(plaintext)) for name in names[:500]]
    letters = cycle(sealed)

    def decrypt_new() -> object:
        name, ciphertext = next(letters)
        wallet.key_deriver.forget()
        return now(wallet.decrypt(named(name, ciphertext=ciphertext)))

    ours, others = contest(decrypt_new, asking("decrypt"))
    report("decrypt 1 KiB, new counterparty", ours, "op/s", others, limit=1.5 * others["bsv-sdk"])
    name, ciphertext = sealed[0]
    ours, others = contest(lambda: now(wallet.decrypt(named(name, ciphertext=ciphertext))), asking("decrypt_seen"))
    report("decrypt 1 KiB, seen counterparty", ours, "op/s", others, limit=5 * others["bsv-sdk"])
    ours, others = contest(lambda: now(wallet.create_signature(named(seen, data=DATA))), asking("create_signature"))
    report("createSignature, seen counterparty", ours, "op/s", others, limit=1.5 * others["bsv-sdk"])
    signed = now(wallet.create_signature(named(seen, data=DATA)))
    request = named(seen, data=DATA, signature=signed.signature, forSelf=True)
    ours, others = contest(lambda: now(wallet.verify_signature(request)), asking("verify_signature"))
    report("verifySignature, seen counterparty", ours, "op/s", others, limit=2 * others["bsv-sdk"])


def script_checks(report: Report, asking: Asking) -> None:
    locking = p2pkh.lock_to_key(ROOT.public_key)

    def spending(unlocking: Script) -> Transaction:
        outputs = [TransactionOutput(900, locking), TransactionOutput(90, locking)]
        return Transaction(1, [TransactionInput(OutPoint("11" * 32, 0), unlocking)], outputs)

    unsigned = spending(Script())
    unlocking = p2pkh.unlock(ROOT, Coin(SignatureHasher(unsigned), 0, 1_000, locking))
    transaction = spending(unlocking)
    digest = SignatureHasher(unsigned).digest(0, locking.data, 1_000)
    der, key = unlocking.data[1 : unlocking.data[0]], coincurve.PublicKey(ROOT.public_key.to_bytes())
    ours, others = contest(
        lambda: verify_script(unlocking, locking, transaction=transaction, input_index=0, satoshis=1_000),
        {
            **asking("spend", raw=transaction.to_hex(), satoshis=1_000, locking=locking.to_hex()),
            "bare verify": contestant(lambda: key.verify(der, digest, hasher=None)),
        },
    )
    limit = max(0.9 * others["bsv-sdk"], 0.65 * others["bare verify"])
    report("validate a P2PKH spend", ours, "op/s", others, limit=limit)

    deriver = KeyDeriver(ROOT)

    def lock() -> Script:
        return pushdrop.lock_with_keys(deriver, FIELDS, protocol_id=PROTOCOL, key_id="1", counterparty="self")

    ours, others = contest(lock, asking("pushdrop_lock"))
    report("PushDrop lock with signature", ours, "op/s", others, limit=1.3 * others["bsv-sdk"])
    token = lock()
    ours, others = contest(lambda: pushdrop.decode(token), asking("pushdrop_decode", script=token.to_hex()))
    report("PushDrop decode", ours, "op/s", others, limit=2 * others["bsv-sdk"])
    beefs_with_scripts(report, asking)
    sha = hashlib.sha256(b"").digest()
    report("sign a digest", contest(lambda: ROOT.sign(sha))[0], "op/s")


def beefs_with_scripts(report: Report, asking: Asking) -> None:
    for length in (10, 500):
        beef, last, tracker = chain_of(length)
        raw, txid = beef.to_atomic(last.txid()), last.txid()
        assert check(Beef.from_bytes(raw), txid) == tracker.roots
        signed = signatures(Beef.from_bytes(raw), txid)
        assert len(signed) == length

        def bare_checks(signed: list[tuple[bytes, bytes, bytes]] = signed) -> None:
            for key, der, digest in signed:
                assert coincurve.PublicKey(key).verify(der, digest, hasher=None)

        ours, others = contest(
            lambda raw=raw, txid=txid: check(Beef.from_bytes(raw), txid),  # type: ignore[misc]
            {
                "bsv-sdk": asking("beef", raw=beef.to_bytes(1).hex(), txid=txid)["bsv-sdk"],
                "bare verify": contestant(bare_checks),
            },
        )
        limit = max(1.6 * others["bsv-sdk"], others["bare verify"] / 1.8)
        report(f"BEEF of {length} transactions, parsed, every script run", ours, "op/s", others, limit=limit)


def signatures(beef: Beef, txid: str) -> list[tuple[bytes, bytes, bytes]]:
    """Key, signature and digest of each P2PKH input that ``txid`` needs."""
    found = []
    for each in prepare(beef, txid).unproven:
        hasher = SignatureHasher(each.transaction)
        for index, unlocking in enumerate(each.parts.scripts):
            signature, key = (chunk.data for chunk in Script(unlocking).chunks())
            assert signature is not None
            assert key is not None
            satoshis, locking, _ = each.sources[index]
            digest = hasher.digest(index, locking, satoshis, signature[-1])
            found.append((key, signature[:-1], digest))
    return found


def imports(report: Report) -> None:
    for statement, limit in (
        ("import sdk.wallet", 450),
        ("from sdk.wallet.keys import ProtoWallet", None),
        ("from sdk.wallet.script import verify_script", None),
        ("from sdk.wallet import open_wallet", None),
    ):
        report(statement, import_time(statement), "ms", limit=limit)

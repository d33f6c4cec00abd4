"""Fuzz targets: every parser of keys, scripts and certificates, the script machine, and SPV verification."""

from __future__ import annotations

from typing import Any

from sdk.core.beef import Beef
from sdk.core.script import Script
from sdk.core.transaction import OutPoint, Transaction, TransactionInput, TransactionOutput
from sdk.core.wallet.certificates import Certificate
from sdk.wallet import certificates
from sdk.wallet.keys import Address, PrivateKey, SymmetricKey
from sdk.wallet.keys.compat import bsm, ecies, messages, shamir
from sdk.wallet.keys.compat.bip32 import ExtendedKey
from sdk.wallet.keys.compat.bip276 import Bip276
from sdk.wallet.keys.signature import CompactSignature, decode_der, encode_der
from sdk.wallet.script import CONSENSUS, ScriptFlags, verify_script
from sdk.wallet.script.spv import check
from sdk.wallet.script.templates import data, inscription, multisig, p2pk, p2pkh, pushdrop, rpuzzle
from support.fuzzing import Target
from support.payments import KEY, chain_of

OTHER = PrivateKey.from_int(12345)
SPENDING = Transaction(2, [TransactionInput(OutPoint("11" * 32, 0), Script())], [TransactionOutput(1, Script())])


def targets() -> list[Target]:
    return [*key_targets(), *template_targets(), certificate_target(), *machine_targets(), spv_target()]


def key_targets() -> list[Target]:
    key = KEY.public_key
    extended = ExtendedKey.from_seed(bytes(32)).derive("m/1'/2")
    share = str(shamir.split(KEY, 2, 3)[0])
    return [
        text_target("WIF", PrivateKey.from_wif, KEY.to_wif(), KEY.to_wif("test")),
        text_target("address", Address.parse, key.address(), key.address("test")),
        text_target("extended key", ExtendedKey.parse, str(extended), str(extended.to_public())),
        text_target("share", shamir.Share.parse, share),
        text_target("BIP-276", Bip276.parse, str(Bip276(b"data"))),
        Target("DER", decode_der, lambda pair: encode_der(*pair), [KEY.sign(bytes(32)), OTHER.sign(b"\1" * 32)]),
        Target(
            "compact signature",
            CompactSignature.from_bytes,
            CompactSignature.to_bytes,
            [CompactSignature(*KEY.sign_recoverable(bytes(32))).to_bytes()],
        ),
        Target("BSM", lambda raw: bsm.recover(b"text", raw), None, [bsm.parse(bsm.sign(b"text", KEY)).to_bytes()]),
        Target(
            "BRC-77",
            lambda raw: messages.verify(b"text", raw, OTHER),
            None,
            [messages.sign(b"text", KEY), messages.sign(b"text", KEY, OTHER.public_key)],
        ),
        Target(
            "BRC-78",
            lambda raw: messages.decrypt(raw, OTHER),
            None,
            [messages.encrypt(b"text", KEY, OTHER.public_key)],
        ),
        Target(
            "Electrum ECIES",
            lambda raw: ecies.electrum_decrypt(raw, OTHER, key),
            None,
            [ecies.electrum_encrypt(b"text", OTHER.public_key, KEY, with_key=named) for named in (True, False)],
        ),
        Target(
            "Bitcore ECIES",
            lambda raw: ecies.bitcore_decrypt(raw, OTHER),
            None,
            [ecies.bitcore_encrypt(b"text", OTHER.public_key, KEY)],
        ),
        Target("ciphertext", SymmetricKey(bytes(32)).decrypt, None, [SymmetricKey(bytes(32)).encrypt(b"text")]),
    ]


def text_target(name: str, parse: Any, *seeds: str) -> Target:
    return Target(name, lambda raw: parse(raw.decode("latin-1")), None, [seed.encode() for seed in seeds])


def template_targets() -> list[Target]:
    key = KEY.public_key
    tokens = [pushdrop.lock([b"", b"\x07", b"token", bytes(300)], key, position) for position in ("before", "after")]
    seeds = {
        p2pkh: [p2pkh.lock_to_key(key)],
        p2pk: [p2pk.lock(key)],
        multisig: [multisig.lock(1, [key, OTHER.public_key])],
        data: [data.lock([b"", b"\x01", bytes(300)])],
        pushdrop: tokens,
        rpuzzle: [rpuzzle.lock(b"\x01\x02", "HASH160")],
        inscription: [inscription.lock(b"hello", "text/plain", p2pkh.lock_to_key(key))],
    }
    return [
        Target(
            f"template {module.__name__.rsplit('.', 1)[-1]}",
            decoder(module.decode),
            None,
            [script.data for script in scripts],
        )
        for module, scripts in seeds.items()
    ]


def decoder(decode: Any) -> Any:
    return lambda raw: decode(Script(raw))


def certificate_target() -> Target:
    certificate = Certificate(
        type="A" * 43 + "=",
        serial_number="B" * 43 + "=",
        subject=KEY.public_key.to_hex(),
        certifier=OTHER.public_key.to_hex(),
        revocation_outpoint="ab" * 32 + ".1",
        signature=KEY.sign(bytes(32)).hex(),
        fields={"name": "value", "other": "x" * 100},
    )
    raw = certificates.serialize(certificate)
    return Target(
        "certificate",
        certificates.parse,
        None,
        [raw, certificates.serialize(certificate, with_signature=False)],
        look=certificates.serialize,
    )


def machine_targets() -> list[Target]:
    """The machine on damaged scripts, of each era: a verdict, never another error, and soon."""
    key = b"\x21" + KEY.public_key.to_bytes()
    numbers = bytes.fromhex("0101630151689300a97ea87e757693527f88ac02ff7f") + b"\x76\x95" * 4 + b"\x7e\x98\xab"
    seeds = [numbers, b"\x51\x63\x67\x68\x6a", key + b"\xac", b"\x00\x51" + key + b"\x51\xae"]

    def machine(flags: ScriptFlags) -> Any:
        def run(raw: bytes) -> None:
            verify_script(
                Script(b"\x51\x52\x53"),
                Script(raw),
                transaction=SPENDING,
                input_index=0,
                satoshis=1,
                flags=flags,
            )

        return run

    old = ScriptFlags.P2SH | ScriptFlags.STRICTENC
    eras = {"now": CONSENSUS, "before Genesis": old, "without rules": ScriptFlags.NONE}
    return [Target(f"machine {name}", machine(flags), None, seeds) for name, flags in eras.items()]


def spv_target() -> Target:
    """A damaged BEEF is refused or names another root: the one true root never stands for other bytes."""
    beef, last, tracker = chain_of(3)
    good = beef.to_atomic(last.txid())

    def parse(raw: bytes) -> Beef:
        found = Beef.from_bytes(raw)
        subject = found.atomic_txid or found.txids()[-1] if len(found) else "00" * 32
        roots = check(found, subject)
        if dict(roots) == tracker.roots and subject == last.txid():
            ours = {each: found.transaction(each) for each in beef.txids()}
            assert all(each is None or each == beef.transaction(txid) for txid, each in ours.items())
        return found

    return Target("SPV", parse, None, [good, beef.to_bytes()])

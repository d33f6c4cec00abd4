"""The published vectors for hashes, ciphers and signatures (sdk/crypto), and the shift regressions."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sdk.core.encodings import hash256
from sdk.core.errors import ParseError
from sdk.core.opcodes import OP_EQUAL, OP_LSHIFT, OP_RSHIFT
from sdk.core.script import Script, push, push_number
from sdk.core.transaction import OutPoint, Transaction, TransactionInput, TransactionOutput
from sdk.wallet.keys import PrivateKey, curve
from sdk.wallet.keys.hashes import hash160, hmac_sha256, hmac_sha512, ripemd160, sha256
from sdk.wallet.keys.signature import CompactSignature, decode_der, encode_der
from sdk.wallet.keys.symmetric import SymmetricKey
from sdk.wallet.script import verify_script
from sdk.wallet.script.flags import ScriptFlags
from support.corpus import cases, present

HALF_ORDER = curve.ORDER // 2


def message(given: dict[str, Any], name: str = "message") -> bytes:
    text = given[name]
    return bytes.fromhex(text) if given.get("encoding", given.get(f"{name}_encoding")) == "hex" else text.encode()


@pytest.mark.parametrize("vector", cases("brc", "sdk", "crypto", "sha256.json"))
def test_sha256(vector: dict[str, Any] | None) -> None:
    vector = present(vector)
    data = message(vector["input"])
    digest = hash256(data) if vector["input"].get("double") else sha256(data)
    assert digest.hex() == vector["expected"]["hash"]


@pytest.mark.parametrize("vector", cases("brc", "sdk", "crypto", "ripemd160.json"))
def test_ripemd160(vector: dict[str, Any] | None) -> None:
    vector = present(vector)
    assert ripemd160(message(vector["input"])).hex() == vector["expected"]["hash"]


@pytest.mark.parametrize("vector", cases("brc", "sdk", "crypto", "hash160.json"))
def test_hash160(vector: dict[str, Any] | None) -> None:
    vector = present(vector)
    data = message(vector["input"], "pubkey" if "pubkey" in vector["input"] else "message")
    assert hash160(data).hex() == vector["expected"]["hash160"]


@pytest.mark.parametrize("vector", cases("brc", "sdk", "crypto", "hmac.json"))
def test_hmac(vector: dict[str, Any] | None) -> None:
    vector = present(vector)
    given = vector["input"]
    function = {"hmac-sha256": hmac_sha256, "hmac-sha512": hmac_sha512}[given["algorithm"]]
    assert function(message(given, "key"), message(given)).hex() == vector["expected"]["hmac"]


@pytest.mark.parametrize("vector", cases("brc", "sdk", "crypto", "aes.json"))
def test_aes(vector: dict[str, Any] | None) -> None:
    vector = present(vector)
    given, expected = vector["input"], vector["expected"]
    key = bytes.fromhex(given["key"])
    if given["algorithm"] == "aes-gcm-symmetrickey":
        opened = SymmetricKey(key.rjust(32, b"\0")).decrypt(bytes.fromhex(given["ciphertext_hex"]))
        assert opened.decode() == expected["plaintext_utf8"]
    elif given["algorithm"] == "aes-gcm":
        sealed = AESGCM(key).encrypt(bytes.fromhex(given["iv"]), bytes.fromhex(given["plaintext"]), None)
        assert sealed.hex() == expected["ciphertext"] + expected["authentication_tag"]
    else:
        assert given["algorithm"] == "aes-block"
        encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
        assert encryptor.update(bytes.fromhex(given["plaintext"])).hex() == expected["ciphertext"]


def digest_of(text: str) -> bytes:
    """The vectors sign the message's number itself, not its hash."""
    number = int(text, 16)
    size: int = max(32, -(-number.bit_length() // 8))
    return number.to_bytes(size, "big")


def nonce_of(text: str) -> bytes:
    return int(text, 16).to_bytes(32, "big")


def too_large(given: dict[str, Any]) -> bytes:
    bits: int = given["message_bits"]
    return (1 << bits - 1).to_bytes(-(-bits // 8), "big")


@pytest.mark.parametrize("vector", cases("brc", "sdk", "crypto", "ecdsa.json"))
def test_ecdsa(vector: dict[str, Any] | None) -> None:
    vector = present(vector)
    given, expected = vector["input"], vector["expected"]
    if given.get("operation") == "point_add_negation":
        scalar = nonce_of(given["k_hex"])
        negated = (curve.ORDER - int(given["k_hex"], 16)).to_bytes(32, "big")
        with pytest.raises(ValueError, match=r"."):  # the sum is infinity, which is no point
            curve.add_points((curve.public_point(scalar), curve.public_point(negated)))
        assert expected == {"is_infinity": True, "note": expected["note"]}
        return
    key = PrivateKey.from_hex(given["privkey_hex"])
    if given.get("message_too_large"):
        if expected.get("throws"):
            with pytest.raises(ValueError, match="32 bytes"):
                key.sign(too_large(given))
        else:
            assert key.public_key.verify(key.sign(bytes(32)), too_large(given)) is expected["verify"]
        return
    if "signature_r" in given:
        der = encode_der(int(given["signature_r"], 16), int(given["signature_s"], 16))
        assert key.public_key.verify(der, digest_of(given["message_hex"])) is expected["verify"]
        return
    if "messages" in given:
        assert all(decode_der(key.sign(digest_of(each)))[1] <= HALF_ORDER for each in given["messages"])
        assert expected["all_s_lte_half_n"] is True
        return
    digest = digest_of(given.get("message_hex") or given["signed_message_hex"])
    nonce = given.get("k", "drbg")
    if expected.get("throws"):
        with pytest.raises(ValueError, match="scalar"):
            curve.sign_with_nonce(key.to_bytes(), digest, nonce_of(nonce))
        return
    signature = key.sign(digest) if nonce == "drbg" else curve.sign_with_nonce(key.to_bytes(), digest, nonce_of(nonce))
    checked = digest_of(given["verify_message_hex"]) if "verify_message_hex" in given else digest
    assert key.public_key.verify(signature, checked) is expected["verify"]
    if "der_length_bytes" in expected:
        assert abs(len(signature) - expected["der_length_bytes"]) <= 1  # the recorder did not lower S
    if "s_lte_half_n" in expected:
        assert (decode_der(signature)[1] <= HALF_ORDER) is expected["s_lte_half_n"]


@pytest.mark.parametrize("vector", cases("brc", "sdk", "crypto", "signature.json"))
def test_signature_encodings(vector: dict[str, Any] | None) -> None:
    vector = present(vector)
    given, expected = vector["input"], vector["expected"]
    if "compact_bytes" in given or "first_byte" in given:
        head = b"" if "compact_bytes" in given else bytes((given["first_byte"],))
        with pytest.raises(ParseError):
            CompactSignature.from_bytes(head + bytes(64))
        return
    if "der_hex" in given:
        check_der(bytes.fromhex(given["der_hex"]), expected)
        return
    digest = digest_of(given["message_hex"])
    key = PrivateKey.from_hex(given["privkey_hex"])
    if "recovery" in given:
        compact = CompactSignature(key.sign_recoverable(digest)[0], given["recovery"], given["compressed"])
        if expected.get("throws"):
            with pytest.raises(ValueError, match="recovery"):
                compact.to_bytes()
            return
        data = compact.to_bytes()
        assert data[0] == expected["first_byte"]
        assert CompactSignature.from_bytes(data) == compact
        assert data.hex() == expected.get("compact_hex", data.hex())
        return
    der = key.sign(digest)
    assert der.hex() == expected["der_hex"]
    assert len(der) == expected["der_length_bytes"]
    check_der(der, expected)


def check_der(der: bytes, expected: dict[str, Any]) -> None:
    if expected.get("throws"):
        with pytest.raises(ParseError):
            decode_der(der)
        return
    r, s = decode_der(der)
    assert (f"{r:064x}", f"{s:064x}") == (expected["r_hex"], expected["s_hex"])
    assert encode_der(r, s) == der


@pytest.mark.parametrize(
    "vector",
    [
        case
        for file in ("script-lshift-truncation", "script-shift-endianness")
        for case in cases("brc", "regressions", f"{file}.json")
    ],
)
def test_shifts(vector: dict[str, Any] | None) -> None:
    """The script machine compares its own result with the vector's."""
    vector = present(vector)
    given, result = vector["input"], bytes.fromhex(vector["expected"]["result_hex"])
    assert len(result) == vector["expected"]["result_length_bytes"]
    opcode = {"op_lshift": OP_LSHIFT, "op_rshift": OP_RSHIFT}[given["operation"]]
    unlocking = Script(push(bytes.fromhex(given["value_hex"])) + push_number(given["shift_bits"]))
    locking = Script(bytes((opcode,)) + push(result) + bytes((OP_EQUAL,)))
    spending = Transaction(1, [TransactionInput(OutPoint("11" * 32, 0), unlocking)], [TransactionOutput(1, Script())])
    flags = ScriptFlags.GENESIS | ScriptFlags.UTXO_AFTER_GENESIS
    verify_script(unlocking, locking, transaction=spending, input_index=0, satoshis=1, flags=flags)
    wrong = Script(bytes((opcode,)) + push(result[::-1] + b"\x01") + bytes((OP_EQUAL,)))
    with pytest.raises(Exception, match=r".") as error:
        verify_script(unlocking, wrong, transaction=spending, input_index=0, satoshis=1, flags=flags)
    assert str(getattr(error.value, "reason", "")) == "EVAL_FALSE"

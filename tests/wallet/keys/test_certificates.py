"""Certificates: bytes, signatures, fields, keyrings, issuance."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdk.core.errors import InvalidSignature, ParseError
from sdk.core.wallet.certificates import Certificate
from sdk.wallet import certificates
from sdk.wallet.certificates import InvalidCertificate
from sdk.wallet.certificates.binary import byte_order, reading_order
from sdk.wallet.keys import PrivateKey, ProtoWallet

CERTIFIER, SUBJECT, VERIFIER, STRANGER = (ProtoWallet(PrivateKey.from_int(number)) for number in (51, 52, 53, 54))
TYPE = base64.b64encode(bytes(range(32))).decode()
FIELDS = {"name": "Alice", "Email": "alice@example.com", "über": "ß" * 40}
OUTPOINT = "ab" * 32 + ".300"


async def issued(fields: dict[str, str] = FIELDS) -> certificates.IssuedCertificate:
    return await certificates.issue(CERTIFIER, SUBJECT.identity_key, fields, TYPE, revocation_outpoint=OUTPOINT)


async def test_an_issued_certificate_is_good_and_readable() -> None:
    certificate, keyring = await issued()
    certificates.verify(certificate)
    assert (certificate.subject, certificate.certifier) == (SUBJECT.identity_key, CERTIFIER.identity_key)
    assert await certificates.decrypt_fields(SUBJECT, certificate.fields, keyring, CERTIFIER.identity_key) == FIELDS
    assert await certificates.decrypt_fields(CERTIFIER, certificate.fields, keyring, SUBJECT.identity_key) == FIELDS
    with pytest.raises(InvalidCertificate, match="not for this wallet"):
        await certificates.decrypt_fields(STRANGER, certificate.fields, keyring, CERTIFIER.identity_key)


async def test_a_certificate_for_oneself() -> None:
    certificate, keyring = await certificates.issue(CERTIFIER, "self", {"a": "b"}, TYPE)
    assert certificate.subject == certificate.certifier
    certificates.verify(certificate)
    assert await certificates.decrypt_fields(CERTIFIER, certificate.fields, keyring, "self") == {"a": "b"}


async def test_bytes_round_trip() -> None:
    certificate, _ = await issued()
    data = certificates.serialize(certificate)
    assert certificates.parse(data) == certificate
    bare = certificates.parse(certificates.serialize(certificate, with_signature=False))
    assert bare == certificate.model_copy(update={"signature": ""})
    assert data[130:162].hex() == "ab" * 32
    assert data[162:165] == b"\xfd\x2c\x01"


@pytest.mark.parametrize(
    "update",
    [
        {"type": base64.b64encode(bytes(32)).decode()},
        {"serial_number": base64.b64encode(bytes(32)).decode()},
        {"subject": STRANGER.identity_key},
        {"certifier": STRANGER.identity_key},
        {"revocation_outpoint": "ab" * 32 + ".301"},
        {"fields": {"name": "Mallory"}},
        {"signature": "3006020101020101"},
        {"signature": ""},
    ],
)
async def test_any_change_breaks_the_signature(update: dict[str, object]) -> None:
    certificate, _ = await issued()
    with pytest.raises(InvalidSignature):
        certificates.verify(certificate.model_copy(update=update))


@pytest.mark.parametrize(
    "update",
    [{"type": "AAAA"}, {"serial_number": "!!"}, {"certifier": "02" + "00" * 32}, {"subject": "03" + "ff" * 32}],
)
async def test_members_that_no_certificate_has(update: dict[str, object]) -> None:
    certificate, _ = await issued()
    with pytest.raises(InvalidCertificate):
        certificates.verify(certificate.model_copy(update=update))


async def test_a_signed_certificate_is_not_signed_again() -> None:
    certificate, _ = await issued()
    with pytest.raises(InvalidCertificate, match="already"):
        await certificates.sign(certificate, CERTIFIER)


async def test_signing_puts_the_signers_name_in() -> None:
    certificate, _ = await issued()
    bare = certificate.model_copy(update={"signature": ""})
    signed = await certificates.sign(bare, STRANGER)
    assert signed.certifier == STRANGER.identity_key
    certificates.verify(signed)


async def test_a_verifier_reads_what_it_may() -> None:
    certificate, master = await issued()
    keyring = await certificates.keyring_for_verifier(SUBJECT, certificate, master, ["name"], VERIFIER.identity_key)
    assert await certificates.reveal(VERIFIER, certificate, keyring) == {"name": "Alice"}
    with pytest.raises(InvalidCertificate):
        await certificates.reveal(STRANGER, certificate, keyring)
    with pytest.raises(InvalidCertificate, match="does not have"):
        await certificates.reveal(VERIFIER, certificate, {"age": keyring["name"]})
    with pytest.raises(InvalidCertificate):
        await certificates.reveal(VERIFIER, certificate, {"Email": keyring["name"]})
    with pytest.raises(InvalidCertificate, match="no field"):
        await certificates.keyring_for_verifier(SUBJECT, certificate, master, ["age"], VERIFIER.identity_key)
    with pytest.raises(InvalidCertificate, match="no key"):
        await certificates.keyring_for_verifier(SUBJECT, certificate, {}, ["name"], VERIFIER.identity_key)


async def test_a_keyring_of_another_revealer() -> None:
    """Who made the master keyring need not be the certifier."""
    fields, master = await certificates.encrypt_fields(STRANGER, SUBJECT.identity_key, {"name": "Alice"})
    certificate, _ = await issued({"x": "y"})
    certificate = certificate.model_copy(update={"fields": fields})
    with pytest.raises(InvalidCertificate):
        await certificates.keyring_for_verifier(SUBJECT, certificate, master, ["name"], VERIFIER.identity_key)
    keyring = await certificates.keyring_for_verifier(
        SUBJECT, certificate, master, ["name"], VERIFIER.identity_key, revealer=STRANGER.identity_key
    )
    assert await certificates.reveal(VERIFIER, certificate, keyring) == {"name": "Alice"}


async def test_a_key_is_tried_before_it_is_passed_on() -> None:
    certificate, master = await issued()
    swapped = {**master, "name": master["Email"]}
    with pytest.raises(InvalidCertificate):
        await certificates.keyring_for_verifier(SUBJECT, certificate, swapped, ["name"], VERIFIER.identity_key)
    for broken in ("!!", base64.b64encode(bytes(20)).decode()):
        with pytest.raises(InvalidCertificate):
            await certificates.decrypt_fields(
                SUBJECT, certificate.fields, {**master, "name": broken}, CERTIFIER.identity_key
            )


@given(st.binary(max_size=400))
def test_any_bytes_are_refused_with_an_offset(data: bytes) -> None:
    with pytest.raises(ParseError):
        certificates.parse(data)


@given(st.integers(0, 600), st.integers(0, 255))
def test_altered_bytes_parse_to_themselves_or_are_refused(position: int, value: int) -> None:
    certificate = Certificate(
        type=TYPE,
        serial_number=TYPE,
        subject=SUBJECT.identity_key,
        certifier=CERTIFIER.identity_key,
        revocation_outpoint=OUTPOINT,
        signature="3006020101020101",
        fields={"a": "b", "c": "d"},
    )
    data = bytearray(certificates.serialize(certificate))
    data[position % len(data)] = value
    try:
        found = certificates.parse(bytes(data))
    except ParseError:
        return
    again = certificates.serialize(found)
    assert sorted(again) == sorted(data)
    assert certificates.parse(again) == found


def test_the_two_orders_of_names() -> None:
    names = ["b", "a", "B", "A", "a1", "a_", "a b", "Z", "aB", "ab"]
    assert byte_order(names) == ["A", "B", "Z", "a", "a b", "a1", "aB", "a_", "ab", "b"]
    assert reading_order(names) == ["a", "A", "a b", "a_", "a1", "ab", "aB", "b", "B", "Z"]


async def test_nonces() -> None:
    mine = await certificates.create_nonce(SUBJECT)
    assert await certificates.verify_nonce(SUBJECT, mine)
    assert not await certificates.verify_nonce(STRANGER, mine)
    shared = await certificates.create_nonce(SUBJECT, CERTIFIER.identity_key)
    assert await certificates.verify_nonce(CERTIFIER, shared, SUBJECT.identity_key)
    assert not await certificates.verify_nonce(STRANGER, shared, SUBJECT.identity_key)
    for wrong in ("", "!!", mine[:-4], mine + "AAAA", base64.b64encode(bytes(48)).decode()):
        assert not await certificates.verify_nonce(SUBJECT, wrong)


async def test_both_sides_compute_one_serial_number() -> None:
    client = await certificates.create_nonce(SUBJECT, CERTIFIER.identity_key)
    server = await certificates.create_nonce(CERTIFIER, SUBJECT.identity_key)
    serial = await certificates.serial_number(SUBJECT, client, server, CERTIFIER.identity_key)
    assert serial == await certificates.serial_number(CERTIFIER, client, server, SUBJECT.identity_key)
    assert len(base64.b64decode(serial)) == 32
    with pytest.raises(InvalidCertificate, match="48 bytes"):
        await certificates.serial_number(SUBJECT, client, "AAAA", CERTIFIER.identity_key)


async def asked() -> certificates.IssuanceRequest:
    return await certificates.request_certificate(SUBJECT, CERTIFIER.identity_key, TYPE, FIELDS)


async def test_the_handshake_gives_what_was_asked_for() -> None:
    request = await asked()
    assert await certificates.read_request(CERTIFIER, SUBJECT.identity_key, request) == FIELDS
    answer = await certificates.issue_certificate(CERTIFIER, SUBJECT.identity_key, request)
    assert await certificates.accept_certificate(SUBJECT, CERTIFIER.identity_key, request, answer) == FIELDS


async def test_a_certifier_answers_only_who_asked_it() -> None:
    request = await asked()
    for certifier, subject in ((CERTIFIER, STRANGER), (STRANGER, SUBJECT)):
        with pytest.raises(InvalidCertificate, match="nonce of the request"):
            await certificates.issue_certificate(certifier, subject.identity_key, request)
    spoiled = request._replace(fields={**request.fields, "name": request.fields["Email"]})
    with pytest.raises(InvalidCertificate, match="does not open"):
        await certificates.issue_certificate(CERTIFIER, SUBJECT.identity_key, spoiled)


@pytest.mark.parametrize(
    ("update", "named"),
    [
        ({"serial_number": base64.b64encode(bytes(32)).decode()}, "serial number"),
        ({"type": base64.b64encode(bytes(32)).decode()}, "type"),
        ({"subject": STRANGER.identity_key}, "subject"),
        ({"certifier": STRANGER.identity_key}, "certifier"),
        ({"fields": {"name": "Mallory"}}, "fields"),
    ],
)
async def test_a_subject_takes_only_what_it_asked_for(update: dict[str, object], named: str) -> None:
    request = await asked()
    good = await certificates.issue_certificate(CERTIFIER, SUBJECT.identity_key, request)
    altered = good.certificate.model_copy(update={**update, "signature": ""})
    if named != "certifier":
        altered = await certificates.sign(altered, CERTIFIER)
    answer = good._replace(certificate=altered)
    with pytest.raises(InvalidCertificate, match=f"The {named} of the certificate"):
        await certificates.accept_certificate(SUBJECT, CERTIFIER.identity_key, request, answer)


async def test_an_answer_needs_the_certifiers_nonce_and_signature() -> None:
    request = await asked()
    good = await certificates.issue_certificate(CERTIFIER, SUBJECT.identity_key, request)
    theirs = await certificates.create_nonce(STRANGER, SUBJECT.identity_key)
    with pytest.raises(InvalidCertificate, match="nonce of the answer"):
        await certificates.accept_certificate(
            SUBJECT, CERTIFIER.identity_key, request, good._replace(server_nonce=theirs)
        )
    moved = good.certificate.model_copy(update={"revocation_outpoint": OUTPOINT})
    with pytest.raises(InvalidSignature):
        await certificates.accept_certificate(
            SUBJECT, CERTIFIER.identity_key, request, good._replace(certificate=moved)
        )

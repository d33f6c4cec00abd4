"""Certificates, against @bsv/sdk: each verifies, reads and reveals what the other has issued."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sdk.core.wallet.certificates import Certificate
from sdk.wallet import certificates
from sdk.wallet.certificates.binary import byte_order, reading_order
from sdk.wallet.keys import PrivateKey, ProtoWallet
from support.peers import Peer

if TYPE_CHECKING:
    from collections.abc import Iterator


some = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
KEYS = [PrivateKey.from_int(number) for number in (61, 62, 63)]
CERTIFIER, SUBJECT, VERIFIER = (ProtoWallet(key) for key in KEYS)
TYPE = base64.b64encode(bytes(range(32))).decode()
OUTPOINT = "cd" * 32 + ".7"
names = st.text("abcdefXYZ_- 019", min_size=1, max_size=12).filter(str.strip)
fields = st.dictionaries(names, st.text(st.characters(codec="utf-8"), min_size=1, max_size=30), min_size=1, max_size=4)


@pytest.fixture(scope="module")
def node() -> Iterator[Peer]:
    with Peer.node("keys_wallet") as peer:
        yield peer


def wire(certificate: Certificate) -> dict[str, Any]:
    return certificate.to_wire()


@some
@given(fields)
async def test_what_they_issue(node: Peer, values: dict[str, str]) -> None:
    made = node.call(
        "certificate_issue",
        certifier=KEYS[0].to_hex(),
        subject=SUBJECT.identity_key,
        fields=values,
        type=TYPE,
        serial=TYPE,
        outpoint=OUTPOINT,
    )
    certificate = certificates.parse(bytes.fromhex(made["binary"]))
    certificates.verify(certificate)  # whichever order the names are in
    keyring = made["masterKeyring"]
    opened = await certificates.decrypt_fields(SUBJECT, certificate.fields, keyring, CERTIFIER.identity_key)
    assert opened == values
    chosen = list(values)[:1]
    ours = await certificates.keyring_for_verifier(SUBJECT, certificate, keyring, chosen, VERIFIER.identity_key)
    request: dict[str, Any] = {"root": KEYS[2].to_hex(), "certificate": wire(certificate)}
    read = node.call("certificate_fields", **request, keyring=ours)
    assert read == {name: values[name] for name in chosen}
    theirs = node.call(
        "certificate_reveal",
        root=KEYS[1].to_hex(),
        certifier=CERTIFIER.identity_key,
        verifier=VERIFIER.identity_key,
        certificate=wire(certificate),
        names=chosen,
        keyring=keyring,
    )
    assert await certificates.reveal(VERIFIER, certificate, theirs) == read


@some
@given(fields)
async def test_what_we_issue(node: Peer, values: dict[str, str]) -> None:
    certificate, keyring = await certificates.issue(
        CERTIFIER, SUBJECT.identity_key, values, TYPE, revocation_outpoint=OUTPOINT
    )
    opened = node.call(
        "certificate_master_fields",
        root=KEYS[1].to_hex(),
        counterparty=CERTIFIER.identity_key,
        certificate=wire(certificate),
        keyring=keyring,
    )
    assert opened == values
    if byte_order(values) == reading_order(values):  # else they order them otherwise (docs/differences.md)
        assert node.call("certificate_verify", binary=certificates.serialize(certificate).hex())


def as_told(request: certificates.IssuanceRequest) -> dict[str, Any]:
    return {
        "type": request.type,
        "clientNonce": request.client_nonce,
        "fields": dict(request.fields),
        "masterKeyring": dict(request.master_keyring),
    }


@some
@given(fields)
async def test_it_asks_and_we_issue(node: Peer, values: dict[str, str]) -> None:
    told = node.call(
        "issuance_request", root=KEYS[1].to_hex(), certifier=CERTIFIER.identity_key, type=TYPE, fields=values
    )
    request = certificates.IssuanceRequest(TYPE, told["clientNonce"], told["fields"], told["masterKeyring"])
    assert await certificates.read_request(CERTIFIER, SUBJECT.identity_key, request) == values
    answer = await certificates.issue_certificate(
        CERTIFIER, SUBJECT.identity_key, request, revocation_outpoint=OUTPOINT
    )
    assert await certificates.accept_certificate(SUBJECT, CERTIFIER.identity_key, request, answer) == values
    if byte_order(values) == reading_order(values):  # else they order them otherwise (docs/differences.md)
        opened = node.call(
            "issuance_check",
            root=KEYS[1].to_hex(),
            certifier=CERTIFIER.identity_key,
            clientNonce=request.client_nonce,
            serverNonce=answer.server_nonce,
            masterKeyring=told["masterKeyring"],
            binary=certificates.serialize(answer.certificate).hex(),
        )
        assert opened == values


@some
@given(fields)
async def test_we_ask_and_it_issues(node: Peer, values: dict[str, str]) -> None:
    request = await certificates.request_certificate(SUBJECT, CERTIFIER.identity_key, TYPE, values)
    told = node.call(
        "issuance_answer",
        root=KEYS[0].to_hex(),
        subject=SUBJECT.identity_key,
        outpoint=OUTPOINT,
        **as_told(request),
    )
    assert told["plain"] == values
    answer = certificates.IssuanceAnswer(Certificate.of(told["certificate"]), told["serverNonce"])
    assert await certificates.accept_certificate(SUBJECT, CERTIFIER.identity_key, request, answer) == values

"""Arguments and results of every BRC-100 call in JSON form: full ones, and as small as they get."""

from __future__ import annotations

import base64
from typing import Any, Final

Members = dict[str, Any]

TXID: Final = "aec245f27b7640c8b1865045107731bfb848115c573f7da38166074b1c9e475d"
OTHER: Final = "03895fb984362a4196bc9931629318fcbb2aeba7c6293638119ea653fa31d119"
KEY: Final = "025ad43a22ac38d0bc1f8bacaabb323b5d634703b7a774c4268f6a09e4ddf79097"
PEER: Final = "0294c479f762f6baa97fbcd4393564c1d7bd8336ebd15928135bbcf575cd1a71a1"
LOCK: Final = "76a9143cf53c49c322d9d811728182939aee2dca087f9888ac"
DER: Final = (
    "3045022100a6f09ee70382ab364f3f6b040aebb8fe7a51dbc3b4c99cfeb2f7756432162833022067349b91a6319345996faddf36d1b2f3a"
    "502e4ae002205f9d2db85474f9aed5a"
)
KIND: Final = base64.b64encode(bytes(23) + b"test-type").decode()
SERIAL: Final = base64.b64encode(bytes(14) + b"test-serial-number").decode()
HASH: Final = list(range(32))
TX: Final = [1, 1, 1, 1, *range(60)]
KEYRING: Final = {"email": "ZW1haWwga2V5", "name": "bmFtZSBrZXk="}

_DERIVATION: Members = {"protocolID": [2, "tests of the wire"], "keyID": "key 1", "counterparty": PEER}
_PRIVILEGED: Members = {"privileged": False, "privilegedReason": "to be sure"}
_FULL: Members = {**_DERIVATION, **_PRIVILEGED, "seekPermission": False}
_BARE: Members = {"protocolID": [1, "tests of the wire"], "keyID": "1"}
_CERTIFICATE: Members = {
    "type": KIND,
    "serialNumber": SERIAL,
    "subject": KEY,
    "certifier": PEER,
    "revocationOutpoint": f"{TXID}.300",
    "fields": {"email": "YWxpY2U=", "name": "QWxpY2U="},
    "signature": DER,
}
_IDENTITY: Members = {
    **_CERTIFICATE,
    "certifierInfo": {"name": "Certifier", "iconUrl": "https://a.example/i.png", "description": "Who", "trust": 5},
    "publiclyRevealedKeyring": KEYRING,
    "decryptedFields": {"email": "alice@example.com", "name": "Ålice"},
}
_DISCOVERED: Members = {"totalCertificates": 2, "certificates": [_IDENTITY, _IDENTITY]}
_LINKAGE: Members = {
    "encryptedLinkage": [1, 2, 3],
    "encryptedLinkageProof": [4, 5],
    "prover": KEY,
    "verifier": PEER,
    "counterparty": PEER,
}
_SEND_WITH: list[Members] = [
    {"txid": TXID, "status": "unproven"},
    {"txid": OTHER, "status": "sending"},
    {"txid": OTHER, "status": "failed"},
]
_OUTPUT: Members = {
    "outputIndex": 1,
    "satoshis": 700,
    "lockingScript": LOCK,
    "spendable": True,
    "outputDescription": "an output",
    "basket": "coins",
    "tags": ["red", "blue"],
    "customInstructions": "keep",
}
_INPUT: Members = {
    "sourceOutpoint": f"{OTHER}.0",
    "sourceSatoshis": 1000,
    "sourceLockingScript": LOCK,
    "unlockingScript": "51",
    "inputDescription": "an input",
    "sequenceNumber": 4294967295,
}
_ACTION: Members = {
    "txid": TXID,
    "satoshis": -301,
    "status": "completed",
    "isOutgoing": True,
    "description": "an action",
    "version": 1,
    "lockTime": 500000,
    "labels": ["work"],
    "inputs": [_INPUT],
    "outputs": [_OUTPUT],
}

ARGS: Final[dict[str, list[Members]]] = {
    "createAction": [
        {
            "description": "everything given: ü",
            "inputBEEF": TX,
            "inputs": [
                {
                    "outpoint": f"{TXID}.2",
                    "inputDescription": "signed now",
                    "unlockingScript": "51",
                    "sequenceNumber": 7,
                },
                {"outpoint": f"{OTHER}.70000", "inputDescription": "signed later", "unlockingScriptLength": 107},
            ],
            "outputs": [
                {
                    "lockingScript": LOCK,
                    "satoshis": 2_100_000_000_000_000,
                    "outputDescription": "kept by us",
                    "basket": "coins",
                    "customInstructions": "none",
                    "tags": ["red", "blue"],
                },
                {"lockingScript": "006a", "satoshis": 0, "outputDescription": "some data"},
            ],
            "lockTime": 800000,
            "version": 2,
            "labels": ["work"],
            "options": {
                "signAndProcess": True,
                "acceptDelayedBroadcast": False,
                "trustSelf": "known",
                "knownTxids": [TXID],
                "returnTXIDOnly": False,
                "noSend": True,
                "noSendChange": [f"{TXID}.3"],
                "sendWith": [OTHER],
                "randomizeOutputs": False,
            },
        },
        {"description": "only that", "options": {}},
        {"description": "no options", "inputs": [], "outputs": [], "labels": []},
    ],
    "signAction": [
        {
            "spends": {"0": {"unlockingScript": "51", "sequenceNumber": 1}, "300": {"unlockingScript": "0102"}},
            "reference": "dGVzdA==",
            "options": {
                "acceptDelayedBroadcast": True,
                "returnTXIDOnly": False,
                "noSend": False,
                "sendWith": [TXID, OTHER],
            },
        },
        {"spends": {}, "reference": "dGVzdA=="},
    ],
    "abortAction": [{"reference": "dGVzdA=="}, {"reference": TXID}],
    "listActions": [
        {
            "labels": ["work", "play"],
            "labelQueryMode": "all",
            "includeLabels": True,
            "includeInputs": True,
            "includeInputSourceLockingScripts": True,
            "includeInputUnlockingScripts": False,
            "includeOutputs": True,
            "includeOutputLockingScripts": True,
            "limit": 1000,
            "offset": 5,
            "seekPermission": False,
        },
        {"labels": ["work"], "labelQueryMode": "any"},
        {"labels": []},
    ],
    "internalizeAction": [
        {
            "tx": TX,
            "outputs": [
                {
                    "outputIndex": 0,
                    "protocol": "wallet payment",
                    "paymentRemittance": {
                        "derivationPrefix": "cHJlZml4",
                        "derivationSuffix": "c3VmZml4",
                        "senderIdentityKey": PEER,
                    },
                },
                {
                    "outputIndex": 1,
                    "protocol": "basket insertion",
                    "insertionRemittance": {"basket": "coins", "customInstructions": "keep", "tags": ["red"]},
                },
                {"outputIndex": 2, "protocol": "basket insertion", "insertionRemittance": {"basket": "coins"}},
            ],
            "description": "came in",
            "labels": ["work"],
            "seekPermission": True,
        },
        {"tx": TX, "outputs": [], "description": "came in"},
    ],
    "listOutputs": [
        {
            "basket": "coins",
            "tags": ["red"],
            "tagQueryMode": "all",
            "include": "entire transactions",
            "includeCustomInstructions": True,
            "includeTags": True,
            "includeLabels": False,
            "limit": 10000,
            "offset": 4,
            "seekPermission": True,
        },
        {"basket": "coins", "include": "locking scripts", "tagQueryMode": "any"},
        {"basket": "coins"},
    ],
    "relinquishOutput": [{"basket": "coins", "output": f"{TXID}.4294967295"}],
    "getPublicKey": [
        {"identityKey": True, **_PRIVILEGED, "seekPermission": True},
        {"identityKey": True},
        {**_FULL, "forSelf": True},
        {**_BARE, "counterparty": "anyone"},
    ],
    "revealCounterpartyKeyLinkage": [
        {"counterparty": PEER, "verifier": KEY, **_PRIVILEGED},
        {"counterparty": PEER, "verifier": KEY},
    ],
    "revealSpecificKeyLinkage": [
        {**_DERIVATION, "verifier": KEY, **_PRIVILEGED},
        {**_BARE, "counterparty": "self", "verifier": KEY},
    ],
    "encrypt": [{**_FULL, "plaintext": [0, 1, 255]}, {**_BARE, "plaintext": []}],
    "decrypt": [{**_FULL, "ciphertext": [0, 1, 255]}, {**_BARE, "counterparty": "self", "ciphertext": [9] * 300}],
    "createHmac": [{**_FULL, "data": [1, 2]}, {**_BARE, "data": [1]}],
    "verifyHmac": [{**_FULL, "data": [1, 2], "hmac": HASH}, {**_BARE, "data": [], "hmac": HASH}],
    "createSignature": [{**_FULL, "data": [1, 2]}, {**_BARE, "hashToDirectlySign": HASH}],
    "verifySignature": [
        {**_FULL, "data": [1, 2], "signature": list(bytes.fromhex(DER)), "forSelf": True},
        {**_BARE, "hashToDirectlyVerify": HASH, "signature": [48, 6]},
    ],
    "acquireCertificate": [
        {
            "type": KIND,
            "certifier": PEER,
            "acquisitionProtocol": "direct",
            "fields": {"name": "QWxpY2U=", "email": "YWxpY2U="},
            "serialNumber": SERIAL,
            "revocationOutpoint": f"{TXID}.0",
            "signature": DER,
            "keyringRevealer": PEER,
            "keyringForSubject": KEYRING,
            **_PRIVILEGED,
        },
        {
            "type": KIND,
            "certifier": PEER,
            "acquisitionProtocol": "direct",
            "fields": {},
            "serialNumber": SERIAL,
            "revocationOutpoint": f"{TXID}.0",
            "signature": DER,
            "keyringRevealer": "certifier",
            "keyringForSubject": {},
        },
        {
            "type": KIND,
            "certifier": PEER,
            "acquisitionProtocol": "issuance",
            "fields": {"name": "Alice"},
            "certifierUrl": "https://certifier.example",
        },
    ],
    "listCertificates": [
        {"certifiers": [KEY, PEER], "types": [KIND], "limit": 5, "offset": 0, **_PRIVILEGED},
        {"certifiers": [], "types": []},
    ],
    "proveCertificate": [
        {"certificate": _CERTIFICATE, "fieldsToReveal": ["name"], "verifier": KEY, **_PRIVILEGED},
        {"certificate": _CERTIFICATE, "fieldsToReveal": [], "verifier": KEY},
    ],
    "relinquishCertificate": [{"type": KIND, "serialNumber": SERIAL, "certifier": PEER}],
    "discoverByIdentityKey": [
        {"identityKey": KEY, "limit": 3, "offset": 1, "seekPermission": True},
        {"identityKey": KEY},
    ],
    "discoverByAttributes": [
        {"attributes": {"name": "Alice", "email": "a@b.example"}, "limit": 3, "offset": 1, "seekPermission": False},
        {"attributes": {"name": "Alice"}},
    ],
    "isAuthenticated": [{}],
    "waitForAuthentication": [{}],
    "getHeight": [{}],
    "getHeaderForHeight": [{"height": 850000}, {"height": 0}],
    "getNetwork": [{}],
    "getVersion": [{}],
}

RESULTS: Final[dict[str, list[Members]]] = {
    "createAction": [
        {"txid": TXID, "tx": TX, "noSendChange": [f"{TXID}.1"], "sendWithResults": _SEND_WITH},
        {"signableTransaction": {"tx": TX, "reference": "dGVzdA=="}},
        {"txid": TXID, "noSendChange": [], "sendWithResults": []},
    ],
    "signAction": [{"txid": TXID, "tx": TX, "sendWithResults": _SEND_WITH}, {}],
    "abortAction": [{"aborted": True}],
    "listActions": [
        {
            "totalActions": 3,
            "actions": [
                _ACTION,
                {**_ACTION, "satoshis": 5, "status": "failed", "labels": [], "inputs": [], "outputs": []},
                {
                    "txid": OTHER,
                    "satoshis": 0,
                    "status": "nosend",
                    "isOutgoing": False,
                    "description": "bare",
                    "version": 2,
                    "lockTime": 0,
                },
            ],
        },
        {"totalActions": 0, "actions": []},
    ],
    "internalizeAction": [{"accepted": True}],
    "listOutputs": [
        {
            "totalOutputs": 2,
            "BEEF": TX,
            "outputs": [
                {
                    "satoshis": 700,
                    "spendable": True,
                    "outpoint": f"{TXID}.1",
                    "lockingScript": LOCK,
                    "customInstructions": "keep",
                    "tags": ["red"],
                    "labels": [],
                },
                {"satoshis": 0, "spendable": True, "outpoint": f"{OTHER}.0"},
            ],
        },
        {"totalOutputs": 0, "outputs": []},
    ],
    "relinquishOutput": [{"relinquished": True}],
    "getPublicKey": [{"publicKey": KEY}],
    "revealCounterpartyKeyLinkage": [{**_LINKAGE, "revelationTime": "2026-01-01T00:00:00.000Z"}],
    "revealSpecificKeyLinkage": [{**_LINKAGE, "protocolID": [2, "tests"], "keyID": "1", "proofType": 0}],
    "encrypt": [{"ciphertext": [7] * 49}],
    "decrypt": [{"plaintext": [1, 2]}, {"plaintext": []}],
    "createHmac": [{"hmac": HASH}],
    "verifyHmac": [{"valid": True}],
    "createSignature": [{"signature": list(bytes.fromhex(DER))}],
    "verifySignature": [{"valid": True}],
    "acquireCertificate": [_CERTIFICATE],
    "listCertificates": [
        {
            "totalCertificates": 2,
            "certificates": [
                {**_CERTIFICATE, "keyring": KEYRING, "verifier": PEER},
                {**_CERTIFICATE, "keyring": KEYRING},
            ],
        },
        {"totalCertificates": 2, "certificates": [_CERTIFICATE, _CERTIFICATE]},
        {"totalCertificates": 1, "certificates": [_CERTIFICATE]},
        {"totalCertificates": 0, "certificates": []},
    ],
    "proveCertificate": [{"keyringForVerifier": KEYRING}, {"keyringForVerifier": {}}],
    "relinquishCertificate": [{"relinquished": True}],
    "discoverByIdentityKey": [_DISCOVERED, {"totalCertificates": 0, "certificates": []}],
    "discoverByAttributes": [_DISCOVERED],
    "isAuthenticated": [{"authenticated": True}],
    "waitForAuthentication": [{"authenticated": True}],
    "getHeight": [{"height": 850000}],
    "getHeaderForHeight": [{"header": "01" * 80}],
    "getNetwork": [{"network": "mainnet"}, {"network": "testnet"}],
    "getVersion": [{"version": "wallet-brc100-1.0.0"}],
}

"""Certificates of an authority of ours and of a stranger's, for TLS between orchestrator and module."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sdk.module_runtime.channels.tls import TlsFiles

if TYPE_CHECKING:
    from pathlib import Path


def certificates(folder: Path) -> dict[str, TlsFiles]:
    """A CA with certificates for a server and a module, and a stranger's CA."""
    made = {}
    for ca in ("ours", "strangers"):
        key = ec.generate_private_key(ec.SECP256R1())
        root = _certificate(f"{ca} CA", key.public_key(), f"{ca} CA", key, is_ca=True)
        (folder / f"{ca}.pem").write_bytes(root.public_bytes(serialization.Encoding.PEM))
        for who in ("server", "module"):
            own = ec.generate_private_key(ec.SECP256R1())
            certificate = _certificate(who, own.public_key(), f"{ca} CA", key, is_ca=False)
            paths = [folder / f"{ca}-{who}.{kind}" for kind in ("pem", "key")]
            paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
            paths[1].write_bytes(
                own.private_bytes(
                    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
                )
            )
            made[f"{ca} {who}"] = TlsFiles(str(folder / f"{ca}.pem"), str(paths[0]), str(paths[1]))
    return made


def _certificate(
    name: str, key: ec.EllipticCurvePublicKey, issuer: str, by: ec.EllipticCurvePrivateKey, *, is_ca: bool
) -> x509.Certificate:
    import ipaddress

    def called(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])

    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(called(name))
        .issuer_name(called(issuer))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
    )
    return builder.sign(by, hashes.SHA256())

"""A self-signed certificate for trying the server on a phone, where a microphone needs HTTPS."""

from __future__ import annotations

import ipaddress
import os
import socket
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from media_server.errors import ConfigError

DAYS = 397  # the longest that browsers take


def local_address() -> str:
    """The address by which others in the same network reach this machine; loopback when there is none.

    Connecting a UDP socket sends nothing: it only asks the routing table. 192.0.2.1 is TEST-NET-1 (RFC 5737).
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


def server_context(certfile: str, keyfile: str) -> ssl.SSLContext:
    """A TLS context for the server; raises ConfigError when the files cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certfile, keyfile)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"TLS_CERTFILE or TLS_KEYFILE cannot be used: {error}") from error
    return context


def self_signed(folder: Path) -> tuple[str, str]:
    """(certificate file, key file) in ``folder``, made when missing, expired or made for another address."""
    certfile, keyfile = folder / "self-signed.crt", folder / "self-signed.key"
    addresses = {ipaddress.ip_address(address) for address in ("127.0.0.1", "::1", local_address())}
    if _still_good(certfile, keyfile, addresses):
        return str(certfile), str(keyfile)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "meeting-voice-language")])
    names: list[x509.GeneralName] = [
        x509.DNSName("localhost"),
        x509.DNSName(socket.gethostname() or "localhost"),
    ]
    names += [x509.IPAddress(address) for address in sorted(addresses, key=str)]
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=DAYS))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir(parents=True, exist_ok=True)
    with open(os.open(keyfile, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
    certfile.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return str(certfile), str(keyfile)


def _still_good(
    certfile: Path, keyfile: Path, addresses: set[ipaddress.IPv4Address | ipaddress.IPv6Address]
) -> bool:
    if not (certfile.is_file() and keyfile.is_file()):
        return False
    try:
        certificate = x509.load_pem_x509_certificate(certfile.read_bytes())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound):
        return False
    known = set(names.get_values_for_type(x509.IPAddress))
    return certificate.not_valid_after_utc > datetime.now(UTC) + timedelta(days=7) and addresses <= known

"""https: proven by the name, not by the address that is connected to."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from job_watcher.callbacks.delivery import CallbackSender, trust
from lib.clock import SystemClock
from lib.errors import TemporaryError
from tests.job_watcher.callbacks.receiving import NAME, SECRET, FlippingResolver, Receiver, callback, receiving

if TYPE_CHECKING:
    from pathlib import Path


def certificate(directory: Path, name: str) -> tuple[ssl.SSLContext, list[str | None], Path]:
    """A server that proves to be `name`; the names that it was asked for; and the file that makes one trust it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    proof, private = directory / f"{name}.pem", directory / f"{name}.key"
    proof.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(proof, private)
    asked: list[str | None] = []
    context.sni_callback = lambda _socket, wanted, _context: asked.append(wanted)
    return context, asked, proof


async def delivered(receiver: Receiver, *trusted: Path) -> None:
    """One try to tell the name, which is this receiver's address."""
    tls = trust()
    for proof in trusted:
        tls.load_verify_locations(proof)
    places = (f"{NAME}:{receiver.port}", receiver.place)
    callback_sender = CallbackSender(
        SECRET, places, version="1", clock=SystemClock(), resolver=FlippingResolver(["127.0.0.1"]), tls=tls
    )
    try:
        await callback_sender.deliver(callback(f"https://{NAME}:{receiver.port}/done"))
    finally:
        await callback_sender.aclose()


async def test_the_name_is_asked_for_and_proven(tmp_path: Path) -> None:
    """Connected to an address, but SNI and certificate are those of the name; so is Host."""
    context, asked, proof = certificate(tmp_path, NAME)
    async with receiving(tls=context) as receiver:
        await delivered(receiver, proof)
        assert [request.headers["host"] for request in receiver.requests] == [f"{NAME}:{receiver.port}"]
    assert asked == [NAME]


async def test_a_proof_of_another_name_is_none(tmp_path: Path) -> None:
    """Who stands at the address but cannot prove the name is told nothing."""
    context, _, proof = certificate(tmp_path, "other.example.org")
    async with receiving(tls=context) as receiver:
        with pytest.raises(TemporaryError, match="CERTIFICATE_VERIFY_FAILED"):
            await delivered(receiver, proof)
        assert receiver.requests == []


async def test_a_proof_that_nobody_trusts_is_none(tmp_path: Path) -> None:
    """Made by itself, for the right name."""
    context, _, _ = certificate(tmp_path, NAME)
    async with receiving(tls=context) as receiver:
        with pytest.raises(TemporaryError, match="CERTIFICATE_VERIFY_FAILED"):
            await delivered(receiver)
        assert receiver.requests == []


async def test_this_machines_own_authorities_are_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As an operator names them for every program: SSL_CERT_FILE, beside the bundled ones."""
    context, _, proof = certificate(tmp_path, NAME)
    monkeypatch.setenv("SSL_CERT_FILE", str(proof))
    async with receiving(tls=context) as receiver:
        await delivered(receiver)
        assert len(receiver.requests) == 1
    assert len(trust().get_ca_certs()) > 50

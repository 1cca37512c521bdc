"""The client's connection against a service that fails: retries, TLS, several servers."""

import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from ipaddress import ip_address

import grpc
import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from celflow.errors import UserError
from serving.client import (
    Client,
    Prediction,
    ServerDown,
    ServerError,
    connection,
)

from .grpc_services import Flaky, served


@pytest.fixture
def flaky() -> Iterator[tuple[Flaky, Client]]:
    service = Flaky()
    with served(service) as address, Client(address, timeout=5) as client:
        yield service, client


def ask(client: Client) -> Prediction:
    return client.run("m", {"x": np.float32([1])})


def test_unavailable_is_retried(flaky: tuple[Flaky, Client]) -> None:
    service, client = flaky
    service.failures = [grpc.StatusCode.UNAVAILABLE] * 3
    assert ask(client).outputs["y"].tolist() == [4]


@pytest.mark.parametrize("code", ["INTERNAL", "INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"])
def test_nothing_else_is_retried(flaky: tuple[Flaky, Client], code: str) -> None:
    service, client = flaky
    service.failures = [grpc.StatusCode[code]]
    with pytest.raises(ServerError, match="flaky") as refusal:
        ask(client)
    assert refusal.value.code == code
    assert service.calls == 1


def test_retries_end_with_the_timeout(flaky: tuple[Flaky, Client]) -> None:
    service, client = flaky
    service.failures = [grpc.StatusCode.UNAVAILABLE] * 100
    client.timeout = 0.25
    started = time.monotonic()
    with pytest.raises(ServerDown):
        ask(client)
    assert time.monotonic() - started < 0.5


def test_patience_outlasts_a_restart(
    flaky: tuple[Flaky, Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    service, client = flaky
    service.failures = [grpc.StatusCode.UNAVAILABLE] * 6
    monkeypatch.setattr(connection, "_LONGEST_WAIT_SECONDS", 0.1)
    client.patience = client.timeout
    assert ask(client).outputs["y"].tolist() == [7]


def test_a_busy_server_is_not_said_to_be_missing(flaky: tuple[Flaky, Client]) -> None:
    service, client = flaky
    service.failures = [grpc.StatusCode.UNAVAILABLE] * 2
    client.patience = 0.1
    with pytest.raises(ServerDown, match="is unavailable: flaky"):
        ask(client)


def test_server_without_a_health_service_is_healthy_when_it_answers(
    flaky: tuple[Flaky, Client],
) -> None:
    assert flaky[1].healthy()


def test_requests_spread_over_the_servers_behind_one_name() -> None:
    services = Flaky(), Flaky()
    with served(services[0]) as one, served(services[1]) as two, Client(f"{one},{two}") as c:
        for _ in range(200):  # the second connection may come later than the first
            ask(c)
            if all(service.calls for service in services):
                return
            time.sleep(0.01)
    raise AssertionError("one server got all requests")


def test_only_numbers_stand_among_several_servers() -> None:
    assert connection.target("models:8500") == "models:8500"
    assert connection.target("10.0.0.1:1, 10.0.0.2:2") == "ipv4:10.0.0.1:1,10.0.0.2:2"
    with pytest.raises(UserError, match="'models:8500' among several servers must be"):
        Client("10.0.0.1:8500,models:8500")


def test_tls() -> None:
    key, certificate = self_signed("127.0.0.1")
    credentials = grpc.ssl_server_credentials([(key, certificate)])
    with served(Flaky(), credentials) as address:
        trusting = grpc.ssl_channel_credentials(certificate)
        with Client(address, credentials=trusting) as client:
            assert ask(client).outputs["y"].tolist() == [1]
        with Client(address, patience=0) as client, pytest.raises(ServerDown):
            ask(client)


def self_signed(address: str) -> tuple[bytes, bytes]:
    """Key and certificate of an IP address, PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, address)])
    now = datetime.now(timezone.utc)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))]), False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    return (
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
        certificate.public_bytes(pem),
    )

"""More than one plain server: replicas with Sentinels, a Cluster, TLS. All on loopback, with short deadlines.

Built of `servers`; the same rule holds: nothing here knows pytest, and whoever starts something ends it.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.servers import RealServer, Redis7Server, ServerFailedError, ValkeyServer, free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

SERVICE = "queue"
DOWN_AFTER_MS = 500
DEADLINE_SECONDS = 30.0
_PAUSE_SECONDS = 0.02


class Sentinel(ValkeyServer):
    """One Sentinel; `master` is where the service's master is when it begins."""

    def __init__(self, directory: Path, master: int, *, quorum: int = 2, epoch: int = 0) -> None:
        super().__init__(directory)
        self._master = master
        self._quorum = quorum
        self._epoch = epoch

    def _arguments(self) -> list[str]:
        config = self.directory / "sentinel.conf"
        # It writes what it learns into its file, so a restart goes on with that.
        if not config.exists():
            lines = [
                f"sentinel monitor {SERVICE} 127.0.0.1 {self._master} {self._quorum}",
                f"sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER_MS}",
                f"sentinel failover-timeout {SERVICE} 3000",
                f"sentinel config-epoch {SERVICE} {self._epoch}",
            ]
            config.write_text("\n".join(lines) + "\n")
        return [
            str(config),
            "--sentinel",
            *("--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.directory)),
            *("--logfile", str(self.log_file), "--daemonize", "no"),
        ]


@dataclass
class Watched:
    """Two servers and three Sentinels that watch them."""

    first: RealServer
    second: RealServer
    sentinels: tuple[Sentinel, ...]

    @property
    def url(self) -> str:
        """By way of the Sentinels."""
        return f"redis+sentinel://{self.hosts}/{SERVICE}/0"

    @property
    def hosts(self) -> str:
        """The Sentinels, as a URL names them."""
        return ",".join(f"127.0.0.1:{each.port}" for each in self.sentinels)

    def master(self) -> RealServer:
        """Whom the Sentinels name now."""
        reply = self.sentinels[0].command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
        return self.second if str(self.second.port).encode() in reply else self.first

    def settled(self) -> bool:
        """Whether every Sentinel knows the others and the replica, and all name one master that is one."""
        for sentinel in self.sentinels:
            said = sentinel.command("INFO", "sentinel")
            if b"slaves=1,sentinels=3" not in said or b"status=ok" not in said:
                return False
        return role(self.master()) == "master"

    def caught_up(self) -> bool:
        """Whether the replica has everything that the master had a moment ago."""
        other = self.second if self.master() is self.first else self.first
        return b"master_link_status:up" in other.command("INFO", "replication")


def role(server: RealServer) -> str:
    """`master` or `slave`; empty when it does not answer."""
    with contextlib.suppress(OSError):
        for line in server.command("INFO", "replication").splitlines():
            if line.startswith(b"role:"):
                return line.removeprefix(b"role:").decode()
    return ""


def until(predicate: Callable[[], bool], what: str) -> None:
    """Wait for servers among themselves; blocks."""
    end = time.monotonic() + DEADLINE_SECONDS
    while not predicate():
        if time.monotonic() > end:
            raise ServerFailedError(f"not within {DEADLINE_SECONDS:g} s: {what}")
        time.sleep(_PAUSE_SECONDS)


@contextmanager
def watched(directory: Path, *, options: Sequence[str] = ()) -> Iterator[Watched]:
    """A master, its replica and three Sentinels with a quorum of two; all ended at the end."""
    common = ("--repl-diskless-sync-delay", "0", "--repl-timeout", "5", *options)
    with ExitStack() as stack:
        first = stack.enter_context(ValkeyServer(directory / "first", options=common))
        follow = ("--replicaof", f"127.0.0.1 {first.port}")
        second = stack.enter_context(ValkeyServer(directory / "second", options=(*common, *follow)))
        sentinels = [Sentinel(directory / f"sentinel-{i}", first.port) for i in range(3)]
        for sentinel in sentinels:
            stack.enter_context(sentinel)
        group = Watched(first, second, tuple(sentinels))
        until(lambda: group.settled() and group.caught_up(), "Sentinels that know each other")
        yield group


@dataclass
class Cluster:
    """Nodes of one Cluster; the slots are spread over them in equal parts, in order."""

    nodes: tuple[RealServer, ...]

    def owner(self, slot: int) -> RealServer:
        """The node that was given this slot at the start."""
        return self.nodes[slot * len(self.nodes) // SLOTS]

    def move(self, slot: int, to: RealServer) -> None:
        """Give an empty slot to another node."""
        node_id = to.command("CLUSTER", "MYID").split(b"\r\n")[1].decode()
        for node in (to, *(each for each in self.nodes if each is not to)):
            node.command("CLUSTER", "SETSLOT", str(slot), "NODE", node_id)


SLOTS = 16384


@contextmanager
def cluster(directory: Path, *, count: int = 2, kind: type[RealServer] = ValkeyServer) -> Iterator[Cluster]:
    """A Cluster of masters without replicas; all ended at the end."""
    with ExitStack() as stack:
        nodes: list[RealServer] = []
        buses: list[int] = []
        for i in range(count):
            buses.append(free_port())
            options = ("--cluster-enabled", "yes", "--cluster-port", str(buses[i]), "--cluster-node-timeout", "2000")
            nodes.append(stack.enter_context(kind(directory / f"node-{i}", options=options)))
            begin, end = (-(-SLOTS * place // count) for place in (i, i + 1))
            nodes[i].command("CLUSTER", "ADDSLOTSRANGE", str(begin), str(end - 1))
            nodes[i].command("CLUSTER", "SET-CONFIG-EPOCH", str(i + 1))
        for node, bus in zip(nodes[1:], buses[1:], strict=True):
            nodes[0].command("CLUSTER", "MEET", "127.0.0.1", str(node.port), str(bus))
        ready = (b"cluster_state:ok", f"cluster_known_nodes:{count}\r".encode(), b"cluster_slots_ok:16384")
        until(lambda: all(sign in node.command("CLUSTER", "INFO") for node in nodes for sign in ready), "a Cluster")
        yield Cluster(tuple(nodes))


@dataclass(frozen=True)
class Papers:
    """Files in PEM: a CA, a certificate of it with its key, and a CA that has signed nothing here."""

    ca: Path
    certificate: Path
    key: Path
    stranger: Path


def papers(directory: Path, *, host: str = "127.0.0.1") -> Papers:
    """Make a CA and what it signs, for one host, good for a day."""
    directory.mkdir(parents=True, exist_ok=True)
    made = Papers(*(directory / f"{name}.pem" for name in ("ca", "certificate", "key", "stranger")))
    ca_key, own_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))])
    made.ca.write_bytes(_signed("a CA", ca_key, "a CA", ca_key))
    made.certificate.write_bytes(_signed("a server", own_key, "a CA", ca_key, address))
    made.key.write_bytes(
        own_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    other_key = ec.generate_private_key(ec.SECP256R1())
    made.stranger.write_bytes(_signed("another CA", other_key, "another CA", other_key))
    return made


def _signed(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    by: str,
    by_key: ec.EllipticCurvePrivateKey,
    address: x509.SubjectAlternativeName | None = None,
) -> bytes:
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, by)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=address is None, path_length=None), critical=True)
    )
    if address is not None:
        builder = builder.add_extension(address, critical=False)
    return builder.sign(by_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@contextmanager
def tls_server(directory: Path, made: Papers, *, wants_certificate: bool = False) -> Iterator[tuple[RealServer, int]]:
    """A Redis 7.0 with a plain and a TLS port; the bundled Valkey is built without TLS."""
    port = free_port()
    options = (
        *("--tls-port", str(port), "--tls-cert-file", str(made.certificate), "--tls-key-file", str(made.key)),
        *("--tls-ca-cert-file", str(made.ca), "--tls-auth-clients", "yes" if wants_certificate else "no"),
    )
    with Redis7Server(directory, options=options) as server:
        yield server, port

"""The instruments: what breaks a link breaks it, for that link alone, and mending mends it."""

from __future__ import annotations

import pathlib

import pytest
from client import Peer
from network import LOSSY, NamespaceNetwork, Network, ProxyNetwork, why_no_namespaces
from wire import Server

NETWORKS: list[type[Network]] = [ProxyNetwork] if why_no_namespaces() else [ProxyNetwork, NamespaceNetwork]
# More than a link that works ever takes, in seconds; a broken one uses it up.
PATIENCE = 0.3


def answers(peer: Peer, count: int = 1) -> bool:
    """Whether pings are answered."""
    for _ in range(count):
        frame = peer.request()
        frame.ping.payload = b"?"
        try:
            peer.send(frame)
            while peer.frame().id != frame.id:
                pass
        except OSError:
            return False
    return True


@pytest.mark.parametrize(("kind", "way"), [(kind, way) for kind in NETWORKS for way in kind.ways if way != LOSSY])
def test_a_link_breaks_alone_and_is_mended(kind: type[Network], way: str, tmp_path: pathlib.Path) -> None:
    network = kind()
    try:
        with Server(tmp_path / "log", *network.flags, listen=f"{network.listen}:0", wrap=network.wrap) as server:
            network.open(server.port, 2)
            (host, port), (other_host, other_port) = network.address(0), network.address(1)
            with Peer(port, PATIENCE, host) as broken, Peer(other_port, 10, other_host) as other:
                broken.greet(client="a")
                other.greet(client="b")
                network.break_links([0], way)
                assert not answers(broken, 2)
                assert answers(other)
                network.mend([0])
            with Peer(port, 10, host) as again:
                again.greet(client="c")
                assert answers(again)
    finally:
        network.close()

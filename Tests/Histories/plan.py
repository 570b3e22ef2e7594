"""What a run does, all of it from its seed: the network, the clients, and the faults at counts of events."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import workload

NETWORKS = ("namespace", "proxy", "loopback")
SERVER_FAULTS = ("kill server", "stop server", "drain server", "crash server in a sync", "crash server in a write")
CLIENT_FAULTS = ("kill client", "stop client", "replace producer")
LINK_FAULTS = ("break links",)

PRODUCERS = {"raw_producers:NumberedProducer": 4, "raw_producers:PlainProducer": 2,
             "package_clients:PackageProducer": 2, "command_clients:CommandProducer": 1}
SUBSCRIBERS = {"raw_subscriber:RawSubscriber": 4, "package_clients:PackageSubscriber": 2,
               "package_clients:PackageReader": 1, "command_clients:CommandSubscriber": 1}


@dataclass
class Fault:
    what: str
    at: int
    """Acknowledgements after which it begins."""
    lasts: int
    """What must happen, as `Clients.happened` counts it, until it ends."""
    client: str = ""
    """Whom a client's fault concerns."""
    links: list[int] = field(default_factory=list)
    way: int = 0
    """Which of the ways in which links break, modulo their number."""
    call: int = 1
    """The call in which the server dies."""

    @property
    def subject(self) -> str:
        """What has one fault at a time."""
        return "server" if self.what in SERVER_FAULTS else self.client or "links"


@dataclass
class ClientPlan:
    name: str
    role: str
    hub: str = ""
    size: int = 0
    start: dict[str, Any] | None = None
    filter: dict[str, list[str]] | None = None
    joins_at: int = 0
    """Acknowledgements after which it starts."""


@dataclass
class Plan:
    seed: int
    network: str
    settings: list[str]
    """The server's, as flags: small files and little memory in some runs, so that subscribers are served from all of them."""
    producers: list[ClientPlan]
    subscribers: list[ClientPlan]
    faults: list[Fault]
    secured: bool
    """Whether everybody speaks TLS and shows a token, and the rights of readers are asked."""

    @classmethod
    def of(cls, seed: int) -> Plan:
        chance = random.Random(seed)
        network = NETWORKS[seed % len(NETWORKS)]
        producers = [producer(chance, index) for index in range(chance.randint(2, 4))]
        # Batches of three on average; some of a plain producer are never answered.
        acknowledgements = sum(one.size // 4 for one in producers)
        subscribers = [subscriber(chance, index, acknowledgements) for index in range(chance.randint(2, 4))]
        kinds = SERVER_FAULTS + CLIENT_FAULTS
        # The first kind goes round, so that a hundred runs have them all.
        chosen = [kinds[seed // len(NETWORKS) % len(kinds)], *chance.choices(kinds, k=chance.randint(0, 2))]
        if network != "loopback":
            chosen += LINK_FAULTS * chance.randint(1, 2)
        faults = [fault(chance, what, producers, subscribers, acknowledgements) for what in chosen]
        for one in faults:
            one.way = seed // len(NETWORKS)
        settings = [
            *("--segment-bytes", str(chance.choice((65_536, 1 << 28)))),
            *("--tail-bytes", str(chance.choice((65_536, 1 << 26)))),
            *("--event-loops", str(chance.choice((1, 2, 4)))),
        ]
        return cls(seed, network, settings, producers, subscribers, sorted(faults, key=lambda one: one.at), chance.random() < 0.5)


def producer(chance: random.Random, index: int) -> ClientPlan:
    roles = list(PRODUCERS)
    role = roles[0] if index == 0 else chance.choices(roles, PRODUCERS.values())[0]
    size = chance.randint(30, 60) if role.startswith("command") else chance.randint(120, 300)
    return ClientPlan(f"p{index}", role, hub=chance.choice(workload.HUBS), size=size)


def subscriber(chance: random.Random, index: int, acknowledgements: int) -> ClientPlan:
    """The first one sees everything."""
    roles = list(SUBSCRIBERS)
    if index == 0:
        return ClientPlan("s0", roles[0], start={"earliest": True})
    return ClientPlan(
        f"s{index}",
        chance.choices(roles, SUBSCRIBERS.values())[0],
        start=chance.choice(({"earliest": True}, {"latest": True}, {"sequence": 0})),
        filter=workload.filter(chance) if chance.random() < 0.6 else None,
        joins_at=chance.randrange(acknowledgements) if chance.random() < 0.5 else 0,
    )


def fault(
    chance: random.Random, what: str, producers: list[ClientPlan], subscribers: list[ClientPlan], acknowledgements: int
) -> Fault:
    result = Fault(what, at=chance.randint(1, max(2, acknowledgements * 2 // 3)), lasts=chance.randint(1, 40))
    clients = producers + subscribers
    if what == "replace producer":
        result.client = chance.choice([one for one in producers if one.role == "raw_producers:NumberedProducer"]).name
    elif what in CLIENT_FAULTS:
        result.client = chance.choice(clients).name
    elif what in LINK_FAULTS:
        result.links = sorted(chance.sample(range(len(clients)), chance.randint(1, len(clients))))
    elif what.startswith("crash"):
        # It ends when the server has died.
        result.call, result.lasts = chance.randint(1, 12), 1000
    return result

"""How the clients of a run reach its server: one link each, which can be broken for it alone."""

from __future__ import annotations

import asyncio
import pathlib
import random
import subprocess
import threading
from collections.abc import Collection, Coroutine
from typing import Any

from proxy import Proxy

RESET = "reset"
LOSSY = "lossy"
TO_SERVER, TO_CLIENT, BOTH = "drop to server", "drop to client", "drop both"


class Network:
    """Loopback: nothing can be broken."""

    ways: tuple[str, ...] = ()
    """What can be done to a link."""
    wrap: tuple[str, ...] = ()
    """What stands before the server's command."""
    listen = "127.0.0.1"
    flags: tuple[str, ...] = ()
    host = "127.0.0.1"
    """Where the server is reached whatever is broken."""
    hosts: tuple[str, ...] = ("127.0.0.1",)
    """All addresses of the server."""

    def open(self, port: int, links: int) -> None:
        """The server listens on `port`, and there will be so many links."""
        self.port = port

    def address(self, link: int) -> tuple[str, int]:
        return self.host, self.port

    def break_links(self, links: Collection[int], way: str) -> None:
        raise NotImplementedError

    def mend(self, links: Collection[int]) -> None:
        raise NotImplementedError

    def close(self) -> None:
        pass


class ProxyNetwork(Network):
    """A proxy in this process for each link. Drops are delays, as with TCP; a reset ends the connections at both ends."""

    ways = (RESET, TO_SERVER, TO_CLIENT, BOTH)

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._proxies: list[Proxy] = []

    def open(self, port: int, links: int) -> None:
        super().open(port, links)

        async def start() -> None:
            self._proxies = [await Proxy(port).__aenter__() for _ in range(links)]

        self._do(start())

    def address(self, link: int) -> tuple[str, int]:
        host, _, port = self._proxies[link].address.rpartition(":")
        return host, int(port)

    def break_links(self, links: Collection[int], way: str) -> None:
        async def break_off() -> None:
            for proxy in (self._proxies[link] for link in links):
                if way == RESET:
                    proxy.cut()
                else:
                    proxy.hold(to_server=way in (TO_SERVER, BOTH), to_client=way in (TO_CLIENT, BOTH))

        self._do(break_off())

    def mend(self, links: Collection[int]) -> None:
        async def release() -> None:
            for link in links:
                self._proxies[link].release()

        self._do(release())

    def close(self) -> None:
        async def end() -> None:
            for proxy in self._proxies:
                await proxy.__aexit__()
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        self._do(end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(30)


class NamespaceNetwork(Network):
    """The server in a network namespace of its own, with one address for each link, and packets that are lost or answered with a reset there.

    A reset "at" one end is seen by that one alone, until the other one sends something.
    """

    ways = (RESET, RESET + " at the client", RESET + " at the server", LOSSY, TO_SERVER, TO_CLIENT, BOTH)
    listen = "0.0.0.0"
    flags = ("--insecure-listen",)

    # Of 198.18.0.0/15, which is kept for tests (RFC 2544). In each /24 the server has 1 on, and 250 that is never broken.
    _SUBNETS, _UNBROKEN, _CLIENTS = 512, 250, 254

    def __init__(self) -> None:
        slot = self._take_slot()
        self._subnet = f"198.{18 + slot // 256}.{slot % 256}"
        self._name = self._name_of(slot)
        self.wrap = ("ip", "netns", "exec", self._name)
        self.host = f"{self._subnet}.{self._UNBROKEN}"
        self.hosts = tuple(f"{self._subnet}.{host}" for host in (*range(1, 17), self._UNBROKEN))
        self._broken: dict[int, str] = {}
        try:
            run("ip", "link", "add", self._name, "type", "veth", "peer", "name", "server", "netns", self._name)
            run("ip", "addr", "add", f"{self._subnet}.{self._CLIENTS}/24", "dev", self._name)
            run("ip", "link", "set", self._name, "up")
            addresses = [f"addr add {host}/24 dev server" for host in self.hosts]
            batch = "\n".join([*addresses, "link set server up", "link set lo up"])
            run("ip", "-n", self._name, "-batch", "-", stdin=batch)
            self._filter(
                "add table ip links; add chain ip links in { type filter hook input priority 0; };"
                "add chain ip links out { type filter hook output priority 0; }"
            )
        except BaseException:
            self.close()
            raise

    @staticmethod
    def _name_of(slot: int) -> str:
        return f"hubaudit-{slot}"

    def _take_slot(self) -> int:
        """Makes the namespace of a subnet that nobody else on this machine uses."""
        slots = random.sample(range(self._SUBNETS), self._SUBNETS)
        while True:
            slot = slots.pop()
            try:
                run("ip", "netns", "add", self._name_of(slot))
                return slot
            except OSError:
                if not (slots and pathlib.Path("/run/netns", self._name_of(slot)).exists()):
                    raise

    def address(self, link: int) -> tuple[str, int]:
        return f"{self._subnet}.{link + 1}", self.port

    def break_links(self, links: Collection[int], way: str) -> None:
        self._broken.update(dict.fromkeys(links, way))
        self._apply()

    def mend(self, links: Collection[int]) -> None:
        for link in links:
            self._broken.pop(link, None)
        self._apply()

    def _apply(self) -> None:
        rules = ["flush chain ip links in", "flush chain ip links out"]
        for link, way in self._broken.items():
            arriving = f"add rule ip links in ip daddr {self._subnet}.{link + 1}"
            leaving = f"add rule ip links out ip saddr {self._subnet}.{link + 1}"
            if way in (TO_SERVER, BOTH):
                rules.append(f"{arriving} drop")
            if way in (TO_CLIENT, BOTH):
                rules.append(f"{leaving} drop")
            if way == LOSSY:
                rules += [f"{chain} numgen random mod 100 < 30 drop" for chain in (arriving, leaving)]
            if way in (RESET, f"{RESET} at the client"):
                rules.append(f"{arriving} meta l4proto tcp reject with tcp reset")
            if way in (RESET, f"{RESET} at the server"):
                rules.append(f"{leaving} tcp flags != rst reject with tcp reset")
        self._filter("\n".join(rules))

    def _filter(self, rules: str) -> None:
        run(*self.wrap, "nft", "-f", "-", stdin=rules)

    def close(self) -> None:
        # The devices would go with the namespace, but later.
        for command in (["ip", "link", "del", self._name], ["ip", "netns", "del", self._name]):
            subprocess.run(command, capture_output=True, check=False)


def run(*command: str, stdin: str = "") -> None:
    """Raises OSError with what the command said."""
    result = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise OSError(f"{' '.join(command)}: {result.stderr.strip()}")


def why_no_namespaces() -> str | None:
    """Why network namespaces can not be had here; None when they can."""
    try:
        NamespaceNetwork().close()
    except OSError as error:
        return str(error)
    return None

"""Filters: how much one may ask for, what they take together, and what is said of erased records that one might have wanted."""

from __future__ import annotations

import pytest
from hostile import MiB, greeted, hostile, request_bytes
from hubaudit._proto import frames_pb2
from peers import GoodPeers, eventually, memory, metric
from wire import Server

Code = frames_pb2.Error.Code
# A connection, and a read or a subscription of it: Documentation/operators.md.
CONNECTION_BYTES = 100 << 10
REQUEST_BYTES = 1 << 10
# The allocator's and the good peers' own.
SLACK_BYTES = 32 * MiB


def request(connection, values: list[str], field: str = "kinds", what: str = "subscribe", credit: int = 1) -> frames_pb2.ClientFrame:
    frame = connection.request()
    part = getattr(frame, what)
    part.start.latest = True
    getattr(part.filter, field).extend(values)
    if what == "subscribe":
        part.credit = credit
    return frame


@pytest.mark.parametrize("what", ["subscribe", "read"])
def test_a_filter_with_too_much_is_refused_by_name_and_the_connection_goes_on(tmp_path, what):
    with Server(tmp_path / "log") as server, server.connect() as connection:
        limits = connection.hello(client="test").limits
        assert (limits.filter_values, limits.filter_bytes) == (1000, 65536)
        most = [f"{number:05}" for number in range(limits.filter_values)]
        for field in ("kinds", "hubs", "agents", "channels", "tasks"):
            reply = connection.ask(request(connection, [*most, "one more"], field, what))
            assert reply.error.code == Code.CODE_LIMIT_EXCEEDED and "filter_values" in reply.error.message and "1001" in reply.error.message
            reply = connection.ask(request(connection, ["x" * limits.filter_bytes, "y"], field, what))
            assert reply.error.code == Code.CODE_LIMIT_EXCEEDED and "filter_bytes" in reply.error.message and "65537" in reply.error.message
        # Values of all lists together.
        frame = request(connection, most, "kinds", what)
        getattr(frame, what).filter.agents.append("a")
        assert connection.ask(frame).error.code == Code.CODE_LIMIT_EXCEEDED
        for values in (most, ["x" * limits.filter_bytes]):
            assert connection.ask(request(connection, values, "kinds", what)).WhichOneof("reply") != "error"


def test_the_limits_of_filters_are_settings(tmp_path):
    flags = ("--filter-values", "3", "--filter-bytes", "256", "--all-filter-bytes", "1048576")
    with Server(tmp_path / "log", *flags) as server, server.connect() as connection:
        limits = connection.hello(client="test").limits
        assert (limits.filter_values, limits.filter_bytes) == (3, 256)
        assert "filter_values" in connection.ask(request(connection, list("abcd"))).error.message
        assert "filter_bytes" in connection.ask(request(connection, ["x" * 257])).error.message
        assert connection.ask(request(connection, list("abc"))).subscription.state == frames_pb2.SubscriptionState.STATE_CAUGHT_UP


def large_filter(name: str) -> list[str]:
    return [f"{name} {number} {'x' * 45}" for number in range(1000)]


def test_filters_take_no_more_memory_than_is_promised(tmp_path):
    everything = 8 * MiB
    with Server(tmp_path / "log", "--all-filter-bytes", str(everything)) as server, GoodPeers(server) as good:
        before = memory(server)
        connections = []
        refused = {"connection": 0, "all": 0}
        for number in range(100):
            connection = server.connect(client="greedy")
            connections.append(connection)
            for subscription in range(10):
                reply = connection.ask(request(connection, large_filter(f"{number} {subscription}")))
                if reply.WhichOneof("reply") == "error":
                    assert reply.error.code == Code.CODE_LIMIT_EXCEEDED
                    refused["all" if "all_filter_bytes" in reply.error.message else "connection"] += 1
        assert refused["connection"] > 100 and refused["all"] > 100
        assert memory(server) - before < everything + len(connections) * CONNECTION_BYTES + SLACK_BYTES
        # One that many ask for takes its place once.
        held = metric(server, "hubaudit_subscriptions")
        connections.pop().close()
        connections.pop(0).close()
        eventually(lambda: metric(server, "hubaudit_subscriptions") < held, "closed connections keep their subscriptions")
        for connection in connections[:1]:
            same = large_filter("the same")
            for other in [server.connect(client="shares") for _ in range(50)]:
                assert other.ask(request(other, same)).WhichOneof("reply") == "subscription"
                connections.append(other)
        for connection in connections:
            connection.close()
        # What they held is free again.
        eventually(lambda: metric(server, "hubaudit_subscriptions") == 1, "closed connections keep their subscriptions")
        with server.connect(client="late") as late:
            assert late.ask(request(late, large_filter("late"))).WhichOneof("reply") == "subscription"
        good.go_on()


def test_filtered_subscriptions_that_wait_for_credit_hold_no_memory_for_reading(tmp_path):
    count = 20
    with Server(tmp_path / "log") as server, hostile() as connect:
        with server.connect(hub="filler") as hub:
            for _ in range(4):
                hub.append(*[{"kind": "filler", "pad": "x" * 8000}] * 100)
        with GoodPeers(server) as good:
            before = memory(server)
            for _ in range(count):
                peer = greeted(connect, server, client="gives credit for one record each")
                frames = []
                for id in range(2, 62):
                    frame = frames_pb2.ClientFrame(id=id)
                    frame.subscribe.start.earliest = True
                    frame.subscribe.filter.kinds.append("filler")
                    frame.subscribe.credit = 1
                    frames.append(request_bytes(frame))
                peer.sendall(b"".join(frames))
            eventually(lambda: metric(server, "hubaudit_subscriptions") == count * 60 + 1, "they are not all there")
            good.go_on()
            taken = count * 60 * 8200
            assert memory(server) - before < taken + count * (CONNECTION_BYTES + 60 * REQUEST_BYTES) + SLACK_BYTES
            good.go_on()

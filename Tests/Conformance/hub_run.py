"""A real AG2 hub with agents, channels, tasks and a failing turn: every kind of record that AG2's AuditLog writes, from AG2 itself."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta, timezone

from ag2 import Agent
from ag2.knowledge import MemoryKnowledgeStore
from ag2.network import CONSULTING_TYPE, CONVERSATION_TYPE, AuditLog, Hub, Passport, Resume, Rule
from ag2.task import TaskMetadata, TaskSpec, TaskState
from ag2.testing import TestConfig

KINDS = {
    "agent_registered",
    "agent_unregistered",
    "resume_set",
    "skill_set",
    "rule_set",
    "channel_created",
    "channel_closed",
    "channel_expired",
    "expectation_violated",
    "task_terminated",
    "turn_failed",
}

# One after each step of a run: the number of the step.
AfterStep = Callable[[int], Awaitable[None]]


class Clock:
    """Stands still unless it is told to move, so that two logs of one hub write the same times."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, 0, 0, 0, tzinfo=timezone.utc)

    def __call__(self) -> str:
        return self.now.isoformat()

    def move(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class Turns:
    """A listener that knows how many turns have failed."""

    def __init__(self) -> None:
        self._failed = asyncio.Semaphore(0)

    async def on_turn_failed(self, *_: object) -> None:
        self._failed.release()

    async def wait_failed(self) -> None:
        await self._failed.acquire()


class HubRun:
    """A hub with `audit_log` as its audit log and AG2's own, on the same clock, as another listener."""

    def __init__(self, hub: Hub, clock: Clock, own: AuditLog) -> None:
        self.hub = hub
        self.clock = clock
        self.own = own
        """AG2's log, on a store in memory."""
        self.turns = Turns()

    @classmethod
    async def open(cls, make_log: Callable[[Clock], Awaitable[AuditLog]]) -> "HubRun":
        clock = Clock()
        hub = await Hub.open(MemoryKnowledgeStore(), clock=clock, ttl_sweep_interval=0, expectation_sweep_interval=0)
        own = AuditLog(MemoryKnowledgeStore(), clock=clock)
        hub.replace_audit_log(await make_log(clock))
        hub.register_listener(own)
        run = cls(hub, clock, own)
        hub.register_listener(run.turns)
        return run

    async def go(self, after_step: AfterStep, rounds: int = 1) -> None:
        """Runs every step `rounds` times, with `after_step` behind each, and closes the hub."""
        number = 0
        for turn in range(rounds):
            state: dict = {"suffix": str(turn)}
            for step in STEPS:
                await step(self, state)
                await after_step(number)
                number += 1
        await self.hub.close()


async def _register(run: HubRun, s: dict) -> None:
    s["ada"] = await run.hub.register(
        Agent(f"ada{s['suffix']}", config=TestConfig("fine")), Passport(name=f"Ada-Grüße-{s['suffix']}"), Resume(claimed_capabilities=["sum"])
    )
    s["bob"] = await run.hub.register(Agent(f"bob{s['suffix']}", config=TestConfig(RuntimeError('model "down"\nZeile 2 🌍'))))
    s["eve"] = await run.hub.register(Agent(f"eve{s['suffix']}", config=TestConfig("answer")))


async def _identity(run: HubRun, s: dict) -> None:
    ada = s["ada"].agent_id
    run.clock.move(0.25)
    await run.hub.set_skill(ada, "---\nname: sums\n---\nadds")
    await run.hub.set_skill(ada, None)
    await run.hub.set_rule(ada, Rule())
    await run.hub.set_resume(ada, Resume(claimed_capabilities=["sum"], version=3))


async def _failing_turn(run: HubRun, s: dict) -> None:
    s["channel"] = await s["ada"].open(type=CONVERSATION_TYPE, target=s["bob"].passport.name)
    await s["channel"].send("hello")
    await run.turns.wait_failed()


async def _tasks(run: HubRun, s: dict) -> None:
    ada, bob, suffix = s["ada"].agent_id, s["bob"].agent_id, s["suffix"]
    run.clock.move(1)

    async def observe(name: str, owner: str, **fields: object) -> str:
        task_id = f"{name}-{suffix}"
        spec = TaskSpec(name, capability="sum" if owner == ada else None)
        await run.hub.observe_task(TaskMetadata(task_id, owner, spec, TaskState.RUNNING, **fields))
        return task_id

    done = await observe("done", ada)
    await run.hub.update_task(done, progress={"half": 1})
    await run.hub.update_task(done, state=TaskState.COMPLETED, result=42)
    await run.hub.record_observation(owner_id=ada, capability="sum", outcome=TaskState.COMPLETED, latency_ms=3, task_id=done)
    failed = await observe("failed", bob)
    await run.hub.update_task(failed, state=TaskState.FAILED, error="böse \u2028 \x00 \ud83c \t")
    cancelled = await observe("cancelled", bob)
    await run.hub.update_task(cancelled, state=TaskState.CANCELLED, error="")
    await observe("late", bob, expires_at=(run.clock.now + timedelta(seconds=10)).isoformat())
    run.clock.move(11)
    await run.hub.expire_due()
    await observe("cascaded", ada, channel_id=s["channel"].channel_id)


async def _not_recorded(run: HubRun, s: dict) -> None:
    await run.hub.fire_task_event("t", "mirror_failed", {"op": "started"})
    await run.hub.fire_task_event("t", "of its own kind", {})


async def _expectations(run: HubRun, s: dict) -> None:
    run.clock.move(4000)
    await run.hub._expectation_tick()
    await run.hub._expectation_tick()


async def _close(run: HubRun, s: dict) -> None:
    await s["channel"].close(reason="done – with \"quotes\"")


async def _auto_close(run: HubRun, s: dict) -> None:
    # Nobody answers: the consulting channel's expectation closes it.
    eve = s["eve"]
    eve.on_envelope(_ack_only(eve))
    channel = await s["ada"].open(type=CONSULTING_TYPE, target=eve.passport.name)
    await channel.send("are you there?")
    run.clock.move(1000)
    await run.hub._expectation_tick()


def _ack_only(client) -> Callable[..., Awaitable[None]]:
    from ag2.network.client.handlers import _auto_ack_invite
    from ag2.network.envelope import EV_CHANNEL_INVITE

    async def handle(envelope) -> None:
        if envelope.event_type == EV_CHANNEL_INVITE:
            await _auto_ack_invite(envelope, client)

    return handle


async def _expire(run: HubRun, s: dict) -> None:
    await s["ada"].open(type=CONVERSATION_TYPE, target=s["bob"].passport.name, ttl=60)
    run.clock.move(61)
    await run.hub.expire_due()


async def _own_records(run: HubRun, s: dict) -> None:
    # What a tenant appends goes to the log that the hub names; AG2's own gets the same.
    for record in ({"kind": "deployed", "at": run.clock(), "version": 30}, {"ratio": 30.0, "of": None}, {"kind": "set", "s": {1}}):
        await run.hub.audit_log.append(record)
        await run.own.append(record)


async def _unregister(run: HubRun, s: dict) -> None:
    await run.hub.unregister(s["bob"].agent_id)


STEPS = [
    _register,
    _identity,
    _failing_turn,
    _tasks,
    _not_recorded,
    _expectations,
    _close,
    _auto_close,
    _expire,
    _own_records,
    _unregister,
]

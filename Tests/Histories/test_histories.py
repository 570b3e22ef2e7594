"""Many producers and subscribers against a running server, under faults; each run's history is held against every promise.

    HUBAUDIT_RUNS   how many runs (100)
    HUBAUDIT_SEED   the first one's seed; the others count up from it. One run unless HUBAUDIT_RUNS says more
"""

from __future__ import annotations

import os
import pathlib
import random
import shutil
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby

import pytest
from faults import FAULTS
from network import NamespaceNetwork, ProxyNetwork, why_no_namespaces
from run import Outcome, Run

SEED = os.environ.get("HUBAUDIT_SEED")
RUNS = int(os.environ.get("HUBAUDIT_RUNS") or (1 if SEED else 100))
# Runs wait more than they work.
AT_A_TIME = 2 * (os.cpu_count() or 1)


def test_every_promise_holds_under_faults(capsys: pytest.CaptureFixture[str]) -> None:
    first = int(SEED) if SEED else random.randrange(1 << 32)
    why_not = why_no_namespaces()
    # Not pytest's: what failed stays until somebody has looked at it.
    base = pathlib.Path(tempfile.mkdtemp(prefix="hubaudit-histories-"))

    def play(seed: int) -> Outcome:
        directory = base / str(seed)
        directory.mkdir()
        outcome = Run(seed, directory, namespaces=why_not is None).play()
        if not outcome.violations:
            shutil.rmtree(directory)
        return outcome

    with capsys.disabled():
        print(f"\n{RUNS} runs, seeds {first} to {first + RUNS - 1}", flush=True)
        if why_not is not None:
            print(f"no network namespaces here ({why_not}): links are broken by the proxy only")
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        outcomes = list(pool.map(play, range(first, first + RUNS)))
    counts = sum((outcome.counts for outcome in outcomes), Counter())
    with capsys.disabled():
        print(", ".join(f"{count} {what}" for what, count in sorted(counts.items())))
    failed = [outcome for outcome in outcomes if outcome.violations]
    assert not failed, "\n".join(report(outcome) for outcome in failed)
    base.rmdir()
    if RUNS >= 100:
        ways = ProxyNetwork.ways if why_not else ProxyNetwork.ways + NamespaceNetwork.ways
        wanted = {*FAULTS, *ways, "crashes", "with TLS and rights", "re-sent and known", "resumed", "superseded", "unanswered"} - {"break links"}
        assert not wanted - counts.keys(), "runs that never met what they are for"


def report(outcome: Outcome) -> str:
    """The seed, where the history is, and a few violations of each promise; all are in the file beside the history."""
    text = [f"seed {outcome.seed}: repeat with HUBAUDIT_SEED={outcome.seed}; its history is in {outcome.directory}"]
    for promise, violations in groupby(outcome.violations, key=lambda violation: violation.partition(":")[0]):
        found = list(violations)
        text += [f"  {violation}" for violation in found[:3]]
        if len(found) > 3:
            text.append(f"  {promise}: {len(found) - 3} more in violations.txt")
    return "\n".join(text)

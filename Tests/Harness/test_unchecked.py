"""Every annotation that takes a check from the compiler is listed here, and its reason stands beside it in the code.

    python3 Tests/Harness/test_unchecked.py      prints all of them
"""

from __future__ import annotations

import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]
ANNOTATION = re.compile(
    r"@exclusivity\(unchecked\)|@unchecked Sendable|nonisolated\(unsafe\)|unowned\(unsafe\)|unsafeDowncast|unsafeBitCast|"
    r"withoutActuallyEscaping|Unmanaged\b"
)
REASON = re.compile(r"//.*(@unchecked Sendable`|`@unchecked`:|Exclusivity checks are off|nonisolated\(unsafe\)`:)")
# Files, and how many annotations each may have. A new one needs its reason, and for @exclusivity(unchecked) a measurement.
ALLOWED = {
    "AuditBench/Appender.swift": 1,
    "AuditBench/Subscriber.swift": 1,
    "AuditLog/AppendBatch.swift": 9,
    "AuditLog/CommitBytes.swift": 3,
    "AuditLog/ConditionLock.swift": 1,
    "AuditLog/ProducerHistory.swift": 1,
    "AuditSchema/DecodeArena.swift": 1,
    "AuditSchema/EncodedRecords.swift": 7,
    "AuditSchema/EventTranslator.swift": 1,
    "AuditSchema/TextBuffer.swift": 3,
    "AuditServer/EventLoopShard.swift": 1,
    "AuditServer/LogScanner.swift": 1,
    "AuditServer/ScanMemory.swift": 1,
    "AuditServer/SessionEvidence.swift": 1,
    "hubaudit/Signals.swift": 1,
}


def found() -> list[tuple[str, int, str, bool]]:
    """(file, line number, line, whether a reason stands above it in the same file)"""
    annotations = []
    for path in sorted((ROOT / "Sources").rglob("*.swift")):
        hasReason = False
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if REASON.search(line):
                hasReason = True
            elif ANNOTATION.search(line.split("//")[0]):
                annotations.append((str(path.relative_to(ROOT / "Sources")), number, line.strip(), hasReason))
    return annotations


def test_every_unchecked_annotation_is_listed():
    counts: dict[str, int] = {}
    for name, _, _, _ in found():
        counts[name] = counts.get(name, 0) + 1
    assert counts == ALLOWED


def test_every_unchecked_annotation_has_its_reason():
    without = [f"{name}:{number}: {line}" for name, number, line, hasReason in found() if not hasReason]
    assert not without


if __name__ == "__main__":
    for name, number, line, _ in found():
        print(f"{name}:{number}: {line}")

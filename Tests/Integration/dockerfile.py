"""Reads a Dockerfile: its stages, and their instructions with what they say."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import re


@dataclasses.dataclass
class Instruction:
    name: str
    flags: dict[str, str]
    value: str

    @property
    def words(self) -> list[str]:
        """The exec form, or the words of a plain one."""
        return json.loads(self.value) if self.value.startswith("[") else self.value.split()

    @property
    def is_exec_form(self) -> bool:
        return self.value.startswith("[")


@dataclasses.dataclass
class Stage:
    base: str
    name: str | None
    instructions: list[Instruction]

    def all(self, name: str) -> list[Instruction]:
        return [instruction for instruction in self.instructions if instruction.name == name]

    def last(self, name: str) -> Instruction:
        return self.all(name)[-1]

    @property
    def environment(self) -> dict[str, str]:
        """What ENV gives to the containers."""
        return dict(instruction.value.split("=", 1) for instruction in self.all("ENV"))


def parse(path: pathlib.Path) -> list[Stage]:
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
    stages: list[Stage] = []
    arguments: dict[str, str] = {}
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        if not line.strip():
            continue
        name, rest = line.split(None, 1)
        flags = {}
        while match := re.match(r"--([a-z-]+)=(\S+)\s+", rest):
            flags[match[1]] = match[2]
            rest = rest[match.end() :]
        if name == "ARG" and not stages:
            key, _, value = rest.partition("=")
            arguments[key] = value
        elif name == "FROM":
            base, _, stage = re.sub(r"\$\{(\w+)\}", lambda m: arguments[m[1]], rest).partition(" AS ")
            stages.append(Stage(base, stage or None, []))
        else:
            stages[-1].instructions.append(Instruction(name, flags, rest))
    return stages


def ignored(path: str, patterns: list[str]) -> bool:
    """Whether a .dockerignore leaves `path` (relative, of a file) out, for the forms of patterns that ours uses."""
    parts = path.split("/")
    for pattern in patterns:
        if pattern.startswith("**/"):
            if any(pathlib.PurePath(part).match(pattern[3:]) for part in parts):
                return True
        else:
            wanted = pattern.split("/")
            if len(parts) >= len(wanted) and all(pathlib.PurePath(p).match(w) for p, w in zip(parts, wanted, strict=False)):
                return True
    return False

"""The worked examples of PROTOCOL.md. As a program: writes their hex blocks anew from their text."""

import dataclasses
import re

from google.protobuf import text_format

from contract import ROOT, messages, take_varint, varint

PAGE = ROOT / "Proto" / "hubaudit" / "v1" / "PROTOCOL.md"
EXAMPLE = re.compile(r"### (?P<title>[^\n]+)\n\n```textproto\n# (?P<type>\w+)\n(?P<text>.*?)```\n\n```hex\n(?P<hex>.*?)```\n", re.DOTALL)


@dataclasses.dataclass
class Example:
    title: str
    type: str
    text: str
    wire: bytes

    @property
    def message(self):
        """What the text says."""
        return text_format.Parse(self.text, messages()[self.type]())

    @property
    def decoded(self):
        """What the bytes say."""
        length, start = take_varint(self.wire)
        assert length == len(self.wire) - start, f"{self.title}: the length says {length}, {len(self.wire) - start} bytes follow"
        return messages()[self.type].FromString(self.wire[start:])


def encoded(message) -> bytes:
    frame = message.SerializeToString(deterministic=True)
    return varint(len(frame)) + frame


def hex_block(wire: bytes) -> str:
    return "".join(wire[i : i + 24].hex(" ") + "\n" for i in range(0, len(wire), 24))


def examples() -> dict[str, Example]:
    found = [
        Example(match["title"], match["type"], match["text"], bytes.fromhex(match["hex"])) for match in EXAMPLE.finditer(PAGE.read_text())
    ]
    return {example.title: example for example in found}


def write() -> None:
    def renewed(match: re.Match) -> str:
        example = Example(match["title"], match["type"], match["text"], b"")
        begin, end = match.start("hex") - match.start(), match.end("hex") - match.start()
        return match[0][:begin] + hex_block(encoded(example.message)) + match[0][end:]

    PAGE.write_text(EXAMPLE.sub(renewed, PAGE.read_text()))


if __name__ == "__main__":
    write()

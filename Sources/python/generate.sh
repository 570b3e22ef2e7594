#!/bin/sh
# Makes hubaudit/_proto/*_pb2.py and .pyi from Proto/, into the directory given (default: hubaudit/_proto). Needs protoc (Debian).
#
# protoc writes imports for a top-level package `hubaudit.v1`; they are rewritten to where the files are. hubaudit/v1 gives the modules under
# the names that protoc has for them. And they are put into a descriptor pool of the package's own: what somebody else generates from another
# version of Proto/ lives beside them in one process. Types that protoc leaves open are closed, for type checkers in strict mode.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
out=${1:-$here/hubaudit/_proto}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

protoc --proto_path="$root/Proto" --python_out="$work" --pyi_out="$work" \
  hubaudit/v1/record.proto hubaudit/v1/event.proto hubaudit/v1/frames.proto

mkdir -p "$out"
for file in "$work"/hubaudit/v1/*_pb2.py "$work"/hubaudit/v1/*_pb2.pyi; do
  sed -e 's/^from hubaudit\.v1 import /from hubaudit._proto import /' \
    -e 's/^from google\.protobuf import descriptor_pool as _descriptor_pool$/from hubaudit._proto import POOL as _POOL/' \
    -e 's/_descriptor_pool\.Default()/_POOL/' \
    -e '/^from typing import /s/Mapping as _Mapping/Any as _Any, &/' -e '/^ /s/\b_Mapping\b/_Mapping[str, _Any]/g' \
    -e 's/__slots__ = /__slots__: list[str] = /' "$file" > "$out/$(basename "$file")"
done

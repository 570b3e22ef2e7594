#!/bin/sh
# Checks logs with software that hubaudit's authors did not write.
#
#   verify.sh VKEY DIRECTORY-OR-URL...
#
# Needs Debian's golang-go and golang-golang-x-mod-dev. With a Python that has pymerkle in $PYTHON, checks with that too.
# Directories to try it on: HUBAUDIT_EVIDENCE_DIRECTORY=DIR swift test --filter TileDirectoryTests
set -eu
here=$(cd "$(dirname "$0")" && pwd)
vkey=$1
shift
verifier=$(mktemp)
trap 'rm -f "$verifier"' EXIT
(cd "$here" && GO111MODULE=off GOPATH="${GOPATH:-/usr/share/gocode}" go build -o "$verifier" verify.go claims.go)
for log in "$@"; do
  "$verifier" -vkey "$vkey" -log "$log"
  if [ -n "${PYTHON:-}" ]; then "$PYTHON" "$here/verify.py" "$log"; fi
done

#!/bin/sh
# Prints the commit whose contract the work tree must not break: the previous release, whose names
# callers use. Without it in the history: main, or on main's own tip, the commit before it.
set -eu
previous=$(cat "$(dirname "$0")/../tests/compat/PREVIOUS")
if git cat-file -e "$previous^{commit}" 2>/dev/null; then
  echo "$previous"
  exit
fi
main=$(git rev-parse --verify --quiet origin/main || git rev-parse --verify --quiet main || echo HEAD)
if [ "$(git rev-parse HEAD)" = "$(git rev-parse "$main")" ] && git diff --quiet HEAD -- protos; then
  git rev-parse --verify --quiet HEAD~1 || git rev-parse HEAD
else
  echo "$main"
fi

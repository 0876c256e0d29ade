#!/bin/sh
# Prints the commit whose contract the work tree must not break: main, or on main's own tip, the
# commit before it.
set -eu
main=$(git rev-parse --verify --quiet origin/main || git rev-parse --verify --quiet main || echo HEAD)
if [ "$(git rev-parse HEAD)" = "$(git rev-parse "$main")" ] && git diff --quiet HEAD -- protos; then
  git rev-parse --verify --quiet HEAD~1 || git rev-parse HEAD
else
  echo "$main"
fi

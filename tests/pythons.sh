#!/usr/bin/env bash
# Runs a part of the suite, and the demo, on every other CPython from 3.11 upwards that this machine
# has, each in an environment of its own.
#
#   pythons.sh PYTHON [TEST...]
#
# PYTHON is the one to leave out, as `make test` runs on it; without TEST the whole suite runs.
# Looked for are python3.N on the PATH and in the folders of pyenv and uv.
set -euo pipefail
cd "$(dirname "$0")/.."
made_with=$1
shift

candidates() {
  local IFS=: folder
  for folder in $PATH "${PYENV_ROOT:-$HOME/.pyenv}"/versions/*/bin \
    "${UV_PYTHON_INSTALL_DIR:-$HOME/.local/share/uv/python}"/*/bin; do
    compgen -G "$folder/python3.[0-9][0-9]" || true
  done
}

# Prints MINOR.VERSION PATH of the newest of each minor version, but for the one left out.
others() {
  local path
  while IFS= read -r path; do
    # A shim of pyenv fails for the versions that are not selected.
    "$path" - "$path" 2>/dev/null <<'PY' || true
import sys
import ensurepip, venv  # Debian packages them apart
if sys.implementation.name == "cpython" and sys.version_info >= (3, 11):
    print("%d.%d %d" % sys.version_info[:3], sys.argv[1])
PY
  done < <(candidates) | sort -k1,1V -k2,2nr | awk '!seen[$1]++ { print $1, $3 }' |
    grep -v "^$("$made_with" -c 'import sys; print("%d.%d" % sys.version_info[:2])') " || true
}

failed=0 count=0
while read -r version path; do
  count=$((count + 1))
  echo "== CPython $version ($path)"
  make --no-print-directory test demo VENV=".venv-$version" PYTHON="$path" TESTS="$*" </dev/null ||
    failed=1
done < <(others)
echo "tried $count other CPythons"
exit $failed

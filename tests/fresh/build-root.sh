#!/usr/bin/env bash
# Builds the Debian root folder of a fresh machine, once per machine, and prints its path: Debian 12
# with apt, as every Debian has it, and what the README asks for: Python with its venv module, and
# make. See tests/debian/root.sh for the settings.
set -euo pipefail
# shellcheck source=tests/debian/root.sh
source "$(dirname "$0")/../debian/root.sh"

# check_root FOLDER: Python starts
check_root() {
  in_root "$1" python3 -c 'import ensurepip, venv' 2>>"$log"
}

debian_root fresh 2 apt,python3,python3-venv,make "170 MB" bookworm

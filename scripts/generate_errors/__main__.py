"""Generates the error classes and their reference page from the options in errors.proto.

    python scripts/generate_errors GENERATED ROOT

Reads the stubs and attachery.binpb in GENERATED, and writes files below ROOT. `make proto` runs it
with the Python of scripts/proto-requirements.txt.
"""

from __future__ import annotations

import sys
from pathlib import Path

import modules
import page
from definitions import Contract
from tree import classes_of


def main(generated: Path, root: Path) -> None:
    contract = Contract.read(generated)
    classes = list(classes_of(contract.reasons))
    service, client = root / "service/attachery_service/domain", root / "service/attachery_client"
    write(service / "errors.py", modules.service_errors(classes))
    write(service / "field_messages.py", modules.field_messages(contract.reasons))
    write(service / "next_actions.py", modules.next_actions(contract.next_actions))
    write(client / "errors.py", modules.client_errors(classes))
    write(root / "docs/errors.md", page.reference(contract))


def write(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

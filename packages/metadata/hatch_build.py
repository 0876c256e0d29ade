"""The version of every distribution of this repository, and how they depend on each other."""

from __future__ import annotations

from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

VERSION = "0.2.0"


class OneVersion(MetadataHookInterface):
    """Sets the version, and `{version}` in the dependencies of `tool.hatch.metadata.hooks.custom`.

    So a distribution always requires its siblings of the same version.
    """

    def update(self, metadata: dict[str, Any]) -> None:
        """Fill in the dynamic fields."""
        metadata["version"] = VERSION
        metadata["dependencies"] = [
            requirement.format(version=VERSION) for requirement in self.config["dependencies"]
        ]

"""Puts the configs of the repository into what is built, where users find them by name."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ConfigsHook(BuildHookInterface):
    """Copies ``configs/<folder>`` of the repository into the package; ``pyproject.toml`` names it.

    An editable installation reads them in the checkout. A source distribution has them in the
    package already, and no repository around it.
    """

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Runs before each build."""
        root = Path(self.root)
        if version == "editable" or (root / "PKG-INFO").is_file():
            return
        place = self.config["package"]
        if self.target_name == "sdist":
            place = f"src/{place}"
        for folder in self.config["folders"]:
            source = root.parents[1] / "configs" / folder
            build_data["force_include"][str(source)] = f"{place}/configs/{folder}"

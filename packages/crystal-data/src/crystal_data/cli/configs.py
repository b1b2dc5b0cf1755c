"""`configs` of every package: the configs that are found by name."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from crystal_data.cli.command_parser import CommandParser
from crystal_data.processes import report_errors
from crystal_data.shipped_configs import announced_configs, find_config, summary

ANNOUNCED = "--config NAME"


@report_errors
def main(argv: Sequence[str] | None = None) -> int:
    """Lists what fit, validate, test and predict take, or prints one."""
    return show_configs({ANNOUNCED: announced_configs()}, argv)


def show_configs(groups: Mapping[str, Mapping[str, Path]], argv: Sequence[str] | None) -> int:
    """Lists the names with a line about each, or prints the file of one.

    Args:
        groups: How configs are used, such as ``"--config NAME"``, to name and file of each.
        argv: Arguments.

    Returns:
        Exit status.

    Raises:
        ConfigError: If there is no config of that name.
    """
    parser = CommandParser(
        f"{Path(sys.argv[0]).name} configs",
        "List the configs that come with the installed packages, or print one.",
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="config to print")
    name = parser.parse(argv).name
    every = {name: file for files in groups.values() for name, file in files.items()}
    if name is not None:
        print(find_config(name, every).read_text(encoding="utf-8"), end="")
        return 0
    width = max(map(len, every), default=0)
    for usage, files in groups.items():
        print(usage)
        for one, file in files.items():
            print(f"  {one:<{width}}  {summary(file)}")
    return 0

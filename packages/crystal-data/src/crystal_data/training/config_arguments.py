"""Where the configs stand among the arguments of a command."""

from collections.abc import Sequence
from pathlib import Path

from crystal_data.shipped_configs import announced_configs, find_config

TRAINER_COMMANDS = ("fit", "validate", "test", "predict")
_CONFIG = ("--config", "-c")


def configs_first(args: Sequence[str]) -> list[str]:
    """The arguments with all ``--config`` and ``-c`` in front, behind the subcommand.

    The parser reads from left to right: an option before the config that says which class it
    belongs to cannot be understood, and one before the config that it overrides has no effect.
    """
    left = list(args)
    first = [left.pop(0)] if left and left[0] in TRAINER_COMMANDS else []
    configs: list[str] = []
    others: list[str] = []
    while left:
        arg = left.pop(0)
        chosen = configs if arg.startswith("--config=") or arg in _CONFIG else others
        chosen.append(arg)
        if arg in _CONFIG and left:
            chosen.append(left.pop(0))
    return [*first, *configs, *others]


def named_configs(args: Sequence[str]) -> list[str]:
    """The arguments with the file of each shipped config in place of its name.

    Raises:
        ConfigError: If ``--config`` or ``-c`` names neither a file nor a shipped config.
    """
    found = list(args)
    for index, arg in enumerate(args):
        if arg in _CONFIG and index + 1 < len(args):
            found[index + 1] = _file_of(args[index + 1])
        elif arg.startswith("--config="):
            found[index] = f"--config={_file_of(arg.partition('=')[2])}"
    return found


def _file_of(config: str) -> str:
    if is_content(config):
        return config
    return str(find_config(config, announced_configs()))


def is_content(config: str) -> bool:
    """Whether it is the content of a config, which the parser takes in place of a file too."""
    return "{" in config or "\n" in config or ": " in config


def given_configs(args: Sequence[str]) -> list[str]:
    """What is given by ``--config`` or ``-c``, in order."""
    configs = []
    for index, arg in enumerate(args):
        if arg in _CONFIG and index + 1 < len(args):
            configs.append(args[index + 1])
        elif arg.startswith("--config="):
            configs.append(arg.partition("=")[2])
    return configs


def config_files(args: Sequence[str]) -> list[Path]:
    """Files given by ``--config`` or ``-c``, in order."""
    return [Path(config) for config in given_configs(args) if not is_content(config)]

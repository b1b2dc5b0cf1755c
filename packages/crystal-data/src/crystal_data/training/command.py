"""The command of `fit`, `validate`, `test` and `predict`: looks for mistyped names, then trains.

Importing torch and Lightning takes seconds, so the names come first.
"""

import sys
from collections.abc import Sequence

from crystal_data.processes.launched import is_launched_first
from crystal_data.shipped_configs import ConfigError
from crystal_data.training.allowed_paths import AllowedPaths, split_modules
from crystal_data.training.config_arguments import configs_first, named_configs
from crystal_data.training.short_help import short_help
from crystal_data.training.suggest import explain


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one of `fit`, `validate`, `test` and `predict`.

    Args:
        argv: The subcommand and its options.

    Returns:
        Exit status.

    Raises:
        SystemExit: If a name is wrong, after a message.
    """
    modules, args = split_modules(sys.argv[1:] if argv is None else argv)
    if {"-h", "--help"} & set(args):
        print(short_help(args[0]), end="")
        return 0
    args = ["--help" if word == "--help-all" else word for word in args]
    message = _wrong_name(args, modules)
    if message is not None:
        if is_launched_first():
            print(f"error: {message}", file=sys.stderr)
        raise SystemExit(2)
    from crystal_data.training.cli import run_command

    return run_command(args, modules)


def _wrong_name(args: Sequence[str], modules: Sequence[str]) -> str | None:
    try:
        found = named_configs(configs_first(args))
    except ConfigError as error:
        return f"--config: {error}"
    return explain(found, AllowedPaths(modules))

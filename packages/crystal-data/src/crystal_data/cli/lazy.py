"""A top level for commands that imports nothing until a subcommand was chosen."""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from textwrap import fill
from types import ModuleType

from typing_extensions import override

from crystal_data.processes.launched import is_launched_first
from crystal_data.processes.parent import end_with_parent
from crystal_data.processes.progress import say
from crystal_data.processes.signals import until_signal

_TRAINER = "crystal_data.training.command:main"
_SLOW = ("torch", "pymatgen")  # whose import takes seconds


@dataclass(frozen=True, slots=True)
class Command:
    """One subcommand, named by a string so that listing it costs no import.

    Args:
        summary: One line for ``--help``.
        target: ``"package.module:function"``; the function takes a list of arguments and returns
            the exit status.
        prefix: Arguments put before those of the user, for a target that serves several commands.
    """

    summary: str
    target: str
    prefix: tuple[str, ...] = ()


TRAINER_COMMANDS: Mapping[str, Command] = {
    "fit": Command("train a model from a config: a YAML file or a name", _TRAINER, ("fit",)),
    "validate": Command("score a checkpoint on the validation split", _TRAINER, ("validate",)),
    "test": Command("score a checkpoint on the test split", _TRAINER, ("test",)),
    "predict": Command("predict with a checkpoint and write a table", _TRAINER, ("predict",)),
    "configs": Command("list the configs that are found by name", "crystal_data.cli.configs:main"),
}


def dispatch(
    program: str,
    description: str,
    commands: Mapping[str, Command],
    argv: Sequence[str] | None = None,
) -> int:
    """Runs the chosen command, or lists all of them.

    The whole ``__main__.py`` of a model package is::

        from crystal_data.cli.lazy import TRAINER_COMMANDS, Command, dispatch

        COMMANDS = {
            **TRAINER_COMMANDS,
            "export": Command("write an element table", "crystal_embed.commands.export_table:main"),
        }

        def main(argv: Sequence[str] | None = None) -> int:
            return dispatch("crystal-embed", "Atomic embeddings.", COMMANDS, argv)

        if __name__ == "__main__":
            raise SystemExit(main())

    Args:
        program: Name of the command.
        description: One line about the whole command.
        commands: Name to command, in the order of the help.
        argv: Arguments after the program's name; those of the process by default.

    Returns:
        Exit status: that of the command, 2 for a command that does not exist, 130 after Ctrl-C,
        143 after SIGTERM.
    """
    end_with_parent()
    _announce_slow_imports()
    arguments = list(sys.argv[1:] if argv is None else argv)

    def run() -> int:
        status = 0
        try:
            status = _run(program, description, commands, arguments)
            sys.stdout.flush()
        except OSError as error:
            # Of standard output; commands report those of their files. Python flushes it once more
            # when it ends. A reader that has seen enough, such as `head`, needs no message.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            # A command that failed has said why: the same, if it filled the buffer while it ran.
            if not isinstance(error, BrokenPipeError) and status == 0:
                print(f"error: standard output: {error.strerror}", file=sys.stderr)
            return 1
        return status

    return until_signal(program, run)


class _SlowFinder(MetaPathFinder):
    """Says that a slow library is being imported, the first one alone; it finds nothing."""

    @override
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname in _SLOW:
            sys.meta_path.remove(self)
            say(f"loading {fullname} …")
        return None


def _announce_slow_imports() -> None:
    is_told = any(isinstance(finder, _SlowFinder) for finder in sys.meta_path)
    if not is_told and is_launched_first() and sys.modules.keys().isdisjoint(_SLOW):
        sys.meta_path.insert(0, _SlowFinder())


def _run(
    program: str, description: str, commands: Mapping[str, Command], arguments: list[str]
) -> int:
    if not arguments or arguments[0] in {"-h", "--help"}:
        print(_help(program, description, commands))
        return 0
    name, *rest = arguments
    if name == "--version":
        from importlib.metadata import version

        print(f"{program} {version(_distribution(commands))}")
        return 0
    if name not in commands:
        near = get_close_matches(name, commands, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(commands)}"
        kind = "option" if name.startswith("-") else "command"
        print(f"{program}: no {kind} '{name}'; {hint}", file=sys.stderr)
        return 2
    command = commands[name]
    module, function = command.target.split(":")
    status = getattr(import_module(module), function)([*command.prefix, *rest])
    return int(status or 0)


def _help(program: str, description: str, commands: Mapping[str, Command]) -> str:
    width = max(map(len, commands))
    lines = [f"  {name:<{width}}  {command.summary}" for name, command in commands.items()]
    return "\n".join(
        [
            f"usage: {program} COMMAND …",
            "",
            fill(description, 88),
            "",
            "commands:",
            *lines,
            "",
            f"`{program} COMMAND --help` tells more about one.",
        ]
    )


def _distribution(commands: Mapping[str, Command]) -> str:
    # A command's own package holds whatever it does not share with the others.
    shared = {command.target for command in TRAINER_COMMANDS.values()}
    own = [command.target for command in commands.values() if command.target not in shared]
    return own[0].split(".")[0].replace("_", "-")

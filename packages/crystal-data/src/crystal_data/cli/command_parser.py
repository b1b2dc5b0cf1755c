"""An argument parser that answers a mistake with one line, and with the nearest right option."""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from difflib import get_close_matches
from typing import NoReturn

from typing_extensions import override


class CommandParser(ArgumentParser):
    """Of one subcommand; options have their full names, and inputs may stand among them."""

    def __init__(self, program: str, description: str, **options: object) -> None:
        super().__init__(program, description=description, allow_abbrev=False, **options)  # type: ignore[arg-type]

    def parse(self, argv: Sequence[str] | None) -> Namespace:
        """Reads the arguments; those of the process if None.

        Raises:
            SystemExit: With status 2 for a mistake, which is printed.
        """
        parsed, unknown = self.parse_known_intermixed_args(argv)
        if unknown:
            self.refuse_unknown(unknown[0])
        return parsed

    def option_names(self) -> set[str]:
        """Every spelling of every option."""
        return {name for action in self._actions for name in action.option_strings}

    def refuse_unknown(self, argument: str) -> NoReturn:
        """Ends the process because of an option that there is not.

        Raises:
            SystemExit: Always, with status 2.
        """
        name = argument.partition("=")[0]
        names = sorted(self.option_names())
        near = get_close_matches(name, names, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"the options are {', '.join(names)}"
        self.error(f"no option '{name}'; {hint}")

    @override
    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: error: {message}", file=sys.stderr)
        raise SystemExit(2)

"""`crystal-gan repair`: hidden elements are filled in, and atoms are put where they belong."""

from collections.abc import Sequence

from crystal_data.cli.command_parser import CommandParser
from crystal_data.processes import report_errors
from crystal_gan.commands.starts import add_start_options, model_from, requests_of, run


@report_errors
def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit status."""
    from crystal_gan.generator import Change, RepairGenerator

    args = _parser().parse(argv)
    change = Change(hide=tuple(args.hide), move=not args.keep_positions)
    return run(RepairGenerator(model_from(args), change), requests_of(args), args)


def _parser() -> CommandParser:
    parser = CommandParser(
        "crystal-gan repair",
        "Put atoms where they belong, and fill in elements that are in doubt, by a model that has "
        "learned to repair crystals. Cells stay as they are. Run the same again to go on after "
        "a kill.",
    )
    add_start_options(parser, samples=1)
    parser.add_argument(
        "--hide",
        action="append",
        default=[],
        metavar="SYMBOL",
        help="an element that is in doubt: all its atoms become what suits best; may be repeated",
    )
    parser.add_argument("--keep-positions", action="store_true", help="leave atoms where they are")
    return parser

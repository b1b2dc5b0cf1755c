"""`crystal-gen generate`: crystals for requests, copied from templates or placed at random."""

from argparse import Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING

from crystal_data.cli.command_parser import CommandParser
from crystal_data.errors import InvalidArgumentError
from crystal_data.processes import report_errors
from crystal_gen.commands.template_options import add_template_options, library_from

if TYPE_CHECKING:
    from crystal_data.generation import Generator


@report_errors
def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit status."""
    from crystal_data.generation import generate_all, requests_from

    args = _parser().parse(argv)
    requests = requests_from(args)
    generator = _generator(args)
    result = generate_all(generator, requests, args.out, num_processes=args.num_processes)
    print(f"{result.num_samples} samples of {len(requests)} requests: {result.folder}")
    return 0


def _generator(args: Namespace) -> "Generator":
    if args.method == "random":
        from crystal_gen.random_crystals import RandomGenerator

        return RandomGenerator()
    from crystal_gen.templates.generator import TemplateGenerator
    from crystal_gen.templates.search import Exclusion

    if not args.templates:
        raise InvalidArgumentError(
            "there is nothing to copy from", "give --templates, or --method random"
        )
    return TemplateGenerator(
        library_from(args),
        volume=args.volume,
        fallback=args.fallback,
        exclude=Exclusion(
            tuple(args.exclude_id), tuple(args.exclude_formula), tuple(args.exclude_prototype)
        ),
    )


def _parser() -> CommandParser:
    from crystal_data.generation import add_request_options

    parser = CommandParser(
        "crystal-gen generate",
        "Copy the known crystals that are nearest to a request, with their elements exchanged; or "
        "place its atoms at random.",
    )
    add_request_options(parser)
    parser.add_argument(
        "--method",
        choices=("template", "random"),
        default="template",
        help="copy templates, or place atoms at random by pyxtal, for comparison "
        "(default: %(default)s)",
    )
    add_template_options(parser, required=False)
    parser.add_argument("--out", required=True, metavar="FOLDER", help="of the structures")
    parser.add_argument(
        "--volume",
        choices=("template", "fitted"),
        default="template",
        help="size of the cell: the template's, or scaled to the elements (default: %(default)s)",
    )
    parser.add_argument(
        "--fallback",
        choices=("group", "composition"),
        default="group",
        help="where templates with all of the symmetry end, keep the space group or the "
        "composition alone (default: %(default)s)",
    )
    for name, metavar, what in (
        ("id", "ID", "the template of this identifier"),
        ("formula", "FORMULA", "templates of this formula"),
        ("prototype", "PROTOTYPE", "templates such as 1-1:225:a|b"),
    ):
        parser.add_argument(
            f"--exclude-{name}",
            action="append",
            default=[],
            metavar=metavar,
            help=f"leave out {what}; may be repeated",
        )
    parser.add_argument("--num-processes", type=int, default=1, metavar="N", help="default: 1")
    return parser

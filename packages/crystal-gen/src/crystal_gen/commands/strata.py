"""`crystal-gen strata`: which references copying could find, for `crystal-data evaluate`."""

from collections.abc import Sequence

from crystal_data.cli.command_parser import CommandParser
from crystal_data.cli.inputs import add_reference, crystals_of
from crystal_data.errors import InvalidArgumentError
from crystal_data.processes import report_errors
from crystal_gen.commands.template_options import add_template_options, library_from


@report_errors
def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit status."""
    from crystal_data.generation import write_strata
    from crystal_data.metrics import MatchSettings
    from crystal_gen.templates.search import TemplateSearch
    from crystal_gen.templates.strata import have_polymorph, have_template

    args = _parser().parse(argv)
    if args.candidates < 1:
        raise InvalidArgumentError(f"--candidates {args.candidates}: at least one is needed")
    if args.num_workers is not None and args.num_workers < 0:
        raise InvalidArgumentError(f"--num-workers {args.num_workers}: a number from 0 is needed")
    references = crystals_of(args.reference, args.split, "test", args.data_root)
    search = TemplateSearch(library_from(args))
    settings = MatchSettings(num_workers=args.num_workers)
    families = {
        "template": have_template(
            search, references, num_candidates=args.candidates, settings=settings
        ),
        "polymorph": have_polymorph(search, references),
    }
    words = {name: ["yes" if has else "no" for has in values] for name, values in families.items()}
    write_strata(args.out, references, words)
    counts = ", ".join(f"{int((~has).sum())} without a {name}" for name, has in families.items())
    print(f"{len(references)} references, {counts}: {args.out}")
    return 0


def _parser() -> CommandParser:
    parser = CommandParser(
        "crystal-gen strata",
        "Say of each reference whether copying could find it: whether one of the nearest "
        "templates, copied for its composition, matches it; and whether a template has its "
        "reduced formula.",
    )
    add_reference(parser)
    add_template_options(parser)
    parser.add_argument(
        "--candidates",
        type=int,
        default=20,
        metavar="N",
        help="templates that are compared with a reference (default: %(default)s)",
    )
    parser.add_argument(
        "--num-workers", type=int, metavar="N", help="processes (default: one for each core)"
    )
    parser.add_argument(
        "--out", required=True, metavar="FILE.csv", help="for `crystal-data evaluate --strata`"
    )
    return parser

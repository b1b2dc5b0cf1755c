"""`crystal-gen generate`: crystals for requests: by a model, copied, or placed at random."""

from argparse import Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING

from crystal_data.cli.command_parser import CommandParser
from crystal_data.errors import InvalidArgumentError
from crystal_data.processes import report_errors
from crystal_gen.commands.model_options import (
    SAMPLING_OPTIONS,
    add_sampling_options,
    generator_from,
)
from crystal_gen.commands.reporting import report
from crystal_gen.commands.template_options import add_template_options, library_from

if TYPE_CHECKING:
    from crystal_data.generation import GenerationRequest, Generator

_COPYING_OPTIONS = ("volume", "fallback", "exclude_id", "exclude_formula", "exclude_prototype")
# What a method does not use, so that nothing that was given is left out in silence.
_NOT_USED = {
    "model": _COPYING_OPTIONS,
    "template": ("model", *SAMPLING_OPTIONS),
    "random": ("model", "templates", *SAMPLING_OPTIONS, *_COPYING_OPTIONS),
}


@report_errors
def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit status."""
    from crystal_data.generation import generate_all, requests_from

    args = _parser().parse(argv)
    requests = requests_from(args)
    generator = _generator(args, requests)
    result = generate_all(generator, requests, args.out, num_processes=args.num_processes)
    report(result, len(requests))
    return 0


def _generator(args: Namespace, requests: "Sequence[GenerationRequest]") -> "Generator":
    method = args.method or ("template" if args.model is None else "model")
    for name in _NOT_USED[method]:
        if getattr(args, name) not in (None, []):
            option = name.replace("_", "-")
            raise InvalidArgumentError(
                f"--{option} is given, and the method is {method}, which does not use it",
                f"leave --{option} out, or choose another --method",
            )
    if method == "random":
        from crystal_gen.random_crystals import RandomGenerator

        return RandomGenerator()
    if method == "model":
        if args.model is None:
            raise InvalidArgumentError(
                "there is no model", "give --model, the folder of a run or of an artifact"
            )
        generator = generator_from(args)
        generator.check(requests)
        return generator
    from crystal_gen.templates.generator import TemplateGenerator
    from crystal_gen.templates.search import Exclusion

    if not args.templates:
        raise InvalidArgumentError(
            "there is no model and nothing to copy from",
            "give --model, --templates, or --method random",
        )
    return TemplateGenerator(
        library_from(args),
        volume=args.volume or "fitted",
        fallback=args.fallback or "group",
        exclude=Exclusion(
            tuple(args.exclude_id), tuple(args.exclude_formula), tuple(args.exclude_prototype)
        ),
    )


def _parser() -> CommandParser:
    from crystal_data.generation import add_request_options

    parser = CommandParser(
        "crystal-gen generate",
        "Make crystals with a trained model, from noise, known crystals or a structure of "
        "yours; or copy the known crystals that are nearest to a request, with their elements "
        "exchanged; or place its atoms at random.",
    )
    add_request_options(parser)
    parser.add_argument(
        "--method",
        choices=("model", "template", "random"),
        help="make them by a model, copy templates, or place atoms at random by pyxtal, for "
        "comparison (default: model with --model, else template)",
    )
    parser.add_argument(
        "--model", metavar="FOLDER", help="a trained model: the folder of a run or of an artifact"
    )
    add_sampling_options(parser)
    add_template_options(parser, required=False)
    parser.add_argument("--out", required=True, metavar="FOLDER", help="of the structures")
    parser.add_argument(
        "--volume",
        choices=("template", "fitted"),
        help="size of a copy's cell: the template's, or scaled to the elements (default: fitted)",
    )
    parser.add_argument(
        "--fallback",
        choices=("group", "composition"),
        help="where templates with all of the symmetry end, copies keep the space group or the "
        "composition alone (default: group)",
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

"""`crystal-gen generate`: crystals for requests, of all sources or of one."""

import sys
from argparse import Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING

from crystal_data.cli.command_parser import CommandParser
from crystal_data.errors import InvalidArgumentError
from crystal_data.processes import report_errors
from crystal_gen.commands.model_options import (
    MODEL_HELP,
    SAMPLING_OPTIONS,
    add_sampling_options,
    generator_from,
)
from crystal_gen.commands.reporting import report, report_why
from crystal_gen.commands.template_options import add_template_options, library_from

if TYPE_CHECKING:
    from crystal_data.generation import GenerationRequest, Generator
    from crystal_gen.templates.search import Exclusion

_COPYING_OPTIONS = ("volume", "fallback")
_RANKING_OPTIONS = ("potential", "why")
_EXCLUSIONS = ("exclude_id", "exclude_formula", "exclude_prototype")
# What a method does not use, so that nothing that was given is left out in silence.
_NOT_USED = {
    "ranked": ("model", *_COPYING_OPTIONS, "steps", "guidance", "sharpness"),
    "model": (*_COPYING_OPTIONS, *_EXCLUSIONS, *_RANKING_OPTIONS),
    "template": ("model", *SAMPLING_OPTIONS, *_RANKING_OPTIONS),
    "random": (
        "model",
        "templates",
        *SAMPLING_OPTIONS,
        *_COPYING_OPTIONS,
        *_EXCLUSIONS,
        *_RANKING_OPTIONS,
    ),
}


@report_errors
def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit status."""
    from crystal_data.generation import generate_all, requests_from

    args = _parser().parse(argv)
    requests = requests_from(args)
    generator = _generator(args, requests)
    # Samples of one request are made together.
    most = max(request.num_samples for request in requests)
    size = {"block_size": most} if _method(args) == "ranked" else {}
    result = generate_all(generator, requests, args.out, num_processes=args.num_processes, **size)
    report(result, len(requests))
    if args.why and not result.num_missing:
        report_why(result)
    return 0


def _method(args: Namespace) -> str:
    method: str | None = args.method
    return method or ("ranked" if args.model is None else "model")


def _z_values(args: Namespace) -> list[int] | None:
    """Several numbers of formula units; None where one or none is asked."""
    from crystal_data.generation import parse_z

    values = parse_z(args.z) if args.z is not None else []
    return values if len(values) > 1 else None


def _generator(args: Namespace, requests: "Sequence[GenerationRequest]") -> "Generator":
    method = _method(args)
    for name in _NOT_USED[method]:
        value = getattr(args, name)
        if value is not None and value is not False and value != []:  # 0 is a value
            option = name.replace("_", "-")
            raise InvalidArgumentError(
                f"--{option} is given, and the method is {method}, which does not use it",
                f"leave --{option} out, or choose another --method",
            )
    z_values = _z_values(args)
    if z_values and method != "ranked":
        raise InvalidArgumentError(
            f"--z {args.z} is several numbers, and the method is {method}, which takes one",
            "give one, or leave --z out",
        )
    if method == "ranked":
        return _ranking(args, requests, z_values)
    if method == "random":
        from crystal_gen.random_crystals import RandomGenerator

        return RandomGenerator()
    if method == "model":
        if args.model is None:
            raise InvalidArgumentError(
                "there is no model",
                "give --model, such as crystal-dit-joined or the folder of a run",
            )
        generator = generator_from(args)
        _print_notes(generator.check(requests))
        return generator
    from crystal_gen.templates.generator import TemplateGenerator

    if not args.templates:
        raise InvalidArgumentError("there is nothing to copy from", "give --templates")
    return TemplateGenerator(
        library_from(args),
        volume=args.volume or "fitted",
        fallback=args.fallback or "group",
        exclude=_exclusion(args),
    )


def _ranking(
    args: Namespace, requests: "Sequence[GenerationRequest]", z_values: list[int] | None
) -> "Generator":
    """The generator of all sources; what makes a wish doubtful is said."""
    from crystal_gen.candidates.generator import CrystalGenerator

    level = {} if args.start_level is None else {"start_level": args.start_level}
    generator = CrystalGenerator.from_pretrained(
        templates=library_from(args) if args.templates else None,
        z_values=z_values,
        exclude=_exclusion(args),
        potential=args.potential,
        **level,
    )
    _print_notes(generator.check(requests))
    return generator


def _print_notes(notes: "Sequence[str]") -> None:
    for note in notes:
        print(f"note: {note}", file=sys.stderr)


def _exclusion(args: Namespace) -> "Exclusion":
    from crystal_gen.templates.search import Exclusion

    return Exclusion(
        tuple(args.exclude_id), tuple(args.exclude_formula), tuple(args.exclude_prototype)
    )


def _parser() -> CommandParser:
    from crystal_data.generation import add_request_options

    parser = CommandParser(
        "crystal-gen generate",
        "Make crystals for a composition, elements, a symmetry, a property or from a structure of "
        "yours: candidates of known crystals and of the models that come with the package, the "
        "most probable first.",
    )
    add_request_options(parser)
    parser.add_argument(
        "--method",
        choices=("ranked", "model", "template", "random"),
        help="candidates of all sources, ranked; or, for comparison, one model, copied templates, "
        "or atoms placed at random by pyxtal (default: model with --model, else ranked)",
    )
    parser.add_argument("--model", metavar="MODEL", help=MODEL_HELP)
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
    parser.add_argument(
        "--potential",
        metavar="NAME",
        help="rank by a potential's energies too: chgnet (pip install 'crystal-data[chgnet]')",
    )
    parser.add_argument("--why", action="store_true", help="print where each candidate comes from")
    parser.add_argument("--num-processes", type=int, default=1, metavar="N", help="default: 1")
    return parser

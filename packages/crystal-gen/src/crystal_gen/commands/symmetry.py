"""`crystal-gen symmetry`: likely space groups and Wyckoff positions of a composition."""

import sys
from argparse import Namespace
from collections.abc import Sequence
from math import exp
from typing import TYPE_CHECKING

from crystal_data.cli.command_parser import CommandParser
from crystal_data.cli.text_table import aligned
from crystal_data.errors import InvalidArgumentError
from crystal_data.processes import report_errors
from crystal_gen.shipped import SHIPPED, SYMMETRY_MODEL, TEMPLATES

if TYPE_CHECKING:
    from crystal_data.generation import GenerationRequest
    from crystal_gen.wyckoff.proposals import GroupProposal, Proposal, SymmetryProposer
    from crystal_gen.wyckoff.symmetry_model import SymmetryModel

_NUM_GROUPS = 10  # that are printed


@report_errors
def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit status."""
    from crystal_data.generation import parse_z
    from crystal_gen.language.load import load_symmetry_model
    from crystal_gen.wyckoff.proposer import ModelProposer

    args = _parser().parse(argv)
    if args.n < 1:
        raise InvalidArgumentError(f"--n {args.n}: at least one answer is needed")
    z_values = None if args.z is None else parse_z(args.z)
    request = _request(args)
    model = load_symmetry_model(SHIPPED.find(args.model or SYMMETRY_MODEL), base=args.base)
    model.check_properties([request])
    proposer = ModelProposer(model) if args.model else _with_templates(model)
    [groups] = proposer.groups([request], _NUM_GROUPS, z_values=z_values)
    [answers] = proposer.propose([request], args.n, z_values=z_values)
    if not answers:
        raise InvalidArgumentError(
            f"{request.id}: no choice of Wyckoff positions of space group {request.space_group} "
            f"holds these atoms with z = {args.z}",
            "give another --z, or leave it open",
        )
    for note in (*model.unknown_elements(request), *model.doubtful_wishes(request).values()):
        print(f"note: {note}", file=sys.stderr)
    _print(request, groups, answers)
    return 0


def _request(args: Namespace) -> "GenerationRequest":
    from crystal_data.generation import GenerationRequest, parse_wish

    values = {"formula": args.formula, "properties": dict(map(parse_wish, args.property))}
    if args.spacegroup is not None:
        values["space_group"] = args.spacegroup
    return GenerationRequest.from_dict(values)


def _with_templates(model: "SymmetryModel") -> "SymmetryProposer":
    """The model mixed with the answers of the crystals that come with the package."""
    from crystal_gen.templates.library import TemplateLibrary
    from crystal_gen.templates.search import TemplateSearch
    from crystal_gen.wyckoff.mixture import MixedProposer
    from crystal_gen.wyckoff.proposer import ModelProposer

    library = TemplateLibrary.from_pretrained(SHIPPED.find(TEMPLATES))
    return MixedProposer(ModelProposer(model), TemplateSearch(library))


def _print(
    request: "GenerationRequest",
    groups: Sequence["GroupProposal"],
    answers: Sequence["Proposal"],
) -> None:
    from crystal_data.symmetry import space_group_symbol
    from crystal_gen.wyckoff.proposals import z_of

    rows = [("space group", "number", "probability")]
    for group in groups:
        symbol = space_group_symbol(group.space_group)
        rows.append((symbol, str(group.space_group), _percent(group.score)))
    print("\n".join(aligned(rows)), end="\n\n")
    table = [("z", "space group", "Wyckoff positions", "probability")]
    for answer in answers:
        symbol, _, positions = str(answer.assignment).partition(" ")
        z = z_of(request, answer.assignment)
        table.append((str(z), symbol, positions, _percent(answer.score)))
    print("\n".join(aligned(table)))


def _percent(log: float) -> str:
    return f"{100 * exp(log):.2f} %"


def _parser() -> CommandParser:
    parser = CommandParser(
        "crystal-gen symmetry",
        "Say which space groups and Wyckoff positions a composition is likely to have, with "
        "probabilities. Answers that describe the same crystals are one; of mirror images the "
        "group of the smaller number stands for both.",
    )
    parser.add_argument(
        "--formula", required=True, metavar="LiMn2O4", help="atoms of one formula unit"
    )
    parser.add_argument(
        "--z", metavar="1:4", help="formula units of the primitive cell: 2, 1:4 or 1,2,4"
    )
    parser.add_argument("--spacegroup", metavar="Fd-3m", help="number or symbol (default: open)")
    parser.add_argument(
        "--property",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="wanted value of a property that the model was trained with; may be repeated",
    )
    parser.add_argument("--n", type=int, default=20, metavar="N", help="answers (default: 20)")
    parser.add_argument(
        "--model",
        metavar="MODEL",
        help="a trained model of symmetry, compact or of language: the folder of a run or of an "
        "artifact, or a name that `crystal-gen models` lists (default: the one that comes with the "
        "package, mixed with the answers of known crystals of near compositions)",
    )
    parser.add_argument(
        "--base",
        metavar="FOLDER",
        help="the published language model that an adapter belongs to (default: from where its "
        "training took it)",
    )
    return parser

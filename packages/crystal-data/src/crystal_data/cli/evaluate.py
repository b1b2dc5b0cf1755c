"""`crystal-data evaluate`."""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from crystal_data.cli.command_parser import CommandParser
from crystal_data.cli.inputs import add_data_root, add_reference, crystals_of, parser_for
from crystal_data.errors import InvalidArgumentError
from crystal_data.processes.error_reporting import report_errors

if TYPE_CHECKING:
    from crystal_data.crystal import Crystal
    from crystal_data.generation.evaluate import EvaluationSettings
    from crystal_data.generation.read import GeneratedStructure


@report_errors
def main(argv: Sequence[str] | None = None) -> int:
    """Measures generated structures on reference structures."""
    from crystal_data.cli.evaluation_tables import show_evaluation
    from crystal_data.generation.evaluate import evaluate_generated
    from crystal_data.generation.evaluation import paired_differences, write_evaluation
    from crystal_data.generation.read import existing
    from crystal_data.generation.strata_file import read_strata
    from crystal_data.processes.progress import say

    args = _parser().parse(argv)
    settings = _settings(args)
    if args.out is not None and Path(args.out).suffix != ".json":
        raise InvalidArgumentError(
            f"{args.out}: results are JSON and their tables CSV", "name it .json"
        )
    for name in filter(None, (args.generated, args.against)):
        existing(name)  # references may take long to read
    references = crystals_of(args.reference, args.split, "test", args.data_root)
    training = None
    if args.training is not None:
        training = crystals_of(args.training, None, "train", args.data_root)
    strata = None if args.strata is None else read_strata(args.strata, references)
    generated = _read(args.generated, references)
    evaluation = evaluate_generated(
        generated, references, settings, training=training, strata=strata
    )
    differences = []
    if args.against is not None:
        other = evaluate_generated(_read(args.against, references), references, settings)
        differences = paired_differences(evaluation, other)
    for k in settings.num_samples:
        if f"match_rate@{k}/none" not in evaluation.rows:
            say(f"no request has {k} samples; rates at {k} are left out")
    show_evaluation(evaluation, differences, args.against)
    if args.out is not None:
        for path in write_evaluation(args.out, evaluation, differences):
            print(f"written: {path}")
    return 0


def _parser() -> CommandParser:
    from crystal_data.generation.evaluate import EvaluationSettings
    from crystal_data.metrics.match_rates import Filter
    from crystal_data.metrics.validity import OxidationStates

    parser = parser_for(
        "evaluate",
        "Measure generated structures on reference structures: match rates, METRe, validity, "
        "uniqueness, novelty. A request is named as its reference: REFERENCE.cif, or "
        "REFERENCE_0.cif, REFERENCE_1.cif for several samples.",
    )
    default = EvaluationSettings()
    parser.add_argument(
        "generated",
        metavar="GENERATED",
        help="folder (ours, or structure files), extended XYZ, table with a column of structures, "
        ".pt file of CDVAE or DiffCSP",
    )
    add_reference(parser)
    parser.add_argument("--against", metavar="OTHER", help="compare with these, row by row")
    parser.add_argument(
        "--training",
        metavar="DATA",
        help="measure novelty against the training rows of this, and apart the references of whose "
        "formula it has another crystal",
    )
    parser.add_argument(
        "--strata",
        metavar="FILE",
        help="CSV of parts of the references that are measured apart: 'identifier', and a column "
        "for each division, with the name of the part that a reference is in",
    )
    parser.add_argument(
        "--k",
        type=int,
        nargs="+",
        default=list(default.num_samples),
        metavar="K",
        help="how many samples of a request may match (default: 1 20)",
    )
    parser.add_argument(
        "--filter",
        choices=get_args(Filter),
        nargs="+",
        default=list(default.filters),
        help="who must be valid to match; unfiltered rates are always given (default: all three)",
    )
    parser.add_argument(
        "--symprec",
        type=float,
        default=default.symprec,
        metavar="Å",
        help="tolerance of space groups (default: %(default)s)",
    )
    parser.add_argument(
        "--oxidation-states",
        choices=get_args(OxidationStates),
        default=default.oxidation_states,
        help="table for the validity of compositions (default: %(default)s)",
    )
    parser.add_argument(
        "--timeout",
        type=float,
        default=default.matching.timeout,
        metavar="SECONDS",
        help="a comparison that takes longer counts as a miss (default: %(default)s)",
    )
    parser.add_argument(
        "--num-workers", type=int, metavar="N", help="processes (default: one for each core)"
    )
    parser.add_argument(
        "--out", metavar="FILE.json", help="write results, and tables beside them as CSV"
    )
    add_data_root(parser)
    return parser


def _settings(args: Namespace) -> "EvaluationSettings":
    from crystal_data.generation.evaluate import EvaluationSettings
    from crystal_data.metrics.matching import MatchSettings

    if min(args.k) < 1:
        raise InvalidArgumentError(f"--k {min(args.k)}: at least one sample is needed")
    if args.num_workers is not None and args.num_workers < 0:
        raise InvalidArgumentError(f"--num-workers {args.num_workers}: a number from 0 is needed")
    return EvaluationSettings(
        num_samples=tuple(sorted(set(args.k))),
        filters=tuple(dict.fromkeys(("none", *args.filter))),
        oxidation_states=args.oxidation_states,
        symprec=args.symprec,
        matching=MatchSettings(timeout=args.timeout, num_workers=args.num_workers),
    )


def _read(name: str, references: "Sequence[Crystal]") -> "list[GeneratedStructure]":
    from crystal_data.generation.evaluate import named_by_position
    from crystal_data.generation.read import read_generated
    from crystal_data.generation.read_pt import is_pt_file

    generated = read_generated(name, requests={each.identifier for each in references})
    return named_by_position(generated, references) if is_pt_file(Path(name)) else generated

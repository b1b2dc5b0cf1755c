"""`crystal-gen predict`: the crystals of a data set made anew, from what they are asked by."""

import sys
from argparse import Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING

from crystal_data.cli.command_parser import CommandParser
from crystal_data.errors import SourceError
from crystal_data.processes import report_errors
from crystal_gen.commands.model_options import (
    MODEL_HELP,
    add_sampling_options,
    generator_from,
)
from crystal_gen.commands.reporting import report
from crystal_gen.commands.template_options import add_template_options

if TYPE_CHECKING:
    from crystal_data.generation import GenerationRequest
    from crystal_gen.structure_model import StructureModel


@report_errors
def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit status."""
    from crystal_data.generation import generate_all

    given = sys.argv[1:] if argv is None else argv
    parser = _parser()
    if any(one.partition("=")[0] in ("--config", "-c") for one in given):
        parser.error("no config is needed: give DATA, and the folder of the run with --model")
    args = parser.parse(argv)
    generator = generator_from(args)
    requests = _requests(args, generator.model)
    generator.check(requests)
    result = generate_all(generator, requests, args.out, num_processes=args.num_processes)
    report(result, len(requests))
    return 0


def _requests(args: Namespace, model: "StructureModel") -> "list[GenerationRequest]":
    from crystal_data.cli.inputs import source_of
    from crystal_data.store import OrbitColumn, open_store
    from crystal_gen.data_requests import requests_for
    from crystal_gen.generator import SYMPREC

    store = open_store(source_of(args.data, args.data_root), on_invalid="skip")
    rows = list(range(len(store)))
    if args.split != "all":
        chosen = store.rows_of(args.split or "test").tolist()
        if args.split is not None and not chosen:
            raise SourceError(
                f"{args.data} has no rows of the split '{args.split}'", "--split all takes all"
            )
        rows = chosen or rows
    return requests_for(
        store,
        rows,
        OrbitColumn(SYMPREC, uses_symmetry=model.uses_symmetry),
        properties=() if args.without_properties else model.properties,
        num_samples=args.n,
        seed=args.seed,
    )


def _parser() -> CommandParser:
    parser = CommandParser(
        "crystal-gen predict",
        "Make the crystals of a data set anew by a trained model, which is told elements, space "
        "group and Wyckoff letters of each row, or its composition alone if it was trained "
        "without symmetry. `crystal-data evaluate FOLDER --reference DATA` compares them with the "
        "data. Run the same again to go on after a kill.",
    )
    parser.add_argument("data", metavar="DATA", help="data set, folder, table or file")
    parser.add_argument(
        "--split",
        choices=("train", "val", "test", "all"),
        help="rows of the data (default: test where it has that, else all)",
    )
    parser.add_argument(
        "--model",
        required=True,
        metavar="MODEL",
        help=MODEL_HELP,
    )
    add_sampling_options(parser)
    parser.add_argument(
        "--without-properties",
        action="store_true",
        help="do not tell the model the properties of each row that it knows, such as its energy",
    )
    add_template_options(parser, required=False)
    parser.add_argument("--out", required=True, metavar="FOLDER", help="of the structures")
    parser.add_argument(
        "--n", type=int, default=1, metavar="N", help="samples of each row (default: 1)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="default: 0")
    parser.add_argument("--num-processes", type=int, default=1, metavar="N", help="default: 1")
    return parser

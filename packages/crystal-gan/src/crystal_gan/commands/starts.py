"""What `repair` and `vary` share: structures to start from, a model, what is said at the end."""

import csv
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING

from crystal_data.cli.command_parser import CommandParser
from crystal_data.cli.inputs import add_input, open_input
from crystal_gan.shipped import REPAIR, SHIPPED

if TYPE_CHECKING:
    from crystal_data.generation import GenerationRequest
    from crystal_gan.generator import RepairGenerator
    from crystal_gan.models.repair import RepairModel


def add_start_options(parser: CommandParser | ArgumentParser, samples: int) -> None:
    """Adds the options that both commands have.

    Args:
        parser: Of the command.
        samples: Of each structure, by default.
    """
    add_input(parser)
    parser.add_argument(
        "--model",
        default=REPAIR,
        metavar="MODEL",
        help="a model that repairs: a name that `crystal-gan models` lists, or the folder of a run "
        "of pretrain-mp20 or gan-mp20 (default: %(default)s)",
    )
    parser.add_argument("--out", required=True, metavar="FOLDER", help="of the structures")
    parser.add_argument(
        "--samples",
        type=int,
        default=samples,
        metavar="N",
        help="of each structure (default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="default: 0")
    parser.add_argument("--num-processes", type=int, default=1, metavar="N", help="default: 1")


def model_from(args: Namespace) -> "RepairModel":
    """The model of ``--model``.

    Raises:
        ArtifactError: If it cannot be read, or does not repair.
    """
    from crystal_gan.models.repair import RepairModel

    return RepairModel.from_pretrained(SHIPPED.find(args.model))


def requests_of(args: Namespace) -> "list[GenerationRequest]":
    """A request for each structure of the input, to start from.

    Raises:
        SourceError: If nothing of the input can be used.
    """
    from crystal_data.generation import GenerationRequest

    opened = open_input(args)
    for rejection in opened.rejections:
        print(f"left out: {rejection.identifier}: {rejection.detail}")
    store = opened.usable()
    crystals = [store.crystal(row) for row in range(len(store))]
    return [
        GenerationRequest(
            id=crystal.identifier, start=crystal, num_samples=args.samples, seed=args.seed
        )
        for crystal in crystals
    ]


def run(
    generator: "RepairGenerator", requests: "Sequence[GenerationRequest]", args: Namespace
) -> int:
    """Makes all samples and prints the best of each structure; returns the exit status."""
    from crystal_data.generation import generate_all

    result = generate_all(generator, requests, args.out, num_processes=args.num_processes)
    print(f"{result.num_samples} samples of {len(requests)} structures: {result.folder}")
    if result.num_missing:
        return 0
    with (result.folder / "summary.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    best: dict[str, dict[str, str]] = {}
    for row in rows:
        best.setdefault(row["request"], row)
    for name, row in best.items():
        print(f"{name}: {row['formula']} ({row['source']}), score {float(row['score']):.3f}")
    return 0

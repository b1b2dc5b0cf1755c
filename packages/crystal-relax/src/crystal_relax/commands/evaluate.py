"""`crystal-relax evaluate`: predicted relaxed structures against true ones."""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from crystal_data.cli.command_parser import CommandParser
from crystal_data.errors import InvalidArgumentError, SourceError
from crystal_data.processes import report_errors

if TYPE_CHECKING:
    from crystal_data.crystal import Crystal
    from crystal_data.metrics import Interval
    from crystal_relax.pairs import RelaxationPairs
    from crystal_relax.scoring import RelaxationErrors


@report_errors
def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit status."""
    import numpy as np

    from crystal_data.metrics import write_results
    from crystal_data.store import open_store
    from crystal_data.trajectories import RelaxationSource
    from crystal_relax.pairs import pairs_of

    args = _parser().parse(argv)
    if args.out is not None and Path(args.out).suffix != ".json":
        raise InvalidArgumentError(
            f"{args.out}: results are JSON and their table CSV", "name it .json"
        )
    store = open_store(RelaxationSource(args.data), on_invalid="skip")
    rows = np.arange(len(store)) if args.split == "all" else store.rows_of(args.split)
    if not len(rows):
        raise SourceError(
            f"{args.data} has no relaxations of the split '{args.split}'",
            "files of the folder are called train, val and test; --split all takes all",
        )
    pairs, training = pairs_of(store, rows), pairs_of(store, store.rows_of("train"))
    found = _measured(args, pairs, training)
    for name, errors in found.items():
        _show(name, errors)
    if args.out is not None:
        results = [one for name, errors in found.items() for one in errors.results(name)]
        write_results(args.out, results, _per_crystal(found))
        print(f"written: {args.out}, {Path(args.out).with_suffix('.csv')}")
    return 0


def _measured(
    args: Namespace, pairs: "RelaxationPairs", training: "RelaxationPairs"
) -> "dict[str, RelaxationErrors]":
    from crystal_relax.references import Identity, VolumeScaling
    from crystal_relax.scoring import relaxation_errors

    predicted = {"identity": Identity().relax(pairs.starts)}
    if training.starts:
        scaling = VolumeScaling.fit(training.starts, training.ends)
        predicted[scaling.name] = scaling.relax(pairs.starts)
    for model in args.model:
        from crystal_relax.inference import Relaxer

        predicted[model] = Relaxer.from_pretrained(model).relax(pairs.starts)
    for folder in args.predicted:
        predicted[folder] = _read(folder, pairs.starts)
    return {
        name: relaxation_errors(pairs.starts, crystals, pairs.ends, pairs.origins)
        for name, crystals in predicted.items()
    }


def _read(place: str, starts: "Sequence[Crystal]") -> "list[Crystal]":
    """Structures of files, each called as its start."""
    from crystal_data.io import read_crystals

    found = {one.identifier: one for one in read_crystals(place).crystals}
    missing = [one.identifier for one in starts if one.identifier not in found]
    if missing:
        raise SourceError(
            f"{place}: {len(missing)} of {len(starts)} starts have no structure, such as "
            f"{missing[0]}",
            "each structure has the identifier of its start",
        )
    return [found[one.identifier] for one in starts]


def _show(name: str, errors: "RelaxationErrors") -> None:
    from rich.console import Console
    from rich.table import Table

    from crystal_relax.scoring import PUBLISHED, UNITS

    table = Table("", "of", "MAE", "MSE", "RMSE", "T2-Relax*", title=name, title_justify="left")
    for row in errors.rows():
        published = PUBLISHED[row.quantity] if row.part == "all" else ()
        table.add_row(
            f"{row.quantity} ({UNITS[row.quantity]})",
            f"{row.part} ({row.num_crystals})",
            *(_text(one) for one in (row.mae, row.mse, row.rmse)),
            " ".join(f"{x:.3f}" for x in published),
        )
    console = Console()
    console.print(table)
    console.print("* MAE, MSE, RMSE as published, of other data; intervals: 95 %, over crystals")


def _text(interval: "Interval") -> str:
    return f"{interval.estimate:.3f} ({interval.low:.3f} to {interval.high:.3f})"


def _per_crystal(found: "dict[str, RelaxationErrors]") -> dict[str, list[object]]:
    first = next(iter(found.values()))
    columns: dict[str, list[object]] = {
        "identifier": list(first.identifiers),
        "origin": list(first.origins),
        "moved": first.moved.tolist(),
    }
    for name, errors in found.items():
        for quantity, values in errors.per_crystal.items():
            columns[f"{name}:{quantity}"] = values.tolist()
    return columns


def _parser() -> CommandParser:
    parser = CommandParser(
        "crystal-relax evaluate",
        "Measure predicted relaxed structures on true ones, beside doing nothing and beside "
        "scaling the volume: errors of the cell and of the positions, by origin and overall.",
    )
    parser.add_argument(
        "data",
        metavar="DATA",
        help="trajectories: a folder with train, val and test, or a file (Parquet as of "
        "LeMat-Traj, extended XYZ, .traj)",
    )
    parser.add_argument(
        "--split", choices=("train", "val", "test", "all"), default="test", help="default: test"
    )
    parser.add_argument(
        "--model", nargs="+", default=[], metavar="NAME|FOLDER", help="trained models that predict"
    )
    parser.add_argument(
        "--predicted",
        nargs="+",
        default=[],
        metavar="PATH",
        help="files or folders of predicted structures, which are called as their starts",
    )
    parser.add_argument(
        "--out", metavar="FILE.json", help="write results, and a table of the crystals beside them"
    )
    return parser

"""`crystal-embed predict`: properties of structures, by trained models."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crystal_data.cli.inputs import add_read_options, read_options
from crystal_data.errors import InvalidArgumentError
from crystal_data.processes import report_errors
from crystal_embed.commands.models import aligned, summary_line, with_unit
from crystal_embed.shipped import DEFAULT_MODELS, load

if TYPE_CHECKING:
    from crystal_data.errors import Rejection
    from crystal_data.inference import Ensemble, Served

_EPILOG = """\
Several models of the same targets are an ensemble: their mean and deviation are written, and the
90 % interval where `crystal-embed ensemble` has calibrated them. Models of other targets answer
side by side. `note` says what had to be decided to read a structure, and what of it the models have
never seen in training.

With --config the command is the trainer's: `crystal-embed predict --config CONFIG.yaml` predicts
with the best checkpoint of the config's newest run, for the data that the config names;
`crystal-embed predict --config CONFIG.yaml --help` tells of its options.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command without a config, or the trainer's with one."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if any(one in {"--config", "-c"} or one.startswith("--config=") for one in arguments):
        from crystal_data.training.command import main as trainer_main

        return trainer_main(["predict", *arguments])
    return _predict(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "crystal-embed predict",
        description="Predict properties of structures with trained models; no config is needed.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "paths",
        nargs="*",
        metavar="INPUT",
        help="files, folders, patterns, or tables of structures",
    )
    parser.add_argument("--input", action="append", default=[], help="the same, as an option")
    parser.add_argument(
        "--model",
        action="append",
        help="name that `crystal-embed models` lists, or folder of an artifact, run or ensemble; "
        f"may be given several times (default: {', '.join(DEFAULT_MODELS)})",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE.csv",
        help="table to write, with rejected.csv beside it; without it the table is printed",
    )
    parser.add_argument(
        "--batch-size", type=int, default=64, help="structures at a time (default: %(default)s)"
    )
    parser.add_argument(
        "--devices", type=int, default=1, help="processes, or GPUs (default: %(default)s)"
    )
    add_read_options(parser)
    return parser


@dataclass(frozen=True)
class _Group:
    """Models of the same targets, and how the user calls them."""

    names: list[str]
    ensemble: "Ensemble"


@report_errors
def _predict(argv: Sequence[str] | None = None) -> int:
    from crystal_data.inference import predict_source
    from crystal_data.io import read_rejected
    from crystal_data.sources import PathsSource
    from crystal_data.store import InvalidSourceError

    parser = _parser()
    arguments = parser.parse_args(argv)
    paths = [*arguments.paths, *arguments.input]
    if not paths:
        parser.error("give structures: a file, folder, pattern or table")
    if arguments.output is not None and arguments.output.suffix != ".csv":
        parser.error(f"--output writes a table; name it .csv, not {arguments.output.name}")
    if min(arguments.batch_size, arguments.devices) < 1:
        parser.error("--batch-size and --devices are at least 1")
    groups = _groups(arguments.model or DEFAULT_MODELS)
    source = PathsSource(paths)
    ignored = source.ignored  # before there are tables of ours in the folder
    modules = [module for group in groups for module in group.ensemble.members]
    try:
        served = predict_source(
            modules,
            source,
            batch_size=arguments.batch_size,
            devices=arguments.devices,
            read_options=read_options(arguments),
        )
    except InvalidSourceError as error:
        _write_rejected(arguments.output, read_rejected(error.rejected_path))
        raise
    if served is not None:
        _report(served, groups, arguments.output)
        if ignored:
            print(
                f"{len(ignored)} left aside, no structures: {', '.join(ignored[:3])}",
                file=sys.stderr,
            )
        if not len(served.rows):
            raise InvalidArgumentError("none of the structures can be predicted by the model")
    return 0


def _groups(names: Sequence[str]) -> list[_Group]:
    from crystal_data.inference import Ensemble

    singles: dict[tuple[str, ...], list[str]] = {}
    members: dict[tuple[str, ...], list[Any]] = {}
    groups = []
    for name in names:
        loaded = load(name)
        if isinstance(loaded, Ensemble):
            groups.append(_Group([name], loaded))
        else:
            singles.setdefault(loaded.targets, []).append(name)
            members.setdefault(loaded.targets, []).append(loaded)
    groups += [_Group(singles[targets], Ensemble(members[targets])) for targets in singles]
    targets = [target for group in groups for target in group.ensemble.targets]
    if twice := sorted({target for target in targets if targets.count(target) > 1}):
        raise InvalidArgumentError(
            f"--model: {', '.join(twice)} would be predicted twice",
            "an ensemble is made of models "
            "with the same targets, or give the others in a call of their own",
        )
    return groups


def _report(served: "Served", groups: Sequence[_Group], output: Path | None) -> None:
    from crystal_data.io import csv_text, write_text

    columns = _columns(served, groups)
    for group in groups:
        for target in group.ensemble.targets:
            member, unit = group.ensemble.members[0], group.ensemble.unit_of(target)
            name = ", ".join(group.names)
            print(summary_line(name, member.metadata, target, unit), file=sys.stderr)
    rows = list(zip(*columns.values(), strict=True))
    if output is None:
        print("\n".join(aligned([list(columns), *rows])))
    else:
        write_text(output, csv_text(columns, rows))
        print(f"{len(rows)} predictions: {output}", file=sys.stderr)
    _write_rejected(output, served.rejected)


def _columns(served: "Served", groups: Sequence[_Group]) -> dict[str, list[str]]:
    from crystal_data.loading import beyond_training

    columns = {"id": served.identifiers}
    notes = [served.store.strings("notes").take(served.rows)]
    left = list(served.predictions)
    for group in groups:
        ensemble, size = group.ensemble, len(group.ensemble.members)
        predictions, left = left[:size], left[size:]
        for name, values in ensemble.combine(predictions).items():
            # Nine digits keep a float32 exactly.
            text = [f"{value:.9g}" for value in values.tolist()]
            columns[with_unit(name, ensemble.unit_of(name))] = text
        for member in ensemble.members:
            noted = beyond_training(served.store, member.metadata.get("training", {}))
            notes.append([noted[row] for row in served.rows])
    columns["note"] = [
        "; ".join(dict.fromkeys(filter(None, row))) for row in zip(*notes, strict=True)
    ]
    return columns


def _write_rejected(output: Path | None, rejected: "Sequence[Rejection]") -> None:
    from crystal_data.io import REJECTED, write_rejected

    if output is not None:
        write_rejected(output.parent / REJECTED, rejected)
        if rejected:
            print(f"{len(rejected)} rejected: {output.parent / REJECTED}", file=sys.stderr)
        return
    for one in rejected:
        where = f" ({one.file})" if one.file else ""
        print(f"rejected: {one.identifier}{where}: {one.detail}", file=sys.stderr)

"""`predict` of every package: properties of structures, by trained models."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from crystal_data.cli.command_parser import CommandParser
from crystal_data.cli.inputs import add_allow_package, add_read_options, read_options
from crystal_data.cli.text_table import aligned
from crystal_data.errors import InvalidArgumentError
from crystal_data.inference.shipped import ShippedModels
from crystal_data.io.rejected import REJECTED, read_rejected, write_rejected_if_any
from crystal_data.processes.error_reporting import report_errors

if TYPE_CHECKING:
    from crystal_data.errors import Rejection
    from crystal_data.inference.predict import SourcePredictions
    from crystal_data.inference.prediction_table import NamedEnsemble

_EPILOG = """\
Several models of the same targets are an ensemble: their mean and deviation are written, and the
90 % interval where `{program} ensemble` has calibrated them. Models of other targets give further
columns. `note` says what had to be decided to read a structure, and what of it the models have
never seen in training.
"""
_CONFIG = ("--config", "-c")


def run_predict(
    shipped: ShippedModels, argv: Sequence[str] | None = None, *, program: str | None = None
) -> int:
    """Predicts structures with trained models, or the data of a config with its newest run.

    Args:
        shipped: The models of the package.
        argv: Arguments; those of the process by default.
        program: That predicts; by default the package's own.

    Returns:
        Exit status.
    """
    given = list(sys.argv[1:] if argv is None else argv)
    parser = _parser(shipped, program or shipped.program)
    if _names_config(given) and not {"-h", "--help"} & set(given):
        other = _beside_config(parser, given)
        if other is not None:
            parser.error(
                f"'{other}' and --config do not go together: a config names its own data and "
                "model, and further options are those of `fit`, such as --ckpt_path, --data.…, "
                "--trainer.…"
            )
        # Lightning takes seconds to import.
        from crystal_data.training.command import main as trainer_main

        return trainer_main(["predict", *given])
    return _predict(shipped, parser, given)


def _parser(shipped: ShippedModels, program: str) -> CommandParser:
    parser = CommandParser(
        f"{program} predict",
        "Predict properties of structures with trained models; no config is needed.",
        usage=f"{program} predict INPUT … [options]\n"
        f"       {program} predict --config CONFIG [options of `fit`]",
        epilog=_EPILOG.format(program=shipped.program),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "paths",
        nargs="*",
        metavar="INPUT",
        help="files, folders, patterns, or tables of structures",
    )
    parser.add_argument("--input", action="append", default=[], help="the same, as an option")
    default = f" (default: {', '.join(shipped.default)})" if shipped.default else ""
    parser.add_argument(
        "--model",
        action="append",
        help=f"name that `{shipped.program} models` lists, or folder of an artifact, run or "
        f"ensemble; may be given several times{default}",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE.csv",
        help=f"table to write, with {REJECTED} beside it; without it the table is printed",
    )
    parser.add_argument(
        "--batch-size", type=int, default=64, help="structures at a time (default: %(default)s)"
    )
    parser.add_argument(
        "--devices",
        type=int,
        default=1,
        help="GPUs, or processes on the CPU (default: %(default)s)",
    )
    add_allow_package(parser)
    add_read_options(parser)
    parser.add_argument(
        *_CONFIG,
        help="predict the data of a config, a file or a name, with the best checkpoint of its "
        "newest run; without INPUT and the options above; further options are those of `fit`, "
        "such as --ckpt_path, --data.…, --trainer.…",
    )
    return parser


def _names_config(arguments: Sequence[str]) -> bool:
    return any(one in _CONFIG or one.startswith("--config=") for one in arguments)


def _beside_config(parser: CommandParser, arguments: Sequence[str]) -> str | None:
    """The first input or option of this command that stands beside ``--config``, if any.

    What follows an option of the trainer is its value.
    """
    own = parser.option_names() - {*_CONFIG}
    before = ""
    for argument in arguments:
        if argument.partition("=")[0] in own:
            return argument
        if not argument.startswith("-") and (not before.startswith("-") or "=" in before):
            return argument
        before = argument
    return None


@report_errors
def _predict(shipped: ShippedModels, parser: CommandParser, argv: Sequence[str]) -> int:
    arguments = parser.parse(argv)
    paths = [*arguments.paths, *arguments.input]
    names = arguments.model or shipped.default
    if not paths:
        parser.error("give structures: a file, folder, pattern or table")
    if not names:
        parser.error("give a model with --model")
    if arguments.output is not None and arguments.output.suffix != ".csv":
        parser.error(f"--output writes a table; name it .csv, not {arguments.output.name}")
    if min(arguments.batch_size, arguments.devices) < 1:
        parser.error("--batch-size and --devices are at least 1")

    from crystal_data.inference.predict import predict_source
    from crystal_data.inference.prediction_table import load_ensembles
    from crystal_data.sources.paths import PathsSource
    from crystal_data.store.rejections import InvalidSourceError

    ensembles = load_ensembles(shipped, names, allow_package=arguments.allow_package)
    source = PathsSource(paths)
    ignored = source.ignored  # before there are tables of ours in the folder
    try:
        predictions = predict_source(
            [member for one in ensembles for member in one.ensemble.members],
            source,
            batch_size=arguments.batch_size,
            devices=arguments.devices,
            read_options=read_options(arguments),
        )
    except InvalidSourceError as error:
        _write_rejected(arguments.output, read_rejected(error.rejected_path))
        raise
    _report(predictions, ensembles, arguments.output)
    if ignored:
        named = ", ".join(ignored[:3])
        print(f"{len(ignored)} left aside, no structures: {named}", file=sys.stderr)
    if not len(predictions.rows):
        raise InvalidArgumentError("none of the structures can be predicted by the model")
    return 0


def _report(
    predictions: "SourcePredictions", ensembles: "Sequence[NamedEnsemble]", output: Path | None
) -> None:
    from crystal_data.inference.prediction_table import prediction_columns
    from crystal_data.io.files import csv_text, write_text

    for one in ensembles:
        print("\n".join(one.summary_lines()), file=sys.stderr)
    columns = prediction_columns(predictions, ensembles)
    rows = list(zip(*columns.values(), strict=True))
    if output is None:
        print("\n".join(aligned([list(columns), *rows])))
    else:
        write_text(output, csv_text(columns, rows))
        print(f"{len(rows)} predictions: {output}", file=sys.stderr)
    _write_rejected(output, predictions.rejected)


def _write_rejected(output: Path | None, rejected: "Sequence[Rejection]") -> None:

    if output is not None:
        if write_rejected_if_any(output.parent / REJECTED, rejected):
            print(f"{len(rejected)} rejected: {output.parent / REJECTED}", file=sys.stderr)
        return
    for one in rejected:
        where = f" ({one.file})" if one.file else ""
        print(f"rejected: {one.identifier}{where}: {one.detail}", file=sys.stderr)

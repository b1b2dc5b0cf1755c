"""`ensemble` of every package: several models as one whose predictions have an interval."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from crystal_data.cli.command_parser import CommandParser
from crystal_data.cli.inputs import add_allow_package
from crystal_data.cli.text_table import aligned
from crystal_data.inference.shipped import ShippedModels
from crystal_data.processes.error_reporting import report_errors

if TYPE_CHECKING:
    from crystal_data.inference.calibration import CoverageRow
    from crystal_data.inference.ensemble import Ensemble


@report_errors
def run_ensemble(shipped: ShippedModels, argv: Sequence[str] | None = None) -> int:
    """Writes an ensemble, and calibrates it if there are labels.

    Args:
        shipped: The models of the package.
        argv: Arguments; those of the process by default.

    Returns:
        Exit status.
    """
    parser = CommandParser(
        f"{shipped.program} ensemble",
        "Write a folder with several models of the same targets, such as one config trained with "
        f"several seeds. `{shipped.program} predict --model FOLDER` then gives their mean, their "
        "deviation and, if calibrated, a 90 % interval.",
    )
    parser.add_argument(
        "models", nargs="+", metavar="MODEL", help="folders of artifacts or runs, two or more"
    )
    parser.add_argument("--output", required=True, type=Path, help="folder to write")
    parser.add_argument(
        "--calibrate",
        metavar="INPUT",
        help="structures with labels that no member was trained on, such as a table with the "
        "columns cif and the target; half of them, drawn, give the factor between the members' "
        "deviation and the error, the others check it: calibration.csv and, with matplotlib, "
        "calibration.svg",
    )
    add_allow_package(parser)
    arguments = parser.parse(argv)
    if len(arguments.models) < 2:
        parser.error("an ensemble has two models or more")
    places = [shipped.find(model) for model in arguments.models]
    _write(places, arguments.output, arguments.calibrate, arguments.allow_package)
    return 0


def _write(
    places: Sequence[str | Path], output: Path, labelled: str | None, allow_package: str | None
) -> None:
    from crystal_data.inference.calibration import Calibration, calibrate
    from crystal_data.inference.calibration_report import coverage_cells
    from crystal_data.inference.ensemble import Ensemble, load_members, save_ensemble
    from crystal_data.io.value_cells import with_unit

    ensemble = Ensemble(load_members(places, allow_package))
    found = Calibration({}, {}, {}) if labelled is None else calibrate(ensemble, labelled)
    files = _reports(ensemble, found.tables) if found.tables else {}
    save_ensemble(output, places, found.scale, floor=found.floor, files=files)
    for name, rows in found.tables.items():
        target = with_unit(name, ensemble.unit_of(name))
        print(f"{target}: factor {found.scale[name]:.3g} of deviation + {found.floor[name]:.3g}")
        print("\n".join(aligned(coverage_cells(rows))))
    print(f"ensemble of {len(places)}: {output}")


def _reports(ensemble: "Ensemble", tables: "Mapping[str, list[CoverageRow]]") -> dict[str, str]:
    from crystal_data.inference.calibration_report import (
        CALIBRATION_FIGURE,
        CALIBRATION_TABLE,
        coverage_csv,
        coverage_figure,
    )

    files = {CALIBRATION_TABLE: coverage_csv(ensemble, tables)}
    try:
        files[CALIBRATION_FIGURE] = coverage_figure(tables)
    except ModuleNotFoundError:
        print(f"no {CALIBRATION_FIGURE}: pip install matplotlib")
    return files

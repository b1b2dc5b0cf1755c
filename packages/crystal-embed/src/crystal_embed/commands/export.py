"""`crystal-embed export`: predictions in the form of a public leaderboard."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from crystal_data.errors import InvalidArgumentError, SourceError
from crystal_data.processes import report_errors

_EPILOG = """\
jarvis    --task AI-SinglePropertyPrediction-formation_energy_peratom-dft_3d-test-mae
          --predictions runs/mine/001/predictions/test.csv
          --truth dft_3d_formation_energy_peratom.json.zip --about metadata.json
matbench  --task matbench_mp_gap --predictions fold0.csv fold1.csv fold2.csv fold3.csv fold4.csv
          --truth matbench_v0.1_validation.json --about info.json

The folder of --output gets further tasks by further calls.
"""


@report_errors
def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit status."""
    parser = argparse.ArgumentParser(
        "crystal-embed export",
        description="Write predictions as the JARVIS leaderboard or Matbench v0.1 wants them, "
        "checked to be complete.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--to", required=True, choices=("jarvis", "matbench"))
    parser.add_argument("--task", required=True, help="as the leaderboard calls it")
    parser.add_argument(
        "--predictions",
        required=True,
        nargs="+",
        metavar="FILE",
        help="tables with id and prediction, for matbench target too; matbench: one for each fold",
    )
    parser.add_argument(
        "--truth", required=True, help="the leaderboard's own file, which says what is tested"
    )
    parser.add_argument(
        "--about", required=True, help="JSON with what to say of the model: metadata or info"
    )
    parser.add_argument("--output", required=True, help="folder of the contribution")
    arguments = parser.parse_args(argv)
    print(_export(arguments))
    return 0


def _export(arguments: argparse.Namespace) -> Path:
    about = _object(arguments.about)
    if arguments.to == "matbench":
        from crystal_embed.leaderboards.matbench import write_matbench

        return write_matbench(
            arguments.output, arguments.task, arguments.predictions, arguments.truth, about
        )
    from crystal_embed.leaderboards.jarvis import write_jarvis

    if len(arguments.predictions) != 1:
        raise InvalidArgumentError("--to jarvis takes one table of predictions for a task")
    return write_jarvis(
        arguments.output, arguments.task, arguments.predictions[0], arguments.truth, about
    )


def _object(path: str) -> dict[str, Any]:
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise SourceError(f"{path}: not JSON: {error}") from error
    if not isinstance(content, dict):
        raise SourceError(f"{path}: a JSON object was expected")
    return content

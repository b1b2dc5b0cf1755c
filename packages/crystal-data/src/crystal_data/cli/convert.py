"""`crystal-data convert`."""

from collections.abc import Sequence
from pathlib import Path

from crystal_data.cli.inputs import add_input, open_input, parser_for
from crystal_data.processes.error_reporting import report_errors


@report_errors
def main(argv: Sequence[str] | None = None) -> int:
    """Writes an input as CIF files, extended XYZ, JSON lines and a summary."""
    from crystal_data.io.rejected import REJECTED, write_rejected
    from crystal_data.io.write import write_crystals

    parser = parser_for(
        "convert",
        "Write structures as cif/, structures.extxyz, structures.jsonl.gz and summary.csv, all "
        "with the same identifiers in the same order.",
    )
    add_input(parser)
    parser.add_argument("--to", required=True, metavar="DIR", help="folder to write")
    args = parser.parse(argv)
    opened = open_input(args)
    store = opened.usable()
    folder = Path(args.to)
    write_crystals((store.crystal(row) for row in range(len(store))), folder)
    write_rejected(folder / REJECTED, opened.rejections)
    print(f"{len(store)} structures in {folder}; {len(opened.rejections)} left out ({REJECTED})")
    return 0

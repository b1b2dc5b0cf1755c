"""`crystal-gen library`: crystals to copy from, kept in a folder of their own."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from crystal_data.cli.command_parser import CommandParser
from crystal_data.processes import report_errors
from crystal_gen.commands.template_options import add_template_options, joined_from


@report_errors
def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit status."""
    args = _parser().parse(argv)
    joined = joined_from(args, args.exclude)
    table = joined.excluded.encode()
    data: dict[str, str | int] = {"templates from": _names(args.templates)}
    if args.max_atoms is not None:
        data["atoms in the primitive cell, at most"] = args.max_atoms
    if args.exclude:
        data["kept apart from"] = _names(args.exclude)
        data["left out"] = joined.num_excluded
        data["sha256 of left_out.csv"] = hashlib.sha256(table).hexdigest()
    files = {"left_out.csv": table} if args.exclude else {}
    folder = joined.library.save_pretrained(args.out, data=data, files=files)
    left_out = f", {joined.num_excluded} left out" if args.exclude else ""
    print(f"{len(joined.library)} templates{left_out}: {folder}")
    return 0


def _names(paths: Sequence[str]) -> str:
    """Of data sets and files, without the folders of the machine that they lie in."""
    return ", ".join(Path(path).name for path in paths)


def _parser() -> CommandParser:
    parser = CommandParser(
        "crystal-gen library",
        "Keep crystals as templates in a folder, which `--templates` reads: of several data sets, "
        "and without those that a generator will be measured on.",
    )
    add_template_options(parser)
    parser.add_argument(
        "--exclude",
        nargs="+",
        default=[],
        metavar="DATA",
        help="leave out crystals that stand in the validation or test rows of these (all rows "
        "where there are none), by identifier, parent or structure; left_out.csv lists them",
    )
    parser.add_argument("--out", required=True, metavar="FOLDER", help="of the library")
    return parser

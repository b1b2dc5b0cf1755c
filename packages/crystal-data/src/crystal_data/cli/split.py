"""`crystal-data split`."""

from collections.abc import Sequence
from pathlib import Path

from crystal_data.cli.inputs import (
    add_input,
    open_input,
    parser_for,
)
from crystal_data.errors import SourceError
from crystal_data.processes.error_reporting import report_errors


@report_errors
def main(argv: Sequence[str] | None = None) -> int:
    """Draws train, val and test and writes their identifiers."""
    from crystal_data.io.files import write_text
    from crystal_data.splits.split import RatioSplit

    parser = parser_for(
        "split",
        "Draw train, val and test; writes train.txt, val.txt and test.txt with one identifier in "
        "each line, which IdSplit reads.",
    )
    add_input(parser)
    parser.add_argument("--out", required=True, metavar="DIR", help="folder to write")
    parser.add_argument("--val", type=float, default=0.1, help="share (default: %(default)s)")
    parser.add_argument("--test", type=float, default=0.1, help="share (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the draw (default: %(default)s)")
    parser.add_argument(
        "--group",
        metavar="NAME",
        help="keep together what shares this: reduced_formula, chemical_system or a column",
    )
    args = parser.parse(argv)
    store = open_input(args).usable()
    drawn = RatioSplit(args.val, args.test, args.seed, args.group).split(store)
    identifiers = store.strings("identifier")
    folder = Path(args.out)
    broken = [x for x in identifiers if x != x.strip() or "\r" in x or "\n" in x]
    if broken:
        raise SourceError(
            f"{args.input}: the identifier {broken[0]!r} does not fit in one line of a text file",
            "give the structure a name without line ends and without spaces around it",
        )
    for name, rows in drawn.items():
        lines = [f"{identifiers[int(row)]}\n" for row in rows]
        write_text(folder / f"{name}.txt", "".join(lines))
    print(", ".join(f"{name} {len(rows)}" for name, rows in drawn.items()), f"in {folder}")
    return 0

"""`crystal-data check`."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from crystal_data.cli.inputs import add_input, open_input, parser_for
from crystal_data.processes.error_reporting import report_errors

if TYPE_CHECKING:
    from rich.console import Console

    from crystal_data.store.store import CrystalStore

_SHOWN = 10


def _show_notes(console: "Console", store: "CrystalStore", path: Path) -> None:
    from rich.markup import escape

    from crystal_data.store.notes import noted, write_notes

    count = write_notes(path, store)
    if not count:
        return
    console.print(f"{count} structures were read with a note; table: {escape(str(path))}")
    for identifier, file, note in noted(store)[:_SHOWN]:
        where = f" ({file})" if file else ""
        console.print(escape(f"{identifier}{where}: {note}"), soft_wrap=True)
    if count > _SHOWN:
        console.print(f"… and {count - _SHOWN} more")


@report_errors
def main(argv: Sequence[str] | None = None) -> int:
    """Reads everything and says what cannot be used."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from crystal_data.io.rejected import REJECTED, write_rejected_if_any
    from crystal_data.run_folder import NOTES

    parser = parser_for("check", "Read every structure and list those that cannot be used.")
    add_input(parser)
    parser.add_argument(
        "--out", default=REJECTED, metavar="FILE", help="table to write (%(default)s)"
    )
    parser.add_argument(
        "--on-invalid",
        choices=("skip", "error"),
        default="skip",
        help="'error' ends with status 1 if anything cannot be used (default: %(default)s)",
    )
    args = parser.parse(argv)
    opened = open_input(args)
    write_rejected_if_any(args.out, opened.rejections)
    console = Console()
    bad = len(opened.rejections)
    console.print(f"{opened.num_rows + bad} structures: {opened.num_rows} usable, {bad} not")
    if bad:
        counts = Counter(rejection.reason.value for rejection in opened.rejections)
        table = Table("reason", "structures")
        for reason, count in counts.most_common():
            table.add_row(reason, str(count))
        console.print(table)
        for rejection in opened.rejections[:_SHOWN]:
            where = f" ({rejection.file})" if rejection.file else ""
            line = f"{rejection.identifier}{where}: {rejection.detail}"
            console.print(escape(line), soft_wrap=True)
        if bad > _SHOWN:
            console.print(f"… and {bad - _SHOWN} more")
        console.print(f"table: {escape(args.out)}")
    if opened.store is not None:
        _show_notes(console, opened.store, Path(args.out).with_name(NOTES))
    return 1 if bad and args.on_invalid == "error" else 0

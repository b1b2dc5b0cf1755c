"""`crystal-data list` and `crystal-data download`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from crystal_data.cli.inputs import (
    SOURCES,
    add_data_root,
    parser_for,
    source_of,
)
from crystal_data.processes.error_reporting import report_errors

if TYPE_CHECKING:
    from pathlib import Path

    from crystal_data.sources.registry import DatasetInfo


@report_errors
def list_sets(argv: Sequence[str] | None = None) -> int:
    """Prints the data sets that are known."""
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    from crystal_data.homes import data_home
    from crystal_data.sources.registry import available, describe

    parser = parser_for("list", "Data sets that are known, and which are here.")
    add_data_root(parser)
    home = data_home(parser.parse(argv).data_root)
    table = Table(title=f"data sets; files are looked for in {home}", box=SIMPLE)
    for heading in ("name", "here", "structures", "size"):
        table.add_column(heading, no_wrap=True)
    table.add_column("licence", ratio=2)
    table.add_column("what it is", ratio=3)
    for name in available():
        info = describe(name)
        rows = f"{sum(info.rows):,}" if info.rows else "?"
        size = _size(info, home)
        here = _presence(info, home)
        table.add_row(name, here, rows, size, info.license or "not stated", info.description)
    made = "computed when first used; no download"
    table.add_row("builtin", "yes", "", "", "MIT", f"prototype crystals, {made}")
    Console().print(table)
    return 0


@report_errors
def download(argv: Sequence[str] | None = None) -> int:
    """Fetches a data set."""
    from crystal_data.homes import data_home

    parser = parser_for("download", "Fetch a data set; what is there is verified, not fetched.")
    parser.add_argument("name", metavar="NAME", choices=sorted(SOURCES), help=", ".join(SOURCES))
    add_data_root(parser)
    args = parser.parse(argv)
    source_of(args.name, args.data_root).prepare()
    print(f"{args.name}: complete in {data_home(args.data_root)}")
    return 0


def _presence(info: "DatasetInfo", home: "Path") -> str:
    from crystal_data.sources.download import find_file

    found = sum(find_file(file, home) is not None for file in info.files)
    if found == len(info.files):
        return "yes"
    return f"{found} of {len(info.files)}" if found else "no"


def _size(info: "DatasetInfo", home: "Path") -> str:
    from crystal_data.sources.download import find_file

    paths = [find_file(file, home) for file in info.files]
    if all(path is not None for path in paths):
        return f"{sum(path.stat().st_size for path in paths if path) / 1e6:.1f} MB"
    sizes = [file.size for file in info.files]
    known = [size for size in sizes if size is not None]
    return f"{sum(known) / 1e6:.1f} MB" if len(known) == len(sizes) else "?"

"""`crystal-data info`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from crystal_data.cli.inputs import add_input, open_input, parser_for
from crystal_data.processes.error_reporting import report_errors

if TYPE_CHECKING:
    from rich.table import Table

    from crystal_data.store.store import CrystalStore

_BAR = 40
_BINS = 12


@report_errors
def main(argv: Sequence[str] | None = None) -> int:
    """Prints rows, elements, sizes and columns."""
    from rich.console import Console
    from rich.markup import escape

    parser = parser_for("info", "Rows, elements, atoms per cell and columns of a data set.")
    add_input(parser)
    args = parser.parse(argv)
    opened = open_input(args)
    store = opened.usable()
    console = Console()
    console.print(f"[bold]{escape(store.metadata['source'])}[/bold]")
    splits = {name: len(store.rows_of(name)) for name in ("train", "val", "test")}
    parts = ", ".join(f"{name} {count}" for name, count in splits.items() if count)
    console.print(f"structures  {len(store)}{f' ({parts})' if parts else ''}")
    console.print(f"left out    {len(opened.rejections)}")
    console.print(f"data hash   {store.metadata['fingerprint']}")
    console.print(f"elements    {_elements(store)}")
    console.print("\natoms per cell")
    for line in _histogram(store):
        console.print(line)
    if store.properties:
        console.print(_columns(store))
    return 0


def _elements(store: "CrystalStore") -> str:
    import numpy as np

    from crystal_data.elements import SYMBOLS

    crystal_of_atom = np.repeat(np.arange(len(store)), store.num_atoms)
    pairs = np.unique(
        np.stack([crystal_of_atom, np.asarray(store.column("atomic_numbers"))]), axis=1
    )
    numbers, counts = np.unique(pairs[1], return_counts=True)
    order = np.argsort(-counts, kind="stable")
    shown = ", ".join(f"{SYMBOLS[numbers[i]]} {counts[i]}" for i in order[:10])
    return f"{len(numbers)}; in how many structures: {shown}{' …' if len(numbers) > 10 else ''}"


def _histogram(store: "CrystalStore") -> list[str]:
    import numpy as np

    low, high = int(store.num_atoms.min()), int(store.num_atoms.max())
    width = -(-(high - low + 1) // _BINS)
    edges = np.arange(low, high + width + 1, width)
    counts, _ = np.histogram(store.num_atoms, edges)
    lines = []
    for start, count in zip(edges, counts, strict=False):
        last = min(start + width - 1, high)
        label = f"{start}" if width == 1 else f"{start}–{last}"
        bar = "█" * round(_BAR * count / counts.max()) or ("▏" if count else "")
        lines.append(f"{label:>11}  {bar} {count}")
    return lines


def _columns(store: "CrystalStore") -> "Table":
    import numpy as np
    from rich.box import SIMPLE
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=SIMPLE)
    table.add_column("column", overflow="fold")
    for heading in ("kind", "unit", "missing", "least", "mean", "largest"):
        table.add_column(heading, no_wrap=True)
    units = store.units
    for name in store.properties:
        kind = store.kind(name)
        cells: list[Any] = [escape(name), kind, escape(units.get(name, ""))]
        if kind == "text":
            texts = store.strings(name)
            empty = sum(not texts[row] for row in range(len(store)))
            table.add_row(*cells, str(empty), "", "", "")
            continue
        values = np.asarray(store.column(name), dtype=np.float64)
        known = values[~np.isnan(values)]
        is_missing = np.isnan(values).reshape(len(values), -1).all(axis=1)
        missing = str(int(is_missing.sum()))
        if known.size == 0:
            table.add_row(*cells, missing, "", "", "")
            continue
        ranges = (known.min(), known.mean(), known.max())
        table.add_row(*cells, missing, *(f"{value:.5g}" for value in ranges))
    return table

"""`crystal-embed models`: the models and element tables that come with the package."""

from collections.abc import Sequence

from crystal_data.cli.models import kilobytes, run_models
from crystal_embed.shipped import SHIPPED, shipped_tables


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit status."""
    return run_models(SHIPPED, argv, what="trained models and element tables", further=_tables)


def _tables() -> list[tuple[str, ...]]:
    from crystal_embed.tables.files import read_table

    rows: list[tuple[str, ...]] = [("table", "elements", "width", "made by", "size")]
    for name, path in shipped_tables().items():
        table = read_table(path)
        untrained = set(table.metadata.get("random_elements", ()))
        trained, origin = len(set(table.symbols) - untrained), table.metadata.get("origin", "")
        size = kilobytes(path.stat().st_size)
        rows.append((name, str(trained), str(table.width), str(origin), size))
    return rows

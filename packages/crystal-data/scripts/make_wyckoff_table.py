"""Write ``crystal_data/symmetry/wyckoff.json.gz``: operations and Wyckoff positions of all groups.

Needs pyxtal, which the package itself does not::

    uv run --with pyxtal python packages/crystal-data/scripts/make_wyckoff_table.py

The coordinates are those of the International Tables for Crystallography A in the standard
setting (unique axis b with cell choice 1, hexagonal axes, origin choice 2), as pyxtal lists them.
"""

import gzip
import json
from importlib.metadata import version
from pathlib import Path

from pyxtal.symmetry import Group

TARGET = Path(__file__).parents[1] / "src" / "crystal_data" / "symmetry" / "wyckoff.json.gz"


def main() -> None:
    """Write the table, the same bytes at every run."""
    groups = [_group(number) for number in range(1, 231)]
    table = {
        "format_version": 1,
        "source": f"pyxtal {version('pyxtal')}, standard settings of International Tables A",
        "groups": groups,
    }
    text = json.dumps(table, separators=(",", ":"), ensure_ascii=True)
    TARGET.write_bytes(gzip.compress(text.encode(), mtime=0))
    print(f"{TARGET}: {sum(len(g['positions']) for g in groups)} positions")


def _group(number: int) -> dict[str, object]:
    group = Group(number)
    positions = []
    for wyckoff in reversed(list(group)):  # a first
        wyckoff.get_site_symmetry()
        positions.append(
            [wyckoff.letter, wyckoff.multiplicity, wyckoff.site_symm, _compact(wyckoff[0])]
        )
    return {
        "number": number,
        "symbol": group.symbol,
        "operations": [_compact(operation) for operation in group[0]],
        "positions": positions,
    }


def _compact(operation: object) -> str:
    return operation.as_xyz_str().replace(" ", "")  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()

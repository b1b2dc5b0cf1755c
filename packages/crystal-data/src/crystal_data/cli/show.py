"""`crystal-data show`: a page of crystals that needs no network and no server."""

import json
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crystal_data.cli.inputs import add_input, open_input, parser_for
from crystal_data.elements import ATOMIC_NUMBERS
from crystal_data.processes.error_reporting import report_errors

if TYPE_CHECKING:
    from crystal_data.crystal import Crystal

_ON_FACE = 1e-3  # of a cell edge; atoms on a face are drawn on the opposite one too
_MAX_PROPERTIES = 8


@report_errors
def main(argv: Sequence[str] | None = None) -> int:
    """Writes the page."""
    from crystal_data.io.files import write_text

    parser = parser_for("show", "Make a page of crystals to look at, in one file.")
    add_input(parser)
    parser.add_argument(
        "--out", default="crystals.html", metavar="FILE", help="page to write (%(default)s)"
    )
    parser.add_argument(
        "--limit", type=int, default=60, metavar="N", help="crystals at most (%(default)s)"
    )
    args = parser.parse(argv)
    store = open_input(args).usable()
    count = min(len(store), max(1, args.limit))
    crystals = [store.crystal(row) for row in range(count)]
    title = str(store.metadata["source"])
    note = f"{count} of {len(store)} crystals. Drag to turn."
    write_text(Path(args.out), crystal_page(crystals, title, note, store.units))
    print(f"{args.out}: {count} of {len(store)} crystals")
    return 0


def crystal_page(
    crystals: "Sequence[Crystal]", title: str, note: str = "", units: dict[str, str] | None = None
) -> str:
    """A self-contained HTML page with each crystal's picture and numbers.

    Args:
        crystals: One card for each.
        title: Heading.
        note: Line below the heading.
        units: Unit of each property that has one.
    """
    pages = files("crystal_data.cli.pages")
    cards = [_card(place, crystal, units or {}) for place, crystal in enumerate(crystals)]
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title>",
            f"<style>\n{(pages / 'page.css').read_text(encoding='utf-8')}</style>",
            f"</head>\n<body>\n<h1>{escape(title)}</h1>",
            f'<p class="note">{escape(note)}</p>\n<main>',
            *cards,
            f"</main>\n{viewer(crystals)}",
            "</body>\n</html>\n",
        ]
    )


def viewer(crystals: "Sequence[Crystal]") -> str:
    """The script elements that draw crystals on a page, at its end.

    They draw the crystal of place N on each ``<canvas data-crystal="N">``.
    """
    script = files("crystal_data.cli.pages") / "viewer.js"
    # A "<" within a string could end the script element.
    data = json.dumps([_drawing(crystal) for crystal in crystals]).replace("<", "\\u003c")
    return (
        f'<script type="application/json" id="crystals">{data}</script>\n'
        f"<script>\n{script.read_text(encoding='utf-8')}</script>"
    )


def _card(place: int, crystal: "Crystal", units: dict[str, str]) -> str:
    a, b, c = crystal.lengths
    alpha, beta, gamma = crystal.angles
    rows = [
        ("atoms", str(crystal.num_atoms)),
        ("a, b, c", f"{a:.3f}, {b:.3f}, {c:.3f} Å"),
        ("α, β, γ", f"{alpha:.2f}, {beta:.2f}, {gamma:.2f}°"),
        ("volume", f"{crystal.volume:.2f} Å³"),
        *_properties(crystal, units),
    ]
    cells = "".join(
        # Long column names break between their words.
        f"<tr><td>{escape(k).replace('_', '_<wbr>')}</td><td>{escape(v)}</td></tr>"
        for k, v in rows
    )
    legend = "".join(
        f'<li><span style="background:{_colors(ATOMIC_NUMBERS[symbol])[0]}"></span>{symbol}</li>'
        for symbol in crystal.composition
    )
    label = f"{crystal.formula} {crystal.identifier}"
    return (
        f"<article><h2>{escape(crystal.formula)} <small>{escape(crystal.identifier)}</small></h2>"
        f'<canvas data-crystal="{place}" width="520" height="520" role="img" '
        f'aria-label="{escape(label)}"></canvas>'
        f'<ul class="elements">{legend}</ul><table>{cells}</table></article>'
    )


def _properties(crystal: "Crystal", units: dict[str, str]) -> list[tuple[str, str]]:
    rows = []
    for name, value in crystal.properties.items():
        if isinstance(value, float) and not isnan(value):
            rows.append((name, f"{value:.5g} {units.get(name, '').removeprefix('1')}".strip()))
        elif isinstance(value, str) and 0 < len(value) < 60:
            rows.append((name, value))
    return rows[:_MAX_PROPERTIES]


def _drawing(crystal: "Crystal") -> dict[str, Any]:
    numbers = sorted(set(crystal.atomic_numbers.tolist()))
    elements = [dict(zip(("color", "edge"), _colors(z), strict=True)) | _radius(z) for z in numbers]
    atoms = [
        [numbers.index(z), *map(float, image)]
        for z, frac in zip(crystal.atomic_numbers.tolist(), crystal.frac_coords, strict=True)
        for image in _images(frac)
    ]
    return {"lattice": crystal.lattice.tolist(), "elements": elements, "atoms": atoms}


def _images(frac: Any) -> Any:
    """The atom in the home cell, and on the far faces if it lies on a near one."""
    import numpy as np

    home = frac - np.floor(frac)
    home[home > 1 - _ON_FACE] = 0.0
    images = [home]
    for axis in np.flatnonzero(home < _ON_FACE):
        images += [image + np.eye(3)[axis] for image in images]
    return np.round(images, 5)


def _colors(z: int) -> tuple[str, str]:
    """Color of an element as Jmol draws it, and a darker one for its rim."""
    from ase.data.colors import jmol_colors

    # The last elements have no color of their own and share that of the last one that has.
    color = jmol_colors[min(z, len(jmol_colors) - 1)]
    red, green, blue = (round(100 * share) for share in color)
    return (
        f"rgb({red}% {green}% {blue}%)",
        f"rgb({red // 2}% {green // 2}% {blue // 2}%)",
    )


def _radius(z: int) -> dict[str, float]:
    from ase.data import covalent_radii

    # Small enough that atoms behind a bond length stay in sight.
    return {"radius": round(0.15 + 0.35 * float(covalent_radii[z]), 2)}

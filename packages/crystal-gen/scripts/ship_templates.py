"""Puts the training rows of MP-20 into the package, as the templates that come with it.

CRYSTAL_DATA_HOME=FOLDER python packages/crystal-gen/scripts/ship_templates.py

The crystals are those of the Materials Project, CC BY 4.0, as the card of the artifact says.
"""

from pathlib import Path

from crystal_data.sources import MP20
from crystal_gen import join_sources

PRETRAINED = Path(__file__).resolve().parents[1] / "src" / "crystal_gen" / "pretrained"
MOST_BYTES = 2_000_000


def main() -> None:
    """Writes the artifact."""
    data = {
        "templates from": "the training rows of MP-20 (crystals of the Materials Project)",
        "license": "CC BY 4.0, https://creativecommons.org/licenses/by/4.0/",
        "attribution": (
            "A. Jain et al., The Materials Project, APL Materials 1, 011002 (2013); "
            "T. Xie et al., arXiv 2110.06197, for the selection and split"
        ),
        "changes": "symmetrized at 0.1 Å, coordinates rounded to 1/65536",
    }
    library = join_sources([MP20()]).library
    folder = library.save_pretrained(PRETRAINED / "templates-mp20", data=data, is_compact=True)
    size = sum(path.stat().st_size for path in folder.iterdir())
    if size > MOST_BYTES:
        raise SystemExit(f"{folder} has {size} bytes, more than {MOST_BYTES}")
    print(f"{folder}: {len(library)} templates, {size} bytes")


if __name__ == "__main__":
    main()

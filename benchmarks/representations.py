"""Crystals as text, tokens and orbits, and back, on every row of MP-20 and MPTS-52.

    CRYSTAL_DATA_HOME=FOLDER python benchmarks/representations.py

Text and tokens: what is decoded must be the rounded crystal to the last bit. Orbits: `OrbitColumn`
keeps those only that make the crystal again, to 0.03 Å. Here the stored ones are expanded once more
and must have the formula and the volume per atom of every row. Every third row is also compared by
pymatgen's `StructureMatcher`, which knows nothing of how the orbits were found. It looks for
smaller cells with a tolerance of 0.25 Å, and for a few crystals reduces two cells of the same
crystal to different ones; those are compared once more, in their primitive cells and without that
reduction. Rows without a value are counted by reason. Times are CPU seconds of one process.
"""

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from measuring import RESULTS, write

from crystal_data.crystal import Crystal, end_to_end
from crystal_data.io import to_pymatgen
from crystal_data.metrics import match
from crystal_data.sources.public import MP20, MPTS52
from crystal_data.store import CrystalStore, OrbitColumn, TokenColumn, open_store
from crystal_data.symmetry import niggli_cell, primitive_cell
from crystal_data.text import (
    CifText,
    CompactText,
    CrystalTextError,
    CrystalTokenizer,
    round_crystal,
)

SOURCES = {"mp_20": MP20, "mpts_52": MPTS52}
CODECS = {"cif": CifText(), "compact": CompactText(), "tokens": CrystalTokenizer()}


def is_same(one: Crystal, other: Crystal) -> bool:
    """Equal to the last bit."""
    pairs = zip(end_to_end([one]), end_to_end([other]), strict=True)
    return all(np.array_equal(first, second) for first, second in pairs)


def text_of_all(crystals: list[Crystal]) -> dict[str, Any]:
    """Round trips through each form."""
    results = {}
    for name, codec in CODECS.items():
        seconds = {"encode": 0.0, "decode": 0.0}
        counts: Counter[str] = Counter()
        longest = 0
        for crystal in crystals:
            start = time.process_time()
            try:
                encoded = codec.encode(crystal)
            except CrystalTextError as error:
                counts[str(error).partition(": ")[2]] += 1
                continue
            middle = time.process_time()
            decoded = codec.decode(encoded)
            seconds["decode"] += time.process_time() - middle
            seconds["encode"] += middle - start
            longest = max(longest, len(encoded))
            counts["exact" if is_same(decoded, round_crystal(crystal)) else "different"] += 1
        results[name] = {"rows": dict(counts), "cpu_seconds": seconds, "longest": longest}
        print(f"  {name}: {results[name]}", flush=True)
    return results


def has_same_content(one: Crystal, other: Crystal) -> bool:
    """The same formula, and the same volume per atom to 0.5 %."""
    densities = one.num_atoms / one.volume, other.num_atoms / other.volume
    return one.formula == other.formula and abs(densities[0] / densities[1] - 1) < 0.005


def matches_unreduced(one: Crystal, other: Crystal) -> bool:
    """Whether the primitive cells of two crystals match as they are."""
    from pymatgen.analysis.structure_matcher import StructureMatcher

    matcher = StructureMatcher(stol=0.5, angle_tol=10, ltol=0.3, primitive_cell=False)
    first, second = (to_pymatgen(niggli_cell(primitive_cell(c))) for c in (one, other))
    return matcher.fit(first, second)


def orbits_of_all(store: CrystalStore, crystals: list[Crystal], every: int) -> dict[str, Any]:
    """Orbits by the stored column, expanded and compared with the crystals."""
    column = OrbitColumn()
    start = time.process_time()
    values = store.add_column(column, num_workers=0)
    seconds = time.process_time() - start
    failed = Counter(values.failed().values())
    print(f"  orbits in {seconds:.0f} CPU s; no value: {dict(failed)}", flush=True)
    back = column.crystals(values.cut(np.arange(len(store))))
    expanded = {row: orbits.to_crystal() for row, orbits in enumerate(back) if orbits is not None}
    alike = sum(has_same_content(crystal, crystals[row]) for row, crystal in expanded.items())
    compared = [row for row in expanded if row % every == 0]
    rms = {row: match(expanded[row], crystals[row]) for row in compared}
    deviations = [value for value in rms.values() if value is not None]
    reduced_apart = [row for row, value in rms.items() if value is None]
    unmatched = [r for r in reduced_apart if not matches_unreduced(expanded[r], crystals[r])]
    return {
        "symprec_angstrom": column.symprec,
        "rows_with_orbits": len(expanded),
        "same_formula_and_volume": alike,
        "failures": dict(failed),
        "failed_rows": {store.strings("identifier")[row]: r for row, r in values.failed().items()},
        "compared_by_matcher": len(rms),
        "matched": len(deviations),
        "matched_unreduced": len(reduced_apart) - len(unmatched),
        "unmatched": [crystals[row].identifier for row in unmatched],
        "rms_quantiles": dict(
            zip(("0.5", "0.99", "1"), np.quantile(deviations, [0.5, 0.99, 1]).tolist(), strict=True)
        ),
        "cpu_seconds": seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, help="only the first rows of each set")
    parser.add_argument("--match-every", type=int, default=3, metavar="ROWS")
    parser.add_argument("--out", type=Path, default=RESULTS / "representations.json")
    options = parser.parse_args()
    if not os.environ.get("CRYSTAL_DATA_HOME"):
        sys.exit("set CRYSTAL_DATA_HOME to the folder that holds mp_20 and mpts_52")
    results: dict[str, Any] = {}
    for name, source in SOURCES.items():
        with tempfile.TemporaryDirectory() as cache:
            store = open_store(source(), on_invalid="skip", cache=cache)
            rejected = store.metadata["rejected"]
            crystals = [store.crystal(row) for row in range(len(store))][: options.rows]
            if options.rows:
                store = CrystalStore.from_crystals(crystals)
            print(f"{name}: {len(crystals)} crystals", flush=True)
            start = time.process_time()
            tokens = store.add_column(TokenColumn(), num_workers=0)
            seconds = time.process_time() - start
            results[name] = {
                "crystals": len(crystals),
                "rejected_by_reader": rejected,
                "text": text_of_all(crystals),
                "token_column": {
                    "cpu_seconds": seconds,
                    "failures": dict(Counter(tokens.failed().values())),
                },
                "orbits": orbits_of_all(store, crystals, options.match_every),
            }
    write(options.out, results)


if __name__ == "__main__":
    main()

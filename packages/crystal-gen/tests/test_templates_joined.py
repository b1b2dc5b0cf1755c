"""One library of several data sets, without what is evaluated on."""

import csv
import io

import numpy as np
import pytest

from crystal_data.errors import InvalidArgumentError
from crystal_data.io.cif import to_cif
from crystal_data.sources import FolderSource
from crystal_data.splits import EvaluationSet
from crystal_data.testing import perovskite, rock_salt
from crystal_gen import join_sources


def source(folder, **crystals):
    folder.mkdir()
    for name, crystal in crystals.items():
        (folder / f"{name}.cif").write_text(to_cif(crystal), encoding="utf-8")
    return FolderSource(folder)


@pytest.fixture
def sources(tmp_path):
    first = source(tmp_path / "first", salt=rock_salt(), other=rock_salt(19, 35, 6.6))
    second = source(tmp_path / "second", cubic=perovskite(), salt=rock_salt())
    return [first, second]


def test_all_training_rows_in_order(sources) -> None:
    joined = join_sources(sources, num_workers=0)
    assert list(joined.library.identifiers) == ["other", "salt", "cubic"]
    assert (joined.excluded, joined.num_excluded) == ("", 0)
    small = join_sources([joined.library, sources[1]], max_atoms=2, num_workers=0)
    assert list(small.library.identifiers) == ["other", "salt"]


def test_what_is_evaluated_on_is_no_template(sources, tmp_path) -> None:
    # KBr as a distorted supercell under another name, and the identifier of another crystal.
    kbr = rock_salt(19, 35, 6.7)
    moved = kbr.replace(frac_coords=kbr.frac_coords + np.array([0.13, 0.02, 0.4]))
    held_out = source(tmp_path / "held-out", hidden=moved, cubic=rock_salt(3, 9, 4.0))
    joined = join_sources(sources, exclude_from=[EvaluationSet(held_out)], num_workers=0)
    assert list(joined.library.identifiers) == ["salt"]
    rows = list(csv.DictReader(io.StringIO(joined.excluded)))
    found = {(row["id"], row["matched_id"], row["how"]) for row in rows}
    assert found == {("other", "hidden", "structure"), ("cubic", "cubic", "id")}
    assert {row["evaluation_set"] for row in rows} == {"held-out"}
    assert [row["templates"] for row in rows] == ["first", "second"]
    assert joined.num_excluded == 2
    with pytest.raises(InvalidArgumentError, match="cannot be kept out of a library any more"):
        join_sources([joined.library], exclude_from=[EvaluationSet(held_out)])
    everything = [EvaluationSet(each) for each in sources]
    with pytest.raises(InvalidArgumentError, match="at least one"):
        join_sources(sources, exclude_from=everything, num_workers=0)

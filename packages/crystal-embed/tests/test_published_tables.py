import subprocess
import sys

import numpy as np
import pytest

from crystal_embed import load_table
from crystal_embed.tables import published


def in_folder(monkeypatch, folder, **contents):
    for name, content in contents.items():
        (folder / name.replace("__", ".")).write_text(content)
    found = {path.stem: path for path in folder.iterdir()}
    monkeypatch.setattr(published, "_tables", lambda: found)


# Names, number of elements and width as the package's own documentation gives them.
@pytest.mark.parametrize(
    ("name", "width", "elements"),
    [
        ("mat2vec", 200, 118),
        ("magpie", 22, 97),
        ("megnet16", 16, 94),
        ("oliynyk", 44, 85),
        ("skipatom", 200, 86),
        ("cgnf", 90, 100),
        ("matscholar", 200, 103),
        ("xenonpy", 58, 94),
        ("mod_petti", 1, 118),
        ("crystallm", 512, 89),
    ],
)
def test_tables_of_the_package(name, width, elements):
    pytest.importorskip("elementembeddings")
    table = load_table(f"elements:{name}")
    assert (table.name, table.width, len(table)) == (f"elements:{name}", width, elements)
    assert table.metadata["source"].startswith("ElementEmbeddings ")


def test_every_listed_table_can_be_read():
    pytest.importorskip("elementembeddings")
    for name in published._tables():
        assert len(load_table(f"elements:{name}")) > 80


def test_numbers_stand_with_their_elements():
    pytest.importorskip("elementembeddings")
    magpie = load_table("elements:magpie")
    np.testing.assert_array_equal(magpie.vectors[:, 0], magpie.atomic_numbers)  # column "Number"
    megnet = load_table("elements:megnet16")
    assert megnet.metadata["left_out"] == ["Null"]


def test_a_control_can_be_made_of_it():
    pytest.importorskip("elementembeddings")
    permuted = load_table("permuted:0:elements:megnet16")
    assert permuted.vectors.sum() == pytest.approx(
        load_table("elements:megnet16").vectors.sum(), rel=1e-4
    )


def test_forms_and_gaps(monkeypatch, tmp_path):
    in_folder(
        monkeypatch,
        tmp_path,
        rows__json='{"Null": [9, 9], "H": [1, NaN], "O": [2, 4], "Fe": [3, 8]}',
        named__csv="element,radius,mass\nH,1,\nD,1,2\nO,2,4\nFe,,8\n",
        scale__json='{"Fe": 3, "H": 1, "T": 2}',
    )
    rows = load_table("elements:rows")
    np.testing.assert_array_equal(rows.vectors, [[1, 6], [2, 4], [3, 8]])
    assert rows.metadata["left_out"] == ["Null"]
    assert rows.metadata["filled_with_column_mean"] == ["H"]
    named = load_table("elements:named")
    np.testing.assert_array_equal(named.vectors, [[1, 6], [2, 4], [1.5, 8]])
    assert named.metadata["filled_with_column_mean"] == ["H", "Fe"]
    np.testing.assert_array_equal(load_table("elements:scale").vectors, [[1], [3]])


def test_broken_files_are_named(monkeypatch, tmp_path):
    in_folder(monkeypatch, tmp_path, words__csv="element,a\nH,one\nO,2\n")
    with pytest.raises(ValueError, match=r"words\.csv: not all values are numbers"):
        load_table("elements:words")
    in_folder(monkeypatch, tmp_path, gappy__csv="element,a\nH,one\nO,\n")
    with pytest.raises(ValueError, match=r"gappy\.csv: not all values are numbers"):
        load_table("elements:gappy")
    in_folder(monkeypatch, tmp_path, empty__csv="element,a,b\nH,,1\nO,,2\n")
    with pytest.raises(ValueError, match=r"empty\.csv: column 1 holds no number"):
        load_table("elements:empty")
    in_folder(monkeypatch, tmp_path, ragged__csv="element,a,b\nH,,1\nO,2\n")
    with pytest.raises(ValueError, match=r"ragged\.csv: all rows need the same length"):
        load_table("elements:ragged")


def test_unknown_names_answer_with_the_nearest():
    pytest.importorskip("elementembeddings")
    with pytest.raises(ValueError, match="did you mean 'elements:mat2vec'"):
        load_table("elements:mat2vek")
    with pytest.raises(ValueError, match=r"none of that name.*atomic, cgnf"):
        load_table("elements:")


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "elementembeddings", None)
    with pytest.raises(ValueError, match=r"pip install 'crystal-embed\[tables\]'"):
        load_table("elements:mat2vec")


def test_heavy_parts_stay_outside():
    pytest.importorskip("elementembeddings")
    code = (
        "import sys; from crystal_embed import load_table; load_table('elements:megnet16');"
        "sys.exit(any(n in sys.modules for n in ('pandas', 'umap', 'elementembeddings.core')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

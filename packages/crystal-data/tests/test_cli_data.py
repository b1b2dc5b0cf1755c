"""The commands of `crystal-data`, on small inputs of each kind."""

import csv
import json
import os
import re
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from crystal_data.__main__ import COMMANDS, main
from crystal_data.cli.lazy import Command, dispatch
from crystal_data.cli.show import crystal_page
from crystal_data.crystal import Crystal
from crystal_data.io.cif import to_cif

SALT = Crystal(5.6 * np.eye(3), [[0, 0, 0], [0.5, 0.5, 0.5]], [11, 17], "salt")


def crystals(count=12):
    rng = np.random.default_rng(0)
    return [
        Crystal(
            (3.0 + 0.1 * i) * np.eye(3) + 0.1 * rng.normal(size=(3, 3)),
            [[0, 0, 0], [0.5, 0.5, 0.5]],
            [3 + i // 2, 8],
            f"c{i}",
        )
        for i in range(count)
    ]


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    monkeypatch.setenv("CRYSTAL_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("CRYSTAL_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def folder():
    place = Path("mine")
    place.mkdir()
    rows = []
    for i, crystal in enumerate(crystals()):
        (place / f"{crystal.identifier}.cif").write_text(to_cif(crystal), encoding="utf-8")
        rows.append(f"{crystal.identifier},{i / 10 if i else ''}\n")
    (place / "id_prop.csv").write_text("".join(rows), encoding="utf-8")
    return place


def break_one(folder):
    (folder / "c3.cif").write_text("data_c3\n_cell_length_a 3\n", encoding="utf-8")


def test_check_counts_and_lists(folder, capsys, monkeypatch):
    break_one(folder)
    # However narrow the terminal, a fault is one line that can be searched for.
    monkeypatch.setenv("COLUMNS", "40")
    assert main(["check", str(folder)]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"^c3 \(mine/c3\.cif\): no unit cell: .* missing$", printed, re.MULTILINE)
    assert "12 structures: 11 usable, 1 not" in printed
    with Path("rejected.csv").open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["id"] == "c3"
    assert row["reason"] in printed
    assert main(["check", str(folder), "--on-invalid", "error", "--out", "other.csv"]) == 1
    assert Path("other.csv").is_file()
    # Where all can be used there is no table, not that of an earlier check either.
    (folder / "c3.cif").write_bytes((folder / "c4.cif").read_bytes())
    assert main(["check", str(folder)]) == 0
    assert not Path("rejected.csv").exists()
    assert "table" not in capsys.readouterr().out.splitlines()[-1]


def test_check_lists_what_was_read_with_a_note(folder, capsys):
    stale = (folder / "c3.cif").read_text(encoding="utf-8")
    stale = re.sub(r"(_chemical_formula_sum\s+)'(\w+) ", r"\1'\g<2>0 ", stale)
    (folder / "c3.cif").write_text(stale, encoding="utf-8")
    assert main(["check", str(folder)]) == 0
    assert "1 structures were read with a note; table: notes.csv" in capsys.readouterr().out
    with Path("notes.csv").open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["id"] == "c3"
    assert "the formula says" in row["note"]


def test_check_honors_every_read_option(folder, capsys):
    text = (folder / "c3.cif").read_text(encoding="utf-8")
    larger = re.sub(r"(_chemical_formula_sum\s+)'[^']*'", r"\1'Og9 Ts9'", text)
    (folder / "c3.cif").write_text(larger, encoding="utf-8")
    assert main(["check", str(folder)]) == 0
    assert "12 structures: 11 usable, 1 not" in capsys.readouterr().out
    assert main(["check", str(folder), "--on-formula", "note"]) == 0
    assert "12 structures: 12 usable, 0 not" in capsys.readouterr().out
    assert main(["check", str(folder), "--min-distance", "9"]) == 0
    assert "overlapping_atoms" in capsys.readouterr().out


def test_check_where_nothing_can_be_used(capsys):
    place = Path("bad")
    place.mkdir()
    (place / "a.cif").write_text("data_a\n_cell_length_a 3\n", encoding="utf-8")
    assert main(["check", "bad"]) == 0
    assert "1 structures: 0 usable, 1 not" in capsys.readouterr().out
    assert main(["info", "bad"]) == 1
    assert "none of the structures can be used" in capsys.readouterr().err


def test_info(folder, capsys):
    assert main(["info", str(folder)]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"structures\s+12", printed)
    assert "6; in how many structures: O 12, Li 2" in printed
    assert re.search(r"\n\s+2  █+ 12\n", printed)
    assert re.search(r"target\s+scalar\s+1\s+0\.1\s+0\.6\s+1\.1", printed)


def test_convert_there_and_back(folder, capsys):
    assert main(["convert", str(folder), "--to", "out"]) == 0
    assert {path.name for path in Path("out").iterdir()} == {
        "cif",
        "structures.extxyz",
        "structures.jsonl.gz",
        "summary.csv",
        "rejected.csv",
    }
    for form in ("out/structures.extxyz", "out/cif"):
        assert main(["check", form]) == 0
        assert "12 structures: 12 usable, 0 not" in capsys.readouterr().out


def test_split_keeps_groups_together(folder, capsys):
    arguments = ["--out", "ids", "--group", "chemical_system", "--val", "0.2", "--test", "0.2"]
    assert main(["split", str(folder), *arguments]) == 0
    parts = {
        name: set(Path(f"ids/{name}.txt").read_text(encoding="utf-8").split())
        for name in ("train", "val", "test")
    }
    assert set.union(*parts.values()) == {crystal.identifier for crystal in crystals()}
    assert sum(map(len, parts.values())) == 12
    for pair in range(0, 12, 2):
        assert any({f"c{pair}", f"c{pair + 1}"} <= part for part in parts.values())
    assert main(["split", str(folder), "--out", "x", "--val", "2"]) == 1
    assert main(["split", str(folder), "--out", "x", "--group", "targt"]) == 1
    assert "targ" in capsys.readouterr().err
    assert not Path("x").exists()


class Page(HTMLParser):
    """Collects what a browser would load, and the text that it would show."""

    def __init__(self):
        super().__init__()
        self.urls, self.tags, self.text = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.urls += [value for name, value in attrs if name in {"src", "href", "action"}]

    def handle_data(self, data):
        self.text.append(data)


def test_show_is_one_page_that_loads_nothing(folder):
    assert main(["show", str(folder), "--limit", "5"]) == 0
    page = Page()
    page.feed(Path("crystals.html").read_text(encoding="utf-8"))
    assert page.urls == []
    assert page.tags.count("canvas") == 5
    assert "5 of 12 crystals. Drag to turn." in page.text


def test_no_text_of_a_crystal_becomes_code():
    evil = '</script><script>alert("x")</script><img src=x onerror=alert(1)>'
    crystal = SALT.replace(identifier=evil, properties={evil: 1.0, "note": evil})
    text = crystal_page([crystal], evil, evil, {evil: evil})
    page = Page()
    page.feed(text)
    assert page.tags.count("script") == 2
    assert "img" not in page.tags


def test_the_picture_has_atoms_on_all_faces():
    text = crystal_page([SALT], "t")
    data = re.search(r'id="crystals">(.*?)</script>', text, re.S)
    (drawing,) = json.loads(data.group(1))
    assert len(drawing["atoms"]) == 8 + 1
    assert len(drawing["elements"]) == 2
    np.testing.assert_allclose(drawing["lattice"], SALT.lattice)


def test_list_and_download(capsys):
    assert main(["list"]) == 0
    printed = capsys.readouterr().out
    for name in ("mp_20", "perov_5", "jarvis_dft_3d", "builtin"):
        assert name in printed
    assert main(["download", "builtin"]) == 0
    assert "builtin: complete" in capsys.readouterr().out
    assert main(["download", "jarvis_supercon"]) == 1
    assert "CRYSTAL_DATA_HOME" in capsys.readouterr().err


def test_the_data_root_of_one_command_is_not_that_of_the_next(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for split in ("train", "val", "test"):
        file = Path("other/mp_20", f"{split}.csv")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("material_id,cif\n")
    before = os.environ["CRYSTAL_DATA_HOME"]
    assert main(["download", "mp_20", "--data-root", "other"]) == 0
    assert f"mp_20: complete in {tmp_path / 'other'}" in capsys.readouterr().out
    assert os.environ["CRYSTAL_DATA_HOME"] == before


def test_a_mistyped_name_gets_the_nearest(capsys):
    assert main(["info", "mp20"]) == 1
    assert "did you mean 'mp_20'?" in capsys.readouterr().err


def test_a_mistyped_command_gets_the_nearest(capsys):
    assert main(["chek"]) == 2
    assert "no command 'chek'; did you mean 'check'?" in capsys.readouterr().err


def test_version_and_help(capsys):
    assert main(["--version"]) == 0
    assert re.fullmatch(r"crystal-data \d+\.\d+\.\d+\n", capsys.readouterr().out)
    assert main([]) == 0
    listed = capsys.readouterr().out
    assert all(f"  {name} " in listed for name in COMMANDS)


def test_prefix_comes_before_the_users_arguments():
    commands = {"count": Command("counts", "builtins:len", ("a", "b"))}
    assert dispatch("x", "y", commands, ["count", "c"]) == 3


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as exit_:
        main([command, "--help"])
    assert exit_.value.code == 0
    assert f"crystal-data {command}" in capsys.readouterr().out


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from crystal_data.__main__ import main; main(['--help'])\n"
        "heavy = {'numpy', 'torch', 'lightning', 'rich', 'ase', 'pymatgen'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert time.perf_counter() - started < 5  # the imports alone would take longer


def test_split_refuses_identifiers_of_several_lines(capsys):
    Path("t.csv").write_text(f'id,cif\n"a\nb","{to_cif(SALT).replace(chr(34), chr(34) * 2)}"\n')
    assert main(["split", "t.csv", "--out", "ids"]) == 1
    assert "'a\\nb' does not fit in one line" in capsys.readouterr().err
    assert not Path("ids").exists()

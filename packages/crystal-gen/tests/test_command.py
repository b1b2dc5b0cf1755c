"""`crystal-gen` from the shell: structures from a table of requests, and errors in one line."""

import subprocess
import sys
from pathlib import Path

import pytest

from crystal_data.generation import read_generated
from crystal_data.io.cif import to_cif
from crystal_gen.__main__ import main


@pytest.fixture
def folder(tmp_path: Path, toys, monkeypatch) -> Path:
    (tmp_path / "known").mkdir()
    for crystal in [each for each in toys if each.formula in ("KCl", "NaCl")]:
        path = tmp_path / "known" / f"{crystal.identifier}.cif"
        path.write_text(to_cif(crystal), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_requests_become_structures(folder: Path, capsys) -> None:
    Path("wishes.csv").write_text(
        "id,formula,z,space_group,wyckoff\nhalide,,,225,K:4a Br:4b\nplain,RbI,1,,\nno,CaF2,1,,\n",
        encoding="utf-8",
    )
    options = "--method template --templates known --requests wishes.csv --n 2 --out made"
    assert main(["generate", *options.split()]) == 0
    assert "6 samples of 3 requests: made" in capsys.readouterr().out
    made = {(each.request, each.sample): each for each in read_generated("made")}
    assert made["halide", 0].crystal.composition == {"K": 4, "Br": 4}
    assert made["plain", 0].crystal.composition == {"Rb": 1, "I": 1}
    assert made["no", 0].crystal is None
    assert made["no", 0].flags == ("no_template",)
    assert (Path("made") / "cif" / "halide_0.cif").is_file()


def test_a_saved_library_and_exclusions(folder: Path, capsys) -> None:
    from crystal_data.sources import FolderSource
    from crystal_data.store import open_store
    from crystal_gen import TemplateLibrary

    library = TemplateLibrary.from_store(open_store(FolderSource(Path("known"))))
    library.save_pretrained("library")
    asked = "--formula KBr --z 1 --exclude-prototype 1-1:225:a|b --out made"
    assert main(["generate", "--method", "template", "--templates", "library", *asked.split()]) == 0
    [only] = read_generated("made")
    assert only.flags == ("no_template",)
    capsys.readouterr()


def test_random_crystals(folder: Path, capsys) -> None:
    pytest.importorskip("pyxtal")
    asked = "--method random --formula KBr --z 1 --spacegroup 225 --n 2 --out made"
    assert main(["generate", *asked.split()]) == 0
    assert "2 samples of 1 requests: made" in capsys.readouterr().out
    for each in read_generated("made"):
        assert each.crystal.composition == {"K": 4, "Br": 4}


def test_a_library_apart_from_an_evaluation_set_and_its_strata(folder: Path, capsys) -> None:
    from crystal_data.__main__ import main as crystal_data
    from crystal_gen import TemplateLibrary

    kept = {path.stem for path in Path("known").iterdir()}
    first = sorted(kept)[0]
    Path("test").mkdir()
    for name in (first, "new"):
        Path("test", f"{name}.cif").write_bytes(Path("known", f"{first}.cif").read_bytes())
    options = f"--templates {folder / 'known'} --max-atoms 8 --exclude test --out lib"
    assert main(["library", *options.split()]) == 0
    assert f"{len(kept) - 1} templates, 1 left out: lib" in capsys.readouterr().out
    assert set(TemplateLibrary.from_pretrained("lib").identifiers) == kept - {first}
    assert f"known,{first},{first},test,id" in Path("lib", "left_out.csv").read_text("utf-8")
    card = Path("lib", "README.md").read_text("utf-8")
    assert "| kept apart from | test |" in card
    assert "| templates from | known |" in card
    assert main(["library", "--templates", "lib", "--exclude", "test", "--out", "other"]) == 1
    assert "cannot be kept out of a library any more" in capsys.readouterr().err

    joined = "--templates lib known --reference test --num-workers 0 --out strata.csv"
    assert main(["strata", *joined.split()]) == 0
    # The one of the two that is known is not its own polymorph.
    assert "2 references, 0 without a template, 1 without a polymorph" in capsys.readouterr().out
    measured = "test --reference test --strata strata.csv --num-workers 0 --k 1"
    assert crystal_data(["evaluate", *measured.split()]) == 0
    assert "template=yes" in capsys.readouterr().out
    for wrong, message in (("--candidates 0", "at least one"), ("--max-atoms 0", "at least one")):
        assert main(["strata", *joined.split(), *wrong.split()]) == 1
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--templates known --formula Xx", "Xx is no element"),
        ("--templates nowhere --formula KBr", "'nowhere' is no file, no folder and no data set"),
        ("--templates known", "nothing is asked for"),
        ("--formula KBr --method template", "there is nothing to copy from; give --templates"),
        ("--formula KBr --z 1:2 --method template", "several numbers, and the method is template"),
        ("--formula KBr --why --method template", "--why is given, and the method is template"),
        ("--formula KBr --volume fitted", "--volume is given, and the method is ranked"),
        ("--templates known --formula KBr --spacegroup 231", "space group 231 does not exist"),
        ("--templates known --formula KBr --exclude-formula Q", "Q is no element"),
        ("--templates known --requests no.csv", "no.csv"),
    ],
)
def test_errors_are_one_line(folder: Path, capsys, options: str, message: str) -> None:
    assert main(["generate", *options.split(), "--out", "made"]) == 1
    shown = capsys.readouterr().err
    assert message in shown
    assert len(shown.strip().splitlines()) == 1


def test_a_mistyped_option_is_answered(folder: Path, capsys) -> None:
    with pytest.raises(SystemExit, match="2"):
        main("generate --templates known --formula KBr --out made --volumes fitted".split())
    assert "did you mean '--volume'?" in capsys.readouterr().err


@pytest.mark.slow
def test_two_processes_write_the_files_of_one(folder: Path) -> None:
    asked = "--method template --templates known --formula KBr --z 1 --n 4"
    for processes, out in ((1, "one"), (2, "two")):
        options = f"{asked} --num-processes {processes} --out {out}"
        command = [sys.executable, "-m", "crystal_gen", "generate", *options.split()]
        subprocess.run(command, check=True, capture_output=True)
    for name in ("summary.csv", "structures.extxyz"):
        assert Path("one", name).read_bytes() == Path("two", name).read_bytes()

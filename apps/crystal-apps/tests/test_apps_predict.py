"""`crystal predict` takes structures, as `crystal-embed predict` does, or a config."""

import pytest

from crystal_apps.__main__ import main
from crystal_data.io.cif import to_cif
from crystal_data.testing import rock_salt
from crystal_embed.__main__ import main as embed


def test_structures_are_predicted(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.cif").write_text(to_cif(rock_salt()), encoding="utf-8")
    assert main(["predict", "my.cif"]) == 0
    printed = capsys.readouterr().out
    assert "formation_energy_per_atom" in printed
    assert embed(["predict", "my.cif"]) == 0
    assert capsys.readouterr().out == printed


def test_help_names_the_command(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["predict", "--help"])
    assert capsys.readouterr().out.startswith("usage: crystal predict INPUT")


def test_a_config_goes_to_the_trainer(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="2"):
        main(["predict", "--config", "cgcnn-foldr"])
    assert "no config 'cgcnn-foldr'" in capsys.readouterr().err

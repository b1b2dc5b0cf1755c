import subprocess
import sys

import numpy as np
import pytest

from crystal_data.shipped_configs import announced_configs
from crystal_embed import CGCNN, load_table
from crystal_embed.__main__ import COMMANDS, main
from crystal_embed.commands.export_table import main as export_main


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from crystal_embed.__main__ import main; main(['--help']);"
        "sys.exit(any(name in sys.modules for name in ('torch', 'lightning', 'numpy', 'pandas')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in COMMANDS)


def test_public_names_resolve():
    import crystal_embed

    for name in crystal_embed.__all__:
        assert getattr(crystal_embed, name).__name__ == name
    with pytest.raises(AttributeError, match="CGCN"):
        _ = crystal_embed.CGCN


def test_a_mistyped_command_answers_with_the_nearest(capsys):
    assert main(["export-tabel"]) == 2
    assert "did you mean 'export-table'" in capsys.readouterr().err


def test_configs_are_listed_and_printed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["configs"]) == 0
    heading, *lines = capsys.readouterr().out.splitlines()
    assert heading == "--config NAME"
    names = {line.split()[0] for line in lines}
    assert names == set(announced_configs()) >= {"cgcnn-folder", "cpu"}
    assert all(len(line.split(maxsplit=1)[1]) > 20 for line in lines)
    assert main(["configs", "cgcnn-folder"]) == 0
    assert "class_path: crystal_embed.CGCNN" in capsys.readouterr().out
    assert main(["configs", "cgcnn-foldr"]) == 1
    assert "the names are cgcnn-folder, " in capsys.readouterr().err


@pytest.mark.parametrize("command", ["fit", "test", "validate", "predict"])
def test_a_wrong_name_of_a_config_lists_what_there_is(command, capsys):
    with pytest.raises(SystemExit):
        main([command, "--config", "cgcnn-foldr"])
    error = capsys.readouterr().err
    assert error.startswith("error: --config: no config 'cgcnn-foldr'; ")
    assert "the names are cgcnn-folder, " in error


def test_configs_imports_nothing_heavy():
    code = (
        "import sys; from crystal_embed.__main__ import main; main(['configs']);"
        "sys.exit(any(name in sys.modules for name in ('torch', 'lightning', 'numpy', 'pandas')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_export_from_a_run(tmp_path, capsys):
    model = CGCNN(element_table="random:3", missing_elements="random")
    model.save_pretrained(tmp_path / "run" / "artifact")
    assert main(["export-table", str(tmp_path / "run"), "--output", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "118 elements, 64 numbers each" in printed
    assert "never seen in training: Md No Lr" in printed
    names = ["atom_init.json", "symbols.json", "table.csv", "table.safetensors"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    expected = model.element_table().vectors
    for name in names:
        np.testing.assert_array_equal(load_table(tmp_path / "out" / name).vectors, expected)


def test_export_of_one_file(tmp_path, capsys):
    path = tmp_path / "table.json"
    assert export_main(["one_hot", "--output", str(path), "--form", "symbols"]) == 0
    assert load_table(path).width == 100
    assert str(path) in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing", "--output", "out"], "no element table 'nothing'"),
        (["one_hot", "--output", "out", "--form", "csv"], "a folder gets every form"),
        (["table.csv", "--output", "out"], "no such file"),
        ([".", "--output", "out"], "no artifact"),
    ],
)
def test_export_errors_are_one_sentence(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert export_main(arguments) == 1
    assert message in capsys.readouterr().err

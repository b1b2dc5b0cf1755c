import subprocess
import sys

from crystal_gan.__main__ import COMMANDS, main


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from crystal_gan.__main__ import main; main(['--help']);"
        "sys.exit(any(name in sys.modules for name in ('torch', 'lightning', 'numpy', 'e3nn')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in COMMANDS)


def test_public_names_resolve():
    import crystal_gan

    for name in crystal_gan.__all__:
        assert getattr(crystal_gan, name).__name__ == name


def test_a_mistyped_command_answers_with_the_nearest(capsys):
    assert main(["prdict"]) == 2
    assert "did you mean 'predict'" in capsys.readouterr().err


def test_configs_are_listed_and_printed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["configs", "pretrain-mp20"]) == 0
    assert "class_path: crystal_gan.RepairModule" in capsys.readouterr().out

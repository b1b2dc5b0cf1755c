"""Configs that ship are found by name, and files of the user by their path."""

from importlib import import_module, invalidate_caches
from pathlib import Path

import pytest

from crystal_data.shipped_configs import (
    ConfigError,
    announced_configs,
    configs_of,
    find_config,
    summary,
)

SHIPPED = {"cgcnn-mp20": Path("/wheel/cgcnn-mp20.yaml"), "megnet": Path("/wheel/megnet.yaml")}


@pytest.fixture(autouse=True)
def _working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def package(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An importable package that fails if it is imported."""
    (folder / "crystal_announced").mkdir(parents=True)
    file = folder / "crystal_announced" / "__init__.py"
    file.write_text("raise RuntimeError('nothing has to be imported')\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder))
    invalidate_caches()
    return file.parent


def write(file: Path, text: str = "# What it does.\na: 1\n") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


def test_in_a_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = package(tmp_path / "site-packages", monkeypatch)
    one = write(root / "configs" / "toy" / "one.yaml")
    write(root / "configs" / "other" / "two.yaml")
    assert configs_of("crystal_announced", "toy") == {"one": one}
    assert configs_of("crystal_announced", "nothing") == {}
    assert configs_of("crystal_none", "toy") == {}
    with pytest.raises(RuntimeError):
        import_module("crystal_announced")


def test_in_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package(tmp_path / "packages" / "crystal-announced" / "src", monkeypatch)
    one = write(tmp_path / "configs" / "toy" / "one.yaml")
    assert configs_of("crystal_announced", "toy") == {"one": one}


def test_a_file_elsewhere_is_not_taken_for_a_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package(tmp_path / "environment" / "lib" / "site-packages", monkeypatch)
    write(tmp_path / "configs" / "toy" / "one.yaml")
    assert configs_of("crystal_announced", "toy") == {}


def test_this_package_announces_its_own() -> None:
    assert announced_configs()["cpu"].is_file()


def test_a_name_is_the_shipped_config_beside_a_file_with_an_ending() -> None:
    own = write(Path("megnet.yaml"))
    assert find_config("megnet", SHIPPED) == SHIPPED["megnet"]
    assert find_config("megnet.yaml", SHIPPED) == own


def test_a_file_of_exactly_that_path_comes_first(tmp_path: Path) -> None:
    own = write(Path("megnet"))
    assert find_config("megnet", SHIPPED) == own
    write(tmp_path / "deep" / "own.yaml")
    assert find_config("../deep/own.yaml", SHIPPED, tmp_path / "deep") == (
        tmp_path / "deep" / "own.yaml"
    )


def test_a_folder_of_that_name_is_no_config() -> None:
    Path("megnet").mkdir()
    assert find_config("megnet", SHIPPED) == SHIPPED["megnet"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cgcnn-mp2", r"^no config 'cgcnn-mp2'; the names are cgcnn-mp20, megnet; a file of your"),
        ("megnt", r"the names are megnet, cgcnn-mp20; "),
        ("megnt.yaml", r"^megnt\.yaml: no such file$"),
        ("folder/megnet", r"megnet: no such file$"),
        ("configs/embed/megnet.yaml", r"no such file; the config that ships is named megnet$"),
        ("", "no such file|no config"),
    ],
)
def test_what_is_not_there(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        find_config(text, SHIPPED)


def test_the_summary_is_the_first_line() -> None:
    assert summary(write(Path("one.yaml"), "# CGCNN on MP-20: gaps, eV.\n# More.\n")) == (
        "CGCNN on MP-20: gaps, eV"
    )

"""Which code an artifact may ask for: what its package announces, and nothing else."""

import sys
from pathlib import Path

import pytest

from crystal_data.artifacts import ArtifactError
from crystal_data.artifacts.registry import registry_of
from crystal_data.cli.predict import run_predict
from crystal_data.inference import ShippedModels

REGISTRY = """\
from crystal_data.artifacts import ModelRegistry

MODELS = ModelRegistry("{package}", {{}})
OTHER = ModelRegistry("crystal_other", {{}})
NONE = {{}}
"""
# Each leaves its name in sys.modules if it is imported.
NAMES = ("crystal_first", "crystal_second", "crystal_evil")


@pytest.fixture(autouse=True)
def _nothing_stays_imported():
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] in NAMES]:
        del sys.modules[name]


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder of installed packages."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def install(site, distribution, package, target=None, *, name=None, registry=REGISTRY):
    """A package and its distribution, as an installer leaves them.

    Args:
        site: Folder of packages.
        distribution: Name of the distribution.
        package: Import name.
        target: What it announces; by default its registry. Empty for nothing.
        name: Under which name; by default that of the package.
        registry: Source of its module ``registry``.
    """
    (site / package).mkdir(exist_ok=True)
    (site / package / "__init__.py").write_text("")
    (site / package / "registry.py").write_text(registry.format(package=package))
    info = site / f"{distribution.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    line = f"{name or package} = {target or f'{package}.registry:MODELS'}"
    text = "" if target == "" else f"[crystal_data.models]\n{line}\n"
    (info / "entry_points.txt").write_text(text)


def allowed(package):
    return registry_of(package, allow_package=package)


def refused(package, match, load=allowed):
    with pytest.raises(ArtifactError, match=match) as caught:
        load(package)
    assert "\n" not in str(caught.value)


def imported():
    return {name.partition(".")[0] for name in sys.modules} & set(NAMES)


def test_only_the_package_that_is_named_is_imported(site):
    install(site, "crystal-first", "crystal_first")
    install(site, "crystal-second", "crystal_second")
    assert allowed("crystal_first").package == "crystal_first"
    assert imported() == {"crystal_first"}


def test_other_packages_are_imported_when_they_are_allowed(site):
    install(site, "crystal-evil", "crystal_evil")
    message = (
        r"^'crystal_evil' is not one of crystal_data, .*, crystal_gen; nothing is imported; if you "
        r"trust crystal_evil, give allow_package='crystal_evil', or to a command --allow-package "
        r"crystal_evil$"
    )
    refused("crystal_evil", message, registry_of)
    refused("crystal_evil", message, lambda package: registry_of(package, "crystal_toy"))
    assert not imported()
    assert allowed("crystal_evil").package == "crystal_evil"
    # What is allowed once is not allowed for ever.
    refused("crystal_evil", message, registry_of)


def test_a_package_that_is_not_installed_names_the_command():
    message = (
        r"^the artifact belongs to crystal-first, which is not installed; pip install crystal-"
    )
    refused("crystal_first", message)


def test_of_two_distributions_with_one_name_none_is_loaded(site):
    install(site, "crystal-first", "crystal_first")
    install(site, "evil-tools", "crystal_evil", name="crystal_first")
    refused(
        "crystal_first",
        r"^the distributions crystal-first and evil-tools both announce the models of "
        r"crystal_first; none is loaded; uninstall the one that does not belong there$",
    )
    assert not imported()


def test_nobody_speaks_for_another_package(site):
    """Not even where that package is not installed."""
    install(site, "evil-tools", "crystal_evil", name="crystal_first")
    refused(
        "crystal_first",
        r"distribution evil-tools announces crystal_evil\.registry:MODELS as the models of "
        r"crystal_first; that is another package, and nothing is imported",
    )
    assert not imported()


def test_a_package_that_announces_nothing(site):
    install(site, "crystal-first", "crystal_first", target="")
    message = (
        r"crystal_first announces no models; put crystal_first = \"crystal_first.registry:MODELS\" "
    )
    refused("crystal_first", message + r"under \[project\.entry-points\.\"crystal_data\.models\"\]")
    assert not imported()


@pytest.mark.parametrize(
    ("target", "registry", "match"),
    [
        (None, "import crystal_nowhere", "cannot be imported: No module named 'crystal_nowhere'"),
        ("crystal_first.nowhere:MODELS", REGISTRY, "cannot be imported.*pip install --upgrade"),
        ("crystal_first.registry:NOTHING", REGISTRY, "cannot be imported: .*'NOTHING'"),
        (
            "crystal_first.registry:NONE",
            REGISTRY,
            "NONE is no registry of the models of crystal_first",
        ),
        ("crystal_first.registry:OTHER", REGISTRY, "OTHER is no registry of the models of"),
        ("crystal_first..:", REGISTRY, "cannot be imported"),
    ],
)
def test_a_registry_that_cannot_be_used_is_one_line(site, target, registry, match):
    install(site, "crystal-first", "crystal_first", target, registry=registry)
    refused("crystal_first", match)


def test_the_command_asks_for_the_package(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "toy"))
    from crystal_toy.model import ElementSum

    from crystal_data.artifacts import TargetScale
    from crystal_data.field import Field
    from crystal_data.io.cif import to_cif
    from crystal_data.testing import rock_salt

    scale = TargetScale(0.0, 1.0, Field("a"))
    model = str(ElementSum().save_pretrained(tmp_path / "m", targets={"a": scale}))
    (tmp_path / "a.cif").write_text(to_cif(rock_salt()))
    shipped = ShippedModels("crystal-toy", tmp_path / "nothing")
    arguments = [str(tmp_path / "a.cif"), "--model", model]
    assert run_predict(shipped, arguments) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {model}: 'crystal_toy' is not one of crystal_data, ")
    assert line.endswith("or to a command --allow-package crystal_toy")
    assert run_predict(shipped, [*arguments, "--allow-package", "crystal_toy"]) == 0
    assert capsys.readouterr().out.splitlines()[0].split() == ["id", "a", "note"]

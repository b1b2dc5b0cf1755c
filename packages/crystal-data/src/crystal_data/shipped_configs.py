"""The configs that come with the installed packages, found by name.

They are edited in ``configs/`` of the repository and travel in the wheels. A package announces
each of its folders of configs in its ``pyproject.toml``::

    [project.entry-points."crystal_data.configs"]
    embed = "crystal_embed"
"""

from collections.abc import Mapping
from difflib import SequenceMatcher
from functools import cache
from importlib.metadata import entry_points
from importlib.util import find_spec
from os.path import normpath
from pathlib import Path

from crystal_data.errors import CrystalError

_GROUP = "crystal_data.configs"
_ENDINGS = (".yaml", ".yml", ".json")


class ConfigError(CrystalError, ValueError):
    """A config that is neither a file nor the name of one that ships."""


@cache
def announced_configs() -> Mapping[str, Path]:
    """Name and file of each config that an installed package announces."""
    found: dict[str, Path] = {}
    for entry in sorted(entry_points(group=_GROUP)):
        found |= configs_of(entry.value, entry.name)
    return found


def announcing_packages() -> list[Path]:
    """Folders of the packages that announce configs."""
    roots = (_root_of(entry.value) for entry in sorted(entry_points(group=_GROUP)))
    return [root for root in roots if root is not None]


def _root_of(package: str) -> Path | None:
    """Folder of a package, which is not imported."""
    spec = find_spec(package)
    return None if spec is None or spec.origin is None else Path(spec.origin).parent


def configs_of(package: str, folder: str) -> dict[str, Path]:
    """Name and file of each config in one folder of a package.

    Args:
        package: Import name of the package, which is not imported.
        folder: Name of the folder, such as ``"embed"``.
    """
    root = _root_of(package)
    if root is None:
        return {}
    configs = root / "configs"
    if not configs.is_dir() and root.parent.name == "src":
        configs = root.parents[3] / "configs"  # an editable installation of a checkout
    return {path.stem: path for path in sorted((configs / folder).glob("*.yaml"))}


def find_config(text: str, shipped: Mapping[str, Path], folder: Path | None = None) -> Path:
    """The file of that path or, if there is none, the shipped config of that name.

    So ``cgcnn-folder`` means the shipped config even beside a file ``cgcnn-folder.yaml``, and
    ``cgcnn-folder.yaml`` means that file.

    Args:
        text: Path or name.
        shipped: Name to file.
        folder: Paths start from here; by default from the working folder.

    Raises:
        ConfigError: If it is neither; the message lists the names, the nearest first.
    """
    path = Path(normpath((folder or Path()) / Path(text).expanduser()))
    if path.is_file():
        return path
    if text in shipped:
        return shipped[text]
    if path.stem in shipped and text.endswith(_ENDINGS):
        raise ConfigError(f"{path}: no such file; the config that ships is named {path.stem}")
    if text.endswith(_ENDINGS) or path.name != text:
        raise ConfigError(f"{path}: no such file")
    names = sorted(shipped, key=lambda name: -SequenceMatcher(None, text, name).ratio())
    raise ConfigError(
        f"no config '{text}'; the names are {', '.join(names) or 'none'}; a file of your own is "
        "given by its path, with its ending"
    )


def summary(config: Path) -> str:
    """What a config is for: the first line of its comment, without the mark."""
    first = config.read_text(encoding="utf-8").partition("\n")[0]
    return first.lstrip("# ").rstrip(" .:")

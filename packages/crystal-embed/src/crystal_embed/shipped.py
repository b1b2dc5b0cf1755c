"""The trained models and tables that come with the package, by name; others by folder."""

from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from crystal_data.errors import InvalidArgumentError

if TYPE_CHECKING:
    from crystal_data.inference import Ensemble
    from crystal_data.training import PropertyModule

_FOLDER = Path(__file__).parent / "pretrained"
_TABLES = _FOLDER / "tables"
#: What `crystal-embed predict` asks where no model is named.
DEFAULT_MODELS = ("cgcnn-formation-energy", "cgcnn-band-gap")


def shipped_models() -> dict[str, Path]:
    """Name and artifact of each trained model that comes with the package."""
    return {path.parent.name: path.parent for path in sorted(_FOLDER.glob("*/config.json"))}


def shipped_tables() -> dict[str, Path]:
    """Name, such as ``uae:band-gap``, and file of each table that comes with the package."""
    files = sorted(_TABLES.glob("*.safetensors"))
    return {path.stem.replace("-", ":", 1): path for path in files}


def find_model(name_or_folder: str | Path) -> str | Path:
    """The artifact of a shipped name; a folder or hub id as it is.

    Raises:
        InvalidArgumentError: If it is none of these.
    """
    name, folder = str(name_or_folder), Path(name_or_folder).expanduser()
    if folder.exists():
        return folder
    models = shipped_models()
    if name in models:
        return models[name]
    if name.count("/") == 1 and not name.startswith((".", "~", "/")):
        return name
    near = get_close_matches(name, models, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"the names are {', '.join(models)}."
    raise InvalidArgumentError(
        f"no model '{name}'; {hint} A model of your own is given by the folder of its artifact, "
        "run or ensemble"
    )


def load(name_or_folder: str | Path) -> "PropertyModule | Ensemble":
    """A trained model that predicts.

    Args:
        name_or_folder: A name that ``crystal-embed models`` lists, the folder of an artifact, of a
            run or of an ensemble, or ``owner/name`` on the hub.

    Returns:
        Both have ``predict(structures)``.

    Raises:
        InvalidArgumentError: If there is no such model, or it predicts no property.
    """
    from crystal_data.inference import Ensemble, is_ensemble
    from crystal_data.training import PropertyModule

    place = find_model(name_or_folder)
    if is_ensemble(place):
        return Ensemble.load(place)
    return PropertyModule.from_pretrained(place)

"""The trained models and element tables that come with the package, by name."""

from pathlib import Path
from typing import TYPE_CHECKING

from crystal_data.inference import ShippedModels

if TYPE_CHECKING:
    from crystal_data.inference import Ensemble, Predictor

_FOLDER = Path(__file__).parent / "pretrained"


def shipped_tables() -> dict[str, Path]:
    """Name, such as ``uae:band-gap``, and file of each table that comes with the package."""
    files = sorted((_FOLDER / "tables").glob("*.safetensors"))
    return {path.stem.replace("-", ":", 1): path for path in files}


SHIPPED = ShippedModels(
    "crystal-embed",
    _FOLDER,
    default=("cgcnn-formation-energy", "cgcnn-band-gap"),
    others=lambda: dict.fromkeys(shipped_tables(), "an element table"),
)


def load(name_or_folder: str | Path, *, allow_package: str | None = None) -> "Predictor | Ensemble":
    """A trained model that predicts.

    Args:
        name_or_folder: A name that ``crystal-embed models`` lists, the folder of an artifact, of a
            run or of an ensemble, or ``owner/name`` on the hub.
        allow_package: Import name of a package outside ours whose model may be loaded; its code
            runs.

    Returns:
        Both have ``predict(structures)``.

    Raises:
        InvalidArgumentError: If there is no such model, or it predicts no property.
    """
    return SHIPPED.load(name_or_folder, allow_package=allow_package)

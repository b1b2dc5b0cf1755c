"""The trained models that come with a package, by name; others by folder."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from crystal_data.artifacts.files import ENSEMBLE
from crystal_data.errors import InvalidArgumentError

if TYPE_CHECKING:
    from crystal_data.inference.ensemble import Ensemble
    from crystal_data.inference.predictor import Predictor


@dataclass(frozen=True)
class ShippedModels:
    """The artifacts and ensembles in a folder of a package.

    Args:
        program: Command of the package, such as ``crystal-embed``.
        folder: One folder for each artifact or ensemble, which is called like the model.
        default: Names of the models that predict where none is named.
        others: Gives the names of what else comes with the package, each with what it is, such as
            ``an element table``.
    """

    program: str
    folder: Path
    default: tuple[str, ...] = ()
    others: Callable[[], Mapping[str, str]] = dict

    def artifacts(self) -> dict[str, Path]:
        """Name and folder of each single model."""
        return {path.parent.name: path.parent for path in sorted(self.folder.glob("*/config.json"))}

    def ensembles(self) -> dict[str, Path]:
        """Name and folder of each ensemble."""
        files = sorted(self.folder.glob(f"*/{ENSEMBLE}"))
        return {path.parent.name: path.parent for path in files}

    def find(self, name_or_folder: str | Path) -> str | Path:
        """The artifact or ensemble of a shipped name; a folder or hub id as it is.

        Raises:
            InvalidArgumentError: If it is none of these.
        """
        name, folder = str(name_or_folder), Path(name_or_folder).expanduser()
        if folder.exists():
            return folder
        models = self.artifacts() | self.ensembles()
        if name in models:
            return models[name]
        if name.count("/") == 1 and not name.startswith((".", "~", "/")):
            return name
        if name in (others := self.others()):
            raise InvalidArgumentError(
                f"'{name}' is {others[name]}, not a model; the models are {', '.join(models)}"
            )
        from difflib import get_close_matches

        near = get_close_matches(name, models, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"the names are {', '.join(models)}."
        raise InvalidArgumentError(
            f"no model '{name}'; {hint} A model of your own is given by the folder of its "
            "artifact, run or ensemble"
        )

    def load(
        self, name_or_folder: str | Path, *, allow_package: str | None = None
    ) -> "Predictor | Ensemble":
        """A trained model that predicts.

        Args:
            name_or_folder: A name, the folder of an artifact, of a run or of an ensemble, or
                ``owner/name`` on the hub.
            allow_package: As ``Predictor.from_pretrained``.

        Returns:
            Both have ``predict(structures)``.

        Raises:
            InvalidArgumentError: If there is no such model, or it predicts no property.
        """
        from crystal_data.inference.ensemble import Ensemble, is_ensemble
        from crystal_data.inference.predictor import Predictor

        place = self.find(name_or_folder)
        load = Ensemble.load if is_ensemble(place) else Predictor.from_pretrained
        return load(place, allow_package=allow_package)

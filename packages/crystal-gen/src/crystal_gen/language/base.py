"""The published language model that an adapter belongs to: its folder, what it is, its weights."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import yaml

from crystal_data.artifacts import ArtifactError, BaseModel
from crystal_gen.language.optional import optional_library

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Precision = Literal["float32", "bfloat16"]

_KINDS = ("glm", "glm4")
# Weights as tensors alone; nothing that runs code.
_FILES = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja", "README.md"]
_COPY = "copy the files of its repository into a folder and give the path of that"


@dataclass(frozen=True)
class PublishedModel:
    """A published model that lies here.

    Args:
        folder: With its files, as the hub has them.
        reference: Id, revision and license.
    """

    folder: Path
    reference: BaseModel


def find_base(
    name: str, revision: str | None = None, license_name: str | None = None
) -> PublishedModel:
    """A base model, from a folder or from the hub.

    Args:
        name: Folder, or ``owner/name`` on the hub.
        revision: Commit, tag or branch on the hub; None for the newest. Of a folder not read.
        license_name: Of the model; None takes what its model card says.

    Raises:
        ArtifactError: If there is no such folder and the hub does not give one, or no license is
            known.
    """
    folder = Path(name)
    if folder.is_dir():
        identifier, commit = folder.resolve().name, _hash_of_weights(folder)
    else:
        folder = _fetched(name, revision)
        # The hub's client keeps each commit in a folder of that name.
        identifier, commit = name, folder.name
    found = license_name or _license_in(folder / "README.md")
    if not found:
        raise ArtifactError(
            f"{name}: its model card names no license, and an adapter records that of its base",
            "give base_license",
        )
    return PublishedModel(folder, BaseModel(identifier, commit, found))


def read_base(
    published: PublishedModel, precision: Precision
) -> tuple["PreTrainedModel", "PreTrainedTokenizerBase"]:
    """Model and tokenizer of a base, by the classes of transformers itself, never by its own code.

    Args:
        published: Where it lies.
        precision: Of the weights in memory.

    Raises:
        ArtifactError: If it is no GLM that transformers has a class for, or cannot be read.
        InvalidArgumentError: If transformers is not installed.
    """
    transformers = optional_library("transformers")
    folder, name = published.folder, published.reference.id
    try:
        config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False)
    # transformers raises errors of many kinds, and asks whether code may run.
    except Exception as error:
        raise _unread(name, error) from error
    if config.model_type not in _KINDS:
        raise ArtifactError(
            f"{name}: a model of the type {config.model_type!r}, and answers need one of "
            f"{' or '.join(_KINDS)}",
            "GLM-4 of 2024 has these in the repositories whose names end in -hf",
        )
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        model = transformers.AutoModelForCausalLM.from_pretrained(
            folder,
            config=config,
            dtype=precision,
            trust_remote_code=False,
            use_safetensors=True,
        )
    except Exception as error:
        raise _unread(name, error) from error
    # Of this name, not of a folder on this computer, an adapter's own file speaks.
    model.name_or_path = name
    return model, tokenizer


def _fetched(name: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=_FILES))
    # The hub's client lets errors of several network libraries through.
    except Exception as error:
        raise ArtifactError(
            f"{name}: there is no folder of that name here, and the hub gave nothing "
            f"({_reason(error)})",
            f"where the hub cannot be reached, {_COPY}",
        ) from error


def _unread(name: str, error: Exception) -> ArtifactError:
    return ArtifactError(f"{name}: transformers cannot read it ({_reason(error)})", _COPY)


def _reason(error: Exception) -> str:
    first, _, _ = str(error).strip().partition("\n")
    return f"{type(error).__name__}: {first}"


def _hash_of_weights(folder: Path) -> str:
    """SHA-256 of all weights, file after file in the order of their names."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def _license_in(card: Path) -> str:
    """What the head of a model card says of the license; empty if it says nothing."""
    if not card.is_file():
        return ""
    opening, _, rest = card.read_text(encoding="utf-8", errors="replace").partition("---\n")
    head, closing, _ = rest.partition("\n---")
    if opening.strip() or not closing:
        return ""
    try:
        values = yaml.safe_load(head)
    except yaml.YAMLError:
        return ""
    if not isinstance(values, dict):
        return ""
    # A license that the hub has no name for is `other`, and is named beside that.
    return str(values.get("license_name") or values.get("license") or "")

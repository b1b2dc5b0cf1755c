"""Published T5 models, from the hub or from a folder."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import Tensor

from crystal_data.artifacts import ArtifactError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_REMEDY = (
    "give the name of a T5 on the hub, such as google-t5/t5-small, or where the hub cannot be "
    "reached a folder that holds config.json, model.safetensors and tokenizer.json"
)


class PublishedT5(NamedTuple):
    """What a published T5 is made of.

    Args:
        config: Of transformers' ``T5Config``; plain JSON.
        tokenizer: Its own.
        weights: Of ``T5ForConditionalGeneration``.
    """

    config: dict[str, Any]
    tokenizer: "Tokenizer"
    weights: dict[str, Tensor]


def published_t5(base: str | Path) -> PublishedT5:
    """A published T5: ``t5-small`` to ``t5-large``, Flan-T5, or another of this architecture.

    Args:
        base: Name on the hub, or folder in the hub's format.

    Raises:
        ArtifactError: If it cannot be reached, is incomplete, or is no T5.
    """
    from transformers import AutoConfig, AutoTokenizer, T5ForConditionalGeneration

    try:
        config = AutoConfig.from_pretrained(base)
        if config.model_type != "t5":
            raise ArtifactError(f"{base} is of the architecture {config.model_type}, not T5")
        tokenizer = AutoTokenizer.from_pretrained(base)
        model = T5ForConditionalGeneration.from_pretrained(base, use_safetensors=True)
    # Of the hub's client, of transformers, and of files that are damaged.
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise ArtifactError(f"{base}: no T5 can be loaded: {lines[0]}", _REMEDY) from error
    if not tokenizer.is_fast:
        raise ArtifactError(f"{base}: its tokenizer has no tokenizer.json", _REMEDY)
    return PublishedT5(config.to_dict(), tokenizer.backend_tokenizer, dict(model.state_dict()))

"""A small language model that learns from crystals alone."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from typing_extensions import override

from crystal_gen.heads import check_heads
from crystal_gen.language.crystal_tokenizer import crystal_tokenizer, crystal_words
from crystal_gen.language.cursor import PieceTokens
from crystal_gen.language.model import LanguageModel
from crystal_gen.language.optional import optional_library

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Architecture = Literal["glm", "glm4"]


class SmallLanguageModel(LanguageModel):
    """GLM as transformers has it, from random weights, with a tokenizer of crystal words.

    Args:
        properties: Columns of the data that may be wished for.
        architecture: ``glm`` is GLM-4 of 2024, ``glm4`` that of 2025.
        width: Of a token.
        num_layers: Blocks of attention.
        num_heads: Of attention; divides the width.
        dropout: Share of the attention that is hidden in training.
        uses_element_properties: Prompts describe the elements; False is an ablation.
        lists_positions: Answers name all positions of the group before they choose.
        exchange: Share of training crystals in which elements may be exchanged for others that are
            alike.
        learns_legal: Training counts legal choices alone, as answers do. False learns whole answers
            among all tokens, as language models usually do.
        words: Of the tokenizer, each at the place that is its token; None takes all that prompts
            and answers have.

    Raises:
        InvalidArgumentError: If transformers is not installed, or the heads do not share the width.
    """

    def __init__(
        self,
        properties: Sequence[str] = ("formation_energy_per_atom",),
        *,
        architecture: Architecture = "glm",
        width: int = 128,
        num_layers: int = 4,
        num_heads: int = 4,
        dropout: float = 0.1,
        uses_element_properties: bool = True,
        lists_positions: bool = False,
        exchange: float = 0.5,
        learns_legal: bool = True,
        words: Sequence[str] | None = None,
    ) -> None:
        super().__init__(
            properties,
            uses_element_properties=uses_element_properties,
            lists_positions=lists_positions,
            exchange=exchange,
            learns_legal=learns_legal,
        )
        check_heads(width, num_heads)
        transformers = optional_library("transformers")
        self.words = tuple(crystal_words(properties) if words is None else words)
        self._spoken = PieceTokens(crystal_tokenizer(self.words))
        tokenizer = self._spoken.tokenizer
        config = transformers.AutoConfig.for_model(
            architecture,
            vocab_size=len(self.words),
            hidden_size=width,
            intermediate_size=4 * width,
            num_hidden_layers=num_layers,
            num_attention_heads=num_heads,
            num_key_value_heads=num_heads,
            head_dim=width // num_heads,
            attention_dropout=dropout,
            max_position_embeddings=_LONGEST_TEXT,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
        self.language_model = transformers.AutoModelForCausalLM.from_config(config)

    @property
    @override
    def network(self) -> "PreTrainedModel":
        found: PreTrainedModel = self.language_model
        return found

    @property
    @override
    def spoken(self) -> PieceTokens:
        return self._spoken

    @override
    def artifact_arguments(self) -> dict[str, Any]:
        return {**super().artifact_arguments(), "words": list(self.words)}


_LONGEST_TEXT = 2_048

"""A published T5 that relaxes, whole or by low-rank adaptation."""

from collections.abc import Mapping
from typing import Any, Self

from torch import Tensor, nn
from typing_extensions import override

from crystal_data.artifacts import Artifact
from crystal_data.errors import InvalidArgumentError
from crystal_relax.text.forms import CifForm
from crystal_relax.text.model import Output, TextRelaxer
from crystal_relax.text.published import published_t5

_TOKENIZER = "tokenizer.json"
_ADAPTED = ("q", "k", "v", "o")  # layers of attention, in transformers' names
_ALPHA_OF_RANK = 2  # scale of the adaptation, times the rank


class T5Relaxer(TextRelaxer):
    """A published T5 that reads the CIF of a start and writes what its relaxation changes.

    The form of T2-Relax: the CIF that ASE writes, numbers rounded, in the pieces of T5's own
    tokenizer. Line breaks, several spaces and characters that it does not know become tokens of
    bytes, so that nothing of the text is lost (``PieceText``). The change is written with one
    token for a sign, a digit or an element; those that the tokenizer lacks are added.

    With a ``lora_rank`` the published weights stay, but for the embeddings of tokens, some of
    which are new; matrices of that rank are learned for each layer of attention. The optimizer
    then keeps little. The artifact has their sum, and loads as any other.

    Args:
        base: Name on the hub, such as ``google-t5/t5-small``, or folder in the hub's format.
        decimals: Of the numbers of starts and changes.
        output: As of :class:`TextRelaxer`.
        lora_rank: Of the low-rank adaptation; 0 trains all weights.

    Source:
        LoRA: Hu et al., arXiv 2106.09685.

    Raises:
        ArtifactError: If the base cannot be loaded.
        InvalidArgumentError: If the rank is negative, or peft is not installed.
    """

    def __init__(
        self, base: str, decimals: int = 4, output: Output = "text", lora_rank: int = 0
    ) -> None:
        if lora_rank < 0:
            raise InvalidArgumentError(f"lora_rank is {lora_rank}; it is 0 or more")
        nn.Module.__init__(self)
        found = published_t5(base)
        form = _cif_form(found.config, found.tokenizer, decimals)
        # Tokens may have been added beyond the rows that the embedding has to spare.
        own = int(found.config["vocab_size"])
        size = max(own, found.tokenizer.get_vocab_size())
        self._build({**found.config, "vocab_size": size}, form, decimals, output)
        state = self.t5.state_dict()
        for name, values in found.weights.items():
            if name in state:
                state[name][: len(values)] = values
        self.t5.load_state_dict(state)
        if lora_rank:
            self._adapt(lora_rank)

    def _adapt(self, rank: int) -> None:
        """Lays low-rank matrices, which are all that learns with the embeddings, on attention."""
        try:
            from peft import LoraConfig, inject_adapter_in_model
        except ModuleNotFoundError as error:
            raise InvalidArgumentError(
                "lora_rank needs peft, which is not installed", "pip install 'crystal-relax[lora]'"
            ) from error
        config = LoraConfig(r=rank, lora_alpha=_ALPHA_OF_RANK * rank, target_modules=list(_ADAPTED))
        self.t5 = inject_adapter_in_model(config, self.t5)
        for embedding in (self.t5.shared, self.t5.get_output_embeddings()):
            if embedding is not None:
                embedding.requires_grad_(True)

    @override
    def artifact_weights(self) -> Mapping[str, Tensor]:
        """The published weights, to which the adaptation is added."""
        weights = dict(super().artifact_weights())
        for name, layer in self.named_modules():
            if not hasattr(layer, "get_delta_weight"):
                continue
            own = {key: weights.pop(key) for key in list(weights) if key.startswith(f"{name}.")}
            base = own[f"{name}.base_layer.weight"]
            weights[f"{name}.weight"] = base + layer.get_delta_weight("default").to(base)
        return weights

    @override
    def artifact_arguments(self) -> dict[str, Any]:
        config = self.t5.config.to_dict()
        return {"config": config, "decimals": self.tokenizer.decimals, "output": self.output}

    @override
    def artifact_files(self) -> Mapping[str, bytes]:
        assert isinstance(self.form, CifForm)
        return {_TOKENIZER: self.form.pieces.tokenizer.to_str().encode()}

    @classmethod
    @override
    def from_artifact(cls, artifact: Artifact) -> Self:
        from tokenizers import Tokenizer

        config, decimals = artifact.arguments["config"], artifact.arguments["decimals"]
        tokenizer = Tokenizer.from_str(artifact.file(_TOKENIZER).decode())
        model = cls.__new__(cls)
        nn.Module.__init__(model)
        form = _cif_form(config, tokenizer, decimals)
        model._build(config, form, decimals, artifact.arguments["output"])
        return model


def _cif_form(config: Mapping[str, Any], tokenizer: Any, decimals: int) -> CifForm:
    return CifForm(
        tokenizer, pad=config["pad_token_id"], end=config["eos_token_id"], decimals=decimals
    )

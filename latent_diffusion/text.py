"""Text encoders: words in, features of each token out.

The encoder is frozen, named in the stage's config, and never stored in a checkpoint. `minilm` is offline and the
default; any encoder of the transformers library works by name (`huggingface:NAME` or `huggingface:FOLDER`).
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from audio.cache import default_cache
from audio.files import write_aside
from latent_diffusion.minilm import MiniLM

HUGGING_FACE = "huggingface:"
CAPTIONS_AT_ONCE = 64


class TextEncoder(Protocol):
    """What a text encoder must have."""

    @property
    def name(self) -> str:
        """By which `text_encoder` finds it again."""

    @property
    def width(self) -> int:
        """Numbers per token."""

    def encode(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Texts to features `(batch, tokens, width)` and a mask `(batch, tokens)`, True where a token counts."""


class HuggingFaceText:
    """Any encoder of the transformers library, loaded on first use.

    Args:
        model: name on the hub, or a local folder.
        max_tokens: longer texts are cut.
    """

    def __init__(self, model: str, max_tokens: int = 64) -> None:
        self.model = model
        self.max_tokens = max_tokens
        self._loaded: tuple[Any, Any] | None = None

    @property
    def name(self) -> str:
        """`huggingface:` and the model."""
        return HUGGING_FACE + self.model

    @property
    def width(self) -> int:
        """Numbers per token; loads the model."""
        config = self._load()[1].config
        return int(getattr(config, "hidden_size", 0) or config.d_model)

    def encode(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Texts to the last hidden states and the attention mask.

        Raises:
            ValueError: transformers is not installed, or the model cannot be loaded.
        """
        tokenizer, model = self._load()
        batch = tokenizer(list(texts), padding=True, truncation=True, max_length=self.max_tokens, return_tensors="pt")
        with torch.inference_mode():
            features = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state
        return features.float().clone(), batch["attention_mask"].bool()

    def _load(self) -> tuple[Any, Any]:
        if self._loaded is None:
            try:
                from transformers import AutoModel, AutoTokenizer
            except ImportError as error:
                raise ValueError(f"text encoder '{self.name}' needs transformers: pip install transformers") from error
            try:
                tokenizer = AutoTokenizer.from_pretrained(self.model)
                model = AutoModel.from_pretrained(self.model, use_safetensors=True)
            except (OSError, ValueError, KeyError) as error:
                reason = str(error).splitlines()[0]
                raise ValueError(f"text encoder '{self.name}' cannot be loaded: {reason}") from error
            # Encoder-decoder models (T5) bring a decoder that is not needed.
            model = model.get_encoder() if model.config.is_encoder_decoder else model
            self._loaded = (tokenizer, model.requires_grad_(False).eval())
        return self._loaded


@lru_cache(maxsize=4)
def text_encoder(name: str) -> TextEncoder:
    """Find an encoder by its name.

    Args:
        name: `minilm`, or `huggingface:` with a model's name or folder.

    Raises:
        ValueError: an unknown name.
    """
    if name == MiniLM.name:
        return MiniLM()
    if name.startswith(HUGGING_FACE) and len(name) > len(HUGGING_FACE):
        return HuggingFaceText(name.removeprefix(HUGGING_FACE))
    raise ValueError(f"text encoder: expected 'minilm' or 'huggingface:NAME', got {name!r}")


@dataclass(frozen=True)
class CaptionTable:
    """Features of many captions, laid end to end.

    Args:
        features: of all tokens, `(all_tokens, width)`, float16.
        starts: first token of each caption, and one past the last.
    """

    features: Tensor
    starts: Tensor

    def look_up(self, captions: Tensor) -> tuple[Tensor, Tensor]:
        """Numbers of captions `(batch,)` to features `(batch, tokens, width)`, float32, and a mask."""
        starts, ends = self.starts[captions], self.starts[captions + 1]
        positions = torch.arange(int((ends - starts).max()))
        mask = positions < (ends - starts)[:, None]
        rows = (starts[:, None] + positions).clamp(max=len(self.features) - 1)
        return self.features[rows].float() * mask[..., None], mask

    @classmethod
    def build(
        cls,
        captions: Sequence[str],
        encoder: TextEncoder,
        progress: Callable[[Iterable[Any]], Iterable[Any]] | None = None,
    ) -> "CaptionTable":
        """Encode captions, those of like length together.

        Args:
            captions: at least one.
            encoder: of the text.
            progress: wraps the list of batches, to draw a bar.
        """
        order = sorted(range(len(captions)), key=lambda index: (len(captions[index]), captions[index]))
        batches = [order[start : start + CAPTIONS_AT_ONCE] for start in range(0, len(order), CAPTIONS_AT_ONCE)]
        rows: dict[int, Tensor] = {}
        for batch in progress(batches) if progress else batches:
            features, mask = encoder.encode([captions[index] for index in batch])
            for index, feature, valid in zip(batch, features, mask, strict=True):
                rows[index] = feature[valid].half()
        lengths = torch.tensor([0] + [len(rows[index]) for index in range(len(captions))])
        return cls(torch.cat([rows[index] for index in range(len(captions))]), lengths.cumsum(0))

    @classmethod
    def cached(
        cls,
        captions: Sequence[str],
        encoder: TextEncoder,
        progress: Callable[[Iterable[Any]], Iterable[Any]] | None = None,
    ) -> "CaptionTable":
        """As `build`, but remembered by encoder and captions; a lost memory only costs time."""
        digest = hashlib.sha256("\n".join([encoder.name, *captions]).encode()).hexdigest()[:24]
        cache = default_cache()
        path = cache / "captions" / f"{digest}.safetensors"
        try:
            tensors = load_file(path)
            return cls(tensors["features"], tensors["starts"])
        except (OSError, SafetensorError, KeyError):
            table = cls.build(captions, encoder, progress)
        try:
            with write_aside(path) as aside:
                save_file({"features": table.features, "starts": table.starts}, aside)
        except ValueError:
            return table
        return table

"""Ears that are fetched from a hub, by name, where a user's machine can: CLAP, Wav2Vec2, PANNs, VGGish.

None of them is a dependency: each is imported when it is asked for, and where that fails one line says what to
install or to name instead.
"""

import hashlib
import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from audio.measures import Waveform
from evaluation.weights import tensors_hash

FRONT_END = "hub; 1"

Made = TypeVar("Made")


class ClapEmbedder:
    """A CLAP of Transformers, such as "laion/clap-htsat-unfused": what its audio tower says, of length one.

    Args:
        hub_name: of the model, on the hub or a folder.
    """

    def __init__(self, hub_name: str) -> None:
        transformers = _module("transformers", f"clap:{hub_name}", "pip install transformers")
        self.name = f"clap:{hub_name}"
        self.model: Any = _made(lambda: transformers.ClapModel.from_pretrained(hub_name), self.name).eval()
        self.front_end: Any = _made(lambda: transformers.AutoFeatureExtractor.from_pretrained(hub_name), self.name)
        self.sample_rate = int(self.front_end.sampling_rate)
        self.width = int(self.model.config.projection_dim)
        self.fingerprint = _fingerprint(self.model)

    @torch.inference_mode()
    def embed(self, waveform: Waveform) -> Tensor:
        """Mono samples at `sample_rate`, one or more, to `(width,)`."""
        # A clip beyond the model's ten seconds is cut at a random place: the middle is taken here instead.
        most = int(self.front_end.nb_max_samples)
        start = max(0, len(waveform) - most) // 2
        inputs = self.front_end(waveform[start : start + most], sampling_rate=self.sample_rate, return_tensors="pt")
        result = self.model.get_audio_features(**inputs)
        # Older releases give the tensor, newer ones an output that holds it.
        features: Tensor = getattr(result, "pooler_output", result)
        return nn.functional.normalize(features[0].float(), dim=0)


class Wav2Vec2Embedder:
    """A Wav2Vec2 (or HuBERT, WavLM) of Transformers: the mean of its last hidden states over time.

    Args:
        hub_name: of the model, on the hub or a folder.
    """

    def __init__(self, hub_name: str) -> None:
        transformers = _module("transformers", f"wav2vec2:{hub_name}", "pip install transformers")
        self.name = f"wav2vec2:{hub_name}"
        self.model: Any = _made(lambda: transformers.AutoModel.from_pretrained(hub_name), self.name).eval()
        self.front_end: Any = _made(lambda: transformers.AutoFeatureExtractor.from_pretrained(hub_name), self.name)
        self.sample_rate = int(self.front_end.sampling_rate)
        self.width = int(self.model.config.hidden_size)
        self.fingerprint = _fingerprint(self.model)

    @torch.inference_mode()
    def embed(self, waveform: Waveform) -> Tensor:
        """Mono samples at `sample_rate`, one or more, to `(width,)`."""
        clip = _at_least(waveform, self.sample_rate // 10)
        inputs = self.front_end(clip, sampling_rate=self.sample_rate, return_tensors="pt")
        states: Tensor = self.model(inputs["input_values"]).last_hidden_state
        return states[0].float().mean(dim=0)


class PannsEmbedder:
    """PANNs Cnn14 by the package panns-inference, which fetches its weights itself."""

    name = "panns"
    sample_rate = 32000
    width = 2048

    def __init__(self) -> None:
        package = _module("panns_inference", "panns", "pip install panns-inference")
        self.tagger: Any = _made(lambda: package.AudioTagging(checkpoint_path=None, device="cpu"), self.name)
        self.fingerprint = _fingerprint(self.tagger.model)

    def embed(self, waveform: Waveform) -> Tensor:
        """Mono samples at 32 kHz, one or more, to `(2048,)`."""
        # Five halvings of frames of 10 ms: shorter clips leave nothing.
        _, embedding = self.tagger.inference(_at_least(waveform, self.sample_rate)[None])
        return torch.from_numpy(np.array(embedding[0], dtype=np.float32))


class VggishEmbedder:
    """VGGish by torch.hub (harritaylor/torchvggish), without PCA and quantisation: the mean over its 0.96 s."""

    name = "vggish"
    sample_rate = 16000
    width = 128
    REPOSITORY = "harritaylor/torchvggish"

    def __init__(self) -> None:
        self.model: Any = _made(
            lambda: torch.hub.load(self.REPOSITORY, "vggish", postprocess=False, trust_repo=True),  # type: ignore[no-untyped-call]
            self.name,
        )
        self.model.eval()
        self.fingerprint = _fingerprint(self.model)

    @torch.inference_mode()
    def embed(self, waveform: Waveform) -> Tensor:
        """Mono samples at 16 kHz, one or more, to `(128,)`."""
        vectors: Tensor = self.model(_at_least(waveform, self.sample_rate), self.sample_rate)
        return vectors.reshape(-1, self.width).float().mean(dim=0).cpu()


def _module(name: str, embedder: str, install: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ValueError(f"embedder '{embedder}' needs {name} ({install}); or name 'aisfx' or 'mel'") from error


def _made(make: Callable[[], Made], embedder: str) -> Made:
    """Call `make`; whatever keeps a hub's model away becomes one line.

    Raises:
        ValueError: it cannot be had.
    """
    try:
        return make()
    # A hub's libraries raise all kinds of errors: network, missing files, missing modules, unknown names.
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise ValueError(f"embedder '{embedder}' cannot be had here ({lines[0]}); name 'aisfx' or 'mel'") from error


def _fingerprint(model: nn.Module) -> str:
    weights = tensors_hash({name: tensor.float() for name, tensor in model.state_dict().items()})
    return hashlib.sha256(f"{weights} {FRONT_END}".encode()).hexdigest()[:16]


def _at_least(waveform: Waveform, samples: int) -> Waveform:
    return np.pad(waveform, (0, max(0, samples - len(waveform)))).astype(np.float32)

"""Ears as vectors: what turns a clip into a point, so that sets of clips can be compared.

aisfx            sound effects, 512 numbers; leads (evaluation/aisfx.py)
mel              statistics of the log-mel spectrogram; needs no weights
speech           spoken words, 96 numbers; needs onnxruntime (evaluation/speech.py)
clap:NAME, wav2vec2:NAME, panns, vggish      from a hub, where it can be reached (evaluation/hub.py)
module.Class     your own, by import path, made without arguments
"""

import hashlib
import importlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import safetensors
import torch
from safetensors.torch import save_file
from torch import Tensor

from audio.cache import default_cache
from audio.files import file_hash, read_audio, resample, write_aside
from audio.measures import Waveform
from audio.mel import LogMelSpectrogram, MelConfig
from evaluation.aisfx import AisfxEmbedder
from evaluation.hub import ClapEmbedder, PannsEmbedder, VggishEmbedder, Wav2Vec2Embedder
from evaluation.speech import SpeechEmbedder

Progress = Callable[[Sequence[Any]], Iterable[Any]]

MEL_STATISTICS = MelConfig(
    sample_rate=44100,
    n_fft=2048,
    win_length=2048,
    hop_length=512,
    n_mels=64,
    f_min=30.0,
    f_max=20000.0,
    mel_scale="slaney",
    filter_norm="slaney",
    framing="centred",
    magnitude_epsilon=0.0,
    log_floor=1e-4,
)
SAVE_EVERY = 500
KEYS = "clips"


@runtime_checkable
class Embedder(Protocol):
    """What turns a clip into a vector.

    Args:
        name: as `load_embedder` takes it.
        sample_rate: of the waveforms it takes, in Hz.
        width: how many numbers a clip becomes.
        fingerprint: sixteen hex digits of weights and front end; vectors with different ones are never compared.
    """

    name: str
    sample_rate: int
    width: int
    fingerprint: str

    def embed(self, waveform: Waveform) -> Tensor:
        """Mono samples at `sample_rate`, one or more, to `(width,)`, float32."""
        ...


class MelStatistics:
    """The log-mel spectrogram's mean, deviation, largest value and mean step by band: an ear that learned nothing."""

    name = "mel"
    sample_rate = MEL_STATISTICS.sample_rate
    width = 4 * MEL_STATISTICS.n_mels

    def __init__(self) -> None:
        self.mel = LogMelSpectrogram(MEL_STATISTICS, "torch")
        self.fingerprint = hashlib.sha256(f"{MEL_STATISTICS.to_dict()} mean std max step; 1".encode()).hexdigest()[:16]

    @torch.inference_mode()
    def embed(self, waveform: Waveform) -> Tensor:
        """Mono samples at 44.1 kHz, one or more, to `(256,)`."""
        least = max(MEL_STATISTICS.minimum_samples, MEL_STATISTICS.hop_length + 1)
        clip = torch.zeros(max(least, len(waveform)))
        clip[: len(waveform)] = torch.from_numpy(np.ascontiguousarray(waveform, dtype=np.float32))
        frames = self.mel(clip[None])[0]
        step = frames.diff(dim=1).abs().mean(dim=1)
        return torch.cat([frames.mean(dim=1), frames.std(dim=1, correction=0), frames.amax(dim=1), step])


PLAIN: dict[str, Callable[[], Embedder]] = {
    "aisfx": AisfxEmbedder,
    "mel": MelStatistics,
    "speech": SpeechEmbedder,
    "panns": PannsEmbedder,
    "vggish": VggishEmbedder,
}
NAMED: dict[str, Callable[[str], Embedder]] = {"clap": ClapEmbedder, "wav2vec2": Wav2Vec2Embedder}


def load_embedder(name: str) -> Embedder:
    """An embedder by name, see the head of this file.

    Raises:
        ValueError: no such embedder, or it cannot be had here; says what to install or to name instead.
    """
    kind, colon, hub_name = name.partition(":")
    if name in PLAIN:
        return PLAIN[name]()
    if colon and hub_name and kind in NAMED:
        return NAMED[kind](hub_name)
    if not colon and "." in name:
        return _imported(name)
    known = ", ".join([*PLAIN, *(f"{kind}:NAME" for kind in NAMED)])
    raise ValueError(f"embedder: expected one of {known}, or an import path such as my_ears.Ear; got '{name}'")


class EmbeddingCache:
    """Vectors of clips, each computed once: files are known by their content, wherever they lie.

    On disk are sixteen files for an embedder, by the first digit of the clips' hashes. Each is written aside and
    renamed, every few hundred clips: a killed run loses those since the last time, never the file. Of two runs that
    write at once one may win; that costs time, not truth.

    Args:
        embedder: whose vectors.
        folder: of the cache; the project's when left out.
        sample_rate: clips are brought to this rate first, in Hz, so that all have the same band; left as they are
            when left out.
    """

    def __init__(self, embedder: Embedder, folder: Path | None = None, sample_rate: int | None = None) -> None:
        self.embedder = embedder
        self.sample_rate = sample_rate if sample_rate and sample_rate < embedder.sample_rate else None
        label = "".join(letter if letter.isalnum() else "-" for letter in embedder.name)
        band = f"-{self.sample_rate}" if self.sample_rate else ""
        self.folder = (folder or default_cache() / "embeddings") / f"{label}-{embedder.fingerprint}{band}"

    def of_files(self, paths: Sequence[Path], progress: Progress | None = None) -> Tensor:
        """Vectors `(clips, width)` of sound files, from the cache where they are in it.

        Args:
            paths: in the order of the answer.
            progress: wraps the list, to draw a bar.

        Raises:
            ValueError: a file cannot be read.
        """
        known: dict[str, Tensor] = {}
        looked: set[str] = set()
        fresh: dict[str, Tensor] = {}
        # One block: thousands of small tensors, made between large ones, would keep those from being given back.
        vectors = torch.empty(len(paths), self.embedder.width)
        for row, path in enumerate(progress(paths) if progress else paths):
            key = file_hash(path) if Path(path).is_file() else ""
            if key[:1] not in looked:
                looked.add(key[:1])
                known |= self._read(key[:1])
            if key in known:
                vectors[row] = known[key]
                continue
            vectors[row] = self._checked(self._read_clip(path))
            known[key] = fresh[key] = vectors[row]
            if len(fresh) >= SAVE_EVERY:
                self._write(fresh)
                fresh = {}
        self._write(fresh)
        return vectors

    def of_waveforms(
        self, waveforms: Sequence[Waveform | Tensor], sample_rate: int, progress: Progress | None = None
    ) -> Tensor:
        """Vectors `(clips, width)` of clips in memory; nothing is kept.

        Args:
            waveforms: mono, one or more samples each.
            sample_rate: of all of them, in Hz.
            progress: wraps the list, to draw a bar.
        """
        vectors = torch.empty(len(waveforms), self.embedder.width)
        for row, waveform in enumerate(progress(waveforms) if progress else waveforms):
            clip = np.asarray(waveform, dtype=np.float32)
            if sample_rate != self.embedder.sample_rate:
                clip = resample(clip, sample_rate, self.embedder.sample_rate)
            vectors[row] = self._checked(clip)
        return vectors

    def _read_clip(self, path: Path) -> Waveform:
        """A file at the embedder's rate, with no more band than `sample_rate` leaves."""
        if self.sample_rate is None:
            return read_audio(path, self.embedder.sample_rate)[0]
        waveform, rate = read_audio(path, self.sample_rate)
        return resample(waveform, rate, self.embedder.sample_rate)

    def _checked(self, waveform: Waveform) -> Tensor:
        """The vector of a clip.

        Raises:
            ValueError: the embedder gave something else than its `width` finite numbers.
        """
        vector = self.embedder.embed(waveform).detach().cpu().float()
        if vector.shape != (self.embedder.width,) or not bool(torch.isfinite(vector).all()):
            raise ValueError(
                f"embedder '{self.embedder.name}': expected {self.embedder.width} finite numbers for a clip of "
                f"{len(waveform)} samples, got shape {tuple(vector.shape)} or numbers that are not finite"
            )
        return vector

    def _read(self, digit: str) -> dict[str, Tensor]:
        """What one file of the cache holds; a broken one holds nothing."""
        try:
            with safetensors.safe_open(self._path(digit), framework="pt") as file:
                keys = (file.metadata() or {}).get(KEYS, "").split()
                vectors = file.get_tensor("vectors")
        except (safetensors.SafetensorError, OSError):
            return {}
        if vectors.shape != (len(keys), self.embedder.width):
            return {}
        return dict(zip(keys, vectors, strict=True))

    def _write(self, fresh: dict[str, Tensor]) -> None:
        """Add vectors to the cache, where it can be written at all."""
        for digit in sorted({key[0] for key in fresh}):
            rows = self._read(digit) | {key: vector for key, vector in fresh.items() if key[0] == digit}
            try:
                with write_aside(self._path(digit)) as aside:
                    save_file({"vectors": torch.stack(list(rows.values()))}, aside, metadata={KEYS: " ".join(rows)})
            except (ValueError, safetensors.SafetensorError):
                return

    def _path(self, digit: str) -> Path:
        return self.folder / f"{digit}.safetensors"


def _imported(name: str) -> Embedder:
    module_name, _, class_name = name.rpartition(".")
    try:
        made = getattr(importlib.import_module(module_name), class_name)()
    except (ImportError, AttributeError) as error:
        raise ValueError(f"embedder: cannot import '{name}' ({error})") from error
    if not isinstance(made, Embedder):
        raise ValueError(f"embedder: '{name}' needs name, sample_rate, width, fingerprint and embed(waveform)")
    return made

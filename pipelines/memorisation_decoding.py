"""Real clips as a model would give them back: through its own encoder, decoder and vocoder.

    real -> log-mel -> mean of the posterior -> log-mel -> sound

A model cannot give back a training clip as it is, only as its autoencoder and vocoder tell it: compared with the real
clip, a perfect copy is as far off as that blur. Here the blur is laid over both sides, and a perfect copy is at 0.
"""

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from audio.cache import default_cache
from audio.dataset import Clip
from audio.files import file_hash, read_audio, write_audio
from audio.measures import Waveform
from audio.mel import LogMelSpectrogram
from autoencoder.model import Posterior
from evaluation.embedders import Progress
from pipelines.ladder_latents import decode_latents
from pipelines.shaping import clip_noise, finish
from pipelines.text_to_audio import TextToAudioPipeline
from training.command import say
from vocoder.base import told_notes

# Clips are filled up with silence to a multiple: a dozen lengths instead of thousands, for each of which the
# convolutions would keep their own plan in memory.
STEP_SECONDS = 0.25
# Grows when the same weights give other clips.
FORMAT = 2
COPY_NOISE = 0.1


@dataclass(frozen=True)
class PlantedCopies:
    """What a model that remembers its training clips would give back.

    Args:
        sources: the training clips.
        clips: of each the copy; everything but path and length as that of its source.
    """

    sources: tuple[Clip, ...]
    clips: tuple[Clip, ...]


class ClipDecoder:
    """Sends clips through autoencoder and vocoder of a model; each is kept, by its content and the model's weights.

    The diffusion model has no part in it: it may be trained anew, and the decoded clips hold.

    Args:
        pipeline: of the model.
        folder: of the decoded clips; in the project's cache when left out.
    """

    def __init__(self, pipeline: TextToAudioPipeline, folder: Path | None = None) -> None:
        self.pipeline = pipeline
        self.front_end = LogMelSpectrogram(pipeline.autoencoder.mel).to(pipeline.device)
        stages = {name: pipeline.fingerprints[name] for name in ("autoencoder", "vocoder")}
        identity = [FORMAT, stages, pipeline.defaults.max_seconds, str(pipeline.precision)]
        self.key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
        self.folder = (folder or default_cache() / "decoded") / self.key

    def of_clips(self, clips: Sequence[Clip], progress: Progress | None = None) -> list[Path]:
        """Decoded clips as files, one for each clip; those of an earlier run are not made again.

        Args:
            clips: real ones; of long ones the first seconds, as many as the model makes.
            progress: wraps the list of those that are missing, to draw a bar.

        Raises:
            ValueError: a clip cannot be read, or the cache cannot be written.
        """
        hashes = [file_hash(clip.path) for clip in clips]
        paths = [self.folder / name[:2] / f"{name}.flac" for name in hashes]
        missing = {path: clip for path, clip in zip(paths, clips, strict=True) if not path.is_file()}
        if missing:
            say(self._forecast(list(missing.values())))
        for path in progress(list(missing)) if progress else missing:
            write_audio(path, self.decode(missing[path]), self.pipeline.sample_rate)
        return paths

    def decode(self, clip: Clip) -> Waveform:
        """A clip from the mean of its posterior, as long as it was, its end faded as that of a generated one."""
        posterior, samples = self._encode(clip)
        return self._sound(posterior.mean, samples, clip)

    def copy(self, clip: Clip, index: int, seed: int, noise: float) -> Waveform:
        """A clip as a model gives it back that remembers it nearly: a draw from its posterior, and white noise.

        Args:
            clip: to be copied.
            index: of the copy; its noise is drawn from (seed, index).
            seed: of the noise.
            noise: its deviation, in deviations of the latents of all training clips.
        """
        posterior, samples = self._encode(clip)
        spec, mean = self.pipeline.diffusion.spec, posterior.mean
        drawn = clip_noise(seed, index, 2 * mean.shape[1], mean.shape[2]).to(mean.device)
        spread, white = drawn[None].chunk(2, dim=1)
        latents = spec.whiten(mean + posterior.std * spread) + noise * white
        return self._sound(spec.unwhiten(latents), samples, clip)

    def plant(self, clips: Sequence[Clip], folder: Path, seed: int, progress: Progress | None = None) -> PlantedCopies:
        """Write a copy of every clip with a tenth of noise, see `copy`.

        Args:
            clips: of the training split.
            folder: for `00000.flac` and so on.
            seed: of the noise.
            progress: wraps the list, to draw a bar.

        Raises:
            ValueError: a clip cannot be read, or the folder cannot be written.
        """
        numbers = list(range(len(clips)))
        paths = [folder / f"{number:05d}.flac" for number in numbers]
        for number in progress(numbers) if progress else numbers:
            write_audio(paths[number], self.copy(clips[number], number, seed, COPY_NOISE), self.pipeline.sample_rate)
        longest = self.pipeline.defaults.max_seconds
        copies = [
            replace(clip, path=path, seconds=min(clip.seconds, longest))
            for clip, path in zip(clips, paths, strict=True)
        ]
        return PlantedCopies(tuple(clips), tuple(copies))

    @torch.inference_mode()
    def _encode(self, clip: Clip) -> tuple[Posterior, int]:
        """The posterior of a clip and the silence behind it; and how many samples the clip has."""
        mel, longest = self.pipeline.autoencoder.mel, self.pipeline.defaults.max_seconds
        waveform, rate = read_audio(clip.path, mel.sample_rate, seconds=longest)
        step = round(STEP_SECONDS * rate)
        # At least one step of silence: in training, too, the encoder saw silence behind a clip.
        filled = step * (2 + len(waveform) // step)
        padded = torch.from_numpy(np.pad(waveform, (0, filled - len(waveform))))
        log_mel = self.front_end(padded[None].to(self.pipeline.device))
        return self.pipeline.autoencoder.encode(log_mel), len(waveform)

    @torch.inference_mode()
    def _sound(self, latents: Tensor, samples: int, clip: Clip) -> Waveform:
        lead = self.pipeline.autoencoder.lead_samples
        # Its note is told and it is brought in tune as a generated clip is, so that a perfect copy is at distance 0.
        vocoder = told_notes(self.pipeline.vocoder, [clip.pitch])
        made = self.pipeline.vocode(decode_latents(self.pipeline, latents), vocoder)
        waveform = made.float().cpu()[:, lead : lead + samples]
        asked = {} if clip.pitch is None else {"note": clip.pitch}
        finished = finish(waveform.clone(), self.pipeline.sample_rate, asked=[asked])
        return np.asarray(finished.waveforms[0].numpy(), dtype=np.float32)

    def _forecast(self, clips: Sequence[Clip]) -> str:
        """How long it takes and what disk it needs, from one timed clip."""
        longest, rate = self.pipeline.defaults.max_seconds, self.pipeline.sample_rate
        seconds = [min(clip.seconds, longest) for clip in clips]
        timed = clips[seconds.index(max(seconds))]
        self.decode(timed)
        started = time.perf_counter()
        self.decode(timed)
        took = (time.perf_counter() - started) / (max(seconds) + STEP_SECONDS)
        minutes = took * (sum(seconds) + STEP_SECONDS * len(clips)) / 60.0
        return (
            f"decoding {len(clips)} real clips by the model, {sum(seconds) / 60:.0f} minutes of audio: about "
            f"{minutes:.1f} min, once; at most {sum(seconds) * rate * 2 / 2**20:.0f} MiB in {self.folder}"
        )

"""The mels of `pipelines.export_mels`: real ones, decoded ones, denoised ones, of clips of any length.

    decoded     real -> mel -> encoder mean -> decoder
    denoised    real -> mel -> encoder mean z,   x_t = alpha(t) z + sigma(t) noise,   DiT from t to 1   -> decoder

A window sees as much beyond its ends as the network reaches, so windows laid end to end are the whole; only the
transformer, which hears everything at once, hears no further than its window and eight latent frames on either side.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from audio.dataset import Clip
from audio.mel import LogMelSpectrogram
from pipelines.counterparts import counterpart_prompt
from pipelines.settling import SHORTEST_SECONDS, started_sampler
from pipelines.text_to_audio import TextToAudioPipeline

WINDOW_FRAMES = 2048
LATENT_CONTEXT = 8
# From there on the coarse shape of a clip is settled, so that what is made of it still belongs to its waveform.
EARLIEST_TIME = 0.7


def in_windows(
    function: Callable[[Tensor], Tensor], values: Tensor, size: int, context: int, taken: int = 1, given: int = 1
) -> Tensor:
    """Call a function of the last axis on windows, and join what lies inside each.

    Args:
        function: makes `given` (or, at the very end, more) columns out of every `taken` ones.
        values: `(…, columns)`.
        size: units of `taken` columns in a window.
        context: units on either side that a window is handed beyond its own.
        taken: columns in, a unit.
        given: columns out, a unit.
    """
    units = -(-values.shape[-1] // taken)
    pieces = []
    for start in range(0, units, size):
        low, high = max(0, start - context), min(units, start + size + context)
        made = function(values[..., low * taken : high * taken])
        end = None if start + size >= units else (start + size - low) * given
        pieces.append(made[..., (start - low) * given : end])
    return torch.cat(pieces, dim=-1)


@dataclass(frozen=True)
class MelMaker:
    """Makes the mels of one clip.

    Args:
        pipeline: of the model.
        front_end: of its mel, on its device.
        kind: decoded or denoised.
        settings: of `TextToAudioPipeline.settle`.
        noise_time: earliest time from which a clip is denoised.
        variants: mels a clip, each from a time and a noise of its own.
    """

    pipeline: TextToAudioPipeline
    front_end: LogMelSpectrogram
    kind: str
    settings: dict[str, Any]
    noise_time: float
    variants: int

    @torch.inference_mode()
    def real(self, waveform: Tensor) -> Tensor:
        """The clip's own log-mel `(1, n_mels, frames)`, with the frames after its end that still hear it.

        Args:
            waveform: `(samples,)`, unpadded.
        """
        mel = self.front_end.config
        hops = -(-len(waveform) // mel.hop_length) + -(-mel.padding // mel.hop_length)
        hops = max(hops, -(-mel.minimum_samples // mel.hop_length))
        padded = pad(waveform, (0, hops * mel.hop_length - len(waveform)))[None].to(self.pipeline.device)
        context = -(-mel.n_fft // mel.hop_length)
        return in_windows(self.front_end, padded, WINDOW_FRAMES, context, taken=mel.hop_length)

    @torch.inference_mode()
    def latents(self, log_mel: Tensor) -> Tensor:
        """Raw latents, the means, of a log-mel."""
        vae = self.pipeline.autoencoder
        factor = vae.config.frames_per_latent
        context = -(-vae.encoder_reach() // factor) + 1
        return in_windows(lambda mel: vae.encode(mel).mean, log_mel, WINDOW_FRAMES // factor, context, taken=factor)

    @torch.inference_mode()
    def decode(self, latents: Tensor, frames: int) -> Tensor:
        """Log-mel `(1, n_mels, frames)` of raw latents, at or above the log floor, decoded after the lead."""
        vae = self.pipeline.autoencoder
        factor = vae.config.frames_per_latent
        lead = vae.config.lead * factor
        context = -(-vae.decoder_reach() // factor) + 1
        log_mel = in_windows(vae.decode, vae.led(latents), WINDOW_FRAMES // factor, context, given=factor)
        return log_mel[..., lead : lead + frames].clamp(min=vae.mel.log_mel_floor)

    def __call__(self, clip: Clip, name: str, log_mel: Tensor) -> tuple[Tensor, list[float]]:
        """The model's mels of a clip.

        Args:
            clip: gives the captions.
            name: of its file, which with the seed decides times and noise.
            log_mel: of the clip, from `real`.

        Returns:
            `(variants, n_mels, frames)`, and the times from which they were denoised (none when decoded).
        """
        latents, frames = self.latents(log_mel), log_mel.shape[-1]
        if self.kind == "decoded":
            return self.decode(latents, frames), []
        made, times = [], []
        for variant in range(self.variants):
            time, noise = drawn(self.settings["seed"], name, variant, self.noise_time, latents)
            made.append(self.decode(self.denoised(clip, variant, latents, noise, time), frames))
            times.append(round(time, 6))
        return torch.cat(made), times

    @torch.inference_mode()
    def denoised(self, clip: Clip, variant: int, latents: Tensor, noise: Tensor, time: float) -> Tensor:
        """Latents noised to `time` and brought back by the model, with the clip's caption."""
        pipeline = self.pipeline
        spec, channels = pipeline.diffusion.spec, latents.shape[1]
        longest = int(pipeline.defaults.max_seconds * spec.latent_rate)
        prompt = counterpart_prompt(clip, variant)

        def finish(stacked: Tensor) -> Tensor:
            start, own = stacked[:, :channels], stacked[:, channels:]
            seconds = start.shape[-1] / spec.latent_rate
            numbers = {"seconds": min(max(seconds, SHORTEST_SECONDS), pipeline.defaults.max_seconds)}
            return pipeline.diffusion.sample(
                own,
                pipeline.diffusion.encode_conditions([prompt], [None], [numbers]),
                started_sampler(self.settings, time),
                start=start,
                start_time=time,
            )

        if latents.shape[-1] <= longest:
            return finish(torch.cat([latents, noise], dim=1))
        size = max(1, longest - 2 * LATENT_CONTEXT)
        return in_windows(finish, torch.cat([latents, noise], dim=1), size, LATENT_CONTEXT)


def drawn(seed: int, name: str, variant: int, noise_time: float, latents: Tensor) -> tuple[float, Tensor]:
    """A time in [noise_time, 1) and noise of the latents' shape, a function of seed, clip and variant alone."""
    digest = hashlib.sha256(f"{seed}:{name}:{variant}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
    time = noise_time + (1.0 - noise_time) * float(torch.rand(1, generator=generator, dtype=torch.float64))
    return time, torch.randn(latents.shape, generator=generator).to(latents)

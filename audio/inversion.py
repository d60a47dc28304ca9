"""From a log-mel back towards sound, without learning: pseudo-inverse magnitudes and Griffin-Lim.

    magnitude  = max(0, pinv(filterbank) exp(log_mel))
    Griffin-Lim: alternate between "has this magnitude" and "is the STFT of a real signal", with momentum
    (Perraudin, Balazs, Sondergaard, "A fast Griffin-Lim algorithm", WASPAA 2013, algorithm 2).

The framing is the contract's own, so what comes out lies sample on sample with what went in.
"""

from functools import lru_cache

import torch
from einops import rearrange
from torch import Tensor
from torch.nn.functional import fold, pad

from audio.mel import MelConfig, mel_filterbank


@lru_cache(maxsize=16)
def inverse_filterbank(config: MelConfig) -> Tensor:
    """Moore-Penrose inverse of the filterbank, `(n_fft // 2 + 1, n_mels)`, computed in float64, stored in float32."""
    with torch.inference_mode(False):
        inverse: Tensor = torch.linalg.pinv(mel_filterbank(config).double())
        return inverse.float().contiguous()


def pseudo_inverse_magnitude(log_mel: Tensor, config: MelConfig) -> Tensor:
    """Linear magnitudes that the log-mel implies, clamped at 0.

    Args:
        log_mel: `(batch, n_mels, frames)`, natural log.
        config: its contract.

    Returns:
        `(batch, n_fft // 2 + 1, frames)`.
    """
    inverse = inverse_filterbank(config).to(log_mel.device)
    # A frame's bins lie side by side in memory, as an STFT has them: all that follows is faster for it.
    magnitude = torch.matmul(log_mel.float().exp().transpose(1, 2), inverse.T).clamp(min=0.0)
    return magnitude.transpose(1, 2)


def forward_stft(waveform: Tensor, config: MelConfig) -> Tensor:
    """Complex STFT `(batch, n_fft // 2 + 1, frames)` of `(batch, samples)` in the contract's framing."""
    padded = pad(waveform, (config.padding, config.padding), mode="reflect")
    # Less than torch.stft asks: no checks, and the transforms read what the window has just written.
    frames = padded.unfold(1, config.n_fft, config.hop_length) * _window(config, waveform.device)
    spectrum: Tensor = torch.fft.rfft(frames).transpose(1, 2)
    return spectrum


def inverse_stft(spectrum: Tensor, config: MelConfig, envelope: Tensor | None = None) -> Tensor:
    """Least-squares inverse of `forward_stft`: windowed overlap-add over the summed squared windows.

    Args:
        spectrum: `(batch, n_fft // 2 + 1, frames)`, complex.
        config: gives window, hop and framing.
        envelope: of `overlap_envelope`, for who inverts many spectra of one length.

    Returns:
        `(batch, config.num_samples(frames))`.
    """
    frames = spectrum.shape[-1]
    # In place where nothing is needed for a gradient: fresh memory costs more than the multiplication.
    blocks = torch.fft.irfft(spectrum.transpose(1, 2), config.n_fft).mul_(_window(config, spectrum.device))
    inside = slice(config.padding, config.padding + config.num_samples(frames))
    if envelope is None:
        envelope = overlap_envelope(frames, config, spectrum.device)
    return _overlap_add(blocks, config)[:, inside].div_(envelope)


def overlap_envelope(frames: int, config: MelConfig, device: torch.device) -> Tensor:
    """What the summed squared windows of so many frames weigh, `(1, config.num_samples(frames))`, positive."""
    squares = _window(config, device).square().expand(1, frames, -1)
    inside = slice(config.padding, config.padding + config.num_samples(frames))
    return _overlap_add(squares, config)[:, inside].clamp(min=1e-8)


def _window(config: MelConfig, device: torch.device) -> Tensor:
    """The Hann window, in the middle of a frame, `(n_fft,)`."""
    left = (config.n_fft - config.win_length) // 2
    window = torch.hann_window(config.win_length, device=device)
    return pad(window, (left, config.n_fft - config.win_length - left))


def _overlap_add(blocks: Tensor, config: MelConfig) -> Tensor:
    """Sum of blocks `(batch, frames, n_fft)`, each a hop after the one before: `(batch, samples)`."""
    batch, frames, _ = blocks.shape
    parts, rest = divmod(config.n_fft, config.hop_length)
    if rest:
        length = (frames - 1) * config.hop_length + config.n_fft
        summed = fold(blocks.transpose(1, 2), (1, length), (1, config.n_fft), stride=(1, config.hop_length))
        return summed[:, 0, 0]
    # A block is so many whole hops: a handful of shifted sums, several times as fast as `fold` on a CPU.
    hops = rearrange(blocks, "batch frame (part hop) -> part batch frame hop", part=parts)
    waveform = blocks.new_zeros(batch, frames + parts - 1, config.hop_length)
    for part in range(parts):
        waveform[:, part : part + frames] += hops[part]
    return rearrange(waveform, "batch frame hop -> batch (frame hop)")


def griffin_lim(
    magnitude: Tensor, config: MelConfig, iterations: int = 64, momentum: float = 0.99, seed: int = 0
) -> Tensor:
    """Find a signal whose STFT has nearly this magnitude.

    Args:
        magnitude: `(batch, n_fft // 2 + 1, frames)`.
        config: gives window, hop and framing.
        iterations: projections; 64 is the project's baseline.
        momentum: 0 is the plain algorithm of Griffin and Lim (1984), 0.99 the fast one.
        seed: of the random first phases, drawn on the CPU and the same for every row of the batch.

    Returns:
        `(batch, config.num_samples(frames))`.

    Raises:
        ValueError: iterations below 1, momentum outside [0, 1), or too few frames for the framing.
    """
    if iterations < 1 or not 0.0 <= momentum < 1.0:
        raise ValueError(f"griffin_lim: expected iterations >= 1 and momentum in [0, 1), got {iterations}, {momentum}")
    if config.num_samples(magnitude.shape[-1]) < config.minimum_samples:
        raise ValueError(f"griffin_lim: {magnitude.shape[-1]} frames are too few for this mel")
    generator = torch.Generator().manual_seed(seed)
    phase = torch.rand(magnitude.shape[1:], generator=generator) * (2.0 * torch.pi)
    angles = torch.polar(torch.ones_like(phase), phase).to(magnitude.device).expand(magnitude.shape)
    previous = torch.zeros_like(angles)
    weight = momentum / (1.0 + momentum)
    for _ in range(iterations):
        rebuilt = forward_stft(inverse_stft(magnitude * angles, config), config)
        angles = rebuilt.sub(previous, alpha=weight)
        angles = angles / angles.abs().clamp(min=1e-16)
        previous = rebuilt
    return inverse_stft(magnitude * angles, config)


def griffin_lim_from_log_mel(log_mel: Tensor, config: MelConfig, iterations: int = 64, seed: int = 0) -> Tensor:
    """The baseline of every vocoder number: Griffin-Lim on the pseudo-inverse of a log-mel.

    Args:
        log_mel: `(batch, n_mels, frames)`.
        config: its contract.
        iterations: of Griffin-Lim.
        seed: of the first phases.

    Returns:
        `(batch, config.num_samples(frames))`.
    """
    return griffin_lim(pseudo_inverse_magnitude(log_mel, config), config, iterations, seed=seed)

"""Pictures and sounds in a stage's TensorBoard log."""

import torch
from lightning.pytorch import LightningModule
from torch import Tensor


def log_mel_images(module: LightningModule, mels: dict[str, Tensor]) -> None:
    """Log log-mels as grey images, low bins at the bottom.

    Args:
        module: whose TensorBoard logger is written to; without one nothing happens.
        mels: name to `(batch, n_mels, frames)`, all clips of one name side by side.
    """
    writer = getattr(module.logger, "experiment", None)
    if writer is None:
        return
    for name, log_mel in mels.items():
        image = torch.cat(list(log_mel.detach().float().cpu()), dim=1).flip(0)
        low, high = float(image.min()), float(image.max())
        writer.add_image(f"mel/{name}", ((image - low) / max(1e-6, high - low))[None], module.global_step)


def log_audio(module: LightningModule, name: str, waveform: Tensor, sample_rate: int) -> None:
    """Log one clip.

    Args:
        module: whose TensorBoard logger is written to; without one nothing happens.
        name: of the clip.
        waveform: `(samples,)`.
        sample_rate: in Hz.
    """
    writer = getattr(module.logger, "experiment", None)
    if writer is not None:
        clip = waveform.detach().float().cpu().clamp(-1.0, 1.0)
        writer.add_audio(f"audio/{name}", clip[None], module.global_step, sample_rate)

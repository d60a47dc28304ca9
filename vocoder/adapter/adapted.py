"""A foreign vocoder behind a mel adapter: to the chain it is a vocoder of the model's own mel.

waveform = resample(inner.decode(adapter(log_mel)))            cut to mel.num_samples(frames)
"""

from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from audio.contract import check_same_mel
from audio.files import resample_tensor
from training.checkpoint import weights_fingerprint
from vocoder.adapter.model import MelAdapter
from vocoder.base import check_log_mel, identity, licences_of
from vocoder.checked import decode_checked
from vocoder.loading import load_vocoder

# The name of the adapter's loss among the facts of its stage record.
LOSS_KEY = "validation/log_mel_error"


class AdaptedVocoder(nn.Module):
    """Decodes the adapter's source mel with a vocoder of its target mel.

    Args:
        adapter: checkpoint of a mel adapter.
        vocoder: the inner one: a checkpoint, or an import path.
        arguments: of the inner vocoder's class.

    Raises:
        ValueError: not an adapter, no such vocoder, or a vocoder of another mel than the adapter's target.
    """

    def __init__(self, adapter: Path, vocoder: str, **arguments: Any) -> None:  # noqa: ANN401
        super().__init__()
        self.adapter = MelAdapter.from_checkpoint(Path(adapter))
        self.mel = self.adapter.source
        self.vocoder = load_vocoder(vocoder, self.adapter.target, arguments)
        check_same_mel(self.adapter.target, self.vocoder.mel, f"the adapter '{adapter}'", f"the vocoder '{vocoder}'")
        self.eval()

    @property
    def adapter_loss(self) -> float | None:
        """Mean absolute error of the adapted mel on the adapter's validation clips, in nats; None where unknown."""
        record = self.adapter.record
        value = record.training.get(LOSS_KEY) if record else None
        return None if value is None else float(value)

    @cached_property
    def fingerprint(self) -> str:
        """Sixteen hex digits of the adapter and of the vocoder behind it."""
        return weights_fingerprint({}, {"adapter": identity(self.adapter), "vocoder": identity(self.vocoder)})

    @property
    def licences(self) -> list[str]:
        """Of what the adapter and the vocoder behind it were trained on."""
        return licences_of(self.adapter, self.vocoder)

    @torch.no_grad()
    def decode(self, log_mel: Tensor) -> Tensor:
        """Make sound.

        Args:
            log_mel: `(batch, n_mels, frames)` of contract `mel`, natural log.

        Returns:
            waveform `(batch, mel.num_samples(frames))` at the rate of `mel`, float32.

        Raises:
            ValueError: not a log-mel of this contract, too short for the inner vocoder, or an answer of that one which
                is no sound of the adapted mel.
        """
        check_log_mel(log_mel, self.mel)
        waveform = decode_checked(self.vocoder, self.adapter.adapt(log_mel)).float()
        waveform = resample_tensor(waveform, self.adapter.target.sample_rate, self.mel.sample_rate)
        return waveform[:, : self.mel.num_samples(log_mel.shape[-1])]

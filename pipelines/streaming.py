"""The chain in chunks: latents to sound, or sound through mel, autoencoder and vocoder to sound.

Every link hears only so far, so each works window by window (`audio.windows`) and memory holds a few windows, however
long the clip. The sound is that of the chain run on the whole, within rounding.
"""

import torch
from torch import Tensor

from audio.contract import convert_log_mel
from audio.streaming import streaming_front_end, streaming_resampler
from audio.windows import Chain, Windows
from autoencoder.model import MelVAE
from autoencoder.streaming import streaming_decoder, streaming_reconstruction
from pipelines.compatibility import check_vocoder
from vocoder.base import Vocoder
from vocoder.checked import decode_checked
from vocoder.streaming import BLOCK_FRAMES, vocoder_windows


class StreamingDecoder:
    """Latents that come in chunks to sound: the decoder of the autoencoder, then the vocoder.

    Args:
        autoencoder: decodes latents.
        vocoder: anything with `mel`, `decode` and `receptive_field()`.
        block_frames: new mel frames for which a window is decoded.

    Raises:
        ValueError: the two do not belong together, or the vocoder hears the whole clip.
    """

    def __init__(self, autoencoder: MelVAE, vocoder: Vocoder, block_frames: int = BLOCK_FRAMES) -> None:
        self.autoencoder = autoencoder
        self.vocoder = vocoder
        last = _vocoder_stage(autoencoder, vocoder, block_frames)
        self._chain = Chain([streaming_decoder(autoencoder, block_frames), last])
        self._empty = torch.zeros(1, 0)
        self._begun = False
        self._cut = autoencoder.lead_samples

    @property
    def first_latent_frames(self) -> int:
        """Latent frames without which the first sample cannot be known."""
        return self._chain.lookahead

    @property
    def kept_frames(self) -> tuple[int, ...]:
        """What each link holds back now: latent frames, mel frames."""
        return tuple(stage.kept for stage in self._chain.stages)

    def decode(self, latents: Tensor) -> Tensor:
        """The whole at once: what the chunks must equal.

        Args:
            latents: raw, `(batch, channels, latent_frames)`.

        Returns:
            waveform `(batch, samples)`.

        Raises:
            ValueError: another shape, or a vocoder that answers with no waveform of the right one.
        """
        with torch.no_grad():
            log_mel = self.autoencoder.decode(self.autoencoder.led(latents))
        whole = decode_checked(self.vocoder, _handed_over(log_mel, self.autoencoder, self.vocoder))
        return whole[:, self.autoencoder.lead_samples :]

    def push(self, latents: Tensor) -> Tensor:
        """Take further latents.

        Args:
            latents: raw, `(batch, channels, latent_frames)`, any number of latent frames.

        Returns:
            the samples `(batch, samples)` that are settled and not yet given, perhaps none.

        Raises:
            ValueError: another shape, values that are not finite, or a stream that was finished.
        """
        channels = self.autoencoder.config.latent_channels
        if latents.dim() != 3 or latents.shape[1] != channels:
            raise ValueError(f"latents: expected (batch, {channels}, frames), got {tuple(latents.shape)}")
        if not bool(latents.isfinite().all()):
            raise ValueError("latents: expected finite values, got NaN or infinity")
        if latents.shape[-1] and not self._begun:
            latents, self._begun = self.autoencoder.led(latents).detach(), True
        pieces = self._chain.push(latents)
        self._empty = latents.new_zeros(latents.shape[0], 0)
        return self._without_lead(pieces)

    def finish(self) -> Tensor:
        """The samples that waited for the end, `(batch, samples)`.

        Raises:
            ValueError: no latents were pushed.
        """
        return self._without_lead(self._chain.finish())

    def _without_lead(self, pieces: list[Tensor]) -> Tensor:
        made = torch.cat([self._empty, *pieces], dim=-1)
        cut = min(self._cut, made.shape[-1])
        self._cut -= cut
        return made[:, cut:]


def sound_to_sound(
    autoencoder: MelVAE,
    vocoder: Vocoder,
    source_rate: int,
    block_frames: int = BLOCK_FRAMES,
    through_latents: bool = False,
) -> Chain:
    """Samples `(1, samples)` in chunks to their mel and back to samples.

    Args:
        autoencoder: gives the mel; encodes and decodes where asked.
        vocoder: anything with `mel`, `decode` and `receptive_field()`.
        source_rate: of the samples that are pushed, in Hz; they are resampled to the model's.
        block_frames: new mel frames for which a window is computed.
        through_latents: send the mel through encoder and decoder.

    Raises:
        ValueError: the two do not belong together, or the vocoder hears the whole clip.
    """
    mel = autoencoder.mel
    last = _vocoder_stage(autoencoder, vocoder, block_frames)
    stages = [streaming_front_end(mel, block_frames)]
    if source_rate != mel.sample_rate:
        stages.insert(0, streaming_resampler(source_rate, mel.sample_rate, block_frames * mel.hop_length))
    if through_latents:
        stages.append(streaming_reconstruction(autoencoder, block_frames))
    return Chain([*stages, last])


def _vocoder_stage(autoencoder: MelVAE, vocoder: Vocoder, block_frames: int) -> Windows:
    """The vocoder's windows behind the hand-over of the chain."""
    check_vocoder(autoencoder.mel, vocoder.mel)

    def hand_over(log_mel: Tensor) -> Tensor:
        return _handed_over(log_mel, autoencoder, vocoder)

    return vocoder_windows(vocoder, block_frames, hand_over)


def _handed_over(log_mel: Tensor, autoencoder: MelVAE, vocoder: Vocoder) -> Tensor:
    """A log-mel as `TextToAudioPipeline.vocode` gives it to the vocoder: nothing below the floor, of its contract."""
    floored = log_mel.clamp(min=autoencoder.mel.log_mel_floor)
    return convert_log_mel(floored, autoencoder.mel, vocoder.mel)

"""What a vocoder answers, looked at before it is believed: a class from anywhere may answer with anything.

    decode: (batch, n_mels, frames)  ->  (batch, mel.num_samples(frames)), finite, floating-point

Beside decoding, the look costs nothing: one sum over the samples.
"""

from collections.abc import Callable

from torch import Tensor

from vocoder.base import Vocoder


def decode_checked(
    vocoder: Vocoder, log_mel: Tensor, name: str = "", decode: Callable[[Tensor], Tensor] | None = None
) -> Tensor:
    """Decode, and refuse what is no sound of this log-mel.

    Args:
        vocoder: anything with `mel` and `decode`.
        log_mel: `(batch, n_mels, frames)` of the vocoder's contract.
        name: of the vocoder in messages; its class when left out.
        decode: stands for the vocoder's own.

    Returns:
        waveform `(batch, mel.num_samples(frames))`, as the vocoder gave it.

    Raises:
        ValueError: it fails, or answers with something else than finite samples of that shape.
    """
    who = f"vocoder '{name or type(vocoder).__name__}'"
    try:
        waveform: object = (decode or vocoder.decode)(log_mel)
    except ValueError as error:
        raise ValueError(f"{who}: {error}") from error
    except Exception as error:
        text = (str(error).splitlines() or [""])[0]
        raise ValueError(f"{who} failed: {type(error).__name__}{': ' if text else ''}{text}") from error
    expected = (log_mel.shape[0], vocoder.mel.num_samples(log_mel.shape[-1]))
    if not isinstance(waveform, Tensor) or tuple(waveform.shape) != expected:
        came = tuple(waveform.shape) if isinstance(waveform, Tensor) else type(waveform).__name__
        raise ValueError(f"{who}: expected a waveform of shape {expected}, got {came}")
    if not waveform.is_floating_point():
        raise ValueError(f"{who}: expected floating-point samples, got {waveform.dtype}")
    # The sum is finite only where all are, and costs a tenth of asking each.
    if not bool(waveform.sum().isfinite()) and not bool(waveform.isfinite().all()):
        raise ValueError(f"{who}: expected finite samples, got NaN or infinity")
    return waveform

"""Corrections: a sound whose own mel is not the one that was asked for is moved towards it.

    own[b, t]   = ln max(filterbank |R[:, t]|, floor)                           R = STFT(waveform)
    gain[k, t]  = exp(STEP sum_b share[b, k] clamp(log_mel[b, t] - own[b, t], -LIMIT, LIMIT))
    waveform   <- ISTFT(gain R),      share[b, k] = filterbank[b, k] / sum_b filterbank[b, k]

A network's magnitudes are right frame by frame, but frames overlap, and what their phases do not agree on cancels: the
sound comes out fainter than it was meant, by one to two decibels in noise, and an attack leaks into the frame before.
The mel tells how much is missing where. Nothing is learned: the step is a multiplicative update, as in the
factorisation of spectra (Lee, Seung, "Algorithms for non-negative matrix factorization", NIPS 2000), each bin moved by
the mean of what its filters ask for. STEP is above 1 because the transforms take back a part of every step.
"""

from functools import lru_cache

import torch
from torch import Tensor

from audio.mel import TINY_POWER, MelConfig, mel_filterbank

STEP = 1.3
# Nats (13 dB): a bin that is further away than this is another sound, and is approached step by step.
LIMIT = 1.5


@lru_cache(maxsize=16)
def filter_shares(mel: MelConfig) -> Tensor:
    """Which filters a bin belongs to, `(n_mels, n_fft // 2 + 1)`; each bin's shares sum to one.

    A bin under no filter has those of the nearest bin that is under one.
    """
    with torch.inference_mode(False):
        bank = mel_filterbank(mel)
        total = bank.sum(dim=0)
        covered = total.nonzero()[:, 0]
        places = torch.arange(bank.shape[1])
        nearest = covered[(places[:, None] - covered[None]).abs().argmin(dim=1)]
        return (bank[:, nearest] / total[nearest]).contiguous()


def correction_gains(power: Tensor, log_mel: Tensor, mel: MelConfig) -> Tensor:
    """By how much each bin is to be multiplied.

    Args:
        power: of the sound as it is, `(batch, n_fft // 2 + 1, frames)`.
        log_mel: as it should be, `(batch, n_mels, frames)`.
        mel: the contract of both.

    Returns:
        positive, the shape of `power`.
    """
    with torch.autocast(power.device.type, enabled=False):
        return _correction_gains(power.float(), log_mel.float(), mel)


def _correction_gains(power: Tensor, log_mel: Tensor, mel: MelConfig) -> Tensor:
    bank, shares = mel_filterbank(mel).to(power.device), filter_shares(mel).to(power.device)
    magnitude = (power + max(mel.magnitude_epsilon, TINY_POWER)).sqrt()
    # A frame's bins lie side by side in memory, as an STFT has them.
    own = torch.matmul(magnitude.transpose(1, 2), bank.T).clamp(min=mel.log_floor).log()
    wanted = log_mel.clamp(min=mel.log_mel_floor).transpose(1, 2)
    asked = STEP * (wanted - own).clamp(-LIMIT, LIMIT)
    return torch.matmul(asked, shares).exp().transpose(1, 2)

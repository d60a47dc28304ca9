"""For any contract and any length: the promised samples, finite, and nothing heard beyond the receptive field."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from audio.mel import MelConfig
from vocoder.base import Vocoder, check_log_mel
from vocoder.griffin_lim import GriffinLim
from vocoder.vocos import PriorVocos, VocosConfig


@st.composite
def contracts(draw):
    """Small contracts of either framing, with any overlap from none to eightfold."""
    n_fft = draw(st.sampled_from([64, 128, 192]))
    win_length = n_fft - draw(st.sampled_from([0, 16, 32]))
    hop_length = 2 * draw(st.integers(max(4, n_fft // 16), win_length // 4))
    framing = draw(st.sampled_from(["same", "centred"]))
    scale, norm = draw(st.sampled_from([("slaney", "slaney"), ("htk", "none")]))
    return MelConfig(8000, n_fft, win_length, hop_length, 8, 0.0, 4000.0, scale, norm, framing, 1e-9, 1e-5)


@settings(max_examples=25, deadline=None)
@given(
    contracts(), st.integers(2, 40), st.integers(0, 2), st.lists(st.integers(2, 6), max_size=2), st.floats(-12.0, 8.0)
)
def test_any_contract_any_length(mel, frames, refinements, clock, level):
    torch.manual_seed(0)
    config = VocosConfig(dim=8, intermediate_dim=8, num_layers=1, refinements=refinements, clock=tuple(clock))
    model = PriorVocos(mel, config).eval()
    torch.nn.init.normal_(model.head.out.weight, std=0.2)
    log_mel = torch.randn(1, mel.n_mels, frames) + level
    waveform = model.decode(log_mel)
    assert waveform.shape == (1, mel.num_samples(frames))
    assert waveform.isfinite().all()
    # More frames behind leave the beginning as it was.
    more = model.decode(torch.cat([log_mel, torch.randn(1, mel.n_mels, 12) + level], dim=2))
    kept = mel.num_samples(max(0, frames - model.receptive_field()))
    if kept > 0:
        scale = float(waveform.abs().max())
        assert torch.allclose(waveform[:, :kept], more[:, :kept], atol=1e-4 * max(1.0, scale))


@settings(max_examples=15, deadline=None)
@given(contracts(), st.integers(2, 40))
def test_griffin_lim_keeps_the_same_promises(mel, frames):
    log_mel = torch.randn(2, mel.n_mels, frames) - 3.0
    vocoder = GriffinLim(mel, iterations=2)
    assert isinstance(vocoder, Vocoder)
    check_log_mel(log_mel, mel)
    if mel.num_samples(frames) >= mel.minimum_samples:
        waveform = vocoder.decode(log_mel)
        assert waveform.shape == (2, mel.num_samples(frames))
        assert waveform.isfinite().all()

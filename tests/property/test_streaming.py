"""However a clip is cut into chunks, its sound is that of the whole, and little is held back."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audio.files import read_audio, resample
from audio.mel import LogMelSpectrogram, MelConfig
from audio.streaming import LARGEST_FRAMES, streaming_front_end, streaming_resampler
from autoencoder.model import MelVAE, MelVAEConfig
from autoencoder.streaming import streaming_decoder, streaming_reconstruction
from pipelines.decoding import decode_clip, decode_long
from pipelines.resources import DEFAULT_BUNDLE, resource
from pipelines.streaming import StreamingDecoder, sound_to_sound
from vocoder.loading import load_vocoder
from vocoder.streaming import StreamingVocoder
from vocoder.upsampling import UpsamplingConfig, UpsamplingGenerator
from vocoder.vocos import PriorVocos, VocosConfig

SAME = MelConfig(8000, 128, 128, 32, 12, 0.0, 4000.0, "slaney", "slaney", "same", 1e-9, 1e-5)
MELS = (SAME, replace(SAME, framing="centred"), replace(SAME, win_length=96), replace(SAME, n_fft=160, win_length=160))
SMALL = VocosConfig(dim=8, intermediate_dim=8, num_layers=1, refinements=1, clock=(2, 4))
SIZES = (
    SMALL,
    replace(SMALL, refinements=0, clock=()),
    replace(SMALL, refinements=3, clock=(3, 4)),
    replace(SMALL, corrections=2),
    replace(SMALL, corrections=2, attack=4, refinements=2, momentum=0.99, ramp_bins=8),
    replace(SMALL, prior=False),
)
QUICK = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
# One frame, primes, more than the clip; drawn per chunk.
CHUNKS = st.lists(st.sampled_from([1, 2, 3, 7, 13, 31, 200]), min_size=1, max_size=6)


def network(mel, config):
    torch.manual_seed(0)
    model = PriorVocos(mel, config).eval()
    if config.prior:
        torch.nn.init.normal_(model.head.out.weight, std=0.1)
    return model


def noise(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3))


def chunks(whole, sizes):
    """The clip in chunks of these sizes, over and over."""
    start, number = 0, 0
    while start < whole.shape[-1]:
        size = sizes[number % len(sizes)]
        yield whole[..., start : start + size]
        start, number = start + size, number + 1


def streamed(stream, whole, sizes):
    pieces = [stream.push(chunk) for chunk in chunks(whole, sizes)] + [stream.finish()]
    pieces = [part for piece in pieces for part in (piece if isinstance(piece, list) else [piece])]
    return torch.cat(pieces, dim=-1)


@QUICK
@given(st.sampled_from(MELS), st.sampled_from(SIZES), st.integers(2, 120), CHUNKS, st.sampled_from([1, 4, 8]))
def test_chunks_of_any_size_are_the_whole(mel, size, frames, sizes, block):
    if not size.prior and mel.win_length != mel.n_fft:
        size = SMALL
    vocoder, log_mel = network(mel, size), noise(2, mel.n_mels, frames) - 4.0
    whole = vocoder.decode(log_mel)
    chunked = streamed(StreamingVocoder(vocoder, block), log_mel, sizes)
    assert chunked.shape == whole.shape
    assert torch.allclose(chunked, whole, atol=1e-4)


@pytest.mark.parametrize("mel", MELS[:2])
@pytest.mark.parametrize("sizes", [[1], [7, 2], [200]])
def test_the_upsampling_generator_in_chunks(mel, sizes):
    torch.manual_seed(0)
    size = UpsamplingConfig(rates=(4, 4, 2), channels=16, residual_kernels=(3,), dilations=(1, 3))
    vocoder, log_mel = UpsamplingGenerator(mel, size).eval(), noise(2, 12, 90) - 3.0
    whole = vocoder.decode(log_mel)
    assert float(whole.abs().max()) > 0.1
    assert (streamed(StreamingVocoder(vocoder, 4), log_mel, sizes) - whole).abs().max() < 1e-4


@pytest.fixture(scope="module")
def bundled():
    return load_vocoder(str(resource(DEFAULT_BUNDLE) / "vocoder.safetensors"), None)


@pytest.fixture(scope="module")
def recording(sonic_pi_folder: Path):
    """Three seconds of real drums at 44.1 kHz."""
    parts = [read_audio(sonic_pi_folder / name, 44100)[0] for name in ("bd_808.flac", "drum_cymbal_open.flac")]
    return np.concatenate(parts)[:132300]


@pytest.mark.parametrize("sizes", [[9, 1, 40], [17], [1000]])
def test_the_bundled_vocoder_on_real_sound(bundled, recording, sizes):
    log_mel = LogMelSpectrogram(bundled.mel)(torch.from_numpy(recording)[None])
    whole = bundled.decode(log_mel)
    assert float(whole.abs().max()) > 0.1
    assert (streamed(StreamingVocoder(bundled), log_mel, sizes) - whole).abs().max() < 1e-4


@pytest.mark.parametrize("where", ["begin", "middle"])
@pytest.mark.parametrize("scale", ["far below the floor", "tied at a power of ten"])
def test_what_the_whole_accepts_no_window_refuses(scale, where):
    """A few cells that a window alone would be judged by: the stream is still the whole."""
    vocoder, log_mel = network(SAME, SMALL), noise(1, 12, 1200).clamp(-1.5, 3.0) - 3.5
    start = 0 if where == "begin" else 600
    log_mel[..., 300] = SAME.log_mel_floor + 0.3
    if scale == "far below the floor":
        log_mel[:, :2, start : start + 20] = SAME.log_mel_floor - 9.0
    whole = vocoder.decode(log_mel)
    assert (streamed(StreamingVocoder(vocoder), log_mel, [40]) - whole).abs().max() < 1e-4
    with pytest.raises(ValueError, match="these"):
        vocoder.decode(log_mel[..., start : start + 40])


def test_a_class_of_one_frame_between_two():
    """In framing "centred" a sample lies between two middles of frames, so one frame alone settles none."""
    mel = replace(SAME, framing="centred")

    class Nearest:
        def __init__(self):
            self.mel = mel

        def decode(self, log_mel):
            long = log_mel.mean(dim=1).repeat_interleave(32, dim=1)
            return long[:, 16 : long.shape[1] - 16]

        def receptive_field(self):
            return 1

    log_mel = noise(1, 12, 50)
    for sizes in ([1], [7, 2], [50]):
        came = streamed(StreamingVocoder(Nearest(), 1), log_mel, sizes)
        assert torch.allclose(came, Nearest().decode(log_mel), atol=1e-6)


@pytest.mark.parametrize("mel", MELS)
def test_no_more_is_held_back_than_must_be(mel):
    """The very next frame changes the first sample that was not given: it could not have been known."""
    vocoder, frames = network(mel, replace(SMALL, refinements=0)), 40
    stream = StreamingVocoder(vocoder, block_frames=1)
    log_mel = noise(1, mel.n_mels, frames + 60) - 6.0
    ready = stream.push(log_mel[..., :frames]).shape[1]
    changed = log_mel.clone()
    changed[..., frames] += 8.0
    moved = (vocoder.decode(changed) - vocoder.decode(log_mel)).abs()[0].nonzero().flatten()
    # A Hann window rises slowly: its first samples are lost in rounding.
    assert 0 <= int(moved.min()) - ready <= mel.hop_length


def test_what_is_held_back_does_not_grow():
    vocoder = network(SAME, SMALL)
    stream, most = StreamingVocoder(vocoder, 4), 0
    for chunk in noise(100, 1, 12, 5):
        stream.push(chunk - 4.0)
        most = max(most, stream.kept_frames)
    assert most <= vocoder.receptive_field() + vocoder.frame_alignment + 4 + 5
    assert stream.first_frames == vocoder.receptive_field() // 2


def test_a_long_chunk_is_decoded_window_by_window(monkeypatch):
    vocoder, longest = network(SAME, SMALL), []
    forward = vocoder.forward
    monkeypatch.setattr(vocoder, "forward", lambda mel: longest.append(mel.shape[2]) or forward(mel))
    StreamingVocoder(vocoder).push(noise(1, 12, 3000) - 4.0)
    assert len(longest) > 5
    assert max(longest) < 400


@settings(max_examples=12, deadline=None)
@given(st.sampled_from(MELS), st.integers(200, 5000), st.lists(st.integers(1, 999), min_size=1, max_size=4))
def test_the_front_end_in_chunks(mel, samples, sizes):
    waveform = 0.1 * noise(2, samples)
    expected = LogMelSpectrogram(mel)(waveform)
    came = streamed(streaming_front_end(mel), waveform, sizes)
    assert came.shape == expected.shape
    assert torch.allclose(came, expected, atol=1e-3)


@settings(max_examples=12, deadline=None)
@given(
    st.sampled_from([(48000, 44100), (16000, 44100), (44100, 16000), (22050, 44100)]),
    st.integers(1, 4000),
    st.integers(1, 3000),
)
def test_resampling_in_chunks(rates, samples, size):
    waveform = noise(1, samples)
    expected = torch.from_numpy(resample(waveform[0].numpy(), *rates))[None]
    came = streamed(streaming_resampler(*rates), waveform, [size])
    assert came.shape == expected.shape
    assert torch.allclose(came, expected, atol=1e-4)


def autoencoder(factor=2, lead=0):
    torch.manual_seed(1)
    vae = MelVAE(SAME, MelVAEConfig(3, factor, 8, (1, 1), (1, 1), kernel_size=5, lead=lead)).eval()
    if lead:
        torch.nn.init.normal_(vae.lead)
    return vae


@settings(max_examples=15, deadline=None)
@given(st.sampled_from([1, 2, 3]), st.integers(1, 90), CHUNKS, st.sampled_from([1, 8]))
def test_the_autoencoder_in_chunks(factor, frames, sizes, block):
    vae, latents, log_mel = autoencoder(factor), noise(2, 3, frames), noise(1, 12, frames) - 4.0
    with torch.no_grad():
        decoded, through = vae.decode(latents), vae.decode(vae.encode(log_mel).mean)[..., :frames]
    assert torch.allclose(streamed(streaming_decoder(vae, block), latents, sizes), decoded, atol=1e-4)
    assert torch.allclose(streamed(streaming_reconstruction(vae, block), log_mel, sizes), through, atol=1e-4)


@settings(max_examples=10, deadline=None)
@given(st.sampled_from([1, 2, 3]), st.integers(2, 90), CHUNKS, st.sampled_from([0, 1, 3]))
def test_latents_to_sound_in_chunks(factor, frames, sizes, lead):
    vae = autoencoder(factor, lead)
    stream = StreamingDecoder(vae, network(SAME, SMALL))
    latents = noise(2, 3, frames)
    whole = stream.decode(latents)
    assert float(whole.abs().max()) > 1e-3
    # The lead is heard in the clip, and cut off.
    assert whole.shape[1] == frames * factor * SAME.hop_length
    assert lead == 0 or not torch.allclose(whole[:, :64], stream.vocoder.decode(vae.decode(latents))[:, :64])
    assert (streamed(stream, latents, sizes) - whole).abs().max() < 1e-4
    assert max(stream.kept_frames) == 0


@pytest.mark.parametrize("lead", [0, 1, 3])
def test_clips_and_long_clips_are_cut_alike_behind_their_lead(lead):
    vae, vocoder = autoencoder(2, lead), network(SAME, SMALL)
    latents = noise(2, 3, 300)
    stream = StreamingDecoder(vae, vocoder)
    with torch.inference_mode():
        clip = decode_clip(latents, vae, lambda mel: vocoder.decode(mel.clamp(min=SAME.log_mel_floor)), torch.float32)
        long = decode_long(latents, vae, vocoder)
    assert clip.shape == long.shape == (2, 300 * 2 * SAME.hop_length)
    assert torch.allclose(clip, stream.decode(latents), atol=1e-5)
    assert torch.allclose(clip, long, atol=1e-4)


@pytest.mark.parametrize("through_latents", [False, True])
@pytest.mark.parametrize("rate", [8000, 11025])
def test_sound_to_sound_in_chunks(rate, through_latents, sonic_pi_folder):
    vae, vocoder = autoencoder(3), network(SAME, SMALL)
    sound = torch.from_numpy(read_audio(sonic_pi_folder / "bd_808.flac", rate)[0])[None, :12345]
    converted = sound if rate == 8000 else torch.from_numpy(resample(sound[0].numpy(), rate, 8000))[None]
    log_mel = LogMelSpectrogram(SAME)(converted)
    if through_latents:
        with torch.no_grad():
            log_mel = vae.decode(vae.encode(log_mel).mean)[..., : log_mel.shape[2]]
    whole = vocoder.decode(log_mel.clamp(min=SAME.log_mel_floor))
    chain = sound_to_sound(vae, vocoder, rate, 4, through_latents)
    assert (streamed(chain, sound, [377]) - whole).abs().max() < 1e-4
    assert sum(stage.kept for stage in chain.stages) == 0
    assert all(stage.largest <= LARGEST_FRAMES * 512 for stage in chain.stages)

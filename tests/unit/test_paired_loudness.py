"""Pairs of quiet clips: what is heard in training and validation is what the model's mel was made of."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

from audio.dataset import AudioFolder
from audio.files import file_hash
from audio.mel import LogMelSpectrogram, MelConfig
from audio.mel_pairs import MANIFEST_NAME, MelPairs, PairedClip
from pipelines.export_mels import at_peak, claim, make_pair
from pipelines.mel_pairs import MelMaker
from training.pairs import PairedSegments
from vocoder.griffin_lim import GriffinLim
from vocoder.judging import judge
from vocoder.validation import _given_pair

MEL = MelConfig(16000, 256, 256, 64, 40, 0.0, 8000.0, "slaney", "slaney", "same", 1e-9, 1e-5)


def export(root, out, level):
    """Real mels of one decaying tone at a level, made as the command makes them."""
    time = np.arange(16000) / 16000
    tone = np.sin(2 * np.pi * 440 * time) * np.exp(-25 * time)
    root.mkdir(parents=True)
    # Not in 16 bits, whose noise a quiet clip would bring along.
    soundfile.write(root / "a.wav", (level * tone).astype(np.float32), 16000, subtype="FLOAT")
    folder = AudioFolder.scan(root)
    row = PairedClip("a.wav", file_hash(root / "a.wav"), folder.clips[0].split)
    items = [(folder.clips[0], row)]
    pairs = claim(out, {"mel": MEL.to_dict(), "kind": "real"}, True, items)
    maker = MelMaker(SimpleNamespace(device="cpu"), LogMelSpectrogram(MEL), "real", {}, 0.7, 1)

    class Real:
        """A perfect model: what is stored is the clip's own mel."""

        real = staticmethod(maker.real)

        def __call__(self, clip, name, log_mel):
            return log_mel, []

    make_pair(Real(), pairs, items[0], torch.float32)
    return PairedSegments(pairs, root, folder.clips, 250, random_crop=False)[0]


def score(item):
    torch.manual_seed(0)
    target, log_mel = _given_pair(item["waveform"][: item["valid_samples"]], item["log_mel"], MEL)
    return judge(GriffinLim(MEL, iterations=4), log_mel, target).distance


def test_a_quiet_clip_scores_as_a_loud_one(tmp_path):
    loud, quiet = (export(tmp_path / str(level) / "c", tmp_path / str(level) / "p", level) for level in (0.9, 0.03))
    assert float(quiet["waveform"].abs().max()) == pytest.approx(0.9, abs=0.01)
    assert torch.allclose(quiet["log_mel"], loud["log_mel"], atol=0.01)
    assert score(quiet) == pytest.approx(score(loud), rel=0.01)


def test_what_the_loader_gives_is_the_mel_of_what_it_gives(tmp_path):
    item = export(tmp_path / "c", tmp_path / "p", 0.03)
    own = LogMelSpectrogram(MEL)(item["waveform"][None])[0]
    assert float((own - item["log_mel"])[:, 4:-4].abs().max()) < 0.02


def test_silence_stays_silent():
    silence, gain = at_peak(torch.zeros(100))
    assert gain == 1.0
    assert bool((silence == 0.0).all())


def test_pairs_of_the_old_format_are_refused(tmp_path):
    export(tmp_path / "c", tmp_path / "p", 0.5)
    path = tmp_path / "p" / MANIFEST_NAME
    path.write_text(path.read_text().replace('"format": 2', '"format": 1'))
    with pytest.raises(ValueError, match=r"pairs of format 1, this version reads 2; export the mels again"):
        MelPairs.open(tmp_path / "p")


def test_a_smaller_choice_takes_no_row_away(tmp_path):
    items = [(None, PairedClip(f"{name}.wav", "0" * 64, "train")) for name in "abc"]
    values = {"mel": MEL.to_dict(), "dtype": "float16"}
    claim(tmp_path, values, True, items)
    changed = replace(items[0][1], sha256="1" * 64)
    claim(tmp_path, values, False, [(None, changed)])
    found = MelPairs.open(tmp_path)
    assert found.whole
    assert sorted(found.clips) == ["a.wav", "b.wav", "c.wav"]
    assert found.clips["a.wav"] == changed
    with pytest.raises(ValueError, match="other dtype"):
        claim(tmp_path, {**values, "dtype": "float32"}, False, items)

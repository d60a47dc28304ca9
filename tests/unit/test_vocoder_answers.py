"""What a foreign vocoder may answer, and that every way into the chain looks at it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from pipelines.generate import main as generate
from pipelines.text_to_audio import TextToAudioPipeline
from vocoder.adapter.adapted import AdaptedVocoder
from vocoder.checked import decode_checked
from vocoder.griffin_lim import GriffinLim

FRAMES = 20
SHAPE = r"expected a waveform of shape \(2, 10240\), got "


class Answers:
    """Silence of the right length, then spoilt."""

    def __init__(self, mel, answer) -> None:
        self.mel, self.answer = mel, answer

    def decode(self, log_mel):
        return self.answer(torch.zeros(len(log_mel), self.mel.num_samples(log_mel.shape[2])))


def failing(kind, text):
    def answer(waveform):
        raise kind(text)

    return answer


BAD = {
    SHAPE + r"\(2, 10239\)": lambda waveform: waveform[:, :-1],
    SHAPE + r"\(2, 20480\)": lambda waveform: torch.cat([waveform, waveform], dim=1),
    SHAPE + r"\(2, 1, 10240\)": lambda waveform: waveform[:, None],
    SHAPE + r"\(1, 10240\)": lambda waveform: waveform[:1],
    SHAPE + "ndarray": lambda waveform: waveform.numpy(),
    SHAPE + "NoneType": lambda waveform: None,
    "expected floating-point samples, got torch.int16": lambda waveform: waveform.to(torch.int16),
    "expected finite samples, got NaN or infinity": lambda waveform: waveform + float("nan"),
    "failed: RuntimeError: no room$": failing(RuntimeError, "no room\nat all"),
    "failed: KeyError: 'x'": failing(KeyError, "x"),
    "failed: AssertionError$": failing(AssertionError, ""),
    ": too short": failing(ValueError, "too short"),
}


@pytest.mark.parametrize("text", BAD)
def test_a_bad_answer_is_one_line_with_the_class(text, mel) -> None:
    with pytest.raises(ValueError, match=f"^vocoder 'Answers'.*{text}") as caught:
        decode_checked(Answers(mel, BAD[text]), torch.zeros(2, mel.n_mels, FRAMES))
    assert "\n" not in str(caught.value)


def test_a_good_answer_is_handed_on_untouched(mel) -> None:
    given = torch.full((2, mel.num_samples(FRAMES)), 0.25, dtype=torch.float64)
    assert decode_checked(Answers(mel, lambda _: given), torch.zeros(2, mel.n_mels, FRAMES)) is given
    with pytest.raises(ValueError, match=r"^vocoder 'mine': expected"):
        decode_checked(Answers(mel, lambda _: None), torch.zeros(2, mel.n_mels, FRAMES), "mine")


@pytest.mark.parametrize("text", BAD)
def test_the_pipeline_looks(text, small_bundle: Path, mel) -> None:
    pipeline = TextToAudioPipeline.from_pretrained(small_bundle, device="cpu")
    pipeline.vocoder = Answers(pipeline.autoencoder.mel, BAD[text])
    with pytest.raises(ValueError, match=f"^vocoder 'Answers'.*{text}"):
        pipeline.vocode(torch.zeros(2, mel.n_mels, FRAMES))


def test_the_adapter_looks_at_the_vocoder_behind_it(mel) -> None:
    class Same(nn.Module):
        source = target = mel

        def adapt(self, log_mel):
            return log_mel

    adapted = AdaptedVocoder.__new__(AdaptedVocoder)
    nn.Module.__init__(adapted)
    adapted.adapter, adapted.mel = Same(), mel
    adapted.vocoder = GriffinLim(mel, iterations=1)
    log_mel = torch.zeros(2, mel.n_mels, FRAMES)
    assert adapted.decode(log_mel).shape == (2, mel.num_samples(FRAMES))
    for answer, came in ((lambda sound: torch.cat([sound, sound], dim=1), r"\(2, 20480\)"), (np.asarray, "ndarray")):
        adapted.vocoder = Answers(mel, answer)
        with pytest.raises(ValueError, match=f"vocoder 'Answers': {SHAPE}{came}"):
            adapted.decode(log_mel)


def test_generate_says_it_in_one_line(small_bundle: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    (tmp_path / "bad_answers.py").write_text(
        "from audio.mel import MelConfig\n"
        "class Broken:\n"
        "    def __init__(self, mel: MelConfig, how: str) -> None:\n"
        "        self.mel, self.how = mel, how\n"
        "    def decode(self, log_mel):\n"
        "        sound = log_mel.new_zeros(len(log_mel), self.mel.num_samples(log_mel.shape[2]))\n"
        "        return {'short': sound[:, 9:], 'numpy': sound.numpy()}[self.how]\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    words = ["--model", str(small_bundle), "--prompt", "x", "--seed", "1", "--seconds", "0.5", "--solver_steps", "2"]
    words += ["--plot", "false", "--device", "cpu", "--vocoder", "bad_answers.Broken", "--out", str(tmp_path / "out")]
    for how, says in (("short", "expected a waveform"), ("numpy", "got ndarray"), ("none", "failed: KeyError")):
        assert generate([*words, "--vocoder.how", how]) == 2
        last = capsys.readouterr().err.splitlines()[-1]
        assert last.startswith("error: vocoder 'Broken'")
        assert says in last
    assert list((tmp_path / "out").iterdir()) == []

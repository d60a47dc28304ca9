"""`pipelines.compare_vocoders` on real recordings: rows, columns, a complete page, and one line for bad input."""

import csv
import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from torch import Tensor

from audio.dataset import AudioFolder
from audio.files import read_audio, write_audio
from pipelines import compare_vocoders, score_listening
from pipelines.compare_vocoders import main
from pipelines.comparison_memory import Memory, peak_memory
from pipelines.comparison_results import FIRST_COLUMNS
from pipelines.comparison_vocoders import Contestant, Recipe, enter
from pipelines.request import Job
from pipelines.text_to_audio import TextToAudioPipeline

ROOT = Path(__file__).resolve().parents[2]
RECORDINGS = ("drum_snare_hard", "bass_voxy_hit_c", "elec_plip", "drum_tom_mid_hard")
MINE = """
import torch
from audio.mel import MelConfig

class Hiss(torch.nn.Module):
    def __init__(self, mel: MelConfig, level: float = 0.1) -> None:
        super().__init__()
        self.mel = mel
        self.level = torch.nn.Parameter(torch.tensor(level))

    def decode(self, log_mel):
        generator = torch.Generator().manual_seed(0)
        samples = self.mel.num_samples(log_mel.shape[-1])
        return self.level * torch.randn(len(log_mel), samples, generator=generator)
"""
CONFIG = """
one iteration: {class: vocoder.griffin_lim.GriffinLim, iterations: 1}
many iterations: {class: vocoder.griffin_lim.GriffinLim, iterations: 32}
"""


@pytest.fixture(scope="module", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MELISMA_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def folder(sonic_pi_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four real recordings, and a click that is too short for the mel."""
    out = tmp_path_factory.mktemp("recordings")
    rows = []
    for name in RECORDINGS:
        waveform, rate = read_audio(sonic_pi_folder / f"{name}.flac", seconds=0.5)
        write_audio(out / f"{name}.flac", waveform, rate)
        rows.append({"file_name": f"{name}.flac", "text": name.replace("_", " "), "split": "test"})
    write_audio(out / "click.wav", waveform[:1500], rate)
    rows.append({"file_name": "click.wav", "text": "a click", "split": "test"})
    (out / "metadata.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    return out


@pytest.fixture(scope="module")
def report(small_bundle: Path, folder: Path, tmp_path_factory: pytest.TempPathFactory):
    """A whole run with the bundled model where it is there, and what it printed."""
    here = tmp_path_factory.mktemp("here")
    (here / "my_hiss.py").write_text(MINE)
    (here / "vocoders.yaml").write_text(CONFIG)
    bundled = ROOT / "bundles/oneshots"
    model = bundled if (bundled / "bundle.json").is_file() else small_bundle
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        patch.setattr(compare_vocoders, "CLIPS_SHOWN", 1)
        patch.setattr(compare_vocoders, "peak_memory", some_memory)
        names = ["bundle", "one iteration", "many iterations", "my_hiss.Hiss"]
        words = ["--audio", str(folder), "--model", str(model), "--config", "vocoders.yaml", "--vocoders", *names]
        code = main([*words, "--out", "report", "--trials", "2", "--speech", "true"])
    rows = list(csv.DictReader((here / "report/results.csv").open()))
    page = (here / "report/index.html").read_text()
    return SimpleNamespace(code=code, out=here / "report", rows=rows, page=page, names=names, model=model)


def some_memory(contestant: Contestant, log_mel: Tensor) -> Memory:
    """Processes take seconds to start: the user's class is enough."""
    return peak_memory(contestant, log_mel) if contestant.name == "my_hiss.Hiss" else Memory(1.0)


def column(report, name: str) -> dict[tuple[str, str], float]:
    return {(row["vocoder"], row["source"]): float(row[name]) for row in report.rows if row[name]}


def test_there_is_a_row_for_each_vocoder_and_source(report) -> None:
    assert report.code == 0
    assert tuple(report.rows[0])[:6] == FIRST_COLUMNS
    found = [(row["vocoder"], row["source"]) for row in report.rows]
    assert found == [(name, source) for name in report.names for source in ("real", "decoded", "generated")]
    for row in report.rows:
        assert row["clips"] == "4"
        assert float(row["real_time_factor"]) > 0.0
        assert 0.0 < float(row["peak_memory_mib"]) < 500.0
        assert (row["multi_scale_mel_distance"] == "") == (row["source"] == "generated")
        assert (row["log_spectral_distance"] == "") == (row["source"] == "generated")
        assert float(row["mel_consistency"]) > 0.0
        # Four recordings are too few for any interval.
        assert row["multi_scale_mel_distance_low"] == ""
    parameters = column(report, "parameters")
    assert parameters["bundle", "real"] > 1000
    assert parameters["one iteration", "real"] == 0
    assert parameters["my_hiss.Hiss", "real"] == 1
    assert any(row["stoi"] for row in report.rows)


def test_more_iterations_are_better_and_hiss_is_worst(report) -> None:
    for source in ("real", "decoded"):
        distance = {name: column(report, "multi_scale_mel_distance")[name, source] for name in report.names}
        assert distance["many iterations"] < distance["one iteration"] < distance["my_hiss.Hiss"]
    for source in ("real", "decoded", "generated"):
        error = {name: column(report, "mel_consistency")[name, source] for name in report.names}
        assert error["many iterations"] < error["one iteration"] < error["my_hiss.Hiss"]
    speed = column(report, "real_time_factor")
    assert speed["many iterations", "real"] > 2.0 * speed["one iteration", "real"]
    difference = column(report, "multi_scale_mel_distance_difference")
    distance = column(report, "multi_scale_mel_distance")
    assert difference["one iteration", "real"] == pytest.approx(
        distance["one iteration", "real"] - distance["bundle", "real"], rel=1e-3
    )


def test_the_page_is_complete_and_fetches_nothing(report) -> None:
    assert report.page.count("<audio") == 1 + 4 * 3
    assert report.page.count("data:image/png") == 1 + 4 * 3 + 4
    assert not re.search(r"https?://|<link|@import|fetch\(|XMLHttpRequest", report.page)
    assert set(re.findall(r"src=\"(\w+:)", report.page)) == {"data:"}
    for name in report.names:
        assert name in report.page


def test_the_page_names_whatever_takes_part(report, small_bundle, folder) -> None:
    assert "vocoder: bundle" in report.page
    assert str(report.model.resolve()) not in report.page
    given = "vocoder.griffin_lim.GriffinLim, iterations = {}; vocoder.griffin_lim.GriffinLim"
    assert given.format(1) in report.page
    assert given.format(32) in report.page
    pipeline = TextToAudioPipeline.from_pretrained(small_bundle, device="cpu")
    other = Recipe("mine", "vocoder.griffin_lim.GriffinLim", {"iterations": 2})
    found = AudioFolder.scan(folder)
    mel = pipeline.autoencoder.mel
    facts = compare_vocoders.gather_facts(pipeline, [enter(other, mel, pipeline.device)], found, 0)
    # The bundle's own does not take part.
    assert [name for name in facts if name.startswith("vocoder")] == ["vocoder: mine"]
    assert pipeline.fingerprints["vocoder"] not in map(str, facts.values())
    more = replace(other, arguments={"iterations": 3})
    assert compare_vocoders.gather_facts(pipeline, [enter(more, mel, pipeline.device)], found, 0) != facts


def test_the_page_says_how_far_onsets_are_from_real(report) -> None:
    rise = column(report, "onset_rise_ms")
    real = float(report.rows[0]["real_onset_rise_ms"])
    sentence = re.search(r"Median onset rise, held against the real clips&?[^ ]* ([\d.]+) ms: ([^<]*)\.<", report.page)
    assert float(sentence[1]) == pytest.approx(real, rel=0.01)
    for name, told in zip(report.names, sentence[2].split(", "), strict=True):
        far = rise[name, "real"] - real
        assert told == f"{name} {abs(far):.3g} ms {'below' if far < 0.0 else 'above'}"


def test_the_listening_test_can_be_scored(report, capsys) -> None:
    key = json.loads((report.out / "listening_key.json").read_text())
    assert len(key["trials"]) == 2 * (4 + 3)
    assert key["report"] in report.page
    answers = [{"trial": row["trial"], "x": row["x"], "preference": "A"} for row in key["trials"]]
    page = {"format": 1, "kind": "listening answers", "report": key["report"], "answers": answers}
    (report.out / "answers.json").write_text(json.dumps(page))
    words = [str(report.out / "answers.json"), "--key", str(report.out / "listening_key.json")]
    assert score_listening.main(words) == 0
    printed = capsys.readouterr().out.strip().splitlines()
    assert len(printed) == 7
    assert all("X was found in 2 of 2" in line for line in printed)


def test_a_second_run_makes_no_latents_again(small_bundle, folder, tmp_path, capsys, monkeypatch) -> None:
    made: list[int] = []
    sample = TextToAudioPipeline.latents

    def counted(self: TextToAudioPipeline, jobs: Sequence[Job], settings: dict, on_step: object = None) -> Tensor:
        made.extend(job.index for job in jobs if settings["solver_steps"] > compare_vocoders.PROBE_STEPS)
        return sample(self, jobs, settings)

    monkeypatch.setattr(TextToAudioPipeline, "latents", counted)
    monkeypatch.setattr(compare_vocoders, "measure_memory", lambda chain, contestants, clips: no_memory(contestants))
    words = ["--audio", str(folder), "--model", str(small_bundle), "--vocoders", "bundle", "--out", str(tmp_path / "a")]
    words += ["--clips", "3", "--sources", "generated", "--trials", "0"]
    assert main(words) == 0
    printed = capsys.readouterr()
    assert printed.out.strip().splitlines() == [str(tmp_path / "a" / name) for name in ("results.csv", "index.html")]
    assert "about" in printed.err
    assert "MiB on disk" in printed.err
    # The click is too short; which clips are taken is for the folder to say.
    assert sorted(made) == list(range(len(made)))
    assert len(made) >= 2
    first = list(made)
    next((tmp_path / "a/latents").rglob("*.safetensors")).unlink()
    assert main(words) == 0
    assert len(made) == len(first) + 1
    assert not (tmp_path / "a/listening_key.json").exists()


def no_memory(contestants):
    return {contestant.name: Memory(None, "not asked for") for contestant in contestants}


def test_bad_input_is_one_line(small_bundle, folder, tmp_path, capsys) -> None:
    clicks, taken, out = tmp_path / "clicks", tmp_path / "taken", tmp_path / "out"
    clicks.mkdir()
    shutil.copy(folder / "click.wav", clicks)
    (clicks / "metadata.jsonl").write_text(json.dumps({"file_name": "click.wav", "text": "a", "split": "test"}))
    taken.write_text("a file")
    (tmp_path / "foreign.yaml").write_text(
        f"foreign: {{class: vocoder.griffin_lim.GriffinLim, mel: {ROOT / 'configs/mel/vocos_24khz.yaml'}}}"
    )
    good = {"--audio": folder, "--model": small_bundle, "--out": out, "--vocoders": "bundle"}
    cases: dict[str, dict[str, object]] = {
        "clips: expected at least 1, got 0": {"--clips": 0},
        "trials: expected 0 or more": {"--trials": -1},
        "seed: expected 0 or more": {"--seed": -1},
        "seconds: expected 0.1 to 600": {"--seconds": 0},
        "sources: expected some of real, decoded, generated, got 'dream'": {"--sources": "dream"},
        "no clip of split 'validation'": {"--split": "validation"},
        "too short to be judged": {"--audio": clicks},
        "module no.such cannot be imported": {"--vocoders": "no.such.Class"},
        "holds no class Class": {"--vocoders": "vocoder.griffin_lim.Class"},
        "vocoders: expected one of bundle": {"--vocoders": "bundel"},
        "sample_rate: 44100 != 24000": {"--vocoders": "foreign", "--config": tmp_path / "foreign.yaml"},
        "config: cannot read": {"--config": tmp_path / "none.yaml"},
        "bundle": {"--model": folder},
        "cannot write into": {"--out": taken},
    }
    for text, change in cases.items():
        words = [str(word) for pair in (good | change).items() for word in pair]
        assert main(words) == 2, text
        printed = capsys.readouterr()
        assert printed.out == ""
        lines = printed.err.strip().splitlines()
        assert len(lines) == 1, printed.err
        assert lines[0].startswith("error:")
        assert text in lines[0]
    assert main([*(str(word) for pair in good.items() for word in pair), "bundle"]) == 2
    assert "'bundle' twice" in capsys.readouterr().err
    assert not out.exists()


def test_speech_without_its_packages_is_refused_before_anything_is_decoded(
    folder, tmp_path, monkeypatch, capsys
) -> None:
    monkeypatch.setattr(compare_vocoders, "missing_packages", lambda: "pesq and pystoi are not installed")
    words = ["--audio", str(folder), "--model", str(ROOT / "bundles/oneshots"), "--out", str(tmp_path / "out")]
    assert main([*words, "--speech", "true"]) == 2
    assert capsys.readouterr().err.strip() == "error: speech: pesq and pystoi are not installed"
    assert not (tmp_path / "out").exists()


def test_notes_that_nobody_hears_are_said_at_once(folder, monkeypatch, capsys) -> None:
    def missing() -> None:
        raise ValueError("CREPE is not installed")

    monkeypatch.setattr(compare_vocoders, "load_pitch_estimator", missing)
    clips = list(AudioFolder.scan(folder).split("test"))
    assert compare_vocoders.pitch_ear(clips) is None
    assert capsys.readouterr().err == ""
    assert compare_vocoders.pitch_ear([replace(clips[0], pitch=60.0)]) is None
    assert capsys.readouterr().err.strip() == "notes will not be heard: CREPE is not installed"

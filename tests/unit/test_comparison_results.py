"""From clips to rows: which numbers get an interval, and which word a difference."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

from audio.dataset import Clip
from audio.mel import LogMelSpectrogram
from pipelines.comparison_decoding import Findings
from pipelines.comparison_measures import MEASURES, Ears, Measure, Reference, measure_alone
from pipelines.comparison_memory import Memory
from pipelines.comparison_results import FIRST_COLUMNS, save_results, sum_up
from pipelines.comparison_vocoders import Contestant, Recipe
from vocoder.griffin_lim import GriffinLim

CLIPS = 20


def clip(number: int, family: str = "kick", pitch: float | None = None) -> Clip:
    return Clip(Path(f"{number}.flac"), ("a",), 1.0, -10.0, 500.0, family=family, pitch=pitch, recording=str(number))


@pytest.fixture
def contestants(mel) -> list[Contestant]:
    return [Contestant(Recipe(name, name), GriffinLim(mel), mel, torch.device("cpu")) for name in ("first", "second")]


@pytest.fixture
def ears(mel) -> Ears:
    return Ears(LogMelSpectrogram(mel))


def findings() -> Findings:
    """Clips differ much, vocoders little but always: only a pair tells."""
    found, random = Findings(), np.random.default_rng(0)
    for number in range(CLIPS):
        base = random.uniform(0.1, 2.0)
        found.clips.append(clip(number))
        found.real_onset_rises.append(5.0)
        for name, worse in (("first", 0.0), ("second", 0.05 + 0.02 * random.standard_normal())):
            measured = {"multi_scale_mel_distance": base + worse, "log_spectral_distance": base}
            measured |= {"onset_rise_ms": 5.0 + number, "clicks_per_second": float(number == 3)}
            measured |= {"voiced_f1": 0.99 - 0.1 * base * (name == "second")}
            if number < 10:
                measured["onset_rise_ratio"] = 1.0 + worse
            found.add((name, "real"), measured)
    return found


def test_pairs_tell_what_two_intervals_do_not(contestants, ears, tmp_path) -> None:
    memory = {"first": Memory(12.0), "second": Memory(None, "no room")}
    results = sum_up(findings(), contestants, ["real"], memory, ears)
    first, second = (row.cells["multi_scale_mel_distance"] for row in results.rows)
    assert first.interval.high > second.interval.low
    assert (first.word, second.word) == ("", "worse")
    assert second.difference.low > 0.0
    # The same numbers: nothing to tell. A ratio has no better side.
    assert results.rows[1].cells["log_spectral_distance"].word == "cannot tell"
    assert results.rows[1].cells["onset_rise_ratio"].word == ""
    assert results.rows[1].cells["voiced_f1"].word == "worse"
    # What is right is what the real clips have, not less.
    assert {results.rows[1].cells[name].word for name in ("onset_rise_ms", "clicks_per_second")} == {""}
    # One click in twenty clips has no honest interval.
    clicks = results.rows[0].cells["clicks_per_second"].interval
    assert (clicks.value, clicks.low) == (0.05, None)
    save_results(results, tmp_path / "results.csv")
    rows = list(csv.DictReader((tmp_path / "results.csv").open()))
    assert tuple(rows[0])[:6] == FIRST_COLUMNS
    assert [row["vocoder"] for row in rows] == ["first", "second"]
    assert float(rows[1]["multi_scale_mel_distance_difference"]) == pytest.approx(second.difference.value, rel=1e-4)
    assert rows[0]["multi_scale_mel_distance_difference"] == ""
    assert rows[1]["multi_scale_mel_distance_verdict"] == "worse"
    assert not {"onset_rise_ms_verdict", "clicks_per_second_verdict"} & set(rows[0])
    assert (rows[0]["peak_memory_mib"], rows[1]["peak_memory_mib"]) == ("12", "")
    assert "no room" in rows[1]["notes"]
    assert rows[0]["pesq"] == ""
    assert "no clip is known as speech" in rows[0]["notes"]
    assert rows[0]["real_onset_rise_ms"] == "5"
    assert rows[0]["clips"] == str(CLIPS)


def test_clips_of_one_recording_are_one(contestants, ears) -> None:
    found = findings()
    found.clips = [clip(0) for _ in found.clips]
    results = sum_up(found, contestants, ["real"], {"first": Memory(1.0), "second": Memory(1.0)}, ears)
    cell = results.rows[1].cells["multi_scale_mel_distance"]
    assert results.recordings == 1
    assert cell.interval.low is None
    assert cell.word == "cannot tell"


def test_intervals_stay_within_what_can_be() -> None:
    values, units = torch.tensor([0.2] + [1.0] * 9), torch.arange(10)
    share = Measure("voiced_f1", "", "higher", most=1.0)
    assert share.interval(values, units).high > 1.0
    assert share.within(share.interval(values, units)).high == 1.0
    same = share.interval(torch.ones(10), units)
    assert (same.low, same.reason) == (None, "all clips measure the same")


def test_a_copy_of_the_clip_measures_nothing(ears, sonic_pi_folder, mel) -> None:
    from audio.files import read_audio

    waveform, rate = read_audio(sonic_pi_folder / "drum_snare_hard.flac")
    assert rate == mel.sample_rate
    real = torch.from_numpy(waveform)[None, : mel.hop_length * (len(waveform) // mel.hop_length)]
    reference = Reference(clip(0, pitch=60.0), real, ears)
    found = reference.compare(real) | measure_alone(real, ears.front_end(real), ears)
    assert found["multi_scale_mel_distance"] == 0.0
    assert found["log_spectral_distance"] == 0.0
    assert found["mel_consistency"] == 0.0
    assert found["onset_rise_ratio"] == 1.0
    assert found["added_clicks_per_second"] == 0.0
    # Without an ear for notes, and for a drum, neither pitch nor speech.
    assert not {"pesq", "stoi", "voiced_f1"} & set(found)
    assert set(found) < {measure.name for measure in MEASURES}


def test_who_is_asked_about_speech(mel) -> None:
    pytest.importorskip("pesq")
    pytest.importorskip("pystoi")
    front_end = LogMelSpectrogram(mel)
    assert Ears(front_end).is_speech(clip(0, "female speech"))
    assert not Ears(front_end).is_speech(clip(0, "kick"))
    assert Ears(front_end, speech=True).is_speech(clip(0, "kick"))
    assert not Ears(front_end, speech=False).is_speech(clip(0, "speech"))

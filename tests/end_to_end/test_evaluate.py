"""The evaluation command on real recordings: planted truths, baselines, and what it refuses."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from audio.files import read_audio, write_audio
from pipelines.counterparts import counterpart_prompt, make_counterparts
from pipelines.evaluate import main
from pipelines.reference import Reference, real_subjects
from pipelines.text_to_audio import TextToAudioPipeline

KINDS = {"drum": "bd_ drum_ sn_ hat_", "tuned": "bass_ guit_ elec_ tabla_"}
SECONDS = 0.6


@pytest.fixture(scope="module")
def reference(sonic_pi_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Beginnings of real recordings in two families, every third one held out."""
    folder = tmp_path_factory.mktemp("reference")
    rows: list[dict[str, Any]] = []
    for family, starts in KINDS.items():
        paths = sorted(path for start in starts.split() for path in sonic_pi_folder.glob(f"{start}*.flac"))
        for number, path in enumerate(paths):
            waveform, rate = read_audio(path, None, 0.0, SECONDS)
            write_audio(folder / path.name, waveform, rate)
            words = path.stem.replace("_", " ")
            row = {"file_name": path.name, "text": [f"{family} {words}", words], "family": family, "licence": "CC0-1.0"}
            rows.append(row | {"recording": path.stem, "split": "test" if number % 3 == 0 else "train"})
    (folder / "metadata.jsonl").write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return folder


def generated_like(reference: Path, folder: Path, change: Any) -> Path:
    """A folder of generated clips: what `change` makes of each held-out clip's counterpart among the training ones."""
    folder.mkdir(parents=True)
    held = Reference.open(reference, "test", 0)
    rows = []
    for number, clip in enumerate(held.held_out):
        same = [other for other in held.train if other.family == clip.family]
        waveform, rate = read_audio(same[number % len(same)].path, 44100)
        result = change(waveform, np.random.default_rng(number))
        write_audio(folder / f"{number:03d}.wav", np.clip(result, -1.0, 1.0).astype(np.float32), rate)
        rows.append({"file_name": f"{number:03d}.wav", "text": [clip.captions[0]], "recording": clip.recording})
    (folder / "metadata.jsonl").write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return folder


def run(reference: Path, out: Path, *options: object) -> dict[str, Any]:
    words = ["--reference", str(reference), "--out", str(out), "--embedder", "mel", *map(str, options)]
    assert main(words) == 0
    page: dict[str, Any] = json.loads((out / "report.json").read_text(encoding="utf-8"))
    return page


def value(page: dict[str, Any], metric: str, column: str = "generated") -> float:
    return float(page["metrics"][metric][column]["value"])


def low_passed(waveform: np.ndarray, _: np.random.Generator) -> np.ndarray:
    spectrum = np.fft.rfft(waveform)
    spectrum[np.fft.rfftfreq(len(waveform), 1 / 44100) > 3000.0] = 0.0
    return np.fft.irfft(spectrum, len(waveform))


def white_noise(waveform: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    return 0.1 * draw.standard_normal(len(waveform))


@pytest.fixture(scope="module")
def honest(reference: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A report on real training clips that pass for generated ones."""
    out = tmp_path_factory.mktemp("honest")
    made = generated_like(reference, out / "clips", lambda waveform, _: waveform)
    return out / "report", run(reference, out / "report", "--generated", made)


def test_real_clips_noise_and_a_low_pass_are_told_apart(
    reference: Path, honest: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    _, real = honest
    muffled = run(reference, tmp_path / "m", "--generated", generated_like(reference, tmp_path / "low", low_passed))
    noise = generated_like(
        reference, tmp_path / "noise", lambda waveform, draw: 0.1 * draw.standard_normal(len(waveform))
    )
    noisy = run(reference, tmp_path / "n", "--generated", noise)
    distances = [value(page, "kernel distance") for page in (real, muffled, noisy)]
    assert distances[0] + 20.0 < distances[1] < distances[2]
    assert value(noisy, "kernel distance") > value(real, "kernel distance", "shuffled") + 100.0
    assert value(noisy, "kernel distance") == pytest.approx(value(real, "kernel distance", "noise"), rel=0.35)


def test_a_report_says_what_was_measured(honest: tuple[Path, dict[str, Any]]) -> None:
    out, page = honest
    assert page["kind"] == "evaluation"
    fingerprint = page["fingerprint"]
    assert fingerprint["embedder"] == "mel"
    assert fingerprint["sample_rate"] == 44100
    assert fingerprint["clips"] == fingerprint["reference_clips"] > 20
    for metric in page["metrics"].values():
        assert set(metric) >= {"generated", "real", "shuffled", "noise"}
        for column in metric.values():
            assert column["value"] is not None or column["reason"]
    leading = page["metrics"]["kernel distance"]["generated"]
    assert leading["low"] < leading["value"] < leading["high"]
    text = (out / "report.html").read_text(encoding="utf-8")
    assert "data:audio/flac;base64," in text
    assert "data:image/png;base64," in text
    assert "http://" not in text
    assert "https://" not in text
    assert page["families"]["drum"]["held_out_clips"] > 5


def test_a_baseline_is_compared_in_pairs(
    reference: Path, honest: tuple[Path, dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, _ = honest
    muffled = generated_like(reference, tmp_path / "low", low_passed)
    page = run(reference, tmp_path / "worse", "--generated", muffled, "--baseline", before)
    assert page["comparison"]["kernel distance"]["word"] == "worse"
    assert page["comparison"]["kernel distance"]["low"] > 0.0
    same = generated_like(reference, tmp_path / "same", lambda waveform, _: waveform)
    page = run(reference, tmp_path / "like", "--generated", same, "--baseline", before)
    assert {row["word"] for row in page["comparison"].values()} == {"cannot tell"}
    capsys.readouterr()
    words = ["--reference", reference, "--out", tmp_path / "no", "--generated", same, "--baseline", before]
    assert main([*map(str, words), "--embedder", "mel", "--seed", "1"]) == 2
    assert "cannot be compared with this one (seed: 0 != 1)" in capsys.readouterr().err
    # Other prompts are found before anything is listened to.
    other = generated_like(reference, tmp_path / "other", lambda waveform, _: waveform)
    text = (other / "metadata.jsonl").read_text(encoding="utf-8")
    rows = text.splitlines()
    (other / "metadata.jsonl").write_text("\n".join([rows[0].replace('"text": ["', '"text": ["another '), *rows[1:]]))
    words[5] = other
    assert main([*map(str, words), "--embedder", "mel"]) == 2
    said = capsys.readouterr().err
    assert "its clips were made for other prompts" in said
    assert "to listen to" not in said
    words[5] = same
    shutil.rmtree(tmp_path / "like")
    assert main([*map(str, words), "--embedder", "mel", "--clips", "10"]) == 2
    assert "reference" in capsys.readouterr().err


def test_a_baseline_that_cannot_be_is_refused_before_anything_is_generated(
    reference: Path, small_bundle: Path, honest: tuple[Path, dict[str, Any]], tmp_path: Path, capsys
) -> None:
    words = ["--reference", str(reference), "--out", str(tmp_path / "out"), "--model", str(small_bundle)]
    broken = tmp_path / "broken"
    shutil.copytree(small_bundle, broken)
    (broken / "vocoder.safetensors").write_bytes(b"cut")
    for baseline, seed, message in (
        (tmp_path / "nowhere", "0", "neither a bundle"),
        (honest[0], "1", "seed: 0 != 1"),
        (honest[0], "0", "its clips were made for other prompts"),
        (broken, "0", "vocoder.safetensors' is truncated or changed"),
    ):
        assert main([*words, "--embedder", "mel", "--baseline", str(baseline), "--seed", seed]) == 2
        assert message in capsys.readouterr().err
        assert not (tmp_path / "out" / "generated").exists()


def test_other_rates_and_stereo_are_brought_together(reference: Path, tmp_path: Path) -> None:
    made = generated_like(reference, tmp_path / "made", lambda waveform, _: waveform)
    for path in made.glob("*.wav"):
        waveform, _ = read_audio(path, 22050)
        soundfile.write(path, np.stack([waveform, waveform], axis=1), 22050)
    soundfile.write(made / "000.wav", np.zeros(1), 22050)
    page = run(reference, tmp_path / "out", "--generated", made)
    assert page["fingerprint"]["sample_rate"] == 22050
    assert any("22050 Hz" in note and "44100 Hz" in note for note in page["notes"])
    assert any(note.startswith("1 generated files were left out") for note in page["notes"])


@pytest.mark.parametrize("clips", [1, 3])
def test_few_clips_give_reasons_and_no_numbers(
    reference: Path, honest: tuple[Path, dict[str, Any]], tmp_path: Path, clips: int
) -> None:
    before, _ = honest
    page = run(reference, tmp_path / "few", "--generated", before.parent / "clips", "--clips", clips)
    for name in ("kernel distance", "Frechet distance", "FAD-inf", "recall", "diversity", "loudness error, dB"):
        for column in ("generated", "real", "shuffled", "noise"):
            assert page["metrics"][name][column]["value"] is None
            assert "enough" in page["metrics"][name][column]["reason"]
    assert page["metrics"]["kernel distance"]["generated"]["reason"] == f"{clips} clips are too few; 20 are enough"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "expected either --model BUNDLE or --generated FOLDER"),
        (("--generated", "nowhere"), "existing folder"),
        (("--model", "nowhere"), "is not a bundle"),
        (("--generated", "REFERENCE", "--embedder", "ears"), "expected one of aisfx"),
        (("--generated", "REFERENCE", "--split", "validation"), "no clip of split 'validation'"),
        (("--generated", "REFERENCE", "--baseline", "nowhere"), "neither a bundle nor the folder of a report"),
        (("--generated", "REFERENCE", "--clips", "-1"), "clips: expected 0 or more"),
    ],
)
def test_bad_input_is_one_line(
    reference: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], message: str
) -> None:
    given = [str(reference) if word == "REFERENCE" else word for word in options]
    ear = [] if "--embedder" in given else ["--embedder", "mel"]
    assert main(["--reference", str(reference), "--out", str(tmp_path / "out"), *ear, *given]) == 2
    errors = capsys.readouterr().err.strip().splitlines()
    assert message in errors[-1]
    assert not (tmp_path / "out" / "report.json").exists()


def test_counterparts_have_caption_and_length_and_are_made_once(
    reference: Path, small_bundle: Path, tmp_path: Path
) -> None:
    pipeline = TextToAudioPipeline.from_pretrained(small_bundle)
    clips = Reference.open(reference, "test", 5).held_out
    made = make_counterparts(pipeline, clips, tmp_path / "made", seed=3)
    times = [part.path.stat().st_mtime_ns for part in made]
    for part, clip, subject in zip(made, clips, real_subjects(clips), strict=True):
        waveform, rate = read_audio(part.path)
        assert rate == 44100
        assert len(waveform) / rate == pytest.approx(max(clip.seconds, 0.1), abs=1e-3)
        assert part.prompt == subject.prompt
    made[2].path.unlink()
    first = read_audio(made[1].path)[0]
    again = make_counterparts(pipeline, clips, tmp_path / "made", seed=3)
    assert [part.path.stat().st_mtime_ns == old for part, old in zip(again, times, strict=True)].count(False) == 1
    alone = make_counterparts(pipeline, clips, tmp_path / "alone", seed=3)
    assert np.abs(read_audio(alone[1].path)[0] - first).max() < 1e-3
    with pytest.raises(ValueError, match="clips of another model, seed or list of prompts"):
        make_counterparts(pipeline, clips, tmp_path / "made", seed=4)


def test_a_model_is_generated_from_and_measured(reference: Path, small_bundle: Path, tmp_path: Path) -> None:
    page = run(reference, tmp_path / "report", "--model", small_bundle)
    # Random weights: nothing but noise.
    assert value(page, "kernel distance") > value(page, "kernel distance", "real") + 50.0
    assert (tmp_path / "report/generated/metadata.jsonl").is_file()


def test_captions_that_name_a_note_are_preferred() -> None:
    from audio.dataset import Clip

    clip = Clip(Path("x.wav"), ("a bright bell", "bell, C#4", "bell at C#4, loud"), 1.0, -10.0, 900.0, pitch=61.0)
    assert [counterpart_prompt(clip, number) for number in range(3)] == ["bell, C#4", "bell at C#4, loud", "bell, C#4"]

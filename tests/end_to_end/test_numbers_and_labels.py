"""Numbers and labels on the bundled model: what is asked for is what is heard, alone and in a batch."""

import csv
import json
import math
from pathlib import Path
from statistics import median

import numpy as np
import pytest

from audio.files import read_audio
from audio.intonation import semitones_off
from audio.measures import brightness_hz, loudness_db
from audio.notes import named_pitch
from evaluation.pitch import cents, load_pitch_estimator
from pipelines import TextToAudioPipeline
from pipelines.batch import main as batch
from pipelines.conditions import told_numbers
from pipelines.editing import Edit
from pipelines.generate import main as generate
from pipelines.request import Job, Request, jobs_of

PROMPTS = ("a snare drum", "an organ, C4", "a bright piano, A4", "a warm synth pad, C3")
SETTINGS = {"seconds": 1.0, "seed": 2, "solver_steps": 12}


@pytest.fixture(scope="module")
def pipeline() -> TextToAudioPipeline:
    return TextToAudioPipeline.from_pretrained(device="cpu")


def sounds(pipeline: TextToAudioPipeline, *prompts: str, **settings: object) -> list[np.ndarray]:
    return list(pipeline(prompts, **SETTINGS, **settings).waveforms.numpy())


def test_a_clip_is_as_loud_as_it_is_asked_to_be(pipeline) -> None:
    for asked in (-30.0, -20.0):
        found = [loudness_db(clip, pipeline.sample_rate) for clip in sounds(pipeline, *PROMPTS, loudness=asked)]
        assert found == pytest.approx([asked] * len(PROMPTS), abs=0.1)
    # Where its peak would leave full scale it stays below, and says so.
    loud = pipeline(PROMPTS[:1], **SETTINGS, loudness=-2.0)
    assert loud.guarded == (True,)
    assert float(loud.waveforms.abs().max()) <= 0.9901


def test_a_level_changes_nothing_but_the_level(pipeline) -> None:
    # The transformer is not told it: told to be faint, it went on down to the noise of the mels.
    own, faint = sounds(pipeline, "a recorder, C5")[0], sounds(pipeline, "a recorder, C5", loudness=-36.0)[0]
    gain = float(np.abs(faint).max() / np.abs(own).max())
    assert gain < 0.3
    assert np.allclose(faint, gain * own, atol=1e-5)
    # What is not told is checked all the same.
    with pytest.raises(ValueError, match="loudness: expected"):
        sounds(pipeline, "a recorder, C5", loudness=20.0)


def test_a_level_is_told_where_no_gain_follows(pipeline) -> None:
    job = Job("a recorder", 0, 1.0, numbers={"loudness": -20.0, "brightness": 1000.0})
    plain = {"edit": None, "stream": False}
    assert told_numbers(pipeline.diffusion, job, plain) == {"brightness": 1000.0}
    for further in ({"edit": {"init_audio": "a.wav"}}, {"stream": True}):
        assert told_numbers(pipeline.diffusion, job, {**plain, **further}) == job.numbers


def test_a_named_note_is_brought_in_tune(pipeline) -> None:
    """Notes between two recordings of the font come out of tune by themselves."""
    prompts = ("a church organ, C#4", "a clarinet, C#4", "a church organ, G#4", "a flute, C#4")
    settings = {"seconds": 1.0, "seed": 0, "variety": 0.0, "solver_steps": 16}
    request = Request(prompts, **settings)
    settled = pipeline.settle(request)
    as_they_came = pipeline.batch(jobs_of(request, settled), settled)[:, :44_100].numpy()
    made = pipeline(prompts, **settings)
    finished = made.waveforms.numpy()
    found = [
        [semitones_off(one, 44_100, named_pitch(prompt)) for one in pair]
        for prompt, *pair in zip(prompts, as_they_came, finished, strict=True)
    ]
    moved = [(before, after) for before, after in found if before is not None and abs(before) > 0.12]
    read = [after for _, after in moved if after is not None]
    assert len(read) >= 2, found
    assert sum(abs(semitones) > 0.12 for semitones in made.tuned) == len(moved)
    assert all(abs(after) < 0.1 for after in read), found


def test_a_brighter_clip_is_brighter(pipeline) -> None:
    found = []
    for asked in (400.0, 1500.0, 5000.0):
        clips = sounds(pipeline, "a snare drum", "a deep kick", "a flute", brightness=asked)
        found.append([brightness_hz(clip, pipeline.sample_rate) for clip in clips])
    # Every one follows; how far it can go, its words decide.
    assert all(np.diff(found, axis=0).flatten() > 0.0), found


def test_a_clip_is_about_as_bright_as_it_is_asked_to_be(pipeline) -> None:
    rate, prompts = pipeline.sample_rate, ("a snare drum", "a bright piano, A4", "a cymbal", "a brass section, C4")
    own = [brightness_hz(clip, rate) for clip in sounds(pipeline, *prompts)]
    off = []
    for prompt, hertz in zip(prompts, own, strict=True):
        for asked in (hertz / 1.5, hertz * 1.5):
            clip = sounds(pipeline, prompt, brightness=asked)[0]
            off.append(abs(math.log2(brightness_hz(clip, rate) / asked)))
    # The last tilt hits the mark where it can reach it.
    assert sum(octaves <= 0.05 for octaves in off) >= 6, off
    assert max(off) < 1.0, off


def test_a_label_says_what_words_leave_open(pipeline) -> None:
    rate = pipeline.sample_rate
    hihat, drum = (
        median(brightness_hz(clip, rate) for clip in sounds(pipeline, "a hit", label=label, num_clips=3))
        for label in ("closed hi-hat", "concert bass drum")
    )
    assert hihat > 3.0 * drum


def test_a_pitch_is_the_note_that_is_heard(pipeline, ears) -> None:
    crepe = load_pitch_estimator()
    hits, far = [], []
    # All twelve: some are in no recording of these instruments, and are learnt from transposed ones.
    for midi in range(60, 72):
        for clip in sounds(pipeline, "an organ", "a flute", "a clarinet", pitch=float(midi)):
            heard = crepe.midi(clip, pipeline.sample_rate).midi
            hits.append(heard is not None and abs(cents(heard, midi)) <= 50.0)
            far.append(heard is not None and abs(cents(heard, midi)) > 250.0)
    assert sum(hits) >= 0.7 * len(hits)
    assert sum(far) <= 2


def test_a_row_of_a_table_is_as_loud_and_as_long_as_it_says(pipeline, tmp_path: Path) -> None:
    rows = [("a snare drum", 0.5, -28.0), ("an organ, C4", 1.2, -12.0), ("a deep kick", 0.8, -20.0)]
    with (tmp_path / "sounds.csv").open("w", newline="") as table:
        csv.writer(table).writerows([("prompt", "seconds", "loudness"), *rows])
    out = tmp_path / "out"
    options = ("--out", str(out), "--seed", "2", "--solver_steps", "12", "--device", "cpu")
    assert batch([str(tmp_path / "sounds.csv"), *options]) == 0
    pages = [json.loads(path.read_text()) for path in out.glob("*_seed2_*.json")]
    made = {page["prompt"]: page["measured"] for page in pages}
    assert {prompt: made[prompt]["seconds"] for prompt, _, _ in rows} == {row[0]: row[1] for row in rows}
    assert [made[prompt]["loudness"] for prompt, _, _ in rows] == pytest.approx([row[2] for row in rows], abs=0.1)
    # The page tells what is in the file.
    waveform, rate = read_audio(next(out.glob("a-snare-drum*.wav")), None)
    assert loudness_db(waveform, rate) == pytest.approx(made["a snare drum"]["loudness"], abs=0.1)


def test_what_is_kept_of_a_source_keeps_its_level(pipeline, sonic_pi_folder, tmp_path: Path) -> None:
    source = sonic_pi_folder / "guit_em9.flac"
    seconds = len(read_audio(source, pipeline.sample_rate)[0]) / pipeline.sample_rate
    edit = Edit(source, mask=((0.5 * seconds, 0.6 * seconds),))
    plain, quiet = (
        pipeline((), edit=edit, seed=1, solver_steps=4, loudness=asked, brightness=bright).waveforms[0].numpy()
        for asked, bright in ((None, None), (-30.0, 6000.0))
    )
    early = slice(0, round(0.3 * seconds * pipeline.sample_rate))
    assert np.abs(plain[early] - quiet[early]).max() < 1e-3


def test_a_label_alone_is_its_own_prompt(pipeline, tmp_path, capsys) -> None:
    (alone,), (both,) = sounds(pipeline, label="glockenspiel"), sounds(pipeline, "glockenspiel", label="glockenspiel")
    assert np.array_equal(alone, both)
    options = ["--label", "glockenspiel", "--seconds", "0.3", "--solver_steps", "2", "--plot", "false", "--seed", "1"]
    assert generate([*options, "--out", str(tmp_path)]) == 0
    assert Path(capsys.readouterr().out.strip()).name == "glockenspiel_seed1_0.wav"
    assert generate([*options, "--variety", "0.4", "--out", str(tmp_path / "varied")]) == 0
    capsys.readouterr()
    assert generate(["--label", "glokenspiel", "--out", str(tmp_path / "no")]) == 2
    assert "nearest of its 227 labels: glockenspiel" in capsys.readouterr().err

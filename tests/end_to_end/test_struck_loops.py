"""Loops of what is struck, on the bundled model: each time round it begins anew."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from audio.files import read_audio
from audio.measures import loudness_db
from audio.mel import LogMelSpectrogram
from pipelines import TextToAudioPipeline, turns
from pipelines.batch import STATE_NAME
from pipelines.batch import main as batch
from pipelines.check_control import ControlCheck
from pipelines.control_promises import BROKEN, LIMITS
from pipelines.generate import main
from pipelines.inspect import main as inspect
from pipelines.looping import seam_score
from pipelines.making import steps_of
from pipelines.provenance import job_page
from pipelines.request import Job, Request, jobs_of
from pipelines.striking import attack_frame, heard_seconds, is_struck, laid_over, ring_seconds
from pipelines.turns import ringing, with_struck

STRUCK = ("a deep kick", "a tight snare", "a marimba", "an acoustic guitar strum")
HELD = ("a string ensemble", "a drawbar organ, C4", "a flute, A4", "a choir, C4")
SETTINGS = {"seed": 1, "solver_steps": 8}
QUICK = ["--solver_steps", "4", "--plot", "false", "--device", "cpu", "--seed", "1"]


@pytest.fixture(scope="module")
def pipeline() -> TextToAudioPipeline:
    return TextToAudioPipeline.from_pretrained(device="cpu")


def decibels(pipeline: TextToAudioPipeline, waveform: torch.Tensor) -> float:
    return loudness_db(waveform.numpy(), pipeline.sample_rate)


def test_what_is_struck_is_told_from_what_is_held(pipeline, sonic_pi_folder) -> None:
    """On recordings, and on what the model makes."""
    mel = pipeline.autoencoder.mel
    log_mel = LogMelSpectrogram(mel)
    for names, expected in (
        (("bd_808", "sn_dolf", "drum_cowbell", "drum_cymbal_open", "perc_bell", "elec_bell"), True),
        (("ambi_choir", "ambi_drone", "ambi_soft_buzz", "bass_trance_c", "vinyl_hiss", "ambi_swoosh"), False),
    ):
        for name in names:
            waveform, _ = read_audio(sonic_pi_folder / f"{name}.flac", mel.sample_rate, 0.0, 4.0)
            padded = torch.from_numpy(np.pad(waveform, (0, max(0, 2 * mel.sample_rate - len(waveform)))))
            assert is_struck(log_mel(padded[None])[0], mel.frame_rate) == expected, name
    settings = pipeline.settle(Request((*STRUCK, *HELD), 1.0, 2, loop=True, **SETTINGS))
    heard = with_struck(pipeline, jobs_of(Request((*STRUCK, *HELD), 1.0, 2), settings), settings)
    assert [job.struck for job in heard] == [True] * 8 + [False] * 8


def test_a_struck_loop_is_its_own_clip_over_and_over(pipeline) -> None:
    mel, samples = pipeline.autoencoder.mel, 80 * pipeline.autoencoder.mel.hop_length
    made = pipeline(STRUCK, loop=True, seconds=1.0, **SETTINGS)
    alone = pipeline(STRUCK, seconds=ring_seconds(samples / mel.sample_rate, 4.0), **SETTINGS)
    attack = attack_frame(mel, 80) * mel.hop_length
    assert made.waveforms.shape[1] == samples
    for row, waveform in enumerate(made.waveforms):
        assert made.struck(row)
        assert made.origins[row] == attack
        assert seam_score(waveform, mel, made.closing(row)) <= 1.0
        ring = alone.waveforms[row]
        # As loud as it is alone, and at its attack the same sound, on what is left of the turn before.
        assert abs(decibels(pipeline, waveform) - decibels(pipeline, ring)) < 3.0
        turned = waveform.roll(-attack)
        begun = turned[: mel.sample_rate // 10] - ring[: mel.sample_rate // 10]
        assert begun.norm() < 0.2 * ring[: mel.sample_rate // 10].norm()
        # What still rings after a turn is heard under the next.
        over = ring.clone()
        over[-round(0.05 * mel.sample_rate) :] = 0.0
        rest = over[samples : 2 * samples]
        assert (turned[: len(rest)] - ring[: len(rest)] - rest).abs().max() < 0.02
    rests = [float(one[samples:].norm() / one[:samples].norm()) for one in alone.waveforms]
    assert max(rests) > 0.01, "nothing of these rings on, so nothing of it was tested"


def test_on_a_circle_nothing_begins(pipeline) -> None:
    """Why struck sounds are made otherwise: as other loops are, kicks are silence."""
    request = Request(("a deep kick",), 2.0, 4, loop=True, **SETTINGS)
    settings = pipeline.settle(request)
    jobs = jobs_of(request, settings)
    # Those that were not heard beforehand go round.
    circle = pipeline.batch(jobs, settings)
    struck = pipeline(("a deep kick",), loop=True, seconds=2.0, num_clips=4, **SETTINGS).waveforms
    softer = [decibels(pipeline, one) - decibels(pipeline, other) for one, other in zip(circle, struck, strict=True)]
    assert np.median(softer) < -40.0
    assert all(decibels(pipeline, one) > -25.0 for one in struck)


def test_a_struck_loop_longer_than_the_model_knows(pipeline) -> None:
    mel = pipeline.autoencoder.mel
    made = pipeline(("a deep kick", "a bright piano, C4", "a flute, A4"), loop=True, seconds=6.0, **SETTINGS)
    assert [made.struck(row) for row in range(3)] == [True, True, False]
    for row, waveform in enumerate(made.waveforms):
        assert decibels(pipeline, waveform) > -25.0
        assert seam_score(waveform, mel, made.closing(row)) <= 1.0
    # Of a piano no turn ends in a hole: ahead of its attack it is as loud as half a second before.
    turn = made.waveforms[1].roll(-made.origins[1])
    last, before = (decibels(pipeline, turn[-round(ago * 44_100) :][: 44_100 // 10]) for ago in (0.1, 0.6))
    assert abs(last - before) < 10.0


def test_whoever_asks_may_decide_the_kind(pipeline) -> None:
    words = {"seconds": 0.75, **SETTINGS}
    organ, kick = "a drawbar organ, C4", "a deep kick"
    assert not pipeline(kick, loop="circle", **words).struck(0)
    struck = pipeline(organ, loop="struck", **words)
    assert struck.struck(0)
    # A circle is the same whether it was heard or asked for.
    heard, asked = (pipeline(organ, loop=loop, **words) for loop in (True, "circle"))
    assert torch.equal(heard.waveforms, asked.waveforms)
    assert not torch.equal(struck.waveforms, asked.waveforms)
    # What Python takes for true is.
    assert pipeline(kick, loop=1, **words).struck(0)
    with pytest.raises(ValueError, match="loop: expected true, false, circle or struck, got 'round'"):
        pipeline(organ, loop="round", **words)
    with pytest.raises(ValueError, match="a list of jobs is made of clips that end"):
        next(pipeline.run_jobs([Job(kick, 0, 0.5)], Request((kick,), loop=True)))


def test_clips_that_are_compared_are_of_one_kind(pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries of one prompt as most of them are, a tie counts as struck; the steps of a morph if either end is."""
    answers = iter([])
    monkeypatch.setattr(turns, "is_struck", lambda *_: next(answers))

    def kinds(request: Request, heard: str) -> str:
        nonlocal answers
        answers = iter([letter == "s" for letter in heard])
        settings = pipeline.settle(request)
        return "".join(
            "s" if job.struck else "-" for job in with_struck(pipeline, jobs_of(request, settings), settings)
        )

    tries = Request(("a", "b"), 0.5, best_of=4, loop=True, **SETTINGS)
    assert kinds(tries, "s---ss--") == "----ssss"
    morph = Request(("a", "b"), 0.5, morph_clips=4, loop=True, **SETTINGS)
    assert [kinds(morph, heard) for heard in ("s---", "---s", "-ss-")] == ["ssss", "ssss", "----"]
    assert kinds(Request(("a", "b"), 0.5, loop=True, **SETTINGS), "s-") == "s-"


def test_any_vocoder_can_make_a_struck_loop(capsys, tmp_path) -> None:
    """For no network has to go round for it."""
    options = ["--prompt", "a kick", "--vocoder", "vocoder.griffin_lim.GriffinLim", "--seconds", "0.5"]
    assert main([*QUICK, *options, "--loop", "struck", "--out", str(tmp_path)]) == 0
    assert soundfile.info(capsys.readouterr().out.strip()).frames == 0.5 * 44_100 // 2048 * 2048 + 2048


def test_the_attack_of_a_wide_loop_echoes_within_the_file(pipeline) -> None:
    """The difference of two channels is heard a little ahead of it; at the file's ends neither channel is."""
    made = pipeline("a tight snare", loop=True, seconds=1.0, stereo=1.0, num_clips=3, **SETTINGS)
    mel = pipeline.autoencoder.mel
    assert set(made.origins) == {attack_frame(mel, 80, wide=True) * mel.hop_length}
    scores = [seam_score(channel, mel, made.closing(row)) for row in range(3) for channel in made.waveforms[row]]
    assert max(scores) <= 1.0, scores
    # So far in that the smallest loop of any model still begins within itself.
    assert attack_frame(mel, 4, wide=True) == 2


def test_a_silent_loop_keeps_no_promise(pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    made = pipeline("a drawbar organ", loop=True, seconds=0.5, **SETTINGS)
    silent = replace(made, waveforms=torch.zeros_like(made.waveforms))
    answers = iter([made, silent])
    monkeypatch.setattr(TextToAudioPipeline, "__call__", lambda *_, **__: next(answers))
    heard, broken = ControlCheck(pipeline, 4, 1).loops(["an organ", "a kick"])
    assert heard < 2.0 < LIMITS["loop"] + 2.0 < broken == BROKEN


def test_both_kinds_in_one_batch(pipeline, tmp_path, capsys) -> None:
    prompts = ("a deep kick", "a drawbar organ, C4")
    together = pipeline(prompts, loop=True, seconds=0.75, num_clips=2, **SETTINGS)
    assert [together.struck(row) for row in range(4)] == [True, True, False, False]
    for number, prompt in enumerate(prompts):
        alone = pipeline((prompt,), loop=True, seconds=0.75, num_clips=2, **SETTINGS).waveforms
        assert (together.waveforms[2 * number : 2 * number + 2] - alone).abs().max() < 3e-3
    steps: list[int] = []
    best = pipeline.run(
        Request(prompts, 0.75, 1, best_of=2, loop=True, **SETTINGS), lambda done, _total: steps.append(done)
    )
    assert best.waveforms.shape == (2, together.waveforms.shape[1])
    # The bar is told of every step: hearing beforehand, and both kinds.
    assert len(steps) == 8 + steps_of(best.jobs, best.settings) == 8 + 2 * (8 + 8)
    options = [*QUICK, "--loop", "true", "--seconds", "0.5", "--out", str(tmp_path)]
    assert main(["--prompt", prompts[0], "--prompt", prompts[1], *options]) == 0
    printed = capsys.readouterr()
    assert "struck at" in " ".join(printed.err.split())
    for line, struck in zip(printed.out.splitlines(), (True, False), strict=True):
        page = json.loads(Path(line).with_suffix(".json").read_text())
        assert ("attack" in page["measured"]) == struck
        assert [job.get("struck", False) for job in page["batch"]["jobs"]] == [True, False]
        assert inspect([line]) == 0
        assert ("attack: 0.0464 s" in capsys.readouterr().out) == struck
        assert main(["--again", line, "--plot", "false", "--device", "cpu", "--out", str(tmp_path / "again")]) == 0
        made = capsys.readouterr().out.strip()
        assert np.array_equal(soundfile.read(line)[0], soundfile.read(made)[0])


def test_tables_and_morphs_of_struck_loops(pipeline, tmp_path, capsys) -> None:
    table = tmp_path / "table.csv"
    table.write_text("prompt,seconds\na deep kick,0.75\na drawbar organ,0.75\n")
    assert batch([str(table), "--out", str(tmp_path / "out"), "--loop", "true", "--solver_steps", "4"]) == 0
    capsys.readouterr()
    pages = [json.loads(path.read_text()) for path in sorted((tmp_path / "out").glob("a-d*.json"))]
    assert ["attack" in page["measured"] for page in pages] == [True, False]
    assert all(page["measured"]["loudness"] > -40.0 for page in pages)
    morph = pipeline(("a deep kick", "a tight snare"), loop=True, morph_clips=4, seconds=0.5, **SETTINGS)
    assert all(morph.struck(row) for row in range(4))
    assert len(set(morph.origins)) == 1
    # A table that older versions left half-made is another one: its loops of struck sounds are silence.
    state = tmp_path / "out" / STATE_NAME
    told = json.loads(state.read_text())
    state.write_text(json.dumps({name: value for name, value in told.items() if name != "loops"}))
    assert batch([str(table), "--out", str(tmp_path / "out"), "--loop", "true", "--solver_steps", "4"]) == 2
    assert "other loops" in capsys.readouterr().err
    # Of a kick that becomes an organ the steps are of one kind, and none is silent.
    mixed = pipeline(("a deep kick", "a drawbar organ"), loop=True, morph_clips=9, seconds=0.5, **SETTINGS)
    assert all(mixed.struck(row) for row in range(9))
    for steps in (morph, mixed):
        assert all(decibels(pipeline, one) > -40.0 for one in steps.waveforms)
    log_mel = LogMelSpectrogram(pipeline.autoencoder.mel)
    apart = log_mel(mixed.waveforms).diff(dim=0).abs().mean(dim=(1, 2))
    assert apart.max() < 3.0 * apart.median(), apart


def test_a_ring_is_laid_over_itself() -> None:
    ring = torch.zeros(1, 10_000)
    ring[0, [0, 999, 1000, 4500]] = torch.tensor([1.0, 2.0, 3.0, 4.0])
    turn = laid_over(ring, 1000, 1000)
    assert turn.shape == (1, 1000)
    assert turn[0, [0, 500, 999]].tolist() == [4.0, 4.0, 2.0]
    assert float(turn.abs().sum()) == 10.0
    # What does not end by itself is faded, not cut: of a constant the last turn is the softer.
    (held,) = laid_over(torch.ones(1, 3000), 1000, 1000)
    assert held[0] == 3.0
    assert held[-1] == pytest.approx(2.0, abs=1e-6)
    assert float(held.diff().abs().max()) < 0.05


def test_how_long_a_struck_sound_of_a_loop_is_made(pipeline) -> None:
    assert [ring_seconds(seconds, 4.0) for seconds in (0.2, 1.0, 1.5, 3.0, 4.0, 9.0)] == [2.0, 2.0, 3.0, 4.0, 5.0, 10.0]
    assert ring_seconds(0.2, 1.0) == 1.2
    # Held sounds of more than the model knows come to an end too, so none is heard for longer.
    assert [heard_seconds(seconds, 4.0) for seconds in (0.2, 1.5, 4.0, 9.0)] == [2.0, 3.0, 4.0, 4.0]
    (job,), settings = ringing(pipeline.diffusion, [Job("a kick", 0, 1.5, struck=True)], {"loop": True, "seed": 1})
    assert (job.seconds, job.struck, settings) == (3.0, False, {"loop": False, "seed": 1})
    # Pages of clips that are no loops stay as they were.
    assert "struck" not in job_page(job)
    assert job_page(Job("a kick", 0, 1.5, struck=True))["struck"] is True

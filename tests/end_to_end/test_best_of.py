"""The best of several, on the bundled model: the judge tells prompts apart, and the best are what is kept."""

import pytest
import torch

from pipelines import TextToAudioPipeline
from pipelines.decoding import decoded_rows
from pipelines.generate import main
from pipelines.ranking import best_rows, evidence
from pipelines.request import Job, Request, jobs_of
from pipelines.tries import ranked_tries

PROMPTS = ("a deep kick drum", "a bright piano, C5", "a closed hi-hat", "a warm synth pad, C3")
SETTINGS = {"seconds": 0.7, "seed": 5, "solver_steps": 12}


@pytest.fixture(scope="module")
def pipeline() -> TextToAudioPipeline:
    return TextToAudioPipeline.from_pretrained(device="cpu")


def test_the_judge_tells_what_a_clip_was_made_for(pipeline) -> None:
    """Each prompt's clips are explained better by it than by any other of the prompts."""
    settings = pipeline.settle(Request(prompts=PROMPTS, num_clips=3, **SETTINGS))
    jobs = jobs_of(Request(prompts=PROMPTS, num_clips=3), settings)
    latents = pipeline.latents(jobs, settings)
    table = []
    for prompt in PROMPTS:
        asked = [Job(prompt, job.index, job.seconds) for job in jobs]
        table.append(evidence(pipeline.diffusion, latents, asked, settings))
    right = torch.tensor(table).argmax(dim=0)
    assert (right == torch.arange(4).repeat_interleave(3)).sum() >= 11
    own = torch.tensor(table)[torch.arange(4).repeat_interleave(3), torch.arange(12)]
    assert (own > 0).all()
    # A note is heard too: the same words with another one explain less.
    piano = slice(3, 6)
    for other in ("a bright piano, C4", "a bright piano, F#5"):
        wrong = evidence(pipeline.diffusion, latents[piano], [Job(other, i, 0.7) for i in range(3)], settings)
        assert all(wrong[i] < float(own[3 + i]) for i in range(3))


def test_the_best_are_kept_best_first_and_are_the_clips_of_their_numbers(pipeline) -> None:
    made = pipeline(PROMPTS[:2], best_of=3, num_clips=2, **SETTINGS)
    every = pipeline(PROMPTS[:2], num_clips=6, **SETTINGS)
    assert made.waveforms.shape[0] == 4
    assert made.prompts == (PROMPTS[0],) * 2 + (PROMPTS[1],) * 2
    settings = pipeline.settle(Request(prompts=PROMPTS[:2], num_clips=6, **SETTINGS))
    scores = evidence(pipeline.diffusion, pipeline.latents(every.jobs, settings), every.jobs, settings)
    for half in (0, 1):
        part = sorted(range(6), key=lambda place, half=half: -scores[6 * half + place])
        assert list(made.indices[2 * half : 2 * half + 2]) == part[:2]
    for clip, row in zip(made.waveforms, made.rows, strict=True):
        assert (clip - every.waveforms[row]).abs().max() < 1e-3


def test_rows_are_ranked_within_their_prompt() -> None:
    jobs = [Job(text, index, 1.0) for text in "ab" for index in range(3)]
    assert best_rows(jobs, [0.1, 0.3, 0.2, 0.9, 0.7, 0.8], 2) == [1, 2, 3, 5]


def test_what_cannot_be_ranked_is_refused(tmp_path, capsys) -> None:
    common = ["--out", str(tmp_path / "no"), "--plot", "false"]
    two = ["--prompt", "a kick", "--prompt", "a bell"]
    for options, words in (
        (["--prompt", "a kick", "--best_of", "0"], "best_of: expected 1 to 64, got 0"),
        ([*two, "--mix", "1,1", "--best_of", "2"], "contradicts mix, glide and morph"),
        ([*two, "--glide", "true", "--best_of", "2"], "contradicts mix, glide and morph"),
    ):
        assert main([*options, *common]) == 2
        assert words in capsys.readouterr().err
    assert not (tmp_path / "no").exists()


def test_only_batches_with_a_wanted_row_become_sound() -> None:
    batches = [torch.arange(3.0)[:, None, None] + start for start in (0.0, 3.0, 6.0)]
    heard = []

    def sound(number: int) -> torch.Tensor:
        heard.append(number)
        return batches[number][:, 0]

    assert decoded_rows(batches, [7, 1], sound)[:, 0].tolist() == [7.0, 1.0]
    assert heard == [0, 2]
    assert decoded_rows(batches, range(9), sound)[:, 0].tolist() == list(range(9))


def test_tries_are_ranked_as_the_best_of_them_is_kept(pipeline) -> None:
    made, best = ranked_tries(pipeline, Request(prompts=PROMPTS[1:2], num_clips=3, **SETTINGS))
    kept = pipeline(PROMPTS[1:2], best_of=3, **SETTINGS)
    assert kept.indices == (made.indices[best],)
    assert (made.waveforms[best] - kept.waveforms[0]).abs().max() < 1e-3

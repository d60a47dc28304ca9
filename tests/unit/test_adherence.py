"""Prompt adherence on a world in which words decide the sound by a known line."""

import pytest
import torch

from evaluation.adherence import AdherenceJudge


def world(count: int, seed: int) -> tuple[list[str], torch.Tensor, torch.Tensor]:
    """Prompts, their features, and embeddings that are a line of them with some noise."""
    line = torch.randn(6, 20, generator=torch.Generator().manual_seed(7))
    draw = torch.Generator().manual_seed(seed)
    texts = torch.randn(count, 6, generator=draw)
    return (
        [f"{seed} {n}" for n in range(count)],
        texts,
        texts @ line + 0.5 * torch.randn(count, 20, generator=draw) + 3.0,
    )


@pytest.fixture(scope="module")
def judge() -> AdherenceJudge:
    _, texts, embeddings = world(300, 1)
    return AdherenceJudge.learn(texts, embeddings)


def test_the_right_prompt_fits_best(judge: AdherenceJudge) -> None:
    prompts, texts, embeddings = world(100, 2)
    assert judge.adherence(prompts, texts, embeddings).mean() > 0.97


def test_prompts_at_random_fit_like_chance(judge: AdherenceJudge) -> None:
    prompts, texts, embeddings = world(400, 2)
    order = torch.randperm(400, generator=torch.Generator().manual_seed(3))
    found = judge.adherence(prompts, texts, embeddings[order]).mean()
    assert found == pytest.approx(0.5, abs=0.05)


def test_equal_prompts_are_one_prompt(judge: AdherenceJudge) -> None:
    prompts, texts, embeddings = world(30, 2)
    once = judge.adherence(prompts, texts, embeddings)
    twice = judge.adherence(prompts * 2, torch.cat([texts, texts]), torch.cat([embeddings, embeddings]))
    assert torch.allclose(twice, torch.cat([once, once]))


def test_adherence_is_the_share_of_prompts_that_fit_worse(judge: AdherenceJudge) -> None:
    prompts, texts, embeddings = world(9, 2)
    fits = judge.fits(texts, embeddings)
    wanted = torch.tensor([[float(fits[i, j] < fits[i, i]) for j in range(9) if j != i] for i in range(9)]).mean(dim=1)
    assert torch.allclose(judge.adherence(prompts, texts, embeddings).float(), wanted)


def test_too_little_is_refused(judge: AdherenceJudge) -> None:
    _, texts, embeddings = world(20, 1)
    with pytest.raises(ValueError, match="at least 50 training clips, got 20 and 20"):
        AdherenceJudge.learn(texts, embeddings)
    with pytest.raises(ValueError, match="all prompts are the same"):
        judge.adherence(["a"] * 20, texts, embeddings)

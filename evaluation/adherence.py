"""Does a clip sound like its own prompt rather than like another?

A linear map from words to ears is learned from real training clips alone:

    W = argmin |Y - X W|^2 + ridge |W|^2,    W = (X' X + ridge I)^(-1) X' Y        (ridge regression)

X are features of captions, Y embeddings of their clips, both centred and Y scaled to unit variance. A clip *fits* a
prompt as well as the cosine between its embedding and what the map makes of the prompt. Its adherence is the share of
the other prompts of the set that fit it worse: 1 for the best, 0.5 for any prompt at random. Prompts with the same
words are left out of the comparison.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

RIDGE = 0.1
FEWEST_CLIPS = 50


@dataclass(frozen=True)
class AdherenceJudge:
    """What words sound like, as far as a line can tell.

    Args:
        weight: `(text numbers, embedding numbers)`.
        text_mean: of the training captions.
        mean: of the training clips' embeddings.
        std: of the same.
    """

    weight: Tensor
    text_mean: Tensor
    mean: Tensor
    std: Tensor

    @classmethod
    def learn(cls, texts: Tensor, embeddings: Tensor, ridge: float = RIDGE) -> "AdherenceJudge":
        """Learn from real training clips.

        Args:
            texts: features of one caption a clip, `(clips, text numbers)`.
            embeddings: of the clips, `(clips, numbers)`.
            ridge: pull towards zero, as a share of the captions' mean variance times the number of clips.

        Raises:
            ValueError: too few clips.
        """
        if len(texts) != len(embeddings) or len(texts) < FEWEST_CLIPS:
            raise ValueError(
                f"adherence: expected a caption and an embedding for each of at least {FEWEST_CLIPS} training clips, "
                f"got {len(texts)} and {len(embeddings)}"
            )
        texts, embeddings = texts.double(), embeddings.double()
        text_mean, mean, std = texts.mean(dim=0), embeddings.mean(dim=0), embeddings.std(dim=0).clamp(min=1e-9)
        x, y = texts - text_mean, (embeddings - mean) / std
        gram = x.T @ x
        pull = ridge * gram.diagonal().mean().clamp(min=1e-12)
        weight = torch.linalg.solve(gram + pull * torch.eye(len(gram), dtype=torch.float64), x.T @ y)
        return cls(weight, text_mean, mean, std)

    def fits(self, texts: Tensor, embeddings: Tensor) -> Tensor:
        """How well each clip fits each prompt, `(clips, prompts)`, from -1 to 1."""
        imagined = torch.nn.functional.normalize((texts.double() - self.text_mean) @ self.weight, dim=1)
        heard = torch.nn.functional.normalize((embeddings.double() - self.mean) / self.std, dim=1)
        return heard @ imagined.T

    def adherence(self, prompts: Sequence[str], texts: Tensor, embeddings: Tensor) -> Tensor:
        """Share of the other prompts that fit each clip worse than its own, `(clips,)`; equal ones count half.

        Args:
            prompts: of the clips.
            texts: their features, `(clips, text numbers)`.
            embeddings: of the clips.

        Raises:
            ValueError: all prompts are the same.
        """
        names = {prompt: number for number, prompt in enumerate(dict.fromkeys(prompts))}
        if len(names) < 2:
            raise ValueError("all prompts are the same; 2 different ones are enough")
        own = torch.tensor([names[prompt] for prompt in prompts])
        first = torch.tensor([prompts.index(prompt) for prompt in names])
        scores = self.fits(texts[first], embeddings)
        mine = scores.gather(1, own[:, None])
        worse = (scores < mine).double().sum(dim=1)
        # Its own prompt is among the equal ones.
        equal = (scores == mine).double().sum(dim=1) - 1.0
        return (worse + 0.5 * equal) / (len(names) - 1)

"""What was drawn independently: recordings with all their clips, not clips."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from evaluation.replicated import FEWEST_UNITS, SPLITS, Replicated


def distinct(numbers: Tensor) -> Tensor:
    """The different numbers of a tensor, sorted."""
    found: Tensor = torch.unique(numbers)
    return found


@dataclass(frozen=True)
class Units:
    """What was drawn independently, for two clouds of clips.

    Args:
        made: unit of each clip of the first cloud, `(clips,)`, integers from 0.
        reference: unit of each clip of the second cloud; a number that occurs in both is one unit.
    """

    made: Tensor
    reference: Tensor

    @classmethod
    def separate(cls, made: int, reference: int) -> "Units":
        """Every clip is a unit of its own."""
        return cls(torch.arange(made), made + torch.arange(reference))

    @classmethod
    def named(cls, made: Sequence[str], reference: Sequence[str]) -> "Units":
        """From the names of recordings."""
        numbers = {name: number for number, name in enumerate(dict.fromkeys([*made, *reference]))}
        return cls(torch.tensor([numbers[n] for n in made]), torch.tensor([numbers[n] for n in reference]))

    @property
    def count(self) -> int:
        """Independent units in the smaller cloud."""
        return min(len(distinct(self.made)), len(distinct(self.reference)))

    @property
    def total(self) -> int:
        """One more than the largest number."""
        return int(torch.cat([self.made, self.reference]).max()) + 1

    def strata(self) -> Tensor:
        """For each number whether it occurs in neither cloud (0), the first (1), the second (2), both (3)."""
        kinds = torch.zeros(self.total, dtype=torch.long)
        kinds[distinct(self.made)] += 1
        kinds[distinct(self.reference)] += 2
        return kinds

    def grouped(self, most: int, seed: int = 0) -> "Units":
        """The same where they are few; else thrown together at random into about `most` groups, each of one kind."""
        kinds = self.strata()
        used = int((kinds > 0).sum())
        if used <= most:
            return self
        generator = torch.Generator().manual_seed(seed)
        group, first = torch.zeros(self.total, dtype=torch.long), 0
        for kind in (1, 2, 3):
            members = torch.nonzero(kinds == kind)[:, 0]
            number = -(-most * len(members) // used)
            order = torch.randperm(len(members), generator=generator)
            group[members[order]] = first + torch.arange(len(members)) % max(1, number)
            first += number
        return Units(group[self.made], group[self.reference])

    def halves(self, splits: int = SPLITS, seed: int = 0) -> Tensor:
        """Which units are in the first half, `(splits, units)`, booleans: half of those of every kind of `strata`."""
        generator = torch.Generator().manual_seed(seed)
        kinds = self.strata()
        first = torch.zeros(splits, self.total, dtype=torch.bool)
        for kind in distinct(kinds):
            members = torch.nonzero(kinds == kind)[:, 0]
            order = torch.rand(splits, len(members), generator=generator).argsort(dim=1)
            first[:, members] = order < len(members) // 2
        return first

    def replicate(
        self,
        statistic: Callable[[Tensor, Tensor], Sequence[float]],
        seed: int = 0,
        smooth: bool = True,
    ) -> list[Replicated]:
        """Statistics on all clips and on halves; from fewer than eight units on all clips alone.

        Args:
            statistic: of the kept rows of either cloud, given as masks; may measure several numbers at once.
            seed: of the splits.
            smooth: whether it is; see `Replicated`.
        """
        whole = statistic(*(torch.ones_like(rows, dtype=torch.bool) for rows in (self.made, self.reference)))
        if self.count < FEWEST_UNITS:
            return [Replicated.alone(value, self.count, "too few independent units") for value in whole]
        found = torch.tensor(
            [
                [list(statistic(kept[self.made], kept[self.reference])) for kept in (first, ~first)]
                for first in self.halves(SPLITS, seed)
            ],
            dtype=torch.float64,
        )
        return [Replicated(value, found[:, :, n], self.count, smooth) for n, value in enumerate(whole)]

"""Train, validation and test by recording: what hangs together stays together, and order never matters.

Clips that share a recording are joined (union-find) into groups. A group's place follows from a hash of its name
alone, so another order of files, or another kit beside it, changes nothing for it beyond its own stratum.
"""

import hashlib
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

SEED = "melisma one-shots 1"


class Groups:
    """A union-find over names."""

    def __init__(self) -> None:
        """Start with nothing joined."""
        self._parents: dict[Hashable, Hashable] = {}

    def find(self, member: Hashable) -> Hashable:
        """The representative of a member's group."""
        parent = self._parents.setdefault(member, member)
        while parent != self._parents[parent]:
            parent = self._parents[parent] = self._parents[self._parents[parent]]
        self._parents[member] = parent
        return parent

    def join(self, one: Hashable, other: Hashable) -> None:
        """Put two members, and all that hangs on them, into one group."""
        self._parents[self.find(one)] = self.find(other)


@dataclass(frozen=True)
class Member:
    """What the split has to know of a clip.

    Attributes:
        name: file name.
        keys: everything it may not share with another side: its group, its recordings, its content.
        family: coarse class.
        stratum: strata are divided one by one, such as the default and the additional licences.
        spare: whether validation may take it (soundfonts).
    """

    name: str
    keys: tuple[Hashable, ...]
    family: str
    stratum: str
    spare: bool = True


def connected(members: Iterable[Member]) -> list[list[Member]]:
    """Members in groups that share no key, in an order that follows from the names alone."""
    groups = Groups()
    listed = list(members)
    for member in listed:
        for key in member.keys[1:]:
            groups.join(member.keys[0], key)
    gathered: dict[Hashable, list[Member]] = defaultdict(list)
    for member in listed:
        gathered[groups.find(member.keys[0])].append(member)
    components = [sorted(group, key=lambda member: member.name) for group in gathered.values()]
    return sorted(components, key=_rank)


def split_recorded(members: Sequence[Member], share: float = 0.1) -> dict[str, str]:
    """About 80/10/10 by group, within each stratum and family.

    A group counts for the family most of its clips have. A group that is more than a quarter of its family's clips goes
    to training, and a family of fewer than four groups gives nothing away.

    Args:
        members: the recorded clips.
        share: of clips for validation, and as many for test.
    """
    strata: dict[tuple[str, str], list[list[Member]]] = defaultdict(list)
    for group in connected(members):
        families = sorted(member.family for member in group)
        strata[min(member.stratum for member in group), max(families, key=families.count)].append(group)
    sides: dict[str, str] = {}
    for groups in strata.values():
        total = sum(map(len, groups))
        taken = {"test": 0, "validation": 0}
        for group in groups:
            # The emptier of the two sides first; test before validation.
            side = min(taken, key=lambda name: taken[name])
            fits = len(group) <= total / 4 and taken[side] + len(group) <= max(1.0, 1.5 * share * total)
            if len(groups) >= 4 and taken[side] < share * total and fits:
                taken[side] += len(group)
            else:
                side = "train"
            sides.update({member.name: side for member in group})
    return sides


def split_rendered(members: Sequence[Member], share: float = 0.08, largest: float = 0.15) -> dict[str, str]:
    """Train and validation of a soundfont's renders, by connected component.

    Validation takes whole components that lie in one family and of which a close relative stays in training, one after
    another until it has `share` of the family; one that is more than `largest` of its family stays.

    Args:
        members: the rendered clips; their keys hold the font's recordings.
        share: of each family's clips.
        largest: of each family's clips, for a single component.
    """
    totals: dict[str, int] = defaultdict(int)
    taken: dict[str, int] = defaultdict(int)
    for member in members:
        totals[member.family] += 1
    sides: dict[str, str] = {}
    for group in connected(members):
        families = {member.family for member in group}
        family = min(families)
        eligible = len(families) == 1 and all(member.spare for member in group)
        fits = len(group) <= largest * totals[family] and taken[family] < share * totals[family]
        side = "validation" if eligible and fits else "train"
        taken[family] += len(group) if side == "validation" else 0
        sides.update({member.name: side for member in group})
    return sides


def _rank(group: list[Member]) -> tuple[str, str]:
    name = min(str(member.keys[0]) for member in group)
    return hashlib.sha256(f"{SEED}/{name}".encode()).hexdigest(), name

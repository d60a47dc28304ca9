"""No recording on two sides, whatever the order, and about the shares asked for."""

import random
from collections import Counter

from pipelines.recipes.splits import Member, connected, split_recorded, split_rendered


def _members(count=200, per_group=3, family="kick", stratum="default"):
    return [
        Member(f"{family}{i:03d}", (f"{stratum}/{family}/{i // per_group}",), family, stratum) for i in range(count)
    ]


def test_groups_stay_whole_and_shares_are_met():
    members = _members() + _members(family="snare", count=120, per_group=1)
    sides = split_recorded(members)
    for family in ("kick", "snare"):
        ours = [member for member in members if member.family == family]
        counts = Counter(sides[member.name] for member in ours)
        assert 0.06 < counts["test"] / len(ours) < 0.15
        assert 0.06 < counts["validation"] / len(ours) < 0.15
    for member in members:
        assert {sides[other.name] for other in members if other.keys == member.keys} == {sides[member.name]}


def test_order_does_not_matter():
    members = _members()
    shuffled = members[:]
    random.Random(3).shuffle(shuffled)
    assert split_recorded(members) == split_recorded(shuffled)


def test_another_stratum_changes_nothing():
    members = _members()
    both = split_recorded(members + [Member(f"x{i}", (f"more/{i}",), "kick", "further") for i in range(300)])
    alone = split_recorded(members)
    assert {name: both[name] for name in alone} == alone


def test_equal_content_joins_groups():
    members = _members(60, 1)
    twin = Member("twin", ("elsewhere/twin", "sha"), "kick", "default")
    for target in members:
        joined = Member(target.name, (*target.keys, "sha"), target.family, target.stratum)
        sides = split_recorded([joined if member is target else member for member in members] + [twin])
        assert sides["twin"] == sides[target.name]


def test_small_family_gives_nothing_away():
    assert set(split_recorded(_members(3, 1)).values()) == {"train"}


def test_components_join_through_shared_recordings():
    members = [Member("a", ("program a", 1, 2), "x", "s"), Member("b", ("program b", 2, 3), "x", "s"),
               Member("c", ("program c", 3), "x", "s"), Member("d", ("program d", 4), "x", "s")]  # fmt: skip
    assert sorted([member.name for member in group] for group in connected(members)) == [["a", "b", "c"], ["d"]]


def test_rendered_validation_takes_spare_components_only():
    members = [
        Member(f"{p}-{i}", (f"program {p}", f"sample {p} {i % 3}"), "piano", "font", spare=p in (4, 5))
        for p in range(10)
        for i in range(24)
    ]
    sides = split_rendered(members)
    chosen = {name.split("-")[0] for name, side in sides.items() if side == "validation"}
    assert len(chosen) == 1
    assert chosen <= {"4", "5"}


def test_component_across_families_stays_in_training():
    members = [Member(f"{f}{i}", (f"program {f}", "shared"), f, "font") for f in ("pad", "lead") for i in range(3)]
    members += [Member(f"own{i}", (f"own {i}",), "pad", "font") for i in range(60)]
    sides = split_rendered(members)
    assert {sides[name] for name in ("pad0", "lead0")} == {"train"}
    assert "validation" in sides.values()

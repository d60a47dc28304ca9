"""Prompts along time: each rules where its time is, and the weights of every frame sum to one."""

import torch

from pipelines.conditions import glide_weights


def test_evenly_the_first_rules_the_first_frame_and_the_last_the_last() -> None:
    first, second, third = glide_weights(3, 9)
    assert torch.allclose(first, torch.tensor([1.0, 0.75, 0.5, 0.25, 0.0, 0.0, 0.0, 0.0, 0.0]), atol=1e-6)
    assert torch.allclose(second, torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0, 0.75, 0.5, 0.25, 0.0]), atol=1e-6)
    assert torch.allclose(first + second + third, torch.ones(9))
    assert [len(one) for one in glide_weights(2, 1)] == [1, 1]


def test_at_their_times_each_rules_alone_and_before_and_after_nothing_changes() -> None:
    weights = torch.stack(glide_weights(3, 11, [0.2, 0.5, 0.9]))
    assert torch.allclose(weights.sum(dim=0), torch.ones(11))
    assert torch.equal(weights[:, 0], torch.tensor([1.0, 0.0, 0.0]))
    for part, frame in enumerate((2, 5, 9)):
        assert torch.allclose(weights[part, frame], torch.ones(()), atol=1e-5)
    assert torch.equal(weights[:, 10], torch.tensor([0.0, 0.0, 1.0]))
    # Half way from the second time to the third, both count half.
    assert torch.allclose(weights[1:, 7], torch.tensor([0.5, 0.5]), atol=1e-5)
    # Times beyond the end are never reached.
    late = torch.stack(glide_weights(2, 5, [1.0, 3.0]))
    assert torch.allclose(late[0], torch.ones(5))

"""What may be said to the model, what is refused, and what leaving things unsaid does."""

import math

import pytest
import torch

from audio.dataset import NUMBERS
from latent_diffusion.condition_dropout import ConditionDropout
from latent_diffusion.conditioning import (
    NO_LABEL,
    Condition,
    ConditioningConfig,
    ConditionInputs,
    NumberEmbedding,
)
from tests.diffusion_doubles import LABELS, RANGES, stage


def same(first: Condition, second: Condition) -> bool:
    longer = max(first.tokens.shape[1], second.tokens.shape[1])
    first, second = first.padded(longer), second.padded(longer)
    kept = first.mask[..., None]
    return (
        torch.equal(first.mask, second.mask)
        and torch.allclose(first.tokens * kept, second.tokens * kept, atol=1e-5)
        and torch.allclose(first.vector, second.vector, atol=1e-5)
    )


def test_rows_alone_and_together(mel) -> None:
    model = stage(mel)
    prompts = ["a bell", "an extremely long and winding description of a rather short snare drum hit", "kick"]
    labels = ["bell", None, "kick"]
    numbers = [{"pitch": 60.0}, {}, {"loudness": -10.0, "seconds": 0.4}]
    together = model.encode_conditions(prompts, labels, numbers)
    for row in range(3):
        alone = model.encode_conditions(prompts[row : row + 1], labels[row : row + 1], numbers[row : row + 1])
        part = Condition(together.tokens[row : row + 1], together.mask[row : row + 1], together.vector[row : row + 1])
        assert same(part, alone)


def test_saying_nothing_is_the_null(mel) -> None:
    model = stage(mel)
    assert same(model.encode_conditions([" ", ""], [None, None], [{}, {}]), model.null_condition(2))


@pytest.mark.parametrize(
    ("label", "numbers"),
    [
        ("bell", {}),
        (None, {"pitch": 60.0}),
        (None, {"loudness": -3.0}),
        (None, {"brightness": 900.0}),
        (None, {"seconds": 1.0}),
    ],
)
def test_each_thing_said_changes_the_vector_and_one_token(mel, label, numbers) -> None:
    model = stage(mel)
    said = model.encode_conditions([""], [label], [numbers])
    null = model.null_condition(1).padded(said.tokens.shape[1])
    said = said.padded(null.tokens.shape[1])
    assert float((said.vector - null.vector).abs().max()) > 1e-3
    changed = ((said.tokens - null.tokens).abs().amax(dim=2) > 1e-4)[0] & said.mask[0]
    assert int(changed.sum()) == 1


def test_unknown_labels_name_the_nearest(mel) -> None:
    with pytest.raises(ValueError, match="does not know 'snare'; nearest of its 3 labels: snare drum"):
        stage(mel).encode_conditions(["a"], ["snare"], [{}])
    with pytest.raises(ValueError, match="it knows no labels"):
        ConditioningConfig("minilm", 384).label_index("x")


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"pitch": 29.0}, r"pitch: expected 30 to 90 MIDI note, got 29\.0"),
        ({"pitch": math.nan}, "pitch: expected 30 to 90 MIDI note, got nan"),
        ({"loudness": 0.1}, r"loudness: expected -40 to 0 dBFS, got 0\.1"),
        ({"brightness": math.inf}, "brightness: expected 100 to 8000 Hz, got inf"),
        ({"seconds": 2.1}, r"seconds: expected 0\.05 to 2 s, got 2\.1"),
        ({"tempo": 120.0}, "numbers: expected pitch, loudness, brightness, seconds, got 'tempo'"),
    ],
)
def test_refused_numbers(mel, numbers, message) -> None:
    with pytest.raises(ValueError, match=message):
        stage(mel).encode_conditions(["a"], [None], [numbers])


def test_a_number_that_the_data_did_not_know_is_refused() -> None:
    config = ConditioningConfig("minilm", 384, LABELS, {"seconds": (0.1, 2.0)})
    with pytest.raises(ValueError, match="pitch: this model was trained on clips whose pitch is not known"):
        config.number_row({"pitch": 60.0})


def test_lists_of_different_lengths_are_refused(mel) -> None:
    with pytest.raises(ValueError, match="got 2, 1, 2"):
        stage(mel).encode_conditions(["a", "b"], [None], [{}, {}])
    with pytest.raises(ValueError, match="got 0, 0, 0"):
        stage(mel).encode_conditions([], [], [])


@pytest.mark.parametrize("limits", [{"pitch": (5.0, 5.0)}, {"seconds": (0.0, 2.0)}, {"tempo": (1.0, 2.0)}])
def test_refused_ranges(limits) -> None:
    with pytest.raises(ValueError, match=r"conditioning\.number_ranges\.\w+: not a range"):
        ConditioningConfig("minilm", 384, (), limits)


def test_config_survives_plain_containers() -> None:
    config = ConditioningConfig("minilm", 384, LABELS, RANGES)
    assert ConditioningConfig(**config.to_dict()) == config


def test_ratios_are_compared_as_ratios() -> None:
    """An octave of brightness is the same distance everywhere, and a null is not any value."""
    embedding = NumberEmbedding(8, (100.0, 1600.0), logarithmic=True)
    embedding.layers = torch.nn.Identity()
    embedding.null = torch.nn.Parameter(torch.full((13,), 9.0))
    values = embedding(torch.tensor([100.0, 200.0, 400.0, 800.0, 1600.0, 9e9, math.nan]))
    assert values[:, 0].tolist() == pytest.approx([0.0, 0.25, 0.5, 0.75, 1.0, 1.0, 9.0])


def test_numbers_that_are_absent_have_finite_gradients(mel) -> None:
    model = stage(mel)
    inputs = ConditionInputs.nothing(2, 384)
    model.conditioner(inputs).vector.square().sum().backward()
    for name, parameter in model.conditioner.named_parameters():
        assert parameter.grad is None or parameter.grad.isfinite().all(), name
    assert model.conditioner.numbers["pitch"].null.grad.abs().max() > 0.0


def test_dropout_leaves_out_what_it_says_as_often_as_it_says() -> None:
    rows = 20_000
    inputs = ConditionInputs(
        torch.zeros(rows, 2, 1),
        torch.ones(rows, 2, dtype=torch.bool),
        torch.zeros(rows, dtype=torch.long),
        torch.ones(rows, 4),
    )
    torch.manual_seed(0)
    kept = ConditionDropout(
        everything=0.1, text=0.2, label=0.5, pitch=0.4, loudness=0.3, brightness=0.6, seconds=0.0
    ).apply(inputs)
    said = kept.text_mask.any(dim=1).double()
    labelled = (kept.labels != NO_LABEL).double()
    numbers = (~kept.numbers.isnan()).double()
    assert float(said.mean()) == pytest.approx(0.9 * 0.8, abs=0.015)
    assert float(labelled.mean()) == pytest.approx(0.9 * 0.5, abs=0.015)
    for index, rate in enumerate((0.4, 0.3, 0.6, 0.0)):
        assert float(numbers[:, index].mean()) == pytest.approx(0.9 * (1.0 - rate), abs=0.015), NUMBERS[index]
    nothing = (said + labelled + numbers.sum(dim=1)) == 0.0
    # `seconds` is never left out by itself, so that silence of all means "everything".
    assert float(nothing.double().mean()) == pytest.approx(0.1, abs=0.01)
    with pytest.raises(ValueError, match=r"condition_dropout.text: expected 0 to 1, got 1.5"):
        ConditionDropout(text=1.5)


def test_a_clip_at_another_level_always_says_how_loud_it_is() -> None:
    rows = 4_000
    inputs = ConditionInputs(
        torch.zeros(rows, 2, 1), torch.ones(rows, 2, dtype=torch.bool), torch.zeros(rows).long(), torch.ones(rows, 4)
    )
    own = torch.arange(rows) % 2 == 0
    torch.manual_seed(0)
    kept = ConditionDropout(everything=0.5, pitch=0.5, loudness=0.9).apply(inputs, own)
    loudness, pitch = ((~kept.numbers[:, NUMBERS.index(name)].isnan()).double() for name in ("loudness", "pitch"))
    assert float(loudness[~own].mean()) == 1.0
    assert float(loudness[own].mean()) == pytest.approx(0.05, abs=0.02)
    assert float(pitch[~own].mean()) == pytest.approx(0.5, abs=0.04)
    assert float(pitch[own].mean()) == pytest.approx(0.25, abs=0.04)


def test_a_tilted_clip_always_says_how_bright_it_is() -> None:
    rows = 4_000
    inputs = ConditionInputs(
        torch.zeros(rows, 2, 1), torch.ones(rows, 2, dtype=torch.bool), torch.zeros(rows).long(), torch.ones(rows, 4)
    )
    own = torch.arange(rows) % 2 == 0
    torch.manual_seed(0)
    kept = ConditionDropout(everything=0.5, loudness=0.5, brightness=0.9).apply(inputs, None, own)
    bright, loud = ((~kept.numbers[:, NUMBERS.index(name)].isnan()).double() for name in ("brightness", "loudness"))
    assert float(bright[~own].mean()) == 1.0
    assert float(bright[own].mean()) == pytest.approx(0.05, abs=0.02)
    # Of its level it says no more than others, but it is never drawn for nothing at all.
    assert float(loud[~own].mean()) == pytest.approx(0.5, abs=0.04)
    assert float(loud[own].mean()) == pytest.approx(0.25, abs=0.04)

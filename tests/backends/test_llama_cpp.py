"""llama.cpp beyond what every generator must do: packed caches, drafts, longer texts than before."""

from pathlib import Path

import numpy as np
import pytest

from engine.backends.llama_cpp import LlamaCpp, LlamaCppOptions
from engine.models.base import Artifact
from engine.techniques.kv_cache import KVCache, KVCacheConfig
from engine.techniques.self_draft import SelfDraft, SelfDraftConfig
from engine.techniques.weight_only import Int4WeightOnly, WeightOnlyConfig
from tests import tiny_lm

BACKEND, OPTIONS = LlamaCpp(), LlamaCppOptions(threads=1)
IDS = np.asarray([5, 40, 7, 100, 31, 8, 200, 9], dtype=np.int64)

pytestmark = pytest.mark.skipif(not BACKEND.capabilities().available, reason=BACKEND.capabilities().reason)


@pytest.fixture
def artifact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Artifact:
    """A model with heads of 32 values, so that a block of the cache fits into one."""
    monkeypatch.setattr(tiny_lm, "HEADS", 2)
    monkeypatch.setattr(tiny_lm, "KV_HEADS", 1)
    (tmp_path / "whole").mkdir()
    return BACKEND.export(tiny_lm.loaded(tmp_path / "source"), OPTIONS, tmp_path / "whole")


def fresh(tmp_path: Path, name: str) -> Path:
    (tmp_path / name).mkdir()
    return tmp_path / name


@pytest.mark.parametrize(("bits", "share"), [(8, 34 / 64), (4, 18 / 64)])
def test_a_packed_cache_is_smaller_and_says_nearly_the_same(
    artifact: Artifact, tmp_path: Path, bits: int, share: float
) -> None:
    config = KVCacheConfig.model_validate({"bits": bits})
    packed = KVCache().apply(artifact, config, fresh(tmp_path, "packed"), tiny_lm.context())
    plain, small = (BACKEND.load_generator(one, OPTIONS) for one in (artifact, packed))
    (before,), (after,) = (list(one.logits([IDS])) for one in (plain, small))
    assert not np.array_equal(before, after)
    assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.95
    for one in (plain, small):
        assert len(list(one.stream(IDS, 12))) == 12
    assert small.numbers()["kv_cache_bytes"] == pytest.approx(share * plain.numbers()["kv_cache_bytes"])


def test_drafting_says_the_same_tokens_and_weighs_its_draft(artifact: Artifact, tmp_path: Path) -> None:
    config = SelfDraftConfig(keep=0.6, guesses=3)
    drafting = SelfDraft().apply(artifact, config, fresh(tmp_path, "draft"), tiny_lm.context())
    assert drafting.manifest.draft_layers == 2
    assert artifact.size_bytes < drafting.size_bytes < 2 * artifact.size_bytes
    plain, drafted = (BACKEND.load_generator(one, OPTIONS) for one in (artifact, drafting))
    for prompt in (IDS, np.tile(IDS[:3], 4)):
        assert list(drafted.stream(prompt, 40)) == list(plain.stream(prompt, 40))
    assert 0 <= drafted.numbers()["acceptance_rate"] <= 1
    packed = Int4WeightOnly().apply(drafting, WeightOnlyConfig(), fresh(tmp_path, "packed"), tiny_lm.context())
    assert packed.manifest.weights == drafting.manifest.weights
    assert packed.size_bytes < 0.5 * drafting.size_bytes, "the draft is packed with the model"
    assert len(list(BACKEND.load_generator(packed, OPTIONS).stream(IDS, 12))) == 12


def test_a_longer_text_gets_a_larger_cache(artifact: Artifact) -> None:
    generator = BACKEND.load_generator(artifact, OPTIONS)
    short = list(generator.stream(IDS, 5))
    long = np.resize(IDS, 250)
    assert len(list(generator.stream(long, 6))) == 6
    assert list(generator.stream(IDS, 5)) == short

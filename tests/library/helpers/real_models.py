"""Architectures of torchvision, timm and transformers, and common networks of torch, in tiny configurations.

Each makes a model, its inputs, and its loss, or None for classifiers. Those of packages that are not installed skip.
"""

import pytest
import torch
from torch import nn


def images(size: int = 32) -> torch.Tensor:
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))


def vision(name: str, **options):
    models = pytest.importorskip("replication.data._torchvision").torchvision.models
    return getattr(models, name)(weights=None, num_classes=4, **options), images(), None


def timm(name: str, size: int = 32, **options):
    pytest.importorskip("replication.data._torchvision")
    return pytest.importorskip("timm").create_model(name, num_classes=4, **options), images(size), None


def transformer(name: str, config: str, **options):
    pytest.importorskip("replication.data._torchvision")
    module = pytest.importorskip("transformers")
    model = getattr(module, name)(getattr(module, config)(vocab_size=30, **options))
    ids = torch.arange(12).reshape(2, 6) % 30
    return model, {"input_ids": ids, "labels": ids}, lambda outputs, _: outputs.loss


class VisionTransformer(nn.Module):
    """nn.MultiheadAttention on patches."""

    def __init__(self):
        super().__init__()
        self.patches, layer = nn.Conv2d(3, 16, 16, 16), nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.encoder, self.head = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False), nn.Linear(16, 4)

    def forward(self, x):
        return self.head(self.encoder(self.patches(x).flatten(2).mT).mean(1))


class Tagger(nn.Module):
    def __init__(self, cell: type[nn.RNNBase] = nn.LSTM):
        super().__init__()
        self.words, self.cell = nn.Embedding(30, 8), cell(8, 8, batch_first=True, bidirectional=True)
        self.head = nn.Linear(16, 4)

    def forward(self, ids):
        return self.head(self.cell(self.words(ids))[0]).mT


class Generator(nn.Sequential):
    """The generator of a DCGAN, with a head that makes it a classifier."""

    def __init__(self):
        up = [nn.ConvTranspose2d(6, 8, 4), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.ConvTranspose2d(8, 3, 4, 2, 1)]
        super().__init__(nn.Unflatten(1, (6, 1, 1)), *up, nn.Tanh(), nn.Flatten(), nn.Linear(192, 4))


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.down, self.deep = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 16, 3, padding=1)
        self.up, self.out = nn.ConvTranspose2d(16, 8, 2, 2), nn.Conv2d(16, 4, 1)

    def forward(self, x):
        high = torch.relu(self.down(x))
        low = torch.relu(self.deep(nn.functional.max_pool2d(high, 2)))
        return self.out(torch.cat([high, self.up(low)], 1)).mean((2, 3))


def tagger(cell):
    return Tagger(cell), torch.arange(12).reshape(2, 6) % 30, None


MODELS = {
    "ResNet": lambda: timm("resnet18", layers=(1, 1, 1, 1), channels=(8, 8, 8, 8)),
    "MobileNet": lambda: vision("mobilenet_v3_small", width_mult=0.25),
    "MobileNet v2": lambda: vision("mobilenet_v2", width_mult=0.25),
    "ViT": lambda: timm("vit_tiny_patch16_224", img_size=32, embed_dim=24, depth=1, num_heads=2),
    "ViT of torch": lambda: (VisionTransformer(), images(), None),
    "Swin": lambda: timm(
        "swin_tiny_patch4_window7_224", img_size=32, window_size=4, embed_dim=8, depths=(1, 1), num_heads=(1, 2)
    ),
    "CoaT": lambda: timm(
        "coat_lite_tiny", img_size=32, embed_dims=(16, 16, 16, 16), serial_depths=(1, 1, 1, 1), num_heads=8
    ),
    "GPT-2": lambda: transformer("GPT2LMHeadModel", "GPT2Config", n_positions=8, n_embd=8, n_layer=1, n_head=2),
    "BERT": lambda: transformer(
        "BertForMaskedLM", "BertConfig", hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    ),
    "T5": lambda: transformer(
        "T5ForConditionalGeneration",
        "T5Config",
        d_model=8,
        d_kv=4,
        d_ff=16,
        num_layers=1,
        num_heads=2,
        decoder_start_token_id=0,
    ),  # fmt: skip
    "Mixtral": lambda: transformer(
        "MixtralForCausalLM",
        "MixtralConfig",
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        num_local_experts=2,
        experts_implementation="eager",
    ),  # fmt: skip
    "LSTM tagger": lambda: tagger(nn.LSTM),
    "GRU tagger": lambda: tagger(nn.GRU),
    "DCGAN": lambda: (Generator(), torch.randn(2, 6, generator=torch.Generator().manual_seed(0)), None),
    "U-Net": lambda: (UNet(), images(), None),
}

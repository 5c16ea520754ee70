"""Oracles: torch's flop counter on dense models; for masks, convolutions of ones with the mask itself as the weight,
whose outputs are the numbers of products in them, and plain loops. Null: a mask that prunes nothing, or everything.
"""

import itertools

import pytest
import small_models
import torch
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from ccprune.mask import Mask, prunable
from ccprune.measure import operations as flops


class Twice(nn.Module):
    """One convolution at two sizes, and two linear layers with one weight."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, padding=1)
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4, bias=False)
        self.second.weight = self.first.weight

    def forward(self, x):
        x = functional.max_pool2d(self.conv(x), 2)
        x = self.conv(input=x).sum((1, 2))
        return self.second(self.first(x))


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(3, 4)
        self.scale = nn.Parameter(torch.ones(4, 4))

    def forward(self, x):
        x = self.embed(x)
        return torch.einsum("bij,bkj->bik", x @ self.scale, x)


def random_mask(model, sparsity=0.6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    weights = {name: weight for name, weight in prunable(model).items()}
    scores = {name: torch.rand(weight.shape, generator=generator) for name, weight in weights.items()}
    return Mask.from_scores(scores, sparsity=sparsity)


def by_torch(model, example):
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(example)
    return counter.get_total_flops()


SMALL = {
    "linear on rows, sequences": (nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2, bias=False)), (5, 7, 3)),
    "conv1d": (nn.Conv1d(4, 6, 3, stride=2, padding=2, dilation=2, groups=2), (3, 4, 11)),
    "conv2d": (nn.Conv2d(4, 8, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2), groups=4), (2, 4, 9, 8)),
    "conv2d same": (nn.Conv2d(2, 3, 4, padding="same", padding_mode="circular"), (2, 2, 6, 6)),
    "conv3d": (nn.Conv3d(2, 4, 3, stride=2, padding=1, groups=2, bias=False), (2, 2, 5, 6, 7)),
    "transposed 1d": (nn.ConvTranspose1d(4, 6, 3, stride=2, groups=2), (3, 4, 5)),
    "transposed 2d": (nn.ConvTranspose2d(4, 2, 3, stride=2, padding=1, output_padding=1, dilation=2), (2, 4, 5, 4)),
    "transposed 3d": (nn.ConvTranspose3d(2, 2, 2, groups=2), (2, 2, 3, 4, 3)),
    "used twice, tied": (Twice(), (3, 2, 8, 8)),
    "LeNet": (small_models.lenet(1, 28, 10, seed=0), (2, 1, 28, 28)),
}


@pytest.mark.parametrize("name", SMALL)
def test_dense_totals_are_those_of_torchs_counter(name, device):
    model, shape = SMALL[name]
    dtype = next(model.parameters()).dtype
    model, example = model.to(device), torch.zeros(shape, dtype=dtype, device=device)
    table = flops.count(model, example)
    assert table.loc["all", "flops_dense"] * shape[0] == by_torch(model.eval(), example)
    assert (table.loc["other"] == 0).all()  # all of it in the layers' own rows
    assert (table["flops_dense"] == 2 * table["macs_dense"]).all()
    assert (table["flops_kept"] == table["flops_dense"]).all() and (table["kept"] == table["weights"]).all()
    model.to("cpu")


@pytest.mark.parametrize("name", ["LeNet", "used twice, tied"])
def test_rows_are_the_prunable_weights_and_kept_their_number(name):
    model, shape = SMALL[name]
    mask = random_mask(model)
    table = flops.count(model, torch.zeros(shape, dtype=next(model.parameters()).dtype), mask=mask)
    assert list(table.index) == [*prunable(model), "other", "all"]
    for parameter, weight in prunable(model).items():
        assert table.loc[parameter, "weights"] == weight.numel()
        assert table.loc[parameter, "kept"] == mask.counts[parameter]
    assert table.loc["all", "kept"] == mask.kept and table.loc["all", "weights"] == mask.total
    assert (table.loc["all"] == table.iloc[:-1].sum()).all() and (table.dtypes == "int64").all()


def test_numbers_of_lenet_by_hand():
    """Its convolutions go over 24^2 and 8^2 places."""
    table = flops.count(small_models.lenet(1, 28, 10, seed=0), torch.zeros(1, 1, 28, 28))
    expected = [20 * 25 * 24**2, 50 * 20 * 25 * 8**2, 800 * 500, 500 * 10]
    assert table["macs_dense"].tolist() == [*expected, 0, sum(expected)]


CONVOLUTIONS = {
    "1d": (nn.Conv1d, functional.conv1d, (9,), dict(kernel_size=3, stride=2, dilation=2)),
    "2d": (nn.Conv2d, functional.conv2d, (6, 7), dict(kernel_size=(3, 2), stride=(1, 2), dilation=(2, 1))),
    "3d": (nn.Conv3d, functional.conv3d, (4, 5, 4), dict(kernel_size=2, stride=(2, 1, 1))),
}


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_masked_convolution_counts_the_products_of_ones(kind, padding, groups):
    layer, function, size, options = CONVOLUTIONS[kind]
    model = layer(4, 6, padding=padding, groups=groups, **options)
    mask = random_mask(model, seed=groups)
    ones = torch.ones(2, 4, *size)
    padded = functional.pad(ones, [padding, padding] * len(size), value=1.0)  # padding is multiplied too
    how = {"stride": options["stride"], "dilation": options.get("dilation", 1), "groups": groups}
    products = function(padded, mask.keep["weight"].float(), **how).sum()
    table = flops.count(model, ones, mask=mask)
    assert table.loc["weight", "macs_kept"] == int(products) // 2
    assert table.loc["all", "flops_kept"] == int(products)  # 2 examples, 2 for each


def test_masked_transposed_convolution_counts_the_products_of_ones():
    model = nn.ConvTranspose2d(4, 6, (3, 2), stride=(2, 1), groups=2, dilation=(1, 2))
    mask = Mask({"weight": torch.rand(model.weight.shape, generator=torch.Generator().manual_seed(0)) < 0.3})
    ones = torch.ones(1, 4, 5, 4)
    products = functional.conv_transpose2d(ones, mask.keep["weight"].float(), None, (2, 1), 0, 0, 2, (1, 2)).sum()
    assert flops.count(model, ones, mask=mask).loc["weight", "macs_kept"] == int(products)


def test_masked_convolution_counted_by_loops():
    model = nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2)
    keep = random_mask(model).keep["weight"]
    products = 0
    for output, row, column in itertools.product(range(6), range(0, 7 + 2 - 2, 2), range(0, 6 + 2 - 2, 2)):
        assert row <= 6 and column <= 5  # the kernel's first place in the padded image of 9 x 8
        for channel, i, j in itertools.product(range(2), range(3), range(3)):
            products += bool(keep[output, channel, i, j])
    table = flops.count(model, torch.zeros(3, 4, 7, 6), mask=Mask({"weight": keep}))
    assert table.loc["weight", "macs_kept"] == products


def test_masked_linear_and_shared_layers_by_hand():
    model, shape = SMALL["used twice, tied"]
    mask = random_mask(model)
    table = flops.count(model, torch.zeros(shape), mask=Mask({"second.weight": mask.keep["first.weight"]}))
    assert table.loc["first.weight", ["uses", "weights", "kept"]].tolist() == [2, 16, mask.counts["first.weight"]]
    # After summing over channels and rows 4 columns are left, so 2 x 1 products for each weight.
    assert table.loc["first.weight", "macs_kept"] == 2 * mask.counts["first.weight"]
    # A mask says nothing of the convolution, used at 8 x 8 and 4 x 4 places.
    assert table.loc["conv.weight", ["uses", "macs_kept"]].tolist() == [2, 36 * (64 + 16)]


@pytest.mark.parametrize("name", ["LeNet", "conv3d", "used twice, tied"])
def test_null_a_full_mask_is_dense_and_an_empty_one_nothing(name):
    model, shape = SMALL[name]
    full = Mask({parameter: torch.ones(w.shape, dtype=torch.bool) for parameter, w in prunable(model).items()})
    empty = Mask({parameter: ~keep for parameter, keep in full.keep.items()})
    dense, nothing = (flops.count(model, torch.zeros(shape), mask=mask) for mask in (full, empty))
    assert dense.equals(flops.count(model, torch.zeros(shape)))
    assert (nothing[["kept", "macs_kept", "flops_kept"]] == 0).all(axis=None)
    assert nothing[["macs_dense", "uses"]].equals(dense[["macs_dense", "uses"]])


def test_products_outside_of_layers_have_a_row_of_their_own():
    table = flops.count(Attention(), torch.zeros(2, 5, 3), mask=random_mask(Attention(), sparsity=1.0))
    assert table.loc["embed.weight", ["macs_dense", "macs_kept"]].tolist() == [5 * 12, 0]
    assert table.loc["other", ["macs_dense", "macs_kept"]].tolist() == [5 * 16 + 25 * 4] * 2
    assert table.loc["all", "flops_dense"] * 2 == by_torch(Attention(), torch.zeros(2, 5, 3))


def test_a_layer_that_is_not_called_has_weights_and_no_operations():
    model = nn.Sequential(nn.Linear(3, 2))
    model[0].spare = nn.Linear(2, 2)
    assert flops.count(model, torch.zeros(1, 3)).loc["0.spare.weight"].tolist() == [4, 4, 0, 0, 0, 0, 0]


class Calls(nn.Module):
    def __init__(self, part, call):
        super().__init__()
        self.layer, self.part, self.call = nn.Linear(3, 3), part, call

    def forward(self, x):
        return self.call(self.part, self.layer(x))


def recurrent(kind):
    return kind(3, 4, batch_first=True), lambda part, x: part(x)[0]


# name: (part, its call, multiply-adds for one of two examples of 5 rows and 3 columns)
FUSED = {
    "LSTM": (*recurrent(nn.LSTM), 5 * 4 * 4 * (3 + 4)),
    "GRU": (*recurrent(nn.GRU), 5 * 3 * 4 * (3 + 4)),
    "RNN": (*recurrent(nn.RNN), 5 * 4 * (3 + 4)),
    "attention": (
        nn.MultiheadAttention(3, 1, batch_first=True),
        lambda part, x: part(x, x, x)[0],
        5 * 27 + 2 * 75 + 45,
    ),
    "attention function": (None, lambda _, x: functional.scaled_dot_product_attention(x, x, x), 2 * 75),
    "transformer": (
        nn.TransformerEncoderLayer(3, 1, 7, batch_first=True),
        lambda part, x: part(x),
        5 * 27 + 2 * 75 + 45 + 2 * 5 * 21,
    ),
    "dot": (None, lambda _, x: x.flatten().dot(x.flatten()), 15),
    "products with vectors": (None, lambda _, x: torch.stack([one @ one[0] for one in x]), 15),
}


@pytest.mark.parametrize("name", FUSED)
def test_what_torch_computes_in_one_kernel_is_counted_by_hand(name):
    part, call, expected = FUSED[name]
    model = Calls(part, call)
    fast, mkldnn = torch.backends.mha.get_fastpath_enabled(), torch._C._get_mkldnn_enabled()
    table = flops.count(model, torch.zeros(2, 5, 3))
    assert table.loc["all", "macs_dense"] - table.loc["layer.weight", "macs_dense"] == expected
    assert (torch.backends.mha.get_fastpath_enabled(), torch._C._get_mkldnn_enabled()) == (fast, mkldnn)


def test_the_output_projection_of_attention_is_counted_under_the_mask():
    model = nn.MultiheadAttention(4, 2, batch_first=True)
    table = flops.count(Calls4(model), torch.zeros(2, 5, 4), mask=Mask({"part.out_proj.weight": torch.eye(4).bool()}))
    assert table.loc["part.out_proj.weight", ["uses", "macs_dense", "macs_kept"]].tolist() == [1, 5 * 16, 5 * 4]


class Calls4(nn.Module):
    def __init__(self, part):
        super().__init__()
        self.part = part

    def forward(self, x):
        return self.part(x, x, x)[0]


@pytest.mark.parametrize(
    ("part", "call", "kernel"),
    [
        (nn.Bilinear(3, 3, 2), lambda part, x: part(x, x), "_trilinear"),
        (None, lambda _, x: torch.cdist(x, x), "_cdist_forward"),
    ],
)
def test_what_cannot_be_counted_has_a_row_that_says_so(part, call, kernel):
    table = flops.count(Calls(part, call), torch.zeros(2, 5, 3))
    assert table.index[-2:].tolist() == [f"not counted: {kernel}", "all"]
    assert table.loc[f"not counted: {kernel}", ["uses", "macs_dense"]].tolist() == [1, 0]
    assert table.loc["all", "macs_dense"] == table.loc["layer.weight", "macs_dense"] == 45


def test_wrapped_models_are_counted_with_the_mask():
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    mask = random_mask(model)
    expected = flops.count(model, torch.zeros(3, 4), mask=mask)
    for wrapped in (nn.DataParallel(model), torch.compile(model, backend="eager")):
        assert flops.count(wrapped, torch.zeros(3, 4), mask=mask).equals(expected)


class Noisy(nn.Module):
    """Draws random numbers even in eval mode, and fails on demand."""

    def __init__(self):
        super().__init__()
        self.layer, self.norm, self.fails = nn.Linear(3, 3), nn.BatchNorm1d(3), False

    def forward(self, x):
        assert not torch.is_grad_enabled() and not self.training
        if self.fails:
            raise RuntimeError("broken")
        return self.norm(functional.dropout(self.layer(x), 0.5, training=True))


@pytest.mark.parametrize("fails", [False, True])
def test_the_model_is_left_as_it_was(fails):
    model = Noisy()
    model.fails = fails
    model.norm.eval()
    model.layer.register_forward_hook(lambda module, args, output: output[..., :3])
    state = {name: value.clone() for name, value in model.state_dict().items()}
    random = torch.get_rng_state()
    if fails:
        with pytest.raises(RuntimeError, match="broken"):
            flops.count(model, torch.zeros(2, 3))
    else:
        flops.count(model, torch.zeros(2, 3))
    assert len(model.layer._forward_hooks) == 1 and not model.norm._forward_hooks
    assert (model.training, model.layer.training, model.norm.training) == (True, True, False)
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_hook_of_the_callers_that_changes_the_output_does_not_change_the_count():
    model = nn.Linear(3, 4)
    model.register_forward_hook(lambda module, args, output: output.repeat(5, 1))
    assert flops.count(model, torch.zeros(2, 3)).loc["weight", "macs_dense"] == 12


class Lazy(nn.Linear):
    def forward(self, x):
        return x.new_zeros(*x.shape[:-1], self.out_features)


class Pooling(nn.Module):
    """Works on the batch as a whole."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, x):
        return self.layer(x.mean(0, keepdim=True))


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: flops.count(nn.Linear(3, 2), torch.zeros(0, 3)), r"example must hold at least one sample"),
        (lambda: flops.count(nn.Linear(3, 2), torch.tensor(1.0)), r"example must hold at least one sample"),
        (lambda: flops.count(Lazy(3, 2), torch.zeros(2, 3)), "model must do .* 24 FLOPs expected .* saw 0"),
        (lambda: flops.count(Pooling(), torch.zeros(2, 3)), "example must be one row: the work of these 2 is not"),
        (
            lambda: flops.count(nn.Linear(3, 2), torch.zeros(2, 3), mask=Mask({"x": torch.ones(1) > 0})),
            "model has no parameter 'x'",
        ),
    ],
)
def test_errors_name_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()

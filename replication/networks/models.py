"""The papers' networks as torch modules.

Paper B's networks take images (n, channels, rows, columns) and return logits (n, classes), in float32 on the CPU. Their
weights are drawn from N(0, 2 / fan_out) with fan_out = outputs x kernel area (Kaiming-normal for ReLU), and their
biases are zero. The weights depend on `seed` only; the global generator is not used. Layers have names such as "conv1"
for the labels of figures. All functions raise ValueError for sizes that are too small, and TypeError for sizes that
are not integers.
"""

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from replication.networks.ensemble import MLPBatch, initialise


def sigmoid_mlp(inputs: int, hidden: int, outputs: int, *, scale: float = 0.1, seed: int = 0) -> nn.Sequential:
    """Return paper A's small network, with one hidden layer and sigmoid units, in float64.

    Weights and biases are drawn from N(0, scale^2) by `ensemble.initialise`. The weights are named "0.weight" (hidden,
    inputs) and "2.weight" (outputs, hidden).

    Parameters
    ----------
    inputs, hidden, outputs : int
        Numbers of inputs, hidden units and outputs, at least 1.
    scale : float, default 0.1
        Standard deviation of the initial weights and biases.
    seed : int, default 0
        Seed of the initial values.

    Returns
    -------
    Sequential

    Raises
    ------
    ValueError
        If a size is below 1, or `scale` is not positive.
    """
    return from_ensemble(initialise((inputs, hidden, outputs), 1, seed=seed, scale=scale), 0)


def from_ensemble(ensemble: MLPBatch, index: int) -> nn.Sequential:
    """Return a copy of one network of an ensemble as a torch module.

    Parameters
    ----------
    ensemble : MLPBatch
        B networks.
    index : int
        Number of the network, from 0.

    Returns
    -------
    Sequential
        In float64, on the device of the ensemble.

    Raises
    ------
    ValueError
        If the index is outside 0 to B - 1.
    """
    if not 0 <= index < len(ensemble):
        raise ValueError(f"index must lie in 0..{len(ensemble) - 1}, got {index}")
    inputs, hidden, outputs = ensemble.sizes
    options = {"dtype": torch.float64, "device": ensemble.w1.device}
    last = nn.Sigmoid() if ensemble.output == "sigmoid" else nn.Softmax(-1)
    model = nn.Sequential(
        nn.Linear(inputs, hidden, **options),
        nn.Sigmoid(),
        nn.Linear(hidden, outputs, **options),
        last,
    )
    values = {"0.weight": ensemble.w1, "0.bias": ensemble.b1, "2.weight": ensemble.w2, "2.bias": ensemble.b2}
    model.load_state_dict({name: value[index] for name, value in values.items()})
    return model


def legcnet_mnist(*, seed: int) -> nn.Sequential:
    """Return paper A's network for MNIST, 784-50-30-10 with sigmoids and a softmax, 41,000 weights, float32.

    Inputs are images as rows (n, 784), outputs are probabilities (n, 10). The layers have the authors' names fc1, fc2
    and fc4. The initial values are those of `torch_default_`, and with seeds 1 to 4 those that the authors released.

    Parameters
    ----------
    seed : int
        Seed of the initial values.

    Returns
    -------
    Sequential
    """
    with torch.device("meta"):
        layers = OrderedDict(
            fc1=nn.Linear(784, 50),
            sigmoid1=nn.Sigmoid(),
            fc2=nn.Linear(50, 30),
            sigmoid2=nn.Sigmoid(),
            fc4=nn.Linear(30, 10),
            softmax=nn.Softmax(-1),
        )
    return torch_default_(nn.Sequential(layers).to_empty(device="cpu"), torch.Generator().manual_seed(seed))


def torch_default_(model: nn.Module, generator: torch.Generator) -> nn.Module:
    """Draw weights and biases of linear layers in place as torch's constructors do, but from `generator`.

    They are uniform within +-1 / sqrt(fan_in). The numbers are the same as after `torch.manual_seed`.

    Parameters
    ----------
    model : Module
        The model.
    generator : Generator
        Generator of the numbers.

    Returns
    -------
    Module
        The same model.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.kaiming_uniform_(module.weight, a=5**0.5, generator=generator)
            if module.bias is not None:
                bound = module.in_features**-0.5
                nn.init.uniform_(module.bias, -bound, bound, generator=generator)
    return model


def mlp(sizes: Sequence[int], *, seed: int) -> nn.Sequential:
    """Return fully connected layers with ReLU between them, which flatten images.

    Parameters
    ----------
    sizes : sequence of int
        Numbers of units of the layers, from the inputs to the classes.
    seed : int
        Seed of the initial weights.

    Returns
    -------
    Sequential

    Raises
    ------
    TypeError, ValueError
        If there are fewer than two sizes, or a size is no integer or below 1.
    """
    if len(sizes) < 2:
        raise ValueError(f"sizes must have at least 2 entries, inputs and outputs, got {list(sizes)}")
    for size in sizes:
        _check("sizes", size)
    layers = OrderedDict(flatten=nn.Flatten())
    with torch.device("meta"):
        for i in range(1, len(sizes)):
            layers[f"fc{i}"] = nn.Linear(sizes[i - 1], sizes[i])
            layers[f"relu{i}"] = nn.ReLU()
    layers.popitem()  # no ReLU after the logits
    return _initialise(nn.Sequential(layers), seed)


def lenet(in_channels: int, size: int, classes: int, *, seed: int) -> nn.Sequential:
    """Return paper B's LeNet for images of size x size: convolutions of 20 and 50 channels, kernel 5, then 500 units.

    It has 430,500 weights for MNIST (1, 28, 10) and 656,500 for CIFAR-10 (3, 32, 10). Each convolution is followed by
    max-pooling over 2 x 2 and then ReLU, which reduces the work of ReLU to a quarter. The other order has the same
    outputs and gradients, because max(relu(a), relu(b)) = relu(max(a, b)), and both gradients are zero where all values
    are negative.

    Parameters
    ----------
    in_channels : int
        Number of channels of the images.
    size : int
        Number of rows and of columns, at least 16.
    classes : int
        Number of classes.
    seed : int
        Seed of the initial weights.

    Returns
    -------
    Sequential

    Raises
    ------
    TypeError, ValueError
        If a size is no integer or too small.
    """
    _check("in_channels", in_channels)
    _check("size", size, 16)
    _check("classes", classes)
    left = ((size - 4) // 2 - 4) // 2
    with torch.device("meta"):
        layers = OrderedDict(
            conv1=nn.Conv2d(in_channels, 20, 5),
            pool1=nn.MaxPool2d(2),
            relu1=nn.ReLU(),
            conv2=nn.Conv2d(20, 50, 5),
            pool2=nn.MaxPool2d(2),
            relu2=nn.ReLU(),
            flatten=nn.Flatten(),
            fc1=nn.Linear(50 * left**2, 500),
            relu3=nn.ReLU(),
            fc2=nn.Linear(500, classes),
        )
    return _initialise(nn.Sequential(layers), seed)


def alexnet32(in_channels: int, size: int, classes: int, *, seed: int) -> nn.Sequential:
    """Return paper B's AlexNet for images of about 32 x 32: five convolutions, two layers of 4096 units, dropout 0.5.

    It has 23,201,472 weights for CIFAR-10 (3, 32, 10). Kernels, strides and padding are those of the authors' code,
    including the second convolution's kernel of 2. In their code dropout is active in evaluation, here it is not.
    Max-pooling precedes ReLU as in `lenet`. Dropout draws from the global generator of its device.

    Parameters
    ----------
    in_channels : int
        Number of channels of the images.
    size : int
        Number of rows and of columns, at least 11.
    classes : int
        Number of classes.
    seed : int
        Seed of the initial weights.

    Returns
    -------
    Sequential

    Raises
    ------
    TypeError, ValueError
        If a size is no integer or too small.
    """
    _check("in_channels", in_channels)
    _check("size", size, 11)
    _check("classes", classes)
    left = ((size + 1) // 2 // 2 + 1) // 2 // 2
    with torch.device("meta"):
        layers = OrderedDict(
            conv1=nn.Conv2d(in_channels, 64, 3, stride=2, padding=1),
            pool1=nn.MaxPool2d(2),
            relu1=nn.ReLU(),
            conv2=nn.Conv2d(64, 192, 2, padding=1),
            pool2=nn.MaxPool2d(2),
            relu2=nn.ReLU(),
            conv3=nn.Conv2d(192, 384, 3, padding=1),
            relu3=nn.ReLU(),
            conv4=nn.Conv2d(384, 256, 3, padding=1),
            relu4=nn.ReLU(),
            conv5=nn.Conv2d(256, 256, 3, padding=1),
            pool5=nn.MaxPool2d(2),
            relu5=nn.ReLU(),
            flatten=nn.Flatten(),
            dropout1=nn.Dropout(0.5),
            fc1=nn.Linear(256 * left**2, 4096),
            relu6=nn.ReLU(),
            dropout2=nn.Dropout(0.5),
            fc2=nn.Linear(4096, 4096),
            relu7=nn.ReLU(),
            fc3=nn.Linear(4096, classes),
        )
    return _initialise(nn.Sequential(layers), seed)


def resnet18(in_channels: int, classes: int, *, seed: int) -> nn.Sequential:
    """Return paper B's ResNet-18 for small images, without batch norm and with biases.

    It has a 3 x 3 stem, stages of 64, 128, 256 and 512 channels, and 11,164,352 weights for CIFAR-10 (3, 10). The
    shortcut of a stage that begins with stride 2 is a 1 x 1 convolution. The last layer's input is the mean over all
    positions, so images may have any size. Without normalisation the initial logits are large: for inputs from N(0, 1)
    the initial cross-entropy is 7 to 24 (five seeds) instead of log 10 = 2.3.

    Parameters
    ----------
    in_channels : int
        Number of channels of the images.
    classes : int
        Number of classes.
    seed : int
        Seed of the initial weights.

    Returns
    -------
    Sequential

    Raises
    ------
    TypeError, ValueError
        If a size is no integer or below 1.
    """
    return _resnet(in_channels, classes, stages=(64, 128, 256, 512), blocks=2, norm=False, seed=seed)


def resnet20(in_channels: int, classes: int, *, seed: int) -> nn.Sequential:
    """Return ResNet-20 for small images, with batch norm and stages of 16, 32 and 64 channels.

    It has 270,896 weights for CIFAR-10 (3, 10). The shortcut of a stage that begins with stride 2 is a 1 x 1
    convolution with batch norm (option B of He et al.), as in the code of paper B's follow-up. The network of He et al.
    has option A, which adds no weights.

    Parameters
    ----------
    in_channels : int
        Number of channels of the images.
    classes : int
        Number of classes.
    seed : int
        Seed of the initial weights.

    Returns
    -------
    Sequential

    Raises
    ------
    TypeError, ValueError
        If a size is no integer or below 1.

    References
    ----------
    He et al. (2016), Deep residual learning for image recognition, section 4.2.
    """
    return _resnet(in_channels, classes, stages=(16, 32, 64), blocks=3, norm=True, seed=seed)


class _BasicBlock(nn.Module):
    """Two 3 x 3 convolutions with a shortcut (He et al., 2016, figure 2)."""

    def __init__(self, inputs: int, outputs: int, stride: int, norm: bool):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=not norm)
        self.norm1 = nn.BatchNorm2d(outputs) if norm else nn.Identity()
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=not norm)
        self.norm2 = nn.BatchNorm2d(outputs) if norm else nn.Identity()
        self.shortcut = nn.Identity()
        if stride != 1:
            shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=not norm)
            self.shortcut = nn.Sequential(shortcut, nn.BatchNorm2d(outputs)) if norm else shortcut

    def forward(self, x: Tensor) -> Tensor:
        inner = functional.relu(self.norm1(self.conv1(x)))
        return functional.relu(self.norm2(self.conv2(inner)) + self.shortcut(x))


def _resnet(
    in_channels: int, classes: int, *, stages: Sequence[int], blocks: int, norm: bool, seed: int
) -> nn.Sequential:
    _check("in_channels", in_channels)
    _check("classes", classes)
    with torch.device("meta"):
        layers = OrderedDict(conv=nn.Conv2d(in_channels, stages[0], 3, padding=1, bias=not norm))
        if norm:
            layers["norm"] = nn.BatchNorm2d(stages[0])
        layers["relu"] = nn.ReLU()
        width = stages[0]
        for stage, outputs in enumerate(stages, start=1):
            for block in range(1, blocks + 1):
                stride = 2 if stage > 1 and block == 1 else 1
                layers[f"stage{stage}block{block}"] = _BasicBlock(width, outputs, stride, norm)
                width = outputs
        layers |= {"pool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(), "fc": nn.Linear(width, classes)}
    return _initialise(nn.Sequential(layers), seed)


def _initialise(model: nn.Sequential, seed: int) -> nn.Sequential:
    """Allocate and initialise a model from the meta device, where its construction draws no random numbers."""
    model.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu", generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()  # scale 1, shift 0, running mean 0 and variance 1
    return model


def _check(name: str, value: int, least: int = 1) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")

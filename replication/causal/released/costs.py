"""What a run that answers a released figure costs, from the epochs of its protocol and measured seconds per epoch."""

from collections.abc import Iterable
from dataclasses import dataclass

from replication.causal.released.figures import Figure, ReleasedFigures

#: Figures of networks that another group's figures describe too, and the group that says how they were trained.
_TRAINED_AS = {"lenet": "lenet_cifar10_accuracy", "resnet20": "resnet20_accuracy"}
_MEASURED_ON = ("hessian_eigenvalues", "noise_tolerance")
# The released settings of LeNet do not repeat it: one recorded epoch before each cut, as in the script for ResNet-20.
_LENET_RECORDED = 1


@dataclass(frozen=True)
class Pace:
    """Seconds that one training epoch took here, and on how many CPU cores."""

    seconds: float
    cores: int


#: Measured on two cores with bfloat16; LeNet with two networks side by side, each on one core. Those of the networks
#: that were not trained here are from the median of five steps of 256 images. An epoch of Tiny ImageNet has eight times
#: the pixels of one of CIFAR-10.
PACES = {
    ("lenet", "cifar10"): Pace(25.0, 1),
    ("lenet", "mnist"): Pace(11.0, 1),
    ("resnet20", "cifar10"): Pace(60.0, 2),
    ("resnet18", "cifar10"): Pace(262.0, 2),
    ("resnet56", "cifar10"): Pace(82.0, 2),
    ("vgg-like", "cifar10"): Pace(186.0, 2),
    ("vgg-like", "tinyimagenet"): Pace(8 * 186.0, 2),
}
# ResNet-18's training, and the recorded epochs of its 20 cuts, as the scripts for its eigenvalues have them.
_RESNET18 = {"causal": 500 + 20 * 10, "magnitude": 400, "dense": 410}
_ONE_PATH = ("vgg_cifar10_before_retraining", "vgg_tinyimagenet_before_retraining")


def epochs(figure: Figure, released: ReleasedFigures) -> int | None:
    """Epochs of training and recording for the network behind one figure, None where they are not known.

    Epochs of a network that the authors started from are not counted.
    """
    group = _training_group(figure)
    settings, iterations = released.settings.get(group, {}), figure.details.get("iterations")
    if group == "resnet20_accuracy" or group == "resnet20_accuracy_mean":
        settings = released.settings["resnet20_accuracy"]
        if figure.method == "dense":
            return settings["dense_epochs"]
        recorded = settings["recorded_epochs"] * iterations if figure.method == "causal" else 0
        return settings["trained_epochs_in_all"][f"{figure.method} {iterations}"] + recorded
    if group == "resnet20_ablation":
        training = figure.details["pre_epochs"] + settings["epochs_between"] * (iterations - 1)
        return training + settings["final_epochs"] + figure.details["recorded_epochs"] * iterations
    if group == "lenet_cifar10_accuracy":
        trained = settings["trained_epochs_in_all"].get(figure.method)
        recorded = _LENET_RECORDED * iterations if figure.method == "causal" else 0
        return None if trained is None else trained + recorded
    if figure.network == "resnet18":
        return _RESNET18[figure.method]
    if group in ("lenet_mnist", "vgg_cifar10_final", "vgg_tinyimagenet_final"):
        cuts = settings["iterations"]
        training = settings.get("pre_epochs", 0) + settings["epochs_between"] * (cuts - 1) + settings["final_epochs"]
        return training + settings["recorded_epochs"] * cuts
    if group == "fit_log_lenet_sklearn":  # the epochs are the script's default, and the records those after three cuts
        return 10 + 3 * (10 + 1)
    if group == "lenet_cifar10_not_retrained":
        return released.settings["lenet_cifar10_accuracy"]["pre_epochs"] + _LENET_RECORDED * iterations
    if group in ("resnet20_cifar10_filed_under_vgg", "resnet20_cifar10_short_retraining"):
        filed = released.settings["resnet20_cifar10_filed_under_vgg"]
        retrained = released.settings["resnet20_cifar10_short_retraining"]["retraining"]["epochs"]
        cuts = figure.details["after_iteration"]
        return filed["epochs_between"] * (cuts - 1) + filed["recorded_epochs"] * cuts + retrained
    if group in _ONE_PATH:
        cuts = figure.details["after_iteration"]
        recorded = (
            settings["recorded_epochs"] if "recorded_epochs" in settings else settings["recording"]["recorded_epochs"]
        )
        return settings.get("pre_epochs", 0) + settings["epochs_between"] * (cuts - 1) + recorded * cuts
    if group == "vgg_cifar10_retrained" or (group, figure.details.get("version")) == (
        "vgg_tinyimagenet_retrained",
        "v4",
    ):
        return settings["retraining"]["epochs"]
    if group in ("shrinkbench_resnet20", "shrinkbench_resnet56"):
        return figure.details["retraining_epochs"] if "after" in figure.quantity else 0
    return None


def hours(figure: Figure, released: ReleasedFigures) -> float | None:
    """Wall-clock hours of training on the cores of `PACES`, one run, None where they cannot be stated."""
    pace, needed = PACES.get((figure.network, figure.dataset)), epochs(figure, released)
    return None if pace is None or needed is None else needed * pace.seconds / 3600


def network(figure: Figure) -> tuple[object, ...]:
    """The trained network behind a figure: figures of one network have to be paid for once.

    Eigenvalues and noise were measured on the networks of the first repetition. Curves after each cut are of one
    network.
    """
    names = ("iterations", "after_iteration", "pre_epochs", "recorded_epochs", "compression_asked", "version")
    repetition = 1 if figure.repetition is None else figure.repetition
    details = tuple(figure.details.get(name) for name in names)
    if figure.method == "dense" or figure.group in _ONE_PATH:
        details = (None,) * len(names)
    sparsity = 0.0 if figure.group in _ONE_PATH else figure.sparsity or 0.0
    return _training_group(figure), figure.network, figure.dataset, figure.method, sparsity, repetition, *details


def core_hours(figures: Iterable[Figure], released: ReleasedFigures) -> dict[str, tuple[int, float]]:
    """Networks with a known cost and their hours times cores in all, by network name; each network counts once."""
    known: dict[tuple[object, ...], tuple[str, float]] = {}
    for figure in figures:
        needed = hours(figure, released)
        if needed and figure.quantity != "test_accuracy_mean":  # its repetitions are figures too
            cores = PACES[figure.network, figure.dataset].cores
            spent = max(needed * cores, known.get(network(figure), ("", 0.0))[1])
            known[network(figure)] = (figure.network, spent)
    found: dict[str, tuple[int, float]] = {}
    for name, spent in known.values():
        count, total = found.get(name, (0, 0.0))
        found[name] = (count + 1, total + spent)
    return found


def cost_note(figure: Figure, released: ReleasedFigures, *, networks: int = 1) -> str:
    """The cost of the networks behind a figure in a few words, with the epochs that it follows from."""
    pace, needed = PACES.get((figure.network, figure.dataset)), epochs(figure, released)
    if pace is None:
        return "cost not stated: no epoch of this network was timed here"
    if needed is None:
        return "cost not stated: its epochs are not known"
    if needed == 0:
        return "no training beyond the start"
    subject = "its network takes" if networks == 1 else f"its {networks} networks take"
    spent = networks * needed * pace.seconds / 3600
    return f"{subject} {networks * needed} epochs, about {spent:.2g} h on {pace.cores} core{'s'[: pace.cores - 1]}"


def _training_group(figure: Figure) -> str:
    return _TRAINED_AS.get(figure.network, figure.group) if figure.group in _MEASURED_ON else figure.group

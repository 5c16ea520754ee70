"""Search of a pilot's grid under a budget, by Optuna: few networks of many settings, more of the promising ones."""

import math
import sys
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from typing import Any

from ccprune._pilot._runs import DENSE, Network, Plan, stored_start, train
from ccprune._util.inputs import count_samples, rows

_SETTING = ("method", "schedule", "sparsity")

Choice = Mapping[str, Hashable]


@dataclass(frozen=True)
class SearchResult:
    """Result of a search.

    Attributes
    ----------
    setting : mapping of name to value
        The entry of the grid that was chosen.
    difference : float
        Its mean difference from the dense network over the repetitions on which it was chosen.
    repetitions, tried : int
        Number of these repetitions, and of settings of which at least one was measured.
    spent : float
        Cost of what was measured.
    """

    setting: Choice
    difference: float
    repetitions: int
    tried: int
    spent: float


def search(
    grid: Sequence[Choice],
    measure: Callable[[Choice, int], float],
    utility: Callable[[Choice, float], float],
    *,
    repetitions: int,
    budget: float,
    price: Callable[[Choice | None, int], float],
    sampler: str = "tpe",
    seed: int = 0,
    progress: Callable[[float], None] = lambda spent: None,
) -> SearchResult:
    """Search a grid of settings for the largest utility, under a budget.

    A setting is first measured in one repetition. With "tpe", those whose utility is not among the better half are
    stopped by successive halving (Jamieson and Talwalkar 2016) after 1, 2, 4, ... repetitions, and settings are
    suggested by the tree-structured Parzen estimator (Bergstra et al. 2011). With "random" they are drawn at random,
    and all repetitions of each are measured. Of the settings with the most repetitions the best is chosen.

    Parameters
    ----------
    grid : sequence of {name: value}
        Settings, all with the same names. Values are text, numbers, or None where a name does not apply.
    measure : callable
        Maps a setting and a repetition (0, 1, ...) to the difference of its metric to the dense network's, in which
        larger is better. It is called once for each.
    utility : callable
        Maps a setting and its mean difference to the number that is maximised.
    repetitions : int
    budget : float
        Largest cost, in the unit of `price`.
    price : callable
        Maps a setting and a repetition to the cost of `measure`, and None and a repetition to what is paid once for
        the repetition.
    sampler : {"tpe", "random"}
    seed : int
        Seed of the sampler. The same seed and values give the same search.
    progress : callable
        Is called with the cost so far after each measurement.

    Raises
    ------
    ValueError
        If the budget does not pay for one measurement.
    """
    import optuna  # optional, and slow to import

    values: dict[int, list[float]] = {}
    spent, begun = 0.0, 0
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        if sampler == "tpe":
            options: dict[str, Any] = {"sampler": optuna.samplers.TPESampler(n_startup_trials=8, seed=seed)}
            options["pruner"] = optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=2)
        else:
            options = {"sampler": optuna.samplers.RandomSampler(seed=seed), "pruner": optuna.pruners.NopPruner()}
        study = optuna.create_study(direction="maximize", **options)
        for _ in range(20 * len(grid)):  # settings that are suggested again cost nothing
            trial = study.ask()
            place = _choose_place(trial, grid)
            for count in range(1, repetitions + 1):
                if len(values.get(place, ())) < count:
                    cost = price(grid[place], count - 1) + (price(None, count - 1) if count > begun else 0.0)
                    if spent + cost > budget:
                        return _best(grid, values, utility, spent, budget)
                    values.setdefault(place, []).append(measure(grid[place], count - 1))
                    spent, begun = spent + cost, max(begun, count)
                    progress(spent)
                worth = utility(grid[place], _mean(values[place][:count]))
                trial.report(worth, count)
                if count < repetitions and trial.should_prune():
                    study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                    break
            else:
                study.tell(trial, worth)
    finally:
        optuna.logging.set_verbosity(verbosity)
    return _best(grid, values, utility, spent, budget)


def _choose_place(trial: Any, grid: Sequence[Choice]) -> int:
    """Return the place of a setting, whose values are suggested name by name, among those that still occur."""
    left = list(range(len(grid)))
    for name in grid[0]:
        choices = list(dict.fromkeys(grid[place][name] for place in left))
        if len(choices) > 1:  # a parameter of Optuna has the same choices in all trials
            value = trial.suggest_categorical(f"{name} of {choices}", choices)
            left = [place for place in left if grid[place][name] == value]
    return left[0]


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if all(map(math.isfinite, values)) else -math.inf


def _best(
    grid: Sequence[Choice], values: Mapping[int, list[float]], utility: Any, spent: float, budget: float
) -> SearchResult:
    if not values:
        raise ValueError(f"budget must pay for one measurement, got {budget:g}")
    most = max(map(len, values.values()))
    full = [place for place, found in values.items() if len(found) == most]
    best = max(full, key=lambda place: utility(grid[place], _mean(values[place])))
    return SearchResult(grid[best], _mean(values[best]), most, len(values), spent)


def sparsest(margin: float) -> Callable[[Choice, float], float]:
    """Return the pilot's utility: the sparsity if the difference is at least -margin, else how far it is below that."""
    return lambda setting, difference: (
        float(setting["sparsity"]) if difference >= -margin else max(difference + margin, -1e9)  # type: ignore[arg-type]
    )


def narrow(plan: Plan, share: float, *, progress: bool) -> tuple[Plan, dict[str, Any]]:
    """Search a plan at a share of its cost, in epochs of training, and return the plan of what was chosen.

    The search trains networks of other seeds and measures them on the first half of the validation samples. The
    returned plan measures the chosen setting, and random masks beside it, on the second half.
    """
    x, y = plan.data.validation
    count, setting = count_samples(x), plan.setting
    first, second = (
        replace(
            plan,
            inputs=name + plan.inputs,  # beside the units of the whole grid
            data=replace(plan.data, validation=(rows(x, chosen, count=count), rows(y, chosen, count=count))),
        )
        for name, chosen in (("s", slice(0, None, 2)), ("r", slice(1, None, 2)))
    )
    seeds = [seed + len(plan.seeds) for seed in plan.seeds]
    begun = cache(partial(stored_start, first))

    def value(network: Network, seed: int) -> float:
        key = first.key(seed, *network)
        row = first.units.get(key, lambda: [{"validation": train(first, begun(seed), seed, network).curve[-1]}])
        return plan.sign * row[0]["validation"]

    def measure(choice: Choice, repetition: int) -> float:
        network: Any = tuple(choice.values())
        return value(network, seeds[repetition]) - value((DENSE, "", 0.0), seeds[repetition])

    budget = share * len(seeds) * (setting.before + setting.after * len(plan.networks))

    def report(spent: float) -> None:
        if progress:
            print(f"pilot: searched {spent:g} of {budget:g} epochs", file=sys.stderr, flush=True)

    found = search(
        [dict(zip(_SETTING, network, strict=True)) for network in plan.networks[1:]],
        measure,
        sparsest(plan.margin),
        repetitions=len(seeds),
        budget=budget,
        price=lambda choice, _: setting.after if choice else setting.before + setting.after,
        seed=plan.seeds[0],
        progress=report,
    )
    method, schedule, sparsity = map(found.setting.get, _SETTING)
    criteria: Any = dict.fromkeys((method, *({"random"} & set(setting.criteria))))
    chosen: Any = {"schedules": (schedule,), "sparsities": (sparsity,)}
    return replace(second, setting=replace(setting, criteria=tuple(criteria)), **chosen), asdict(found)

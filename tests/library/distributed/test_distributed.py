"""Two processes, started by torchrun, against one: what `worker.py` found is held against the ordinary library's."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

if not (torch.distributed.is_available() and torch.distributed.is_gloo_available()):
    pytest.skip("needs torch.distributed with gloo", allow_module_level=True)

from ccprune import lasso
from ccprune.mask import Mask, prunable
from ccprune.online import OnlinePruner
from ccprune.recording import Recorder, SquaredUpdates
from ccprune.scores import WeightExponents, legcnet_of_exponents

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
import problem  # noqa: E402

sys.path.remove(str(HERE))

PAGE = Path(__file__).parents[3] / "docs" / "distributed.md"
KINDS = ("ddp", "fsdp", "one_replica", "two_replicas")
PAIRINGS = ("consecutive", "same_batch")
ELSEWHERE = "arguments were refused on another rank, whose error has the reason"
LOOPBACK = "lo0" if sys.platform == "darwin" else "lo"
BACKENDS = [
    "gloo",
    pytest.param("nccl", marks=pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")),
]


class One:
    """The same training by one process on whole batches."""

    def __init__(self, pairing):
        model = problem.network()
        optimizer = problem.optimizer(model)
        self.screen, self.momentum, self.squares = lasso.Screen(), lasso.Screen(momentum=True), SquaredUpdates()
        with Recorder(model, optimizer, [self.screen, self.momentum, self.squares], pairing=pairing) as recorder:
            problem.train(model, optimizer, recorder, problem.batches())
        every = torch.cat([score.flatten() for score in self.screen.scores.values()])
        self.alpha = float(every.quantile(0.6))


@pytest.fixture(scope="module")
def one():
    return {pairing: One(pairing) for pairing in PAIRINGS}


@pytest.fixture(scope="module", params=BACKENDS)
def two(request, one, tmp_path_factory):
    """What each of two processes found, which meet on the loopback interface, whatever networks there are."""
    out = tmp_path_factory.mktemp("ranks")
    (script,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.S)
    (out / "prune.py").write_text(script)
    alpha = json.dumps({pairing: each.alpha for pairing, each in one.items()})
    here = {"GLOO_SOCKET_IFNAME": LOOPBACK, "NCCL_SOCKET_IFNAME": LOOPBACK, "OMP_NUM_THREADS": "1"}
    launch = ["-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1", "--nproc-per-node", "2"]
    command = [sys.executable, *launch, HERE / "worker.py", request.param, out, alpha, out / "prune.py"]
    with subprocess.Popen(command, env=os.environ | here, stderr=subprocess.PIPE, text=True) as run:
        try:
            _, said = run.communicate(timeout=180)
        finally:
            run.terminate()  # not kill: torchrun then ends its processes too
    assert run.returncode == 0, said[-6000:]
    return [torch.load(out / f"{rank}.pt", weights_only=False) for rank in range(2)]


def same(a, b):
    assert a.keys() == b.keys()
    return all(torch.equal(a[name].cpu(), b[name].cpu()) for name in a)


@pytest.mark.parametrize("kind, pairing", problem.TRAINED)
def test_two_processes_score_as_one(two, one, kind, pairing):
    for found in two:
        found = found["training", kind, pairing]
        for store in ("screen", "momentum", "squares"):
            expected = getattr(one[pairing], store).scores
            assert found[store].keys() == expected.keys()
            for name, score in expected.items():
                assert float(score.max()) > 0
                torch.testing.assert_close(found[store][name], score, rtol=1e-6, atol=0)


@pytest.mark.parametrize("kind, pairing", problem.TRAINED)
def test_two_processes_mask_as_one(two, one, kind, pairing):
    screen = one[pairing].screen
    for found in two:
        found = found["training", kind, pairing]
        for allocation in ("global", "uniform"):
            expected = Mask.from_scores(screen.scores, sparsity=0.7, allocation=allocation)
            keep, counts, sparsity = found[allocation]
            assert same(keep, expected.keep)
            assert counts == expected.counts
            assert sparsity == expected.sparsity
            assert found[f"{allocation} back"]
        assert same(found["threshold"], screen.mask(one[pairing].alpha).keep)


@pytest.mark.parametrize("kind", KINDS)
def test_the_condition_is_that_of_whole_tensors(two, one, kind):
    for found in two:
        found = found["training", kind, "consecutive"]
        for scope, condition in (("global", found["condition"]), ("layer", found["by_layer"])):
            expected = one["consecutive"].screen.condition(scope=scope)
            assert condition.prediction == pytest.approx(expected.prediction, rel=1e-6)
            assert condition.spread == pytest.approx(expected.spread, rel=1e-6)
            assert (condition.tensor, condition.records) == (expected.tensor, expected.records)


@pytest.mark.parametrize("kind", KINDS)
def test_each_rank_keeps_only_its_part(two, kind):
    held = [found["training", kind, "consecutive"]["held"] for found in two]
    halves = {
        "ddp": ({"0.weight": 45, "3.weight": 70, "5.weight": 4}, {"0.weight": 45, "3.weight": 70, "5.weight": 3}),
        "fsdp": ({"0.weight": 54, "3.weight": 80, "5.weight": 7}, {"0.weight": 36, "3.weight": 60, "5.weight": 0}),
    }
    halves["one_replica"] = halves["fsdp"]
    halves["two_replicas"] = ({"0.weight": 90, "3.weight": 140, "5.weight": 7},) * 2
    assert held == list(halves[kind])


@pytest.mark.parametrize("kind", ["ddp", "fsdp", "plain"])
def test_ties_are_broken_as_on_one_process(two, kind):
    for found in two:
        for case, (scores, sparsities) in problem.tied_scores().items():
            for sparsity in sparsities:
                for allocation in ("global", "uniform"):
                    keep, kept = found["selection", kind][case, sparsity, allocation]
                    expected = Mask.from_scores(scores, sparsity=sparsity, allocation=allocation)
                    assert same(keep, expected.keep), (case, sparsity, allocation)
                    assert kept == expected.kept


@pytest.mark.parametrize("kind, pairing", problem.TRAINED)
def test_pruned_weights_stay_zero_under_momentum_and_decay(two, kind, pairing):
    for found in two:
        found = found["training", kind, pairing]
        keep = found["uniform"][0]
        for name, kept in keep.items():
            prefix = "module." if kind == "ddp" else ""
            before, after = found["masked"][prefix + name], found["trained"][prefix + name]
            assert not after[~kept.cpu()].any()
            assert after[kept.cpu()].all()
            assert (before != after)[kept.cpu()].all()


@pytest.fixture(scope="module")
def exponents():
    store = problem.exponents(problem.network(), Recorder, WeightExponents)
    return legcnet_of_exponents(store, max_lag=1)


@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
def test_exponents_of_parts_score_and_mask_as_those_of_one_process(two, exponents, kind):
    every = torch.cat([score.flatten() for score in exponents.values()])
    assert every.std() > 0.1
    for found in two:
        scores, keep, _ = found["legcnet", kind]
        for name, score in exponents.items():
            torch.testing.assert_close(scores[name], score, rtol=1e-6, atol=1e-6)
        assert same(keep, Mask.from_scores(exponents, sparsity=0.5).keep)
    held = {"ddp": [119, 118], "fsdp": [141, 96]}
    assert [found["legcnet", kind][2] for found in two] == held[kind]


@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
def test_a_loss_that_does_not_change_scores_nothing(two, kind):
    for found in two:
        largest, keep = found["nothing", kind]
        assert largest == 0.0
        zeros = {name: torch.zeros(weight.shape) for name, weight in prunable(problem.network()).items()}
        assert same(keep, Mask.from_scores(zeros, sparsity=0.3).keep)


def test_what_is_sent_is_what_the_page_says(two):
    for found in two:
        sent, tensors = found["traffic"], 3
        ends = [("all_gather", 8 * tensors), ("all_reduce", 8 * tensors)]
        agreed = ("all_reduce", 144)
        assert sent["steps"] == [agreed, *[("all_reduce", 8)] * 5]
        assert sent["global"] == [agreed, *[("all_reduce", 2048)] * 8, *ends]
        assert sent["uniform"] == [agreed, *[("all_reduce", 2048 * tensors)] * 8, *ends]
        assert sent["gather"] == [("all_gather", size) for size in (3 * 18, 4 * 20, 7)]  # the larger shards
        assert sent["condition"] == [agreed, ("all_reduce", 8 * 4 * tensors)]  # of 4 records
        assert sent["enforce"] == []


def test_errors_name_the_argument_on_every_rank(two):
    messages = {
        "no group": "model needs a process group: call torch.distributed.init_process_group first",
        "dimension 1": r"'weight' must be sharded once, on dimension 0, got \(Shard\(dim=1\),\)",
        "mixed": "all sharded or all replicated, got '0.weight' and '3.weight'",
        "differ": "'weight' must be sharded by fully_shard or the same on all ranks",
        "other model": "'0.weight' must be sharded as in the layout",
        "other names": r"weights of the layout, it lacks \['0.weight', '3.weight', '5.weight'\]",
        "no scores": "scores must name at least one",
        "sparsity": r"sparsity must lie in \[0, 1\], got 1.5",
        "allocation": r"allocation must be one of \('global', 'uniform'\), got 'all'",
        "size": r"scores\['0.weight'\] must be of this rank's Part\(.*got shape \(9,\)",
        "nan": rf"scores\['0.weight'\] holds NaN|{ELSEWHERE}",
        "loss": "loss of step 4 is (inf; the 2 records before it are kept|not finite)",
    }
    for found in two:
        found = dict(found["errors"])
        records = found.pop("records")
        count = found.pop("one left out")
        assert re.search(
            f"number of records must be the same on all ranks, got [{records}{records + 1}] on this", count
        )
        assert found.keys() == messages.keys()
        for case, message in messages.items():
            assert re.search(message, found[case]), (case, found[case])


def test_arguments_that_differ_between_ranks_are_errors_on_all(two):
    differ, shape = "must be the same on all ranks, got", r"must be of this rank's Part"
    messages = {
        "choices": (f"weights that only and skip choose {differ} .*0.weight",) * 2,
        "unknown choice": (ELSEWHERE, r"skip must name .*, got \['4.w'\]"),
        "sparsities": (f"sparsity {differ} 0.25 on", f"sparsity {differ} 0.5 on"),
        "sparsity of one": (ELSEWHERE, r"sparsity must lie in \[0, 1\], got 1.5"),
        "allocations": (f"allocation {differ} 'global'", f"allocation {differ} 'uniform'"),
        "orders": (f"names of scores {differ} .*0.weight", f"names of scores {differ} .*5.weight"),
        "masks": (f"mask {differ}",) * 2,
        "pairings": (f"pairing {differ} 'same_batch'", f"pairing {differ} 'consecutive'"),
        "settings": (f"settings {differ} .*10", f"settings {differ} .*11"),
        "windows": (rf"settings {differ} .*'window', 6", rf"settings {differ} .*'window', 7"),
        "alphas": (rf"alphas {differ} \[1.0\]", rf"alphas {differ} \[1.0, 2.0\]"),
        "tensors": (f"name {differ} .*0.weight", f"name {differ} .*3.weight"),
        "a size of one": (rf"part\['0.weight'\] {shape}",) * 2,
        "trainer": ("GradualPruner works in one process; ccprune.distributed prunes in several",) * 2,
    }
    for rank, found in enumerate(two):
        assert found["disagreements"].keys() == messages.keys()
        for case, expected in messages.items():
            assert re.search(expected[rank], found["disagreements"][case]), (case, found["disagreements"][case])


@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
def test_layers_that_are_left_out_are_neither_recorded_nor_pruned(two, kind):
    for found in two:
        assert found["chosen", kind] == ({"3.weight": 70}, [0, 0, 70, 0, 0, 0])


def test_the_page_s_script_runs(two):
    if "script" not in two[0]:
        pytest.skip("the script is for CPUs as it stands")
    assert [found["script"] for found in two] == ["147 of 1472 weights stay\n", ""]


def test_the_page_s_table_follows_from_its_formulas():
    lines = re.findall(r"^\| (\d+e9 .*) \|$", PAGE.read_text(), flags=re.M)
    assert len(lines) == 6
    for line in lines:
        cells = line.split(" | ")
        P, L, N = float(cells[0]), int(cells[1]), int(cells[2])
        ring = (N - 1) / N
        share = P / N / 1e9
        expected = [
            f"{(4 + 4 + 8) * share:.1f}",
            f"{(4 + 8) * share:.1f}",
            f"{(4 + 4) * share:.1f}",
            f"{share:.2f}",
            f"{(2 + 2 + 4) * P * ring / 1e9:.1f}",
            f"{2 * 8 * ring:.0f} B",
            f"{(2 * (8 * 2048 + 144 + 8 * L) * ring + 8 * L * (N - 1)) / 1e3:.0f} kB",
            f"{500 * 4 * P / 1e9:,.0f}",
        ]
        assert cells[3:] == expected


def test_a_mask_that_changes_in_training_under_ddp_is_that_of_one_process(two):
    model = problem.network()
    optimizer = problem.optimizer(model)
    with OnlinePruner(model, optimizer, **problem.ONLINE) as pruner:
        problem.train(model, optimizer, pruner, problem.batches(20))
    assert pruner.exchanges == 3
    for found in two:
        keep, exchanges, state, refused = found["online"]
        assert same(keep, pruner.mask.keep) and exchanges == pruner.exchanges
        for name, value in model.state_dict().items():
            torch.testing.assert_close(state[name], value, rtol=1e-9, atol=1e-12)
        assert all("model must be under DistributedDataParallel" in message for message in refused)
    assert same(two[0]["online"][2], two[1]["online"][2])

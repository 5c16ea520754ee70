"""What each of the two processes does that test_distributed.py starts: all scenarios, results in one file per rank."""

import json
import runpy
import sys
from contextlib import redirect_stdout
from datetime import timedelta
from functools import partial
from io import StringIO
from pathlib import Path
from unittest.mock import patch

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Shard
from torch.nn.parallel import DistributedDataParallel

from ccprune.distributed import Layout, Recorder, Screen, ShardedMask, WeightExponents
from ccprune.online import OnlinePruner
from ccprune.recording import PAIRINGS, SquaredUpdates
from ccprune.scores import legcnet_of_exponents
from ccprune.trainers import GradualPruner

sys.path.insert(0, str(Path(__file__).parent))
import problem  # noqa: E402

MESHES = {"fsdp": (2,), "one_replica": (1, 2), "two_replicas": (2, 1)}


def wrapped(kind, model, device):
    if kind == "ddp":
        return DistributedDataParallel(model)
    if kind in MESHES:
        mesh = init_device_mesh(device.type, MESHES[kind], mesh_dim_names=("replicate", "shard")[-len(MESHES[kind]) :])
        for module in (model[0], model):  # the conv a group of its own, the rest with the outermost module
            fully_shard(module, mesh=mesh)
    return model


def whole(parameter):
    value = parameter.detach()
    return (value.full_tensor() if isinstance(value, DTensor) else value).cpu().clone()


def half(x):
    rank = dist.get_rank()
    return x.chunk(2)[rank]


def training(kind, pairing, device, alpha):
    model = wrapped(kind, problem.network().to(device), device)
    optimizer = problem.optimizer(model)
    layout = Layout.from_model(model)
    screen, momentum, squares = Screen(layout), Screen(layout, momentum=True), SquaredUpdates()
    with Recorder(model, optimizer, [screen, momentum, squares], layout=layout, pairing=pairing) as recorder:
        problem.train(
            model, optimizer, recorder, [(half(x).to(device), half(y).to(device)) for x, y in problem.batches()]
        )
    found = {"held": {name: part.numel() for name, part in screen.scores.items()}}
    for name, store in (("screen", screen), ("momentum", momentum), ("squares", squares)):
        found[name] = {key: layout.gather(key, score).cpu() for key, score in store.scores.items()}
    found["condition"] = screen.condition(scope="global")
    found["by_layer"] = screen.condition()
    for allocation in ("global", "uniform"):
        mask = ShardedMask.from_scores(screen.scores, layout, sparsity=0.7, allocation=allocation)
        found[allocation] = mask.gather().keep, mask.counts, mask.sparsity
        again = ShardedMask.from_mask(mask.gather(), layout)
        found[f"{allocation} back"] = all(torch.equal(again.keep[name], keep) for name, keep in mask.keep.items())
    found["threshold"] = screen.mask(alpha[pairing]).gather().keep

    with mask.enforce(model, optimizer):
        found["masked"] = {name: whole(weight) for name, weight in model.named_parameters()}
        for x, y in problem.batches(20):
            optimizer.zero_grad()
            problem.loss(model, half(x).to(device), half(y).to(device)).backward()
            optimizer.step()
    found["trained"] = {name: whole(weight) for name, weight in model.named_parameters()}
    return found


def legcnet(kind, device):
    """Scores and mask of exponents that are computed during training, and the number that the rank holds."""
    model = wrapped(kind, problem.network().to(device), device)
    layout = Layout.from_model(model)
    parts = partial(Recorder, layout=layout), partial(WeightExponents, layout=layout)
    store = problem.exponents(model, *parts, own=half, device=device)
    scores, held = legcnet_of_exponents(store, max_lag=1), len(store.windows()[0][0])
    mask = ShardedMask.from_scores(scores, layout, sparsity=0.5)
    return {name: layout.gather(name, score).cpu() for name, score in scores.items()}, mask.gather().keep, held


def nothing(kind, device):
    """The loss never changes; and a step that changes no weight."""
    model = wrapped(kind, problem.network().to(device), device)
    layout, optimizer = Layout.from_model(model), problem.optimizer(model)
    screen = Screen(layout)
    with Recorder(model, optimizer, [screen], layout=layout, pairing="consecutive") as recorder:
        for x, y in problem.batches(4):
            optimizer.zero_grad()
            problem.loss(model, half(x).to(device), half(y).to(device)).backward()
            recorder.before_step(torch.tensor(1.5, device=device))
            optimizer.step()
    mask = ShardedMask.from_scores(screen.scores, layout, sparsity=0.3)
    return max(float(score.max()) for score in screen.scores.values() if score.numel()), mask.gather().keep


def selection(kind, device):
    """Masks of scores with many ties, infinite ones and both zeros."""
    layout = Layout.from_model(wrapped(kind, problem.network().to(device), device))
    found = {}
    for case, (scores, sparsities) in problem.tied_scores().items():
        parts = {}
        for name, score in scores.items():
            own = layout.parts[name]
            parts[name] = score.to(device).flatten()[own.start : own.stop]
        for sparsity in sparsities:
            for allocation in ("global", "uniform"):
                mask = ShardedMask.from_scores(parts, layout, sparsity=sparsity, allocation=allocation)
                found[case, sparsity, allocation] = mask.gather().keep, mask.kept
    return found


def traffic(device):
    """What recorded steps and a mask send: [(collective, bytes)]."""
    model = wrapped("fsdp", problem.network().to(device), device)
    layout, optimizer = Layout.from_model(model), problem.optimizer(model)
    screen, sent, real = Screen(layout), [], {name: getattr(dist, name) for name in ("all_reduce", "all_gather")}

    def counted(name):
        def call(*args, **options):
            tensor = args[-1]  # all_gather(found, tensor)
            sent.append((name, tensor.numel() * tensor.element_size()))
            return real[name](*args, **options)

        return call

    data = [(half(x).to(device), half(y).to(device)) for x, y in problem.batches(5)]
    calls = {}
    for name in real:
        setattr(dist, name, counted(name))
    try:
        with Recorder(model, optimizer, [screen], layout=layout, pairing="consecutive") as recorder:
            problem.train(model, optimizer, recorder, data)
        calls["steps"] = list(sent)
        for allocation in ("global", "uniform"):
            sent.clear()
            mask = ShardedMask.from_scores(screen.scores, layout, sparsity=0.5, allocation=allocation)
            calls[allocation] = list(sent)
        sent.clear()
        mask.gather()
        calls["gather"] = list(sent)
        sent.clear()
        screen.condition()
        calls["condition"] = list(sent)
        sent.clear()
        with mask.enforce(model, optimizer):
            optimizer.step()
        calls["enforce"] = list(sent)
    finally:
        for name, function in real.items():
            setattr(dist, name, function)
    return calls


def said(call, *args, **options):
    try:
        call(*args, **options)
    except (ValueError, TypeError, RuntimeError) as error:
        return str(error)
    return "no error"


def disagreements(device):
    """What each rank is told where their arguments differ; no rank waits for the other."""
    rank, found = dist.get_rank(), {}
    model = wrapped("fsdp", problem.network().to(device), device)
    layout, optimizer = Layout.from_model(model), problem.optimizer(model)
    scores = {name: part.abs() for name, part in layout.local_parts(model).items()}
    names = [*scores]
    mask = ShardedMask.from_scores(scores, layout, sparsity=0.5).gather()
    screen = Screen(layout)
    screen.update(1.0, scores)

    def make(scores=scores, sparsity=0.5, **options):
        return ShardedMask.from_scores(scores, layout, sparsity=sparsity, **options)

    found["choices"] = said(Layout.from_model, model, only=["0", "3"][: 1 + rank])
    found["unknown choice"] = said(Layout.from_model, model, skip=["3", "4.w"][rank : rank + 1])
    found["sparsities"] = said(make, sparsity=0.25 * (1 + rank))
    found["sparsity of one"] = said(make, sparsity=0.5 + rank)
    found["allocations"] = said(make, allocation=("global", "uniform")[rank])
    found["orders"] = said(make, {name: scores[name] for name in (names, names[::-1])[rank]})
    found["masks"] = said(ShardedMask.from_mask, [mask, mask.shuffle(seed=0)][rank], layout)
    found["pairings"] = said(Recorder, model, optimizer, [screen], layout=layout, pairing=PAIRINGS[rank])
    found["settings"] = said(screen.condition, max_iter=10 + rank)
    found["windows"] = said(WeightExponents, model, layout=layout, window=6 + rank)
    found["alphas"] = said(screen.masks, [1.0, 2.0][: 1 + rank])
    found["tensors"] = said(layout.gather, names[rank], scores[names[rank]])
    found["a size of one"] = said(layout.gather, names[0], scores[names[0]][:rank])
    found["trainer"] = said(GradualPruner, model, optimizer, schedule={1: 0.5})
    return found


def chosen(kind, device):
    """Training, masks and enforcement of one layer of the model."""
    model = wrapped(kind, problem.network().to(device), device)
    optimizer, layout = problem.optimizer(model), Layout.from_model(model, skip=["0", "5.weight"])
    squares = SquaredUpdates()
    with Recorder(model, optimizer, [squares], layout=layout, pairing="consecutive") as recorder:
        problem.train(
            model, optimizer, recorder, [(half(x).to(device), half(y).to(device)) for x, y in problem.batches()]
        )
    mask = ShardedMask.from_scores(squares.scores, layout, sparsity=0.5)
    with mask.enforce(model, optimizer):
        optimizer.step()
    zeros = {name: int((whole(weight) == 0).sum()) for name, weight in model.named_parameters()}
    return mask.gather().counts, list(zeros.values())


def errors(device):
    rank, mesh, found = dist.get_rank(), init_device_mesh(device.type, (2,)), {}
    across = fully_shard(nn.Linear(4, 4, bias=False).to(device), mesh=mesh, shard_placement_fn=lambda _: Shard(1))
    found["dimension 1"] = said(Layout.from_model, across)
    mixed = problem.network().to(device)
    fully_shard(mixed[0], mesh=mesh)
    found["mixed"] = said(Layout.from_model, mixed)
    torch.manual_seed(rank)
    found["differ"] = said(Layout.from_model, nn.Linear(4, 4).to(device))

    model = wrapped("fsdp", problem.network().to(device), device)
    layout, optimizer = Layout.from_model(model), problem.optimizer(model)
    found["other model"] = said(layout.local_parts, problem.network())
    found["other names"] = said(layout.local_parts, nn.Linear(4, 4))
    scores = {name: part.abs() for name, part in layout.local_parts(model).items()}
    found["no scores"] = said(ShardedMask.from_scores, {}, layout, sparsity=0.5)
    found["sparsity"] = said(ShardedMask.from_scores, scores, layout, sparsity=1.5)
    found["allocation"] = said(ShardedMask.from_scores, scores, layout, sparsity=0.5, allocation="all")
    found["size"] = said(ShardedMask.from_scores, {"0.weight": torch.zeros(9)}, layout, sparsity=0.5)
    if rank == 0:
        scores["0.weight"][0, 0, 0, 0] = torch.nan
    found["nan"] = said(ShardedMask.from_scores, scores, layout, sparsity=0.5)
    screen = Screen(layout)
    recorder = Recorder(model, optimizer, [screen], layout=layout, pairing="consecutive")
    problem.train(model, optimizer, recorder, problem.batches(3), device)
    recorder.before_step(torch.tensor(torch.inf if rank else 1.0, device=device))
    found["loss"] = said(lambda: (optimizer.step(), recorder.close()))  # a CUDA device is not waited for before closing
    found["records"] = screen.records
    if rank:
        screen.update(1.0, {name: part * 0 for name, part in layout.local_parts(model).items()})
    found["one left out"] = said(screen.condition)
    return found


def printed_by(script):
    """A script's output. It gets the group there is: a second one would find the first one's addresses in the store."""
    printed = StringIO()
    with (
        redirect_stdout(printed),
        patch.object(dist, "init_process_group") as begun,
        patch.object(dist, "destroy_process_group") as ended,
    ):
        runpy.run_path(script)
    assert begun.called and ended.called
    return printed.getvalue()


def online(device):
    """Prune while training under DDP, and be refused without it and with sharded weights."""
    model = wrapped("ddp", problem.network().to(device), device)
    optimizer = problem.optimizer(model)
    with OnlinePruner(model, optimizer, **problem.ONLINE) as pruner:
        data = [(half(x).to(device), half(y).to(device)) for x, y in problem.batches(20)]
        problem.train(model, optimizer, pruner, data)
        found = {name: keep.cpu() for name, keep in pruner.mask.keep.items()}, pruner.exchanges
    refused = []
    for kind in ("plain", "fsdp"):
        other = wrapped(kind, problem.network().to(device), device)
        refused.append(said(OnlinePruner, other, problem.optimizer(other), sparsity=0.5))
    return *found, {name: value.cpu() for name, value in model.module.state_dict().items()}, refused


def main(backend, out, alpha, script):
    without_group = said(Layout.from_model, problem.network())
    dist.init_process_group(backend, timeout=timedelta(seconds=60))
    rank = dist.get_rank()
    device = torch.device("cuda", rank) if backend == "nccl" else torch.device("cpu")
    if backend == "nccl":
        torch.cuda.set_device(device)
    found = {"errors": errors(device) | {"no group": without_group}, "traffic": traffic(device)}
    for kind, pairing in problem.TRAINED:
        found["training", kind, pairing] = training(kind, pairing, device, alpha)
    found["disagreements"] = disagreements(device)
    for kind in ("ddp", "fsdp"):
        found["chosen", kind] = chosen(kind, device)
        found["legcnet", kind] = legcnet(kind, device)
        found["nothing", kind] = nothing(kind, device)
        found["selection", kind] = selection(kind, device)
    found["selection", "plain"] = selection("plain", device)
    found["online"] = online(device)
    if backend == "gloo":
        found["script"] = printed_by(script)
    torch.save(found, Path(out) / f"{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]), sys.argv[4])

"""Deployed versions: what changed is counted by hand, a changed file is refused, and the way back is exact."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from ccprune.export import deploy, load_deployed
from ccprune.mask import Mask
from ccprune.stats import paired_difference

KEY = b"sixteen bytes or more"


def version(places, seed):
    torch.manual_seed(seed)
    model = nn.Linear(3, 2, bias=False)
    keep = torch.ones(6, dtype=torch.bool)
    keep[places] = False
    mask = Mask({"weight": keep.reshape(2, 3)})
    return mask.apply_(model), mask


def put(folder, places, seed, accuracy):
    return deploy(folder, *version(places, seed), key=KEY, measures={"accuracy": accuracy})


def test_what_changed_is_counted_and_the_way_back_is_exact(tmp_path):
    old, new = [0.9, 0.8, 0.85], [0.92, 0.85, 0.84]
    first = put(tmp_path, [0, 1], 0, old)
    assert first["measures"].empty and first["layers"].loc[0, ["pruned", "regrown"]].tolist() == [0, 0]
    changed = put(tmp_path, [1, 2, 3], 1, new)
    row = changed["layers"].iloc[0].to_dict()
    assert row == {"parameter": "weight", "weights": 6, "kept": 3, "pruned": 2, "regrown": 1}
    expected = paired_difference(new, old)
    got = changed["measures"].iloc[0]
    assert (got["difference"], got["low"], got["p_value"]) == (expected.estimate, expected.low, expected.p_value)
    assert got["difference"] == pytest.approx(np.mean(new) - np.mean(old))

    model = nn.Linear(3, 2, bias=False)
    for back, (places, seed) in ((False, ([1, 2, 3], 1)), (True, ([0, 1], 0)), (False, ([0, 1], 0))):
        mask = load_deployed(tmp_path, model, key=KEY, rollback=back)
        weights, planned = version(places, seed)
        assert torch.equal(model.weight, weights.weight) and torch.equal(mask.keep["weight"], planned.keep["weight"])
    with pytest.raises(ValueError, match="rollback must be False for the first version"):
        load_deployed(tmp_path, model, key=KEY, rollback=True)
    again = put(tmp_path, [0, 1], 0, old)  # after a return, what changed is measured from the current version
    assert again["layers"].loc[0, ["pruned", "regrown"]].tolist() == [0, 0]
    assert json.loads((tmp_path / "3.json").read_text())["previous"]["version"] == 1


@pytest.mark.parametrize("fault", ["key", "measures", "file", "exchanged", "previous"])
def test_what_was_changed_without_the_key_is_refused(tmp_path, fault):
    for seed in range(3):
        put(tmp_path, [0, 1], seed, [0.9, 0.8])
    if fault == "measures":
        path = tmp_path / "3.json"
        path.write_text(path.read_text().replace("0.8", "0.9"))
    if fault == "file":
        (tmp_path / "3.safetensors").write_bytes((tmp_path / "1.safetensors").read_bytes())
    if fault == "exchanged":  # both of a signed version under another number
        for kind in ("json", "safetensors"):
            (tmp_path / f"3.{kind}").write_bytes((tmp_path / f"1.{kind}").read_bytes())
    if fault == "previous":
        (tmp_path / "2.json").write_bytes((tmp_path / "1.json").read_bytes())
    model = nn.Linear(3, 2, bias=False)
    before = model.weight.detach().clone()
    with pytest.raises(ValueError, match="is not what was signed with this key"):
        load_deployed(
            tmp_path, model, key=b"another key of 16" if fault == "key" else KEY, rollback=fault == "previous"
        )
    assert torch.equal(model.weight, before)


def test_bad_arguments_are_refused_and_nothing_is_stored(tmp_path):
    put(tmp_path, [0], 0, [0.9, 0.8])
    files = sorted(tmp_path.iterdir())
    with pytest.raises(ValueError, match="key must be at least 16 bytes, got 3"):
        deploy(tmp_path, *version([0], 0), key=b"key", measures={})
    with pytest.raises(ValueError, match="a and b must have the same length"):
        put(tmp_path, [0], 0, [0.9, 0.8, 0.7])
    assert sorted(tmp_path.iterdir()) == files

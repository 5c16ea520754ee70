"""Atomic writing: permissions are kept, and links and devices are not replaced."""

import os
import stat

import pytest
import torch
from torch import nn

from ccprune import export
from ccprune._util.files import write_atomic
from ccprune.mask import Mask


@pytest.mark.skipif(os.name != "posix", reason="permissions and devices of POSIX")
def test_a_file_keeps_its_permissions_and_a_new_one_is_readable(tmp_path):
    path = tmp_path / "file"
    write_atomic(path, "old")
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    path.chmod(0o600)
    write_atomic(path, "new")
    assert path.read_text() == "new" and stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.skipif(os.name != "posix", reason="permissions and devices of POSIX")
def test_links_folders_and_devices_are_refused_and_left(tmp_path):
    (tmp_path / "target").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    model = nn.Linear(2, 2)
    for name in ("link", "folder", "pipe"):
        with pytest.raises(ValueError, match="path must be a new or a regular file"):
            write_atomic(tmp_path / name, "theirs")
        with pytest.raises(ValueError, match="path must be a new or a regular file"):
            export.save(tmp_path / name, model, Mask.ones_like(model))
    assert (tmp_path / "target").read_text() == "mine" and (tmp_path / "link").is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "link", "pipe", "target"]


def test_a_model_with_nan_in_a_buffer_is_saved_and_loaded(tmp_path):
    model = nn.BatchNorm1d(2)
    model.add_module("layer", nn.Linear(2, 2))
    model.running_mean.fill_(float("nan"))
    export.save(tmp_path / "model", model, Mask.ones_like(model))
    other = nn.BatchNorm1d(2)
    other.add_module("layer", nn.Linear(2, 2))
    export.load(tmp_path / "model", other)
    assert bool(torch.isnan(other.running_mean).all()) and torch.equal(other.layer.weight, model.layer.weight)

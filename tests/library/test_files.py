"""Atomic writing: permissions are kept, links and devices are not replaced, and a disk that fails loses nothing."""

import errno
import os
import stat
import tempfile
from pathlib import Path

import pytest
import torch
from torch import nn

from ccprune import export
from ccprune._util.files import write_atomic
from ccprune._util.units import Units
from ccprune.export import _file
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


class Failing:
    """Fails the n-th of the calls that change files."""

    def __init__(self, monkeypatch):
        self.left = 0
        places = [(os, "fsync"), (os, "replace"), (os, "chmod"), (tempfile, "mkstemp"), (Path, "write_bytes")]
        for owner, name in [*places, (_file, "save_file")]:
            monkeypatch.setattr(owner, name, self._counted(getattr(owner, name), name))

    def _counted(self, function, name):
        def call(*arguments, **options):
            self.left -= 1
            if self.left == 0:
                if name == "write_bytes":
                    function(arguments[0], arguments[1][: len(arguments[1]) // 2])
                raise OSError(errno.EIO, os.strerror(errno.EIO), f"planted in {name}")
            return function(*arguments, **options)

        return call


@pytest.mark.parametrize("what", ["model", "unit", "text"])
def test_a_save_that_fails_at_any_write_sync_or_rename_leaves_the_old_or_the_new_file(what, tmp_path, monkeypatch):
    own, units = nn.Linear(3, 2), Units(tmp_path, ["size"])

    def save(version):
        if what == "model":
            with torch.no_grad():
                own.weight.fill_(version)
            export.save(tmp_path / "file", own, Mask.ones_like(own))
        elif what == "unit":
            units.store({"size": 1}, [{"version": version}], commit=None, seconds=None)
        else:
            write_atomic(tmp_path / "file", str(version))

    def read():
        if what == "model":
            export.load(tmp_path / "file", own)
            return int(own.weight[0, 0])
        return units.read({"size": 1})[0]["version"] if what == "unit" else int((tmp_path / "file").read_text())

    failing, seen = Failing(monkeypatch), []
    for n in range(1, 50):
        save(1)
        failing.left = n
        try:
            save(2)
        except OSError as error:
            assert "planted" in str(error)
        if failing.left > 0:
            break  # there was no n-th call
        seen.append(read())
        assert len(list(tmp_path.iterdir())) == 1, "a temporary file was left"
        save(3)
        assert read() == 3
    assert 1 in seen[:-1] and seen == sorted(seen) and len(seen) >= 6

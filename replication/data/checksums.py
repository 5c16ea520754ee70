"""What is known of data files beforehand: the digests that authors and makers published, or that were pinned here.

A set of images in other files than its makers' (a hub's parquet, Debian's, idx files taken out of their .gz) has none:
`replication.data.Images.checksum` tells which pixels they hold.
"""

from pathlib import Path

from replication.data import _image_sources as sources
from replication.data import authors


def of_authors(relative: str) -> dict[Path, str]:
    """The pinned digest, "sha256:HEX", of the authors' file, by its path on this machine; empty if it is not here.

    Raises ValueError for another file than the authors'.
    """
    return {path: f"sha256:{authors.registry()[relative]}" for path in authors.paths(relative)}


def of_images(name: str) -> dict[Path, str]:
    """The published digest, "md5:HEX", of those files of the image set on this machine that are its makers' own.

    Raises ValueError for an unknown name.
    """
    found = sources.find(name)
    if found is None or found.source not in ("torchvision", "zip"):
        return {}
    published = _published(name)
    return {path: f"md5:{published[path.name]}" for path in sources.paths(name) if path.name in published}


def _published(name: str) -> dict[str, str]:
    """MD5 of the makers' files, by file name."""
    if name == "tiny_imagenet":
        return {Path(sources.TINY_IMAGENET_URL).name: sources.TINY_IMAGENET_MD5}
    from replication.data._torchvision import torchvision  # takes a second or two

    if name == "cifar10":
        kind = torchvision.datasets.CIFAR10
        batches = [*kind.train_list, *kind.test_list, [kind.meta["filename"], kind.meta["md5"]]]
        return dict([*batches, [kind.filename, kind.tgz_md5]])
    return dict(
        {"mnist": torchvision.datasets.MNIST, "fashion_mnist": torchvision.datasets.FashionMNIST}[name].resources
    )

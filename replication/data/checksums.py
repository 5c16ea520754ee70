"""Pinned digests of data files, from their authors or makers or from this project.

Image sets in other files than their makers' (a hub's parquet, Debian's, unpacked idx files) have no pinned digest.
`replication.data.Images.checksum` identifies their pixels.
"""

from pathlib import Path

from replication.data import _image_sources as sources
from replication.data import authors


def of_authors(relative: str) -> dict[Path, str]:
    """Return the pinned digest of one of the authors' files.

    Parameters
    ----------
    relative : str
        Path in the authors' repository.

    Returns
    -------
    dict of Path to str
        "sha256:HEX" by the path on this machine; empty if the file is not on this machine.

    Raises
    ------
    ValueError
        If the file is not one of the authors'.
    """
    return {path: f"sha256:{authors.registry()[relative]}" for path in authors.paths(relative)}


def of_images(name: str) -> dict[Path, str]:
    """Return the published digests of an image set's files on this machine.

    Parameters
    ----------
    name : str
        Name of the image set.

    Returns
    -------
    dict of Path to str
        "md5:HEX" by the path on this machine, for the files that the makers published.

    Raises
    ------
    ValueError
        If the name is unknown.
    """
    location = sources.find(name)
    if location is None or location.source not in ("torchvision", "zip"):
        return {}
    published = _published_md5s(name)
    return {path: f"md5:{published[path.name]}" for path in sources.paths(name) if path.name in published}


def _published_md5s(name: str) -> dict[str, str]:
    """Return the MD5 of the makers' files, by file name."""
    if name == "tiny_imagenet":
        return {Path(sources.TINY_IMAGENET_URL).name: sources.TINY_IMAGENET_MD5}
    from replication.data._torchvision import torchvision  # the import takes a second or two

    if name == "cifar10":
        kind = torchvision.datasets.CIFAR10
        batches = [*kind.train_list, *kind.test_list, [kind.meta["filename"], kind.meta["md5"]]]
        return dict([*batches, [kind.filename, kind.tgz_md5]])
    return dict(
        {"mnist": torchvision.datasets.MNIST, "fashion_mnist": torchvision.datasets.FashionMNIST}[name].resources
    )

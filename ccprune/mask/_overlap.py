"""Overlap of two masks."""

from ccprune._util.checks import join_first
from ccprune.mask._core import Mask


def jaccard_kept(a: Mask, b: Mask) -> float:
    """Return the Jaccard index of the kept weights: kept by both / kept by either, or 1.0 if both masks keep none.

    Parameters
    ----------
    a, b : Mask

    Raises
    ------
    ValueError
        If the masks do not name the same parameters.

    Examples
    --------
    >>> jaccard_kept(Mask({"w": torch.tensor([True, True, False])}), Mask({"w": torch.tensor([True, False, False])}))
    0.5
    """
    if a.keep.keys() != b.keep.keys():
        raise ValueError(
            f"a and b must name the same parameters, got {join_first(sorted(a.keep))} and {join_first(sorted(b.keep))}"
        )
    pairs = [(keep, b.keep[name].to(keep.device)) for name, keep in a.keep.items()]
    both = sum(int((one & other).sum()) for one, other in pairs)
    either = sum(int((one | other).sum()) for one, other in pairs)
    return both / either if either else 1.0

"""Segmentation networks: one paper, one file.

A module here defines a class of the paper's name and offers it as `Network`, and its sizes as
`SIZES`, the options of each by name: `tiny` for tests, `small` for a CPU, `base` for a GPU, and
`published` (perhaps with variants, `published_light`), the publication to the letter. It may offer
`fitted(patch, spacing_mm)`, which returns options that suit a training patch of such voxels (`tiny`
and `published` stay as they are), and `SOURCES`, the weights of others that it can begin with (see
`medseg.weights`).

Every network takes an image batch of any size and returns full-resolution logits. The class names
the bias of its last layer as `HEAD_BIAS`. If its paper supervises coarser logits too, it offers
`deep_supervision(image)`, all of them, finest first, each on a grid of its own, and their weights
in the loss as `SUPERVISION`.
"""

import inspect
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any, Final

from torch import Tensor, nn

from medseg import registry
from medseg.blocks.pooling import ISOTROPIC
from medseg.shapes import Spacing
from medseg.weights import MODEL, Report, load, unwrapped

AS_MADE: Final = ("tiny", "published")
"""How the sizes begin whose options stay as they are, whatever the patch."""


def build(
    name: str, *, in_channels: int, out_channels: int, size: str | None = None, **options: Any
) -> nn.Module:
    """Build the network that `name` names, with fresh weights.

    Args:
        name: A module of this package, such as `swin_unetr`.
        in_channels: Channels of the image.
        out_channels: Channels of the logits: labels, or regions.
        size: A named size, such as `small`; options given beside it come first.
        **options: What the network's class takes beside these.

    Raises:
        ValueError: There is no such network or size, or it refuses the options.
    """
    module = _module(name)
    sizes: dict[str, dict[str, Any]] = module.SIZES
    if size is not None and size not in sizes:
        raise ValueError(f"{name} has no size {size!r}; choose from {sorted(sizes)}")
    chosen = {**(sizes[size] if size is not None else {}), **options}
    check_options(module.Network, chosen)
    network: nn.Module = module.Network(
        in_channels=in_channels, out_channels=out_channels, **chosen
    )
    return network


def takes(name: str, option: str) -> bool:
    """Tell whether a network has an option.

    Raises:
        ValueError: There is no such network.
    """
    return option in inspect.signature(_module(name).Network).parameters


def check_options(network: type[nn.Module], options: Mapping[str, Any]) -> None:
    """Refuse options that a network does not have.

    Raises:
        ValueError: There are some.
    """
    known = set(inspect.signature(network).parameters) - {"in_channels", "out_channels"}
    unknown = sorted(set(options) - known)
    if unknown:
        raise ValueError(
            f"{network.__name__} has no option {', '.join(map(repr, unknown))}; choose from "
            f"{', '.join(sorted(known))}"
        )


def sizes(name: str) -> list[str]:
    """Return the named sizes of the network `name`, smallest first.

    Raises:
        ValueError: There is no such network.
    """
    return list(_module(name).SIZES)


def source(name: str) -> str:
    """Return what the network `name` was written from: authors, year, title, address.

    Raises:
        ValueError: There is no such network.
    """
    text = (_module(name).__doc__ or "").partition("Source:")[2]
    paragraph = text.partition("\n\n")[0].partition("Differs from")[0]
    return " ".join(paragraph.split())


def fitted(
    name: str,
    patch: tuple[int, int, int],
    *,
    spacing_mm: Spacing = ISOTROPIC,
    size: str | None = None,
) -> dict[str, Any]:
    """Return the options of the network `name` that suit training patches of `patch` voxels.

    Args:
        name: A module of this package.
        patch: Voxels along each axis.
        spacing_mm: How long a voxel is along each axis: thick slices are merged late.
        size: The named size they would change, if any. `tiny` and `published`, with its variants,
            stay as they are made: none suits those.

    Raises:
        ValueError: There is no such network.
    """
    suit = getattr(_module(name), "fitted", None)
    if suit is None or (size is not None and size.startswith(AS_MADE)):
        return {}
    return dict(suit(patch, spacing_mm))


def load_published(network: nn.Module, state: Mapping[str, Any]) -> Report:
    """Fill `network` with weights that others published, or with those of a model of medseg.

    Args:
        network: Of this package; its weights are overwritten in place.
        state: The weights by name, perhaps wrapped as training programs wrap them in a checkpoint;
            the names are those of their publisher, see `SOURCES`, or the network's own.

    Returns:
        Which names matched, which are missing, which are unexpected.

    Raises:
        ValueError: Less than nine tenths of what they are meant to fill would be filled, or they
            are not weights by name, or of attention with other heads.
    """
    module = sys.modules[type(network).__module__]
    return load(network, unwrapped(state), {**getattr(module, "SOURCES", {}), **MODEL})


def head_bias(network: nn.Module) -> Tensor:
    """Return what is added to each logit at the very end: the bias of the network's head.

    Raises:
        ValueError: The network does not say which weight that is by `HEAD_BIAS`.
    """
    name = getattr(network, "HEAD_BIAS", None)
    if name is None:
        raise ValueError(f"{type(network).__name__} has no HEAD_BIAS; name its last bias there")
    return network.get_parameter(name)


def _module(name: str) -> ModuleType:
    return registry.load(sys.modules[__name__], name)

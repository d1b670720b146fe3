"""timm's ImageNet weights, by timm's own way: from its cache, or once from its hub.

In: timm's name, with a tag or without. Out: the weights of the whole model. timm reads safetensors,
or a torch file without running anything in it (`weights_only`), and checks the hash of files that
have one in their name.
"""

from __future__ import annotations

import contextlib
import io
from typing import TYPE_CHECKING, Final

from pipeline.models.pretrained_download import reach
from pipeline.models.start import Triple, Weights

if TYPE_CHECKING:
    from timm.models import PretrainedCfg

HUB: Final = "https://huggingface.co"
FILES: Final = ("model.safetensors", "pytorch_model.bin")


def timm_weights(name: str) -> Weights:
    """The weights that timm itself would load.

    Raises:
        LookupError: timm has none of this name.
        OSError: they are not in the cache, and the hub cannot be reached.
    """
    import timm
    from timm.models import set_pretrained_check_hash

    cfg = timm.get_pretrained_cfg(name)
    place = cfg and (f"{HUB}/{cfg.hf_hub_id}" if cfg.hf_hub_id else cfg.url)
    if cfg is None or not isinstance(place, str):
        raise LookupError(f"has no weights for {name}")
    if not _is_cached(cfg):
        reach(place)
        print(f"downloading timm's weights from {place}, once", flush=True)
    set_pretrained_check_hash(True)
    with contextlib.redirect_stdout(io.StringIO()):
        model = timm.create_model(name, pretrained=True)
    return Weights(
        model.state_dict(),
        f"{_trained_on(cfg)}, timm {cfg.architecture}.{cfg.tag}".rstrip("."),
        _triple(cfg.mean),
        _triple(cfg.std),
    )


def _triple(values: tuple[float, ...]) -> Triple:
    red, green, blue = values
    return red, green, blue


def _is_cached(cfg: PretrainedCfg) -> bool:
    """Whether the hub's file is on this machine."""
    if not cfg.hf_hub_id:
        return False
    from huggingface_hub import try_to_load_from_cache

    names = [cfg.hf_hub_filename] if cfg.hf_hub_filename else FILES
    return any(isinstance(try_to_load_from_cache(cfg.hf_hub_id, name), str) for name in names)


def _trained_on(cfg: PretrainedCfg) -> str:
    """ImageNet where the tag says so, as timm's tags do."""
    return "ImageNet" if "in1k" in (cfg.tag or "") or cfg.num_classes == 1000 else "pretrained"

"""The networks of the coverage benchmark: every family of timm, torchvision's, CIFAR networks and strange ones.

A network counts as *convolutional* when its positions meet by convolution, pooling or resampling alone. One layer of
attention over positions (also local, linear or cross-covariance attention, also a pooling by attention), a product of
two activations over positions, a linear layer or a transform across positions, or a recurrence makes it another kind.
Gates and softmaxes over channels, kernels or branches do not. The rule is applied by hand, network by network.

Of every module of timm there is the smallest variant and one of each further family that the module holds; a family
that starts above 30 million parameters is narrowed by its own arguments where it takes them. Images are as small as the
network allows, mostly 96×96: what can be removed does not depend on it.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.vision import import_torchvision
from benchmarks.zoo_cifar import CIFAR
from benchmarks.zoo_strange import NOT_CONVOLUTIONAL, SHAPES, STRANGE

TIMM_CONVOLUTIONAL = """
convmixer_768_32 convnext_zepto_rms convnext_atto convnextv2_atto cs3darknet_focus_s cs3sedarknet_xdw darknet17
cspresnet50 cspresnext50 sedarknet21 cspdarknet53 darknetaa53 cspnext_tiny densenet121 densenetblur121d dla34 dla46x_c
dla60_res2net dpn48b dpn68 mobilenetv1_100 mobilenetv2_035 mobilenetv2_100 mnasnet_small semnasnet_050 spnasnet_100
mobilenet_edgetpu_100 mixnet_s efficientnet_lite0 efficientnet_b0 tf_efficientnet_b0 tinynet_e fbnetc_100
efficientnetv2_rw_t efficientnet_es fasternet_t0 fastvit_t8 focalnet_tiny_srf ghostnet_050 ghostnetv2_100
ghostnetv3_050 hardcorenas_a hgnetv2_b0 hgnet_tiny hrnet_w18_small inception_next_atto inception_resnet_v2 inception_v3
inception_v4 lcnetv2_small mambaout_femto poolformer_s12 poolformerv2_s12 convformer_s18 mobilenetv3_small_050
mobilenetv3_large_100 lcnet_035 mobilenetv4_conv_small_035 tf_mobilenetv3_small_minimal_100 fbnetv3_b nasnetalarge
nf_regnet_b0 nf_resnet26 nf_ecaresnet26 eca_nfnet_l0 pnasnet5large rdnet_tiny regnetx_002 regnety_002 regnetz_005
regnetv_040 repghostnet_050 repvit_m1 res2net50_14w_8s res2next50 resnest14d resnet10t resnet18 resnet50 resnetblur18
seresnet18 ecaresnet26t ecaresnext26t_32x4d resnetaa34d resnext50_32x4d resnetrs50 resnetv2_18 resnetv2_50
resnetv2_50x1_bit rexnet_100 rexnetr_100 selecsls42 legacy_seresnet18 legacy_seresnext26_32x4d skresnet18
skresnext50_32x4d starnet_s050 tresnet_m vgg11 vgg11_bn ese_vovnet19b_slim_dw vovnet39a eca_vovnet39b legacy_xception
xception41p mobileone_s0 gernet_s repvgg_a0 regnetz_b16 regnetz_b16_evos resnext26ts seresnext26ts eca_resnext26ts
resnet32ts resnet50_clip_gap
"""

TIMM_OTHER = """
beit_base_patch16_224@224 beitv2_base_patch16_224@224 halonet_h1@256 eca_botnext26ts_256@256 lambda_resnet26t
haloregnetz_b@224 botnet26t_256@256 bat_resnext26ts@256 gcresnext26ts gcresnet33ts gc_efficientnetv2_rw_t
cait_xxs24_224@224 coat_tiny@224 coat_lite_tiny@224 convit_tiny@224 cpubone_nano crossvit_9_240@240
crossvit_9_dagger_240@240 csatv2 davit_tiny deepseek_vit_412m@126 deit_tiny_patch16_224@224
deit_tiny_distilled_patch16_224@224 edgenext_xx_small efficientformer_l1@224 efficientformerv2_s0@224 efficientvim_m1
efficientvit_b0 efficientvit_m0@224 vit_tiny_patch16_dinov3_qkvb@256 eva02_tiny_patch14_224@224 gcvit_xxtiny@224
gemma4_vit_167m fastvit_sa12 hiera_tiny_224@224 sam2_hiera_tiny iformer_t levit_128s@224 levit_conv_128s@224
lowformer_b0 maxvit_pico_rw_256@256 coatnet_pico_rw_224@224 coatnext_nano_rw_224@224 maxxvit_rmlp_nano_rw_256@256
caformer_s18 gmlp_ti16_224@224 gmixer_12_224@224 resmlp_12_224@224 mixer_s32_224@224 mobilenetv4_hybrid_medium
mobilenetv5_300m mobilevit_xxs mobilevitv2_050 mvitv2_tiny@224 naflexvit_so150m2_patch16_reg1_gap nest_tiny@224
nextvit_small pit_ti_224@224 pvt_v2_b0 qwen3_vit_88m sequencer2d_s@224 shvit_s1 swiftformer_xs@224
swin_tiny_patch4_window7_224@224 swin_s3_tiny_224@224 swinv2_tiny_window8_256@256 swinv2_cr_tiny_224@224 tiny_vit_5m_224
tnt_s_legacy_patch16_224@224 twins_svt_small@224 twins_pcpvt_small@224 visformer_tiny@224 vit_tiny_patch16_224@224
flexivit_small@240 vit_tiny_r_s16_p8_224@224 vit_relpos_small_patch16_rpn_224@224 vit_srelpos_small_patch16_224@224
samvit_base_patch16_224@224 vitamin_small_224@224 volo_d1_224@224 xcit_nano_12_p16_224@224
"""

_SHALLOW = {"embed_dim": 192, "depth": 4, "num_heads": 3}

#: What narrows a family that has no small variant.
NARROW: dict[str, dict[str, Any]] = {
    "beit_base_patch16_224": _SHALLOW,
    "beitv2_base_patch16_224": _SHALLOW,
    "deepseek_vit_412m": _SHALLOW,
    "gemma4_vit_167m": {**_SHALLOW, "intermediate_size": 576, "position_embedding_size": 256},
    "mobilenetv5_300m": {"channel_multiplier": 0.25},
    "naflexvit_so150m2_patch16_reg1_gap": _SHALLOW,
    "nasnetalarge": {"num_features": 1056, "stem_size": 32},
    "qwen3_vit_88m": _SHALLOW,
    "samvit_base_patch16_224": {**_SHALLOW, "global_attn_indexes": (1, 3)},
    "vgg11": {"mlp_ratio": 0.125},
    "vgg11_bn": {"mlp_ratio": 0.125},
}

TORCHVISION = """
alexnet vgg11_bn resnet18 resnet50 resnext50_32x4d wide_resnet50_2 squeezenet1_1 densenet121 inception_v3 googlenet
mobilenet_v2 mobilenet_v3_small mnasnet0_5 shufflenet_v2_x0_5 efficientnet_b0 efficientnet_v2_s regnet_x_400mf
regnet_y_400mf convnext_tiny segmentation.lraspp_mobilenet_v3_large segmentation.deeplabv3_mobilenet_v3_large
segmentation.fcn_resnet50 video.r3d_18 video.r2plus1d_18 vit_b_32@224 swin_t swin_v2_t maxvit_t@224
"""

_TORCHVISION_OTHER = ("vit_b_32", "swin_t", "swin_v2_t", "maxvit_t")


@dataclass(frozen=True)
class Network:
    """One network: ``zoo/name``, a factory with random weights, and its inputs' shapes for one example."""

    name: str
    zoo: str
    convolutional: bool
    factory: Callable[[], nn.Module]
    shapes: tuple[tuple[int, ...], ...]

    def inputs(self, batch: int = 2, dtype: torch.dtype = torch.float64) -> tuple[Tensor, ...]:
        """Random inputs ``(batch, *shape)``, normal, from a generator of their own."""
        generator = torch.Generator().manual_seed(0)
        return tuple(torch.randn(batch, *shape, generator=generator, dtype=dtype) for shape in self.shapes)


def networks() -> tuple[Network, ...]:
    """All of them; nothing is built or imported before a factory is called."""
    found = [
        *(_timm(entry, convolutional=True) for entry in TIMM_CONVOLUTIONAL.split()),
        *(_timm(entry, convolutional=False) for entry in TIMM_OTHER.split()),
        *(_torchvision(entry) for entry in TORCHVISION.split()),
        *(Network(f"cifar/{name}", "cifar", True, make, ((3, 32, 32),)) for name, make in CIFAR.items()),
    ]
    for name, make in STRANGE.items():
        shapes = SHAPES.get(name, ((3, 16, 16),))
        found.append(Network(f"strange/{name}", "strange", name not in NOT_CONVOLUTIONAL, make, shapes))
    return tuple(found)


def named(name: str) -> Network:
    """The network of that name. Raises KeyError when there is none."""
    return {network.name: network for network in networks()}[name]


def _timm(entry: str, convolutional: bool) -> Network:
    name, _, size = entry.partition("@")
    shapes = ((3, int(size or 96), int(size or 96)),)
    return Network(f"timm/{name}", "timm", convolutional, partial(_make_timm, name), shapes)


def _make_timm(name: str) -> nn.Module:
    import_torchvision()  # timm asks for its operators
    timm: Any = importlib.import_module("timm")
    model: nn.Module = timm.create_model(name, pretrained=False, **NARROW.get(name, {}))
    return model


def _torchvision(entry: str) -> Network:
    name, _, size = entry.partition("@")
    side = int(size or 96)
    shapes = ((3, 4, 32, 32),) if name.startswith("video.") else ((3, side, side),)
    return Network(
        f"torchvision/{name}", "torchvision", name not in _TORCHVISION_OTHER, partial(_make_vision, name), shapes
    )


def _make_vision(name: str) -> nn.Module:
    import_torchvision()
    package, _, function = f"torchvision.models.{name}".rpartition(".")
    make = getattr(importlib.import_module(package), function)
    arguments: dict[str, Any] = {"weights": None}
    if "segmentation" in name:
        arguments["weights_backbone"] = None
    if name in ("inception_v3", "googlenet"):
        arguments["init_weights"] = False  # the same weights, without minutes of drawing them
    model: nn.Module = make(**arguments)
    return model

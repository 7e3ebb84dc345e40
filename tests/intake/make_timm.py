# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""Exports thin networks of timm and torchvision: python make_timm.py [name ...] (needs requirements-timm.txt).

The code is theirs, the weights are random: nothing is downloaded.
"""

import sys
import warnings

import onnx
import torch
from make_torch import BATCH, KEEP, MODELS, strip
from timm.models import resnet, resnetv2
from torch_nets import set_up
from torchvision.models import resnet as torchvision_resnet


def timm_resnet(block=resnet.BasicBlock, layers=(1, 1, 1, 1), stem_type="deep", stem_width=4, **options):
    return resnet.ResNet(block, list(layers), num_classes=10, channels=(4, 4, 8, 8), stem_type=stem_type,
                         stem_width=stem_width, **options)


def timm_v2(**options):
    return resnetv2.ResNetV2([1, 1], channels=(16, 16), num_classes=10, stem_chs=8, **options)


class ThinTorchvision(torchvision_resnet.ResNet):
    """torchvision's ResNet with its 64 channels divided by 32."""

    def __init__(self, block, layers, divide=16, **options):
        self.divide = divide
        super().__init__(block, layers, num_classes=10, **options)
        self.fc = torch.nn.Linear(self.fc.in_features // divide, 10)

    def _make_layer(self, block, planes, blocks, stride=1, dilate=False):
        planes //= self.divide
        if self.inplanes == 64:
            self.inplanes = 64 // self.divide
            self.conv1 = torch.nn.Conv2d(3, self.inplanes, 7, 2, 3, bias=False)
            self.bn1 = torch.nn.BatchNorm2d(self.inplanes)
        return super()._make_layer(block, planes, blocks, stride, dilate)


T = ThinTorchvision
B, N = torchvision_resnet.BasicBlock, torchvision_resnet.Bottleneck

# file: (exporter, opset, options, network)
TABLE = {
    "torchvision-trace-op17-resnet18": (False, 17, {}, lambda: T(B, [2, 2, 2, 2], divide=32)),
    "torchvision-trace-op11-resnet18-bn": (False, 11, KEEP, lambda: T(B, [2, 2, 2, 2], divide=32)),
    "torchvision-dynamo-op18-resnet50": (True, 18, {}, lambda: T(N, [1, 2, 1, 1], divide=32)),
    "torchvision-trace-op13-dilated": (False, 13, {}, lambda: T(
        N, [1, 1, 1, 1], divide=32, replace_stride_with_dilation=[False, True, True])),
    "timm-trace-op17-resnet10t": (False, 17, {}, lambda: timm_resnet(
        stem_type="deep_tiered", avg_down=True)),
    "timm-trace-op13-seresnet": (False, 13, KEEP, lambda: timm_resnet(
        block_args=dict(attn_layer="se"))),
    "timm-trace-op17-ecaresnet": (False, 17, {}, lambda: timm_resnet(block_args=dict(attn_layer="eca"))),
    "timm-trace-op17-resnet-blurpool": (False, 17, {}, lambda: timm_resnet(
        aa_layer=__import__("timm.layers", fromlist=["BlurPool2d"]).BlurPool2d)),
    "timm-trace-op17-resnext-silu": (False, 17, {}, lambda: resnet.ResNet(
        resnet.Bottleneck, [1, 1, 1, 1], channels=(4, 4, 4, 4), num_classes=10, cardinality=2, base_width=32,
        stem_type="deep", stem_width=4, avg_down=True, act_layer=torch.nn.SiLU)),
    "timm-dynamo-op18-resnetrs": (True, 18, {}, lambda: resnet.ResNet(
        resnet.Bottleneck, [1, 1, 1, 1], channels=(2, 2, 4, 4), num_classes=10, stem_width=4, stem_type="deep",
        replace_stem_pool=True, avg_down=True, block_args=dict(attn_layer="se"))),
    "timm-trace-op17-resnetv2": (False, 17, {}, lambda: timm_v2(
        conv_layer=resnetv2.create_conv2d, norm_layer=resnetv2.BatchNormAct2d)),
    "timm-trace-op17-resnetv2-gn": (False, 17, {}, lambda: timm_v2(
        conv_layer=resnetv2.StdConv2d, norm_layer=lambda c, **k: resnetv2.GroupNormAct(c, num_groups=4, **k))),
    "timm-dynamo-op18-resnet-catavgmax": (True, 18, {}, lambda: timm_resnet(global_pool="catavgmax")),
}


def export(name, path):
    is_dynamo, opset, options, make = TABLE[name]
    seed = 1000 + list(TABLE).index(name)
    torch.manual_seed(seed)
    network = set_up(make(), seed, (3, 64, 64))
    image = torch.randn(2, 3, 64, 64)
    if is_dynamo:
        torch.onnx.export(network, (image,), str(path), dynamo=True, opset_version=opset, input_names=["input"],
                          dynamic_shapes=({0: torch.export.Dim.DYNAMIC},), external_data=False, verbose=False)
    else:
        torch.onnx.export(network, (image,), str(path), dynamo=False, opset_version=opset, input_names=["input"],
                          output_names=["logits"], dynamic_axes={"input": BATCH, "logits": BATCH}, **options)
    strip(path)


def main():
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    failed = 0
    for name in sys.argv[1:] or TABLE:
        path = MODELS / f"{name}.onnx"
        try:
            export(name, path)
            print(f"{name}: {path.stat().st_size} bytes, opset {onnx.load(path).opset_import[0].version}", flush=True)
        except Exception as error:
            failed += 1
            print(f"{name}: FAILED: {type(error).__name__}: {str(error)[:300]}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())

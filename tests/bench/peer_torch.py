# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""PyTorch's training step: LoRA-C, PEFT's own LoRA for convolutions, or all weights; eager or compiled.

The request also has: weights (.npz, see models.py), method (lora_c, peft, full), layout (first, last: channels),
compiled, lr. The update is SGD with momentum 0.9, in its fused form. Nothing else: no clipping, no weight decay, no
look at whether numbers are finite, which lorac-onnx does in each step.
"""

import os

import peer

asked = peer.request()
os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(asked["threads"])

import numpy as np  # noqa: E402 (the threads are read when the libraries are loaded)
import torch  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402


class Block(nn.Module):
    """A residual block, its BatchNorm folded; three convolutions make a bottleneck, whose stride is in the second."""

    def __init__(self, convs, downsample):
        super().__init__()
        for i, conv in enumerate(convs):
            self.add_module(f"conv{i + 1}", conv)
        self.count = len(convs)
        if downsample is not None:
            self.downsample = nn.Sequential(downsample)

    def forward(self, x):
        y = x
        for i in range(self.count):
            y = getattr(self, f"conv{i + 1}")(y)
            if i + 1 < self.count:
                y = F.relu(y)
        if hasattr(self, "downsample"):
            x = self.downsample(x)
        return F.relu(y + x)


def conv_of(weights, prefix, stride):
    M, C, k, _ = weights[prefix + ".weight"].shape
    return nn.Conv2d(C, M, k, stride, k // 2)


def block_of(weights, prefix, stride):
    count = sum(f"{prefix}.conv{i}.weight" in weights for i in (1, 2, 3))
    strides = [1, stride, 1] if count == 3 else [stride, 1]
    convs = [conv_of(weights, f"{prefix}.conv{i + 1}", strides[i]) for i in range(count)]
    short = f"{prefix}.downsample.0"
    return Block(convs, conv_of(weights, short, stride) if short + ".weight" in weights else None)


class ResNet(nn.Module):
    """The network of the file: its names say its depth, its shapes the rest."""

    def __init__(self, weights):
        super().__init__()
        imagenet = weights["conv1.weight"].shape[2] == 7
        self.conv1 = conv_of(weights, "conv1", 2 if imagenet else 1)
        self.maxpool = nn.MaxPool2d(3, 2, 1) if imagenet else nn.Identity()
        self.stages = []
        while f"layer{len(self.stages) + 1}.0.conv1.weight" in weights:
            stage, blocks = len(self.stages) + 1, []
            while f"layer{stage}.{len(blocks)}.conv1.weight" in weights:
                stride = 2 if stage > 1 and not blocks else 1
                blocks.append(block_of(weights, f"layer{stage}.{len(blocks)}", stride))
            self.add_module(f"layer{stage}", nn.Sequential(*blocks))
            self.stages.append(f"layer{stage}")
        self.fc = nn.Linear(*reversed(weights["fc.weight"].shape))

    def forward(self, x):
        x = self.maxpool(F.relu(self.conv1(x)))
        for stage in self.stages:
            x = getattr(self, stage)(x)
        return self.fc(x.mean((2, 3)))


class LoraC(nn.Module):
    """A convolution with weight W0 + s * view(B @ A): the definition of LoRA-C."""

    def __init__(self, conv, a, b, scale):
        super().__init__()
        self.register_buffer("weight", conv.weight.detach())
        self.register_buffer("bias", conv.bias.detach())
        self.A, self.B = nn.Parameter(a), nn.Parameter(b)
        self.scale, self.stride, self.padding = scale, conv.stride, conv.padding

    def forward(self, x):
        weight = self.weight + self.scale * (self.B @ self.A).view(self.weight.shape)
        return F.conv2d(x, weight, self.bias, self.stride, self.padding)


def adapted_names(weights):
    return [name[2:].removesuffix(".weight") for name in weights if name.startswith("A:")]


def make_model(weights, method):
    """The network with what the method trains set to be trained."""
    model = ResNet(weights)
    state = {name: torch.from_numpy(weights[name]) for name in model.state_dict()}
    model.load_state_dict(state)
    if method == "full":
        return model
    model.requires_grad_(False)
    if method == "peft":
        from peft import LoraConfig, get_peft_model
        return get_peft_model(model, LoraConfig(r=4, lora_alpha=8, target_modules=adapted_names(weights)))
    for name in adapted_names(weights):
        owner, _, last = name.rpartition(".")
        owner = model.get_submodule(owner)
        a, b = (torch.from_numpy(weights[f"{letter}:{name}.weight"]) for letter in "AB")
        setattr(owner, last, LoraC(getattr(owner, last), a, b, float(weights["scale"])))
    return model


def versions():
    found = {"torch": torch.__version__}
    if asked["method"] == "peft":
        import peft
        found["peft"] = peft.__version__
    return found


def main():
    torch.set_num_threads(asked["threads"])
    with np.load(asked["weights"]) as file:
        weights = dict(file)
    layout = torch.channels_last if asked["layout"] == "last" else torch.contiguous_format
    model = make_model(weights, asked["method"]).to(memory_format=layout).train()
    del weights
    x, y = (torch.from_numpy(array) for array in peer.data(asked))
    x = x.to(memory_format=layout)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=asked["lr"], momentum=0.9, fused=True)

    def loss_of(images, labels):
        return F.cross_entropy(model(images), labels)

    if asked["compiled"]:
        loss_of = torch.compile(loss_of)

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(x, y)
        loss.backward()
        optimizer.step()
        return loss.item()

    peer.measure(asked, step, versions())


main()

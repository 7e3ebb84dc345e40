# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""ResNets of every family for PyTorch, thin and short: few channels, two or three stages, inputs of about 32x32."""

import torch
import torch.nn.functional as F
from torch import nn

ACTIVATIONS = {
    "relu": lambda width: nn.ReLU(),
    "relu6": lambda width: nn.ReLU6(),
    "leaky": lambda width: nn.LeakyReLU(0.1),
    "prelu": lambda width: nn.PReLU(width, init=0.2),
    "silu": lambda width: nn.SiLU(),
    "sigmoid": lambda width: nn.Sigmoid(),
    "hardsigmoid": lambda width: nn.Hardsigmoid(),
    "hardswish": lambda width: nn.Hardswish(),
    "elu": lambda width: nn.ELU(0.8),
    "gelu": lambda width: nn.GELU(),
    "gelu-tanh": lambda width: nn.GELU(approximate="tanh"),
    "clamp": lambda width: Clamp(),
    "mish": lambda width: nn.Mish(),
}

NORMS = {
    "batch": nn.BatchNorm2d,
    "group": lambda width: nn.GroupNorm(2, width),
    "instance": lambda width: nn.InstanceNorm2d(width, affine=True),
    "none": lambda width: nn.Identity(),
}


class Clamp(nn.Module):
    def forward(self, x):
        return torch.clamp(x, -1.0, 3.0)


class SqueezeExcite(nn.Module):
    def __init__(self, width, gate="sigmoid", linear=False):
        super().__init__()
        self.linear = linear
        inner = max(2, width // 4)
        self.reduce = nn.Linear(width, inner) if linear else nn.Conv2d(width, inner, 1)
        self.expand = nn.Linear(inner, width) if linear else nn.Conv2d(inner, width, 1)
        self.gate = ACTIVATIONS[gate](width)

    def forward(self, x):
        if self.linear:  # as the first SENet code: view, two fully connected layers, view
            n, c, _, _ = x.size()
            y = F.adaptive_avg_pool2d(x, 1).view(n, c)
            return x * self.gate(self.expand(F.relu(self.reduce(y)))).view(n, c, 1, 1)
        y = x.mean((2, 3), keepdim=True)
        return x * self.gate(self.expand(F.relu(self.reduce(y))))


class PadShortcut(nn.Module):
    """Option A of the CIFAR ResNets: every second pixel, new channels zero."""

    def __init__(self, inside, outside, stride):
        super().__init__()
        self.extra, self.stride = outside - inside, stride

    def forward(self, x):
        front = self.extra // 2
        return F.pad(x[:, :, ::self.stride, ::self.stride], (0, 0, 0, 0, front, self.extra - front))


def shortcut(inside, outside, stride, kind, norm, bias=False):
    if stride == 1 and inside == outside:
        return nn.Identity()
    if kind == "A":
        return PadShortcut(inside, outside, stride)
    if kind == "D":  # average first, so that no pixel is thrown away
        pool = nn.AvgPool2d(2, stride, ceil_mode=True, count_include_pad=False) if stride > 1 else nn.Identity()
        return nn.Sequential(pool, nn.Conv2d(inside, outside, 1, bias=bias), norm(outside))
    if kind == "max":  # MaxPool 1x1 with a stride
        return nn.Sequential(nn.MaxPool2d(1, stride), nn.Conv2d(inside, outside, 1, bias=bias), norm(outside))
    return nn.Sequential(nn.Conv2d(inside, outside, 1, stride, bias=bias), norm(outside))


class Basic(nn.Module):
    def __init__(self, inside, width, stride, o):
        super().__init__()
        outside = width
        self.conv1 = nn.Conv2d(inside, width, 3, stride, 1, bias=o.bias)
        self.bn1 = o.norm(width)
        self.act1 = o.act(width)
        self.conv2 = nn.Conv2d(width, outside, 3, 1, o.dilation, dilation=o.dilation, bias=o.bias)
        self.bn2 = o.norm(outside)
        self.se = o.se(outside) if o.se else nn.Identity()
        self.down = shortcut(inside, outside, stride, o.shortcut, o.norm, o.bias)
        self.act2 = o.act(outside)

    def forward(self, x):
        y = self.act1(self.bn1(self.conv1(x)))
        y = self.se(self.bn2(self.conv2(y)))
        return self.act2(y + self.down(x))


class Bottleneck(nn.Module):
    expansion = 2

    def __init__(self, inside, width, stride, o):
        super().__init__()
        outside, inner = width * self.expansion, width * o.wide
        first = stride if o.v1_stride else 1  # v1 strides in the 1x1, v1.5 in the 3x3
        self.conv1 = nn.Conv2d(inside, inner, 1, first, bias=o.bias)
        self.bn1 = o.norm(inner)
        self.act1 = o.act(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride // first, o.dilation, dilation=o.dilation, groups=o.groups,
                               bias=o.bias)
        self.bn2 = o.norm(inner)
        self.act2 = o.act(inner)
        self.conv3 = nn.Conv2d(inner, outside, 1, bias=o.bias)
        self.bn3 = o.norm(outside)
        self.se = o.se(outside) if o.se else nn.Identity()
        self.down = shortcut(inside, outside, stride, o.shortcut, o.norm, o.bias)
        self.act3 = o.act(outside)

    def forward(self, x):
        y = self.act1(self.bn1(self.conv1(x)))
        y = self.act2(self.bn2(self.conv2(y)))
        y = self.se(self.bn3(self.conv3(y)))
        return self.act3(y + self.down(x))


class PreAct(nn.Module):
    """v2: BatchNorm and activation before each convolution, so after an Add or a MaxPool."""

    def __init__(self, inside, width, stride, o):
        super().__init__()
        self.bn1 = o.norm(inside)
        self.act1 = o.act(inside)
        self.conv1 = nn.Conv2d(inside, width, 3, stride, 1, bias=o.bias)
        self.bn2 = o.norm(width)
        self.act2 = o.act(width)
        self.drop = nn.Dropout(0.3) if o.dropout else nn.Identity()
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=o.bias)
        self.se = o.se(width) if o.se else nn.Identity()
        self.down = nn.Conv2d(inside, width, 1, stride, bias=o.bias) if stride > 1 or inside != width else None

    def forward(self, x):
        y = self.act1(self.bn1(x))
        side = x if self.down is None else self.down(y)
        y = self.conv1(y)
        y = self.conv2(self.drop(self.act2(self.bn2(y))))
        return self.se(y) + side


class Options:
    """What a block asks for; the words are those of `ResNet` below."""

    def __init__(self, **given):
        self.act = ACTIVATIONS[given.pop("act", "relu")]
        self.norm = NORMS[given.pop("norm", "batch")]
        se = given.pop("se", None)
        self.se = (lambda width: SqueezeExcite(width, **se)) if se is not None else None
        self.bias, self.shortcut, self.dropout = False, "B", False
        self.wide, self.groups, self.v1_stride, self.dilation = 1, 1, False, 1
        for name, value in given.items():
            assert hasattr(self, name), name
            setattr(self, name, value)


BLOCKS = {"basic": Basic, "bottleneck": Bottleneck, "preact": PreAct}


class ResNet(nn.Module):
    """stem: cifar, imagenet, deep, input-bn, pool-bn (BatchNorm after the MaxPool). pool: adaptive, mean, avg, view,
    reshape, flatten, conv (the head is a 1x1 convolution). end: logits, softmax, log_softmax, features (two outputs),
    argmax (two outputs), features-first. head: linear, matmul, conv, no-bias, bn-neck."""

    def __init__(self, block="basic", depths=(1, 1, 1), width=4, classes=10, channels=3, stem="cifar", pool="adaptive",
                 head="linear", end="logits", head_dropout=False, dilate_last=False, **options):
        super().__init__()
        o = Options(**options)
        kind = BLOCKS[block]
        self.pool, self.head, self.end = pool, head, end
        self.stem = self.make_stem(stem, channels, width, o, block)
        inside, stages = width, []
        for stage, depth in enumerate(depths):
            out = width << stage
            stride = 2 if stage else 1
            if dilate_last and stage == len(depths) - 1:
                stride, o.dilation = 1, 2
            for i in range(depth):
                stages.append(kind(inside, out, stride if i == 0 else 1, o))
                inside = out * getattr(kind, "expansion", 1)
        self.stages = nn.Sequential(*stages)
        self.last = nn.Sequential(o.norm(inside), o.act(inside)) if block == "preact" else nn.Identity()
        self.drop = nn.Dropout(0.2) if head_dropout else nn.Identity()
        if head == "conv":
            self.fc = nn.Conv2d(inside, classes, 1)
        elif head == "matmul":
            self.weight = nn.Parameter(torch.randn(inside, classes) / inside ** 0.5)
            self.bias = nn.Parameter(torch.randn(classes) * 0.1)
        elif head == "bn-neck":  # BatchNorm after Gemm
            self.fc = nn.Sequential(nn.Linear(inside, 2 * inside), nn.BatchNorm1d(2 * inside), nn.ReLU(),
                                    nn.Linear(2 * inside, classes))
        else:
            self.fc = nn.Linear(inside, classes, bias=head != "no-bias")

    @staticmethod
    def make_stem(stem, channels, width, o, block):
        after = [] if block == "preact" else [o.norm(width), o.act(width)]
        if stem == "imagenet":
            return nn.Sequential(nn.Conv2d(channels, width, 7, 2, 3, bias=o.bias), *after, nn.MaxPool2d(3, 2, 1))
        if stem == "ceil":
            return nn.Sequential(nn.Conv2d(channels, width, 3, 1, 0, bias=o.bias), *after,
                                 nn.MaxPool2d(3, 2, 0, ceil_mode=True))
        if stem == "deep":
            half = max(2, width // 2)
            return nn.Sequential(nn.Conv2d(channels, half, 3, 2, 1, bias=o.bias), o.norm(half), o.act(half),
                                 nn.Conv2d(half, half, 3, 1, 1, bias=o.bias), o.norm(half), o.act(half),
                                 nn.Conv2d(half, width, 3, 1, 1, bias=o.bias), *after)
        if stem == "input-bn":
            return nn.Sequential(nn.BatchNorm2d(channels), nn.Conv2d(channels, width, 3, 1, 1, bias=o.bias), *after)
        if stem == "pool-bn":
            return nn.Sequential(nn.Conv2d(channels, width, 3, 1, 1, bias=o.bias), nn.MaxPool2d(2), *after)
        if stem == "reflect":
            return nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(channels, width, 7, 2, bias=o.bias), *after)
        return nn.Sequential(nn.Conv2d(channels, width, 3, 1, 1, bias=o.bias), *after)

    def pooled(self, x):
        if self.pool == "mean":
            return x.mean([2, 3])
        if self.pool == "avg":
            return torch.flatten(F.avg_pool2d(x, x.size(3)), 1)
        if self.pool == "view":
            return F.adaptive_avg_pool2d(x, 1).view(x.size(0), -1)
        if self.pool == "reshape":
            x = F.adaptive_avg_pool2d(x, (1, 1))
            return x.reshape(x.shape[0], x.shape[1] * x.shape[2] * x.shape[3])
        if self.pool == "squeeze":
            return F.adaptive_avg_pool2d(x, 1).squeeze(-1).squeeze(-1)
        if self.pool == "flatten2":
            return x.flatten(2).mean(-1)
        if self.pool == "max":
            return torch.flatten(F.adaptive_max_pool2d(x, 1), 1)
        return torch.flatten(F.adaptive_avg_pool2d(x, (1, 1)), 1)

    def forward(self, x):
        x = self.last(self.stages(self.stem(x)))
        if self.head == "conv":
            features = self.drop(F.adaptive_avg_pool2d(x, 1))
            logits = torch.flatten(self.fc(features), 1)
        else:
            features = self.drop(self.pooled(x))
            logits = features @ self.weight + self.bias if self.head == "matmul" else self.fc(features)
        if self.end == "softmax":
            return F.softmax(logits, dim=1)
        if self.end == "log_softmax":
            return F.log_softmax(logits, dim=-1)
        if self.end == "features":
            return logits, features
        if self.end == "features-first":
            return features, logits
        if self.end == "argmax":
            return logits, logits.argmax(1)
        return logits


class Decoupled(nn.Module):
    """Preprocessing put into the graph, as vendors do: (x - mean) / std, then a resize, then the network."""

    def __init__(self, network, size=None, mode="bilinear", channels=3):
        super().__init__()
        self.network, self.size, self.mode = network, size, mode
        self.register_buffer("mean", torch.linspace(0.4, 0.5, channels).view(1, channels, 1, 1))
        self.register_buffer("std", torch.linspace(0.2, 0.3, channels).view(1, channels, 1, 1))

    def forward(self, x):
        x = (x - self.mean) / self.std
        if self.size:
            x = F.interpolate(x, self.size, mode=self.mode,
                              align_corners=False if self.mode == "bilinear" else None)
        return self.network(x)


class ChannelsLast(nn.Module):
    """Takes [N, H, W, C]: a permute in front."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        return self.network(x.permute(0, 3, 1, 2))


class Shuffle(nn.Module):
    """Split, two convolutions, Concat: a residual block with two branches of half the channels."""

    def __init__(self, width=8, classes=10):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, 2, 1)
        self.left = nn.Conv2d(width // 2, width // 2, 3, 1, 1)
        self.right = nn.Conv2d(width // 2, width // 2, 3, 1, 1)
        self.bn = nn.BatchNorm2d(width)
        self.up = nn.Conv2d(width, width, 3, 2, 1)
        self.fc = nn.Linear(2 * width, classes)

    def forward(self, x):
        x = F.relu(self.stem(x))
        left, right = torch.chunk(x, 2, dim=1)
        y = F.relu(self.bn(torch.cat([self.left(left), self.right(right)], 1)) + x)
        z = F.interpolate(F.relu(self.up(y)), scale_factor=2.0, mode="nearest")
        return self.fc(torch.cat([y, z], 1).mean((2, 3)))


class SharedWeights(nn.Module):
    """One convolution used twice."""

    def __init__(self, width=8, classes=10):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, 1, 1)
        self.conv = nn.Conv2d(width, width, 3, 1, 1)
        self.down = nn.Conv2d(width, 2 * width, 3, 2, 1)
        self.fc = nn.Linear(2 * width, classes)

    def forward(self, x):
        x = F.relu(self.stem(x))
        x = F.relu(self.conv(x) + x)
        x = F.relu(self.conv(x) + x)
        return self.fc(F.relu(self.down(x)).mean((2, 3)))


def set_up(module, seed, shape):
    """Seeded weights of a sensible size; BatchNorm with scale, shift and statistics that fit, none of them trivial."""
    torch.manual_seed(seed)
    for part in module.modules():
        if isinstance(part, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(part.weight)
            if part.bias is not None:
                nn.init.normal_(part.bias, 0, 0.1)
        elif isinstance(part, (nn.BatchNorm2d, nn.BatchNorm1d, nn.GroupNorm, nn.InstanceNorm2d)):
            nn.init.uniform_(part.weight, 0.6, 1.2)
            nn.init.normal_(part.bias, 0, 0.2)
            if hasattr(part, "momentum") and getattr(part, "track_running_stats", False):
                part.momentum = None  # a plain mean over the batches below
    module.train()
    with torch.no_grad():
        for _ in range(4):
            module(torch.randn(16, *shape))
    for part in module.modules():
        if isinstance(part, (nn.BatchNorm2d, nn.BatchNorm1d)):
            part.momentum = 0.1
    return module.eval()

# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""A thin ResNet in the PyTorch of 2020, for make_torch14.py."""

import torch
import torch.nn.functional as F
from torch import nn


class Block(nn.Module):
    def __init__(self, inside, width, stride, bottleneck, option_a, relu6):
        super().__init__()
        act = nn.ReLU6 if relu6 else nn.ReLU
        self.outside = width * 2 if bottleneck else width
        if bottleneck:
            sizes = [(inside, width, 1, 1), (width, width, 3, stride), (width, self.outside, 1, 1)]
        else:
            sizes = [(inside, width, 3, stride), (width, width, 3, 1)]
        layers = []
        for i, o, kernel, step in sizes:
            layers += [nn.Conv2d(i, o, kernel, step, kernel // 2, bias=False), nn.BatchNorm2d(o), act()]
        self.body, self.act = nn.Sequential(*layers[:-1]), act()
        self.stride, self.extra, self.side = stride, self.outside - inside, None
        if not option_a and (stride > 1 or self.extra):
            self.side = nn.Sequential(nn.Conv2d(inside, self.outside, 1, stride, bias=False),
                                      nn.BatchNorm2d(self.outside))

    def forward(self, x):
        if self.side is not None:
            side = self.side(x)
        elif self.extra:  # option A: a pool that throws pixels away, new channels zero
            side = F.avg_pool2d(x, 1, self.stride)
            side = F.pad(side, (0, 0, 0, 0, 0, self.extra))
        else:
            side = x
        return self.act(self.body(x) + side)


class ResNet(nn.Module):
    def __init__(self, bottleneck=False, option_a=False, relu6=False, view=False, dropout=False):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, 1, 1, bias=False), nn.BatchNorm2d(4), nn.ReLU())
        blocks, inside = [], 4
        for width, stride in ((4, 1), (8, 2), (16, 2)):
            blocks.append(Block(inside, width, stride, bottleneck, option_a, relu6))
            inside = blocks[-1].outside
        self.blocks = nn.Sequential(*blocks)
        self.pool = nn.AdaptiveAvgPool2d((1, 1))
        self.drop = nn.Dropout(0.2) if dropout else None
        self.fc = nn.Linear(inside, 10)
        self.view = view

    def forward(self, x):
        x = self.pool(self.blocks(self.stem(x)))
        x = x.view(x.size(0), -1) if self.view else torch.flatten(x, 1)
        return self.fc(self.drop(x) if self.drop is not None else x)


def set_up(network):
    for part in network.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight)
        elif isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.weight, 0.6, 1.2)
            nn.init.normal_(part.bias, 0, 0.2)
            part.momentum = 0.5
    network.train()
    with torch.no_grad():
        for _ in range(8):
            network(torch.randn(16, 3, 32, 32))
    return network.eval()

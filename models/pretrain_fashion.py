#!/usr/bin/env python3
# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""Train a small ResNet-14 on Fashion-MNIST and export it as ONNX.

Fine-tuning can only be shown on a network that has learnt something.  This
script makes that network, resnet14-fashion.onnx, out of the training images
that Debian's package dataset-fashion-mnist installs.  The file is committed, so
nobody needs PyTorch to use it; the script stays as the record of its making.

The test images serve the final report alone: no epoch is chosen by them.
"""

import argparse
import gzip
import math
import os
import time

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn
from torch.nn import functional as F

# Mean and standard deviation of the training pixels, scaled to 0..1.
MEAN, STD = 0.2860, 0.3530
CLASSES = 10


class BasicBlock(nn.Module):
    """The basic block of torchvision, under the same member names."""

    def __init__(self, inputs, channels, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = None
        if stride != 1 or inputs != channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, channels, 1, stride, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x):
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if self.downsample is not None:
            x = self.downsample(x)
        return self.relu(y + x)


class ResNet14(nn.Module):
    """Three stages of 16, 32 and 64 channels with two basic blocks each."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu = nn.ReLU()
        self.layer1 = nn.Sequential(BasicBlock(16, 16, 1), BasicBlock(16, 16, 1))
        self.layer2 = nn.Sequential(BasicBlock(16, 32, 2), BasicBlock(32, 32, 1))
        self.layer3 = nn.Sequential(BasicBlock(32, 64, 2), BasicBlock(64, 64, 1))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(64, CLASSES)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x):
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(torch.flatten(self.avgpool(x), 1))


def read_idx(path):
    """Read a gzip-compressed IDX file of bytes."""
    with gzip.open(path, "rb") as file:
        data = file.read()
    dimensions = [int.from_bytes(data[4 + 4 * i:8 + 4 * i], "big") for i in range(data[3])]
    return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(dimensions)


def load(folder, part):
    """Return the images [N,1,28,28] in 0..1 and the labels of one part."""
    images = read_idx(os.path.join(folder, f"{part}-images-idx3-ubyte.gz"))
    labels = read_idx(os.path.join(folder, f"{part}-labels-idx1-ubyte.gz"))
    images = torch.from_numpy(images.astype(np.float32) / 255).unsqueeze(1)
    return images, torch.from_numpy(labels.astype(np.int64))


def normalise(images):
    """Map pixels in 0..1 to the input of the network."""
    return (images - MEAN) / STD


def augment(images, generator):
    """Shift each image by up to two pixels and mirror every other one."""
    n, _, height, width = images.shape
    padded = F.pad(images, (2, 2, 2, 2))
    top = torch.randint(0, 5, (n, 1), generator=generator)
    left = torch.randint(0, 5, (n, 1), generator=generator)
    mirror = torch.rand((n, 1), generator=generator) < 0.5
    rows = top + torch.arange(height)
    columns = left + torch.where(mirror, torch.arange(width).flip(0), torch.arange(width))
    index = torch.arange(n)[:, None, None]
    return padded[index, 0, rows[:, :, None], columns[:, None, :]].unsqueeze(1)


def train(model, images, labels, arguments):
    """Train with Nesterov momentum and a cosine schedule, epoch after epoch."""
    generator = torch.Generator().manual_seed(arguments.seed)
    optimizer = torch.optim.SGD(model.parameters(), arguments.lr, momentum=0.9,
                                nesterov=True, weight_decay=arguments.weight_decay)
    per_epoch = len(images) // arguments.batch
    steps = arguments.epochs * per_epoch
    model.train()
    for epoch in range(arguments.epochs):
        start, total, correct = time.time(), 0.0, 0
        order = torch.randperm(len(images), generator=generator)
        for i in range(per_epoch):
            step = epoch * per_epoch + i
            for group in optimizer.param_groups:
                group["lr"] = arguments.lr * 0.5 * (1 + math.cos(math.pi * step / steps))
            chosen = order[i * arguments.batch:(i + 1) * arguments.batch]
            logits = model(normalise(augment(images[chosen], generator)))
            loss = F.cross_entropy(logits, labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
            correct += (logits.argmax(1) == labels[chosen]).sum().item()
        print(f"epoch {epoch + 1}: loss {total / per_epoch:.4f}, training accuracy "
              f"{100 * correct / (per_epoch * arguments.batch):.2f} %, "
              f"{time.time() - start:.0f} s", flush=True)


def export(model, path):
    """Export with BatchNormalization kept as it is used in inference.

    The exporter's default would fold BatchNormalization into the convolutions.
    Preserving the mode of a model in evaluation mode avoids that.
    """
    model.eval()
    torch.onnx.export(model, (torch.zeros(2, 1, 28, 28),), path, dynamo=False,
                      opset_version=17, input_names=["input"], output_names=["logits"],
                      dynamic_axes={"input": {0: "N"}, "logits": {0: "N"}},
                      training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=False)
    exported = onnx.load(path)
    remove_identities(exported.graph)
    onnx.save(exported, path)


def remove_identities(graph):
    """Give each BatchNormalization a beta of its own instead of an Identity.

    The two betas that meet in the sum of a residual branch and its convolved
    shortcut start equal and get equal gradients, so they stay equal.  The
    exporter stores equal initialisers once and hands them on through Identity.
    """
    constants = {t.name: t for t in graph.initializer}
    for node in [n for n in graph.node if n.op_type == "Identity"]:
        copy = graph.initializer.add()
        copy.CopyFrom(constants[node.input[0]])
        copy.name = node.output[0]
        graph.node.remove(node)


def logits_of(session, images, batch=500):
    """Run the exported network on images in 0..1."""
    parts = [session.run(None, {"input": normalise(images[i:i + batch]).numpy()})[0]
             for i in range(0, len(images), batch)]
    return torch.from_numpy(np.concatenate(parts))


def verify(model, session, path, images):
    """Check the exported file, and compare it with PyTorch."""
    exported = onnx.load(path)
    onnx.checker.check_model(exported, full_check=True)
    assert "Identity" not in {n.op_type for n in exported.graph.node}
    normalisations = [n for n in exported.graph.node if n.op_type == "BatchNormalization"]
    assert len(normalisations) == sum(isinstance(m, nn.BatchNorm2d) for m in model.modules())
    for node in normalisations:
        assert len(node.output) == 1
        assert all(a.i == 0 for a in node.attribute if a.name == "training_mode")
    for count in (1, 3, 500):
        with torch.no_grad():
            expected = model(normalise(images[:count]))
        error = (logits_of(session, images[:count]) - expected).abs().max()
        assert error < 1e-4 * expected.abs().max(), f"logits differ by {error}"
    print(f"{path}: {os.path.getsize(path)} bytes, {len(normalisations)} BatchNormalization "
          f"nodes, agrees with PyTorch to {error:.1e}")


def hazy(images, generator):
    """Lay a smooth, uneven haze of 30 to 70 % over images in 0..1."""
    density = torch.rand((len(images), 1, 4, 4), generator=generator)
    density = F.interpolate(density, images.shape[2:], mode="bilinear", align_corners=True)
    density = 0.3 + 0.4 * density
    return images * (1 - density) + 0.8 * density


def report(session, images, labels):
    """Print the accuracy on the test images, clean and degraded."""
    generator = torch.Generator().manual_seed(0)
    noise = 0.1 * torch.randn(images.shape, generator=generator)
    for name, degraded in [("clean", images), ("noise of 0.1", (images + noise).clamp(0, 1)),
                           ("haze", hazy(images, generator))]:
        correct = (logits_of(session, degraded).argmax(1) == labels).float().mean()
        print(f"test accuracy, {name}: {100 * correct:.2f} %")


def parse_arguments():
    """Describe and read the command line."""
    here = os.path.dirname(os.path.abspath(__file__))
    p = argparse.ArgumentParser(description="Train a ResNet-14 on Fashion-MNIST.")
    p.add_argument("--data", default="/usr/share/datasets/fashion-mnist", metavar="FOLDER")
    p.add_argument("--epochs", type=int, default=15)
    p.add_argument("--batch", type=int, default=128)
    p.add_argument("--lr", type=float, default=0.1)
    p.add_argument("--weight-decay", type=float, default=5e-4)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("-o", "--output", metavar="FILE",
                   default=os.path.join(here, "resnet14-fashion.onnx"))
    return p.parse_args()


def main():
    """Train, export, verify and report."""
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    torch.use_deterministic_algorithms(True)
    print(f"torch {torch.__version__}, onnx {onnx.__version__}, "
          f"onnxruntime {onnxruntime.__version__}, numpy {np.__version__}")
    model = ResNet14()
    train(model, *load(arguments.data, "train"), arguments)
    export(model, arguments.output)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = arguments.threads
    session = onnxruntime.InferenceSession(arguments.output, options,
                                           providers=["CPUExecutionProvider"])
    images, labels = load(arguments.data, "t10k")
    verify(model, session, arguments.output, images)
    report(session, images, labels)


if __name__ == "__main__":
    main()

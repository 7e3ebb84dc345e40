# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""Exports the Paddle models: python make_paddle.py [name ...] (needs requirements-paddle.txt).

paddle2onnx writes every weight as a Constant node.
"""

import pathlib
import sys
import tempfile

import onnx
import paddle
import paddle2onnx
from paddle import nn

MODELS = pathlib.Path(__file__).parent / "models"


class Block(nn.Layer):
    def __init__(self, inside, outside, stride, act, average):
        super().__init__()
        self.conv1 = nn.Conv2D(inside, outside, 3, stride, 1, bias_attr=False)
        self.bn1 = nn.BatchNorm2D(outside)
        self.conv2 = nn.Conv2D(outside, outside, 3, 1, 1, bias_attr=False)
        self.bn2 = nn.BatchNorm2D(outside)
        self.act = act()
        self.side = None
        if stride != 1 or inside != outside:
            pool = [nn.AvgPool2D(2, 2, ceil_mode=True)] if average else []
            self.side = nn.Sequential(*pool, nn.Conv2D(inside, outside, 1, 1 if average else stride, bias_attr=False),
                                      nn.BatchNorm2D(outside))

    def forward(self, x):
        y = self.bn2(self.conv2(self.act(self.bn1(self.conv1(x)))))
        return self.act(y + (self.side(x) if self.side else x))


class ResNet(nn.Layer):
    def __init__(self, act=nn.ReLU, average=False, softmax=False, dropout=False):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2D(3, 4, 3, 1, 1, bias_attr=False), nn.BatchNorm2D(4), act(),
                                  nn.MaxPool2D(3, 2, 1))
        self.stages = nn.Sequential(Block(4, 4, 1, act, average), Block(4, 8, 2, act, average),
                                    Block(8, 16, 2, act, average))
        self.pool = nn.AdaptiveAvgPool2D(1)
        self.drop = nn.Dropout(0.2) if dropout else None
        self.fc = nn.Linear(16, 10)
        self.softmax = softmax

    def forward(self, x):
        x = paddle.flatten(self.pool(self.stages(self.stem(x))), 1)
        x = self.fc(self.drop(x) if self.drop else x)
        return nn.functional.softmax(x) if self.softmax else x


# file: (opset, network, batch, options of the exporter)
TABLE = {
    "paddle-op9-resnet": (9, lambda: ResNet(), None, dict(optimize_tool="None")),
    "paddle-op13-resnetd": (13, lambda: ResNet(average=True, softmax=True, dropout=True), None, {}),
    "paddle-op17-hardswish-batch1": (17, lambda: ResNet(nn.Hardswish), 1, {}),
    "paddle-op11-unoptimised": (11, lambda: ResNet(nn.LeakyReLU), None, dict(optimize_tool="None")),
}


def set_up(network, seed):
    paddle.seed(seed)
    for part in network.sublayers():
        if isinstance(part, nn.Conv2D):
            nn.initializer.KaimingNormal()(part.weight)
        elif isinstance(part, nn.BatchNorm2D):
            nn.initializer.Uniform(0.6, 1.2)(part.weight)
            nn.initializer.Normal(0.0, 0.2)(part.bias)
            part._momentum = 0.5
    network.train()
    with paddle.no_grad():
        for _ in range(8):
            network(paddle.randn((16, 3, 32, 32)))
    network.eval()


def export(name, path):
    opset, make, batch, options = TABLE[name]
    paddle.seed(list(TABLE).index(name))
    network = make()
    set_up(network, list(TABLE).index(name))
    with tempfile.TemporaryDirectory() as folder:
        spec = [paddle.static.InputSpec((batch or -1, 3, 32, 32), "float32", "x")]
        paddle.jit.save(paddle.jit.to_static(network, input_spec=spec), f"{folder}/m")
        model = f"{folder}/m.json" if pathlib.Path(f"{folder}/m.json").exists() else f"{folder}/m.pdmodel"
        paddle2onnx.export(model, f"{folder}/m.pdiparams", str(path), opset_version=opset, verbose=False, **options)


def main():
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

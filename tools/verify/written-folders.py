"""Compares what other packages read of the checkpoints that written-folders.mjs wrote with what this package reads of them.

    python3 tools/verify/written-folders.py FOLDER

Needs torch, safetensors, compressed-tensors and gptqmodel (PyPI). Every linear is taken apart by the package's own code.
"""

import importlib.metadata
import json
import sys
from pathlib import Path

import torch
from compressed_tensors.compressors.pack_quantized.base import PackedQuantizationCompressor
from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
from gptqmodel.nn_modules.qlinear.torch import TorchLinear
from gptqmodel.quantization.awq.utils.packing_utils import dequantize_gemm
from safetensors.torch import load_file

folder = Path(sys.argv[1])


def linears(name, part):
    """The configuration, the tensors of a linear, and its weight as this package reads it."""
    tensors = load_file(folder / name / "model.safetensors")
    wanted = load_file(folder / f"{name}-dense" / "model.safetensors")
    config = json.loads((folder / name / "config.json").read_text())["quantization_config"]
    for stem in [key.removesuffix(part) for key in tensors if key.endswith(part)]:
        own = {key.removeprefix(stem): value for key, value in tensors.items() if key.startswith(stem)}
        yield config, own, wanted[stem + "weight"]


def compressed_tensors():
    for config, own, wanted in linears("compressed-tensors", "weight_packed"):
        args = QuantizationArgs(**config["config_groups"]["group_0"]["weights"])
        scheme = QuantizationScheme(targets=["Linear"], weights=args)
        own["weight_scale"] = own["weight_scale"].float()
        yield PackedQuantizationCompressor.decompress(own, scheme)["weight"] - wanted


def gptq():
    for config, own, wanted in linears("gptq", "qweight"):
        out, inputs = wanted.shape
        layer = TorchLinear(
            bits=config["bits"], group_size=config["group_size"], sym=config["sym"], desc_act=config["desc_act"],
            in_features=inputs, out_features=out, bias=False, pack_dtype=torch.int32, register_buffers=True,
        )
        for key, value in own.items():
            getattr(layer, key).copy_(value)
        layer.qzero_format(format=2)
        layer.post_init()
        layer.scales = layer.scales.float()
        yield layer.dequantize_weight().T - wanted


def awq():
    for config, own, wanted in linears("awq", "qweight"):
        dense = dequantize_gemm(own["qweight"], own["qzeros"], own["scales"].float(), 4, config["group_size"])
        yield dense.T - wanted


for read, package in [(compressed_tensors, "compressed-tensors"), (gptq, "gptqmodel"), (awq, "gptqmodel")]:
    differences = [difference.abs().max().item() for difference in read()]
    version = importlib.metadata.version(package)
    print(f"{read.__name__}, read by {package} {version}: {len(differences)} linears, largest difference {max(differences)}")

"""torch to ONNX, and fp32 to int8."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import onnx
import torch
import transformers
from description import INPUTS, OUTPUT, WEIGHTS_FILE
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.transformers.fusion_options import FusionOptions
from onnxruntime.transformers.optimizer import optimize_model

from conversion.findings import ExportRefused
from conversion.source import Source

_OPSET = 18


class Logits(torch.nn.Module):
    """A model whose only output is its logits.

    Args:
        model: The classifier.
    """

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Return ``[texts, labels]``."""
        logits: torch.Tensor = self.model(input_ids=input_ids, attention_mask=attention_mask).logits
        return logits


def load_network(source: Source) -> Logits:
    """Load the model with torch.

    Raises:
        ExportRefused: The weights cannot be read or do not belong to the configuration.
    """
    try:
        with quiet():
            model, told = transformers.AutoModelForSequenceClassification.from_pretrained(
                source.folder,
                num_labels=len(source.labels),
                attn_implementation="eager",
                dtype=torch.float32,
                output_loading_info=True,
                local_files_only=True,
                trust_remote_code=False,
            )
    except Exception as error:  # files of any kind come in, and errors of many kinds out
        raise ExportRefused(f"{source.name}: the weights cannot be loaded: {first_line(error)}") from None
    # transformers would make up what it misses, at random
    missing = sorted({*told["missing_keys"], *(str(key) for key in told["mismatched_keys"])})
    if missing:
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise ExportRefused(
            f"{source.name}: the weights lack {', '.join(missing[:5])}{more}: it was not saved as "
            f"{source.architecture}"
        )
    # the wrapper too: a module in training mode exports its dropout
    return Logits(model.eval()).eval()


def write_fp32(network: Logits, path: Path, max_length: int) -> None:
    """Write the network as ONNX, for any number of texts of up to `max_length` tokens, its GELUs fused.

    Raises:
        ExportRefused: torch cannot express it in ONNX.
    """
    ids = torch.tensor([[2, 5, 6, 7, 3], [2, 5, 3, 0, 0]])
    axes = {0: torch.export.Dim("texts"), 1: torch.export.Dim("tokens", min=2, max=max_length)}
    try:
        with quiet(), torch.inference_mode():
            torch.onnx.export(
                network,
                (ids, (ids != 0).to(torch.int64)),
                path,
                dynamo=True,
                verbose=False,
                input_names=list(INPUTS),
                output_names=[OUTPUT],
                dynamic_shapes=(axes, axes),
                opset_version=_OPSET,
                external_data=False,
            )
            fusions = FusionOptions("bert")
            fusions.enable_attention = fusions.enable_embed_layer_norm = False
            # slower on this runtime, see model_code/koelectra/classifier.py
            fusions.enable_skip_layer_norm = fusions.enable_bias_skip_layer_norm = False
            optimised = optimize_model(
                str(path),
                model_type="bert",
                num_heads=0,
                hidden_size=0,
                opt_level=0,
                optimization_options=fusions,
            )
            optimised.save_model_to_file(str(path))
    except Exception as error:  # the exporter raises whatever its passes raise
        raise ExportRefused(f"this network cannot be exported to ONNX: {first_line(error)}") from None
    onnx.checker.check_model(str(path))


def write_int8(fp32: Path, path: Path) -> None:
    """Write a network with the weights of its MatMul and Gather nodes as int8.

    Activations are quantised while it runs, by their range in the batch. Convolutions would lose by it.
    Weights keep to 7 bits, one scale per column: with 8, processors with AVX2 or AVX-512 but without VNNI
    saturate and answer wrongly (onnxruntime's page on quantisation, reduce_range).
    """
    with quiet():
        quantize_dynamic(
            fp32,
            path,
            op_types_to_quantize=["MatMul", "Gather"],
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=True,
        )


def write_split(network: Path, path: Path) -> None:
    """Write a network with its large arrays beside it, in `WEIGHTS_FILE`: loading maps them into memory."""
    onnx.save_model(
        onnx.load(network),
        path,
        save_as_external_data=True,
        all_tensors_to_one_file=True,
        location=WEIGHTS_FILE,
    )
    path.with_name(WEIGHTS_FILE).chmod(0o644)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep progress bars, hints and deprecations of the libraries off the screen; errors are raised."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def first_line(error: Exception) -> str:
    """Return the first line of an error's words, or its kind if it has none."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__

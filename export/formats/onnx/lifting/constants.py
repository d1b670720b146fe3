"""What a node makes of constants, computed by onnxruntime as it does when a file is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import torch

from export.errors import Unreadable

if TYPE_CHECKING:
    from torch import Tensor

    from export.formats.onnx.lifting.graph import Node

IR_VERSION: Final = 8


def computed(node: Node, inputs: Sequence[Tensor | None], opset: int) -> list[Tensor]:
    """The node's outputs.

    Raises:
        Unreadable: onnxruntime cannot compute them.
    """
    import onnx
    import onnxruntime

    names = [f"i{i}" if value is not None else "" for i, value in enumerate(inputs)]
    arrays = {
        name: value.numpy() for name, value in zip(names, inputs, strict=True) if value is not None
    }
    domain, _, operation = node.operation.rpartition(".")
    made = onnx.helper.make_node(
        operation, names, node.outputs, domain=domain, **dict(node.attributes)
    )
    ports = [
        onnx.helper.make_tensor_value_info(
            name, onnx.helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
        )
        for name, array in arrays.items()
    ]
    results = [onnx.ValueInfoProto(name=name) for name in node.outputs]
    domains = [onnx.helper.make_opsetid("", opset)]
    domains += [onnx.helper.make_opsetid(domain, 1)] if domain else []
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    try:
        model = onnx.helper.make_model(
            onnx.helper.make_graph([made], "constants", ports, results),
            opset_imports=domains,
            ir_version=IR_VERSION,
        )
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        found = session.run(list(node.outputs), arrays)
    except Exception as error:  # its exceptions share no base but this
        raise Unreadable(f"{node.place} of constants: {error}") from error
    return [torch.from_numpy(array.copy()) for array in found]

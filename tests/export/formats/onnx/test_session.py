"""What onnxruntime says of a file's ports."""

from __future__ import annotations

import pytest
from onnxruntime import InferenceSession

from export.errors import Unreadable
from export.formats.onnx.session import session_ports
from tests.export.formats.onnx.lifting.graphs import model_of, node


def test_a_size_that_is_not_fixed_is_named() -> None:
    model = model_of([node("Relu", "x")])
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "N"
    model.graph.output[0].type.tensor_type.elem_type = 1
    session = InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    with pytest.raises(Unreadable, match=r"size of image is not fixed: \['N', 2, 2, 3\]"):
        session_ports(session)

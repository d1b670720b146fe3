"""The cases of all operations, each worked by hand in the tests of its family."""

from __future__ import annotations

from tests.export.formats.coreml.evaluator.operations import (
    test_activations,
    test_arithmetic,
    test_normalisations,
    test_pools,
    test_products,
    test_reductions,
    test_shapes,
)

FAMILIES = (
    test_activations,
    test_arithmetic,
    test_normalisations,
    test_pools,
    test_products,
    test_reductions,
    test_shapes,
)
BY_HAND = [case for family in FAMILIES for case in family.CASES.values()]

"""Muon for convolutions: Keras's own leaves everything but matrices to AdamW.

Muon (Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks") replaces the step of a weight matrix by the
nearest orthogonal one. A convolution's kernel is taken as the matrix of (kernel² · channels, filters), as there. First
convolutions, depthwise kernels, the output layer, biases and norms are trained by AdamW, at the same rate: steps are scaled
to the size of AdamW's (Liu et al. 2025, "Muon is scalable for LLM training", section 2.2).
"""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

OUTPUT = "^dense/"  # as the blueprint calls the output layer, the only one without a stage
FEWEST = 4  # channels: a kernel with fewer sees pixels, one channel at a time, or the narrow middle of a squeeze


class Muon(keras.optimizers.Muon):  # type: ignore[misc]  # Keras ships no types
    """Keras's Muon, for kernels of convolutions too."""

    def __init__(self, learning_rate: Any, weight_decay: float, **options: Any) -> None:
        super().__init__(
            learning_rate, weight_decay=weight_decay, adam_weight_decay=weight_decay, exclude_layers=[OUTPUT], **options
        )

    def _should_use_adamw(self, variable: Any) -> bool:
        shape = variable.shape
        if len(shape) == 4:
            return bool(shape[2] < FEWEST or shape[3] == 1)
        return bool(super()._should_use_adamw(variable))

    def _muon_update_step(self, gradient: Any, variable: Any, lr: Any, m: Any) -> None:
        self.assign(m, ops.add(self.momentum * m, gradient))
        step = ops.add(gradient, self.momentum * m)
        matrix = ops.reshape(step, (-1, variable.shape[-1]))
        scale = self.rms_rate * math.sqrt(max(math.prod(variable.shape[:-1]), variable.shape[-1]))
        nearest = self.zeropower_via_newtonschulz5(matrix, self.ns_steps)
        self.assign_sub(variable, lr * scale * ops.reshape(nearest, variable.shape))

    def zeropower_via_newtonschulz5(self, x: Any, steps: int) -> Any:
        """Keras's iteration of a matrix, carried out on its small square: what it multiplies the matrix by depends on that
        alone. The same numbers but for rounding, in half the time or less for kernels, which are long."""
        tall = x.shape[0] >= x.shape[1]
        square = ops.matmul(ops.transpose(x), x) if tall else ops.matmul(x, ops.transpose(x))
        size = ops.trace(square) + 1e-14  # of the matrix, squared: 1e-7, as in Keras's
        square, factor = square / size, ops.eye(square.shape[0], dtype=x.dtype)
        for _ in range(steps):
            by = self.muon_a * ops.eye(square.shape[0], dtype=x.dtype)
            by += self.muon_b * square + self.muon_c * ops.matmul(square, square)
            factor, square = ops.matmul(factor, by), ops.matmul(ops.matmul(by, square), by)
        factor = factor * ops.rsqrt(size)
        return ops.matmul(x, factor) if tall else ops.matmul(factor, x)

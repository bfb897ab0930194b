"""Layers that stand in for Keras's while a network is trained.

They have Keras's variables under Keras's names and compute the same, so weights go from one to the other. What is handed over
is built without them.
"""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops


class Pointwise(keras.layers.Conv2D):  # type: ignore[misc]  # Keras ships no types
    """A kernel of one pixel with a stride: the pixels that it meets are picked first.

    oneDNN's gradient of such a convolution of few channels writes past its memory, and the process dies, hangs, or learns
    something else (https://github.com/uxlfoundation/oneDNN/issues/6035; seen with TensorFlow 2.21 on a processor without
    AVX-512, of fewer than 8 channels).
    """

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        down, across = self.strides
        return ops.conv(inputs[:, ::down, ::across], kernel, strides=1, padding="valid", data_format="channels_last")


class FusedBatchNormalization(keras.layers.BatchNormalization):  # type: ignore[misc]  # Keras ships no types
    """Over the channels of pictures [n, height, width, channels], on TensorFlow: in one kernel, where Keras passes over the
    pictures several times. `benchmarks/trainer.py` shows the gain."""

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        import tensorflow as tf

        scale, offset = tf.convert_to_tensor(self.gamma), tf.convert_to_tensor(self.beta)
        common = {"x": inputs, "scale": scale, "offset": offset, "epsilon": self.epsilon, "data_format": "NHWC"}
        if not training or not self.trainable:  # a frozen one keeps its statistics, as Keras has it
            mean, variance = tf.convert_to_tensor(self.moving_mean), tf.convert_to_tensor(self.moving_variance)
            return tf.raw_ops.FusedBatchNormV3(mean=mean, variance=variance, is_training=False, **common)[0]
        found, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(mean=[], variance=[], is_training=True, **common)
        # The kernel's variance is that of a sample, n / (n - 1) times Keras's: for the moving statistics it is no matter.
        self.moving_mean.assign(self.moving_mean * self.momentum + mean * (1 - self.momentum))
        self.moving_variance.assign(self.moving_variance * self.momentum + variance * (1 - self.momentum))
        return found


class Gelu(keras.layers.Activation):  # type: ignore[misc]
    """On TensorFlow, with its gradient written out: what Keras composes of elementary operations takes twice as long."""

    def __init__(self, **options: Any) -> None:
        super().__init__("gelu", **options)

    def call(self, inputs: Any) -> Any:
        import tensorflow as tf

        @tf.custom_gradient  # type: ignore[untyped-decorator, unused-ignore]
        def gelu(features: Any) -> Any:
            below = 0.5 * (1 + tf.math.erf(features * math.sqrt(0.5)))  # the normal distribution, up to here
            density = math.sqrt(0.5 / math.pi)

            def gradient(upstream: Any) -> Any:
                return upstream * (below + features * density * tf.exp(-0.5 * features * features))

            return features * below, gradient

        return gelu(inputs)

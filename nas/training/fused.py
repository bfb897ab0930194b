"""Batch normalisation in one kernel, for training on TensorFlow: Keras computes it in several passes over the pictures.

The layer has Keras's variables under Keras's names and computes the same, so weights go from one to the other; only while a
network is trained it stands in for it. What is handed over is built without it. `benchmarks/trainer.py` shows the gain.
"""

from __future__ import annotations

from typing import Any

import keras


class FusedBatchNormalization(keras.layers.BatchNormalization):  # type: ignore[misc]  # Keras ships no types
    """Over the channels of pictures [n, height, width, channels]."""

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

"""Seeds, weights and checkpoints."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from nas.training.seeds import reset_generators, seed_of
from nas.training.weights import load_checkpoint, save_checkpoint, set_weights, weights_of

pytestmark = pytest.mark.backend


def network(units: int = 3) -> keras.Model:
    pixels = keras.Input((4,))
    dropped = keras.layers.Dropout(0.5, seed=1, name="dropout")(pixels)
    return keras.Model(pixels, keras.layers.Dense(units, name="dense")(dropped))


def test_seeds_are_fixed_and_differ() -> None:
    seeds = {seed_of(*parts) for parts in [(0,), (1,), (0, 1), (1, 2), ("a",), (0, "a"), (0, "b")]}
    assert len(seeds) == 7
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert seed_of(3, "flip") == seed_of(3, "flip")


def test_random_layers_draw_by_their_parts_alone() -> None:
    model, other = network(), network()
    set_weights(other, weights_of(model))
    ones = np.ones((50, 4), "float32")

    def drawn(model: keras.Model, *parts: int) -> np.ndarray:
        reset_generators(model, *parts)
        return keras.ops.convert_to_numpy(model(ones, training=True))

    first = drawn(model, 1, 2, 3)
    model(ones, training=True)  # what was drawn meanwhile does not matter
    np.testing.assert_array_equal(drawn(model, 1, 2, 3), first)
    np.testing.assert_array_equal(drawn(other, 1, 2, 3), first)
    assert (drawn(model, 1, 2, 4) != first).any()


def test_checkpoint_brings_back_weights_optimizer_and_history(tmp_path: Path) -> None:
    model = network()
    model.compile(keras.optimizers.Adam(0.1), "mse", jit_compile=False)
    model.train_on_batch(np.ones((8, 4)), np.ones((8, 3)))
    save_checkpoint(tmp_path / "a.npz", model, model.optimizer, {"0:best": np.ones(2)}, {"epochs": [1]})
    fresh, optimizer = network(), keras.optimizers.Adam(0.1)
    optimizer.build(fresh.trainable_variables)
    found = load_checkpoint(tmp_path / "a.npz", fresh, optimizer)
    assert found is not None
    assert found[0]["0:best"].tolist() == [1, 1]
    assert found[1] == {"epochs": [1]}
    for old, new in zip(weights_of(model).values(), weights_of(fresh).values(), strict=True):
        np.testing.assert_array_equal(old, new)
    for old, new in zip(model.optimizer.variables, optimizer.variables, strict=True):
        np.testing.assert_array_equal(old.numpy(), new.numpy())


@pytest.mark.parametrize("damage", ["gone", "empty", "garbage", "cut", "one byte"])
def test_damaged_checkpoint_counts_as_none(tmp_path: Path, damage: str) -> None:
    file, model, optimizer = tmp_path / "a.npz", network(), keras.optimizers.Adam()
    optimizer.build(model.trainable_variables)
    save_checkpoint(file, model, optimizer, {}, {"epochs": []})
    content = bytearray(file.read_bytes())
    if damage == "one byte":
        content[content.index(b"now/") + 160] ^= 255
    damaged = {"empty": b"", "garbage": b"garbage" * 99, "cut": content[: len(content) // 2]}
    file.write_bytes(damaged.get(damage, content))
    if damage == "gone":
        file.unlink()
    assert load_checkpoint(file, model, optimizer) is None


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return open, ("exploded", "w")


def test_pickle_in_a_checkpoint_is_never_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    optimizer = keras.optimizers.Adam()
    np.savez(tmp_path / "a.npz", history=np.array([Bomb()], dtype=object))
    assert load_checkpoint(tmp_path / "a.npz", network(), optimizer) is None
    assert not (tmp_path / "exploded").exists()


def test_checkpoint_of_another_network_counts_as_none(tmp_path: Path) -> None:
    optimizer = keras.optimizers.Adam()
    save_checkpoint(tmp_path / "a.npz", network(3), optimizer, {}, {"epochs": []})
    assert load_checkpoint(tmp_path / "a.npz", network(5), optimizer) is None


def test_weights_of_another_network_are_refused() -> None:
    with pytest.raises(ValueError, match="another network"):
        set_weights(network(), {"0:x": np.ones(3)})


def test_a_checkpoint_with_any_flipped_bit_is_read_or_counts_as_none(tmp_path: Path) -> None:
    model = network(1)
    model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=False)
    file = tmp_path / "a.npz"
    save_checkpoint(file, model, model.optimizer, {}, {"epochs": []})
    whole, found = file.read_bytes(), set()
    for place in range(len(whole) - 400, len(whole)):  # the directory of the archive
        for bit in range(8):
            file.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :])
            found.add(load_checkpoint(file, model, model.optimizer) is None)
    assert found == {True, False}

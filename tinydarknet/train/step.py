"""One update of the weights: loss, gradients, mean over parts and ranks, loss scale, optimiser, moving average."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops
from mindspore.ops.operations.math_ops import NPUClearFloatStatusV2, NPUGetFloatStatusV2

GROWTH_FACTOR = 2.0
GROWTH_STEPS = 2000
"""Steps without overflow after which the scale doubles; both as in the reference (DynamicLossScaleManager)."""

RAW_PREFIX = "raw."
"""In a checkpoint whose weights are averages: of the weights that training itself goes on with."""

UNDECAYED_SUFFIXES = (".gamma", ".beta", ".bias")
"""Batch norm's scale and shift, and biases: no weight decay on them."""


class TrainStep(nn.Cell):
    """A feed's columns in (image columns, label int32 [B], id int64 [B]), the mean loss over all ranks out, float32.

    The batch is worked off in `parts` parts, each part every parts-th image: the very parts that as many ranks
    would see, so that one rank with n parts and n ranks compute the same step, batch norm included.
    Gradients are of loss_scale * loss, divided by loss_scale before the update; a power of two changes no bit.
    With a dynamic scale, a step whose gradients overflow on any rank changes no weight on all of them. Where arithmetic
    clamps instead of overflowing to infinity, `register` is asked.
    """

    def __init__(
        self,
        classifier: nn.Cell,
        loss: nn.Cell,
        optimizer: nn.Optimizer,
        *,
        loss_scale: float | DynamicLossScale = 1.0,
        parts: int = 1,
        world_size: int = 1,
        average: WeightAverage | None = None,
        register: OverflowRegister | None = None,
    ) -> None:
        super().__init__(auto_prefix=False)
        self.classifier = classifier
        self.loss = loss
        self.optimizer = optimizer
        self.weights = optimizer.parameters
        self.parts = parts
        self.world_size = world_size
        self.dynamic = isinstance(loss_scale, DynamicLossScale)
        self.scale = loss_scale if isinstance(loss_scale, DynamicLossScale) else Tensor(loss_scale, ms.float32)
        self.average = average
        self.register = register
        self.each = ops.HyperMap()
        self.gradient = ms.value_and_grad(self.scaled_loss, None, self.weights)
        if world_size > 1:
            self.reduce = nn.DistributedGradReducer(self.weights, mean=True, degree=world_size)
            self.sum_ranks = ops.AllReduce()

    def scaled_loss(self, scale: Tensor, *columns: Tensor) -> Tensor:
        """The loss of one part, times the loss scale."""
        return self.loss(self.classifier(*columns[:-2]), columns[-2]) * scale

    def construct(self, *columns: Tensor) -> Tensor:
        """Make one update; return the loss before it."""
        scale = self.scale.value * 1.0 if self.dynamic else self.scale
        if self.dynamic and self.register is not None:
            columns = (self.register.clear(columns[0]), *columns[1:])
        loss, gradients = self.gradient(scale, *self.part(columns, 0))
        for index in range(1, self.parts):
            part_loss, part_gradients = self.gradient(scale, *self.part(columns, index))
            loss = loss + part_loss
            gradients = self.each(ops.add, gradients, part_gradients)
        unscale = 1 / (scale * self.parts)
        gradients = self.each(ops.partial(ops.mul, unscale), gradients)
        loss = loss * unscale
        if self.world_size > 1:
            gradients = self.reduce(gradients)
            loss = self.sum_ranks(loss.reshape(1))[0] / self.world_size
        if self.dynamic:
            finite = self.without_overflow(gradients)
            if finite:
                loss = self.update(loss, gradients)
            return ops.depend(loss, self.scale(finite))
        return self.update(loss, gradients)

    def without_overflow(self, gradients: tuple[Tensor, ...]) -> Tensor:
        """Whether no rank's gradients have overflowed, a bool scalar; what overflows to infinity all ranks' mean shows."""
        if self.register is None:
            return all_finite(gradients)
        finite = self.register(gradients)
        if self.world_size > 1:
            finite = self.sum_ranks(1 - ops.cast(finite, ms.float32).reshape(1))[0] == 0
        return finite

    def update(self, loss: Tensor, gradients: tuple[Tensor, ...]) -> Tensor:
        """Move the weights, then their average; return the loss."""
        loss = ops.depend(loss, self.optimizer(gradients))
        if self.average is not None:
            loss = ops.depend(loss, self.average(loss))
        return loss

    def part(self, columns: tuple[Tensor, ...], index: int) -> tuple[Tensor, ...]:
        """Every parts-th row of every column, from row `index` on."""
        if self.parts == 1:
            return columns
        cut = ()
        for column in columns:
            cut = (*cut, column[index :: self.parts])
        return cut


class SmoothedCrossEntropy(nn.Cell):
    """The mean over a batch of the cross-entropy against smoothed labels; logits [B, C], labels int32 [B].

    The reference's form: the right class weighs 1 - s, each other class s / (C - 1) (Szegedy et al. 2016 spread
    s over all C classes). Computed in float32.

    Raises:
        ValueError: the factor is outside [0, 1), or there are fewer than two classes.
    """

    def __init__(self, num_classes: int, label_smooth_factor: float) -> None:
        super().__init__()
        if not 0 <= label_smooth_factor < 1:
            raise ValueError(f"label_smooth_factor must be in [0, 1), got {label_smooth_factor}")
        if num_classes < 2:
            raise ValueError(f"num_classes must be at least 2, got {num_classes}")
        self.num_classes = num_classes
        self.on_value = Tensor(1 - label_smooth_factor, ms.float32)
        self.off_value = Tensor(label_smooth_factor / (num_classes - 1), ms.float32)
        self.cross_entropy = ops.SoftmaxCrossEntropyWithLogits()

    def construct(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Compute the loss, a float32 scalar."""
        targets = ops.one_hot(labels, self.num_classes, self.on_value, self.off_value)
        losses, _ = self.cross_entropy(ops.cast(logits, ms.float32), targets)
        return ops.mean(losses)


class DynamicLossScale(nn.Cell):
    """A loss scale that halves at each overflow, never below 1, and doubles after GROWTH_STEPS steps without one."""

    def __init__(self, initial: float) -> None:
        super().__init__(auto_prefix=False)
        self.value = Parameter(Tensor(initial, ms.float32), name="loss_scale.value", requires_grad=False)
        self.sound_steps = Parameter(Tensor(0, ms.int32), name="loss_scale.sound_steps", requires_grad=False)

    def construct(self, finite: Tensor) -> Tensor:
        """Take note of whether a step's gradients were finite (bool scalar); returns the new scale."""
        steps = ops.select(finite, self.sound_steps + 1, ops.zeros_like(self.sound_steps))
        grows = steps >= GROWTH_STEPS
        grown = ops.select(grows, self.value * GROWTH_FACTOR, self.value * 1.0)
        lowered = ops.maximum(self.value / GROWTH_FACTOR, ops.ones_like(self.value))
        value = ops.select(finite, grown, lowered)
        steps = ops.select(grows, ops.zeros_like(steps), steps)
        return ops.depend(value, (ops.assign(self.sound_steps, steps), ops.assign(self.value, value)))


class OverflowRegister(nn.Cell):
    """Where a card that clamps overflowing results notes that it has: the first Ascend 910, or 910B in SATURATION_MODE.

    As mindspore/amp.py and nn/wrap/loss_scale.py do it; not run on a card here.
    """

    def __init__(self) -> None:
        super().__init__(auto_prefix=False)
        self.read_status = NPUGetFloatStatusV2()
        self.clear_status = NPUClearFloatStatusV2()

    def clear(self, value: Tensor) -> Tensor:
        """Forget what has been noted; returns `value`, from which only later overflows can follow."""
        return ops.depend(value, self.clear_status(ops.depend(Tensor([0] * 8, ms.int32), value)))

    def construct(self, results: tuple[Tensor, ...]) -> Tensor:
        """Whether nothing has been noted until `results` were there, a bool scalar."""
        return ops.equal(self.read_status(ops.depend(Tensor([0] * 8, ms.int32), results)), 0).all()


def all_finite(gradients: tuple[Tensor, ...]) -> Tensor:
    """Whether no gradient holds infinity or NaN, a bool scalar."""
    finite = ops.isfinite(gradients[0]).all()
    for gradient in gradients[1:]:
        finite = ops.logical_and(finite, ops.isfinite(gradient).all())
    return finite


class WeightAverage(nn.Cell):
    """The exponential moving average of a network's parameters, batch norm's statistics included.

    Called after each update: average = decay * average + (1 - decay) * parameter.
    """

    def __init__(self, network: nn.Cell, averaged: nn.Cell, decay: float) -> None:
        """Average `network` into `averaged`, a network of the same kind, from `network`'s present values on.

        The parameters of `averaged` get the prefix "average.".
        """
        super().__init__(auto_prefix=False)
        self.sources = ms.ParameterTuple(network.get_parameters())
        self.averages = ms.ParameterTuple(averaged.get_parameters())
        for source, average in zip(self.sources, self.averages, strict=True):
            average.name = f"average.{average.name}"
            average.requires_grad = False
            average.set_data(Tensor(source.asnumpy(), average.dtype))
        self.decay = Tensor(decay, ms.float32)
        self.rest = Tensor(1 - decay, ms.float32)

    @property
    def named_averages(self) -> dict[str, Parameter]:
        """The averages by the names of what they are averages of."""
        return {source.name: average for source, average in zip(self.sources, self.averages, strict=True)}

    @property
    def named_sources(self) -> dict[str, Parameter]:
        """What is averaged, by its names behind RAW_PREFIX."""
        return {RAW_PREFIX + source.name: source for source in self.sources}

    @staticmethod
    def sources_in(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """What was averaged, by its own names, out of a checkpoint's state; empty where nothing was."""
        return {name.removeprefix(RAW_PREFIX): array for name, array in state.items() if name.startswith(RAW_PREFIX)}

    def construct(self, after: Tensor) -> Tensor:
        """Take the parameters in; `after` orders this behind the update."""
        done = after
        for index in range(len(self.sources)):
            source, average = self.sources[index], self.averages[index]
            done = ops.depend(done, ops.assign(average, self.decay * average + self.rest * source))
        return done


def build_optimizer(
    network: nn.Cell, rates: np.ndarray, momentum: float, weight_decay: float, nesterov: bool
) -> nn.Optimizer:
    """Momentum over the network's trainable parameters, `rates[i]` at step i.

    Nesterov's form is SGD's: on the CPU nn.Momentum(use_nesterov=True) silently runs plain momentum.
    """
    kind = nn.SGD if nesterov else nn.Momentum
    extra = {"nesterov": True} if nesterov else {}
    return kind(
        parameter_groups(network.trainable_params()),
        learning_rate=Tensor(rates),
        momentum=momentum,
        weight_decay=weight_decay,
        **extra,
    )


def parameter_groups(parameters: Iterable[Parameter]) -> list[dict[str, Any]]:
    """Split by whether weight decay applies; a group that would be empty is left out."""
    parameters = list(parameters)
    undecayed = [parameter for parameter in parameters if parameter.name.endswith(UNDECAYED_SUFFIXES)]
    decayed = [parameter for parameter in parameters if not parameter.name.endswith(UNDECAYED_SUFFIXES)]
    groups = [{"params": undecayed, "weight_decay": 0.0}, {"params": decayed}]
    return [group for group in groups if group["params"]]

"""The options of a training run: the reference recipe's parameters by their names, with its defaults, and ours.

Frozen and checked: a value that breaks a rule raises ValueError with the rule and the value.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from convert.errors import require_at_least, require_positive
from tinydarknet.colour import IMAGENET, Normalization
from tinydarknet.feed.augment import Augmentation
from tinydarknet.feed.loader import FeedName
from tinydarknet.model.architecture import IMAGE_MULTIPLE, VariantName
from tinydarknet.model.description import AmpDtype

DeviceTarget = Literal["auto", "Ascend", "GPU", "CPU"]
FeedOption = Annotated[FeedName, tyro.conf.arg(aliases=("--decode",))]
"""A feed by its name; --decode says the same, for a feed is foremost where images are decoded."""
AmpLevel = Literal["auto", "O0", "O2", "O3"]


@dataclass(frozen=True)
class DeviceConfig:
    """Where to run."""

    device_target: DeviceTarget = "auto"
    """auto takes the Ascend device where there is one, else the CPU, and says which."""
    device_id: int = 0
    """Card number; ranks started by msrun take theirs from it."""
    jit_level: Literal["auto", "O0", "O1", "O2"] = "auto"
    """How far MindSpore compiles: O0 kernel by kernel, O1 fused, O2 the whole graph; auto leaves it to MindSpore, which
    takes O2 on the first Ascend 910 and O0 on later ones."""
    deterministic: bool = False
    """On Ascend, only kernels and collectives that give the same bits each time, slower; the CPU always does."""

    def __post_init__(self) -> None:
        require_at_least(self, 0, "device_id")


@dataclass(frozen=True)
class ScheduleConfig:
    """How the learning rate moves."""

    lr_init: float = 0.1
    """Peak learning rate."""
    lr_scheduler: Literal["exponential", "cosine_annealing"] = "exponential"
    """exponential: times lr_gamma at each of lr_epochs; cosine_annealing: half a cosine over T_max epochs."""
    lr_epochs: tuple[int, ...] = (70, 140, 210, 280)
    """Epochs, counted from 0, at which the exponential schedule steps down."""
    lr_gamma: float = 0.3
    """Factor of each step down."""
    eta_min: float = 0.0
    """Learning rate at the bottom of the cosine."""
    T_max: int = 150
    """Epochs from the top of the cosine to its bottom."""
    warmup_epochs: int = 0
    """Epochs of linear warm-up from 0."""
    epoch_size: int = 500
    """Epochs to train."""

    def __post_init__(self) -> None:
        require_positive(self, "lr_init")
        require_at_least(self, 0, "lr_epochs", "warmup_epochs")
        require_at_least(self, 1, "T_max", "epoch_size")
        _check(0 < self.lr_gamma <= 1, "lr_gamma must be in (0, 1]", self.lr_gamma)
        _check(0 <= self.eta_min <= self.lr_init, "eta_min must be in [0, lr_init]", self.eta_min)


@dataclass(frozen=True)
class OptimizerConfig:
    """How the weights follow the gradient."""

    momentum: float = 0.9
    weight_decay: float = 1e-4
    """Not applied to batch norm's scale and shift, nor to biases."""
    nesterov: bool = False
    """Nesterov's momentum."""
    is_dynamic_loss_scale: bool = False
    """Let the loss scale follow overflows, starting from loss_scale; with float16 on an Ascend whose arithmetic
    overflows to infinity (910B and later) it always does, unless fixed_loss_scale is given."""
    fixed_loss_scale: bool = False
    """Keep loss_scale as it is there too."""
    loss_scale: float = 1024.0
    """Factor on the loss before the gradient, taken out again before the update."""
    label_smooth_factor: float = 0.1
    """Weight s of the wrong classes: s / (classes - 1) each."""
    use_label_smooth: bool = True
    gradient_accumulation: int = 1
    """Parts that a rank's share of a step is worked off in: an update sees this many times batch_size images a rank."""
    ema_decay: float = 0.0
    """Of the moving average of the weights; 0 for none. With it, evaluation scores the average, and the average is a
    checkpoint's own weights, with the raw ones beside them for going on."""
    amp_level: AmpLevel = "auto"
    """Mixed precision; auto is O3 on Ascend, O2 on the GPU, O0 on the CPU. Evaluation runs at the same level."""
    amp_dtype: AmpDtype = "float16"
    """What mixed precision lowers to; bfloat16 needs a 910B or later."""

    def __post_init__(self) -> None:
        if self.is_dynamic_loss_scale and self.fixed_loss_scale:
            raise ValueError("is_dynamic_loss_scale and fixed_loss_scale exclude each other, got both")
        require_at_least(self, 0, "weight_decay")
        require_at_least(self, 1, "loss_scale", "gradient_accumulation")
        for name in ("momentum", "label_smooth_factor", "ema_decay"):
            _check(0 <= getattr(self, name) < 1, f"{name} must be in [0, 1)", getattr(self, name))
        _check(not self.nesterov or self.momentum > 0, "nesterov needs a momentum above 0", self.momentum)


@dataclass(frozen=True, kw_only=True)
class TrainConfig(ScheduleConfig, OptimizerConfig, DeviceConfig):
    """Train Tiny-DarkNet on a dataset directory."""

    data_path: Path
    """Dataset directory to train on (made by 'python -m convert run')."""
    val_data_path: Path | None = None
    """Dataset directory to evaluate on while training; none for no evaluation."""
    run_dir: Path | None = None
    """The run's own folder; by default a new one under runs/."""
    resume: bool = False
    """Go on with the run in run_dir from its newest whole checkpoint."""
    config_path: Path | None = None
    """YAML file of options by their names, or recipe:NAME (reference, imagenette, cifar10, fast); options on the command
    line win over it."""

    variant: VariantName = "darknet"
    """darknet: slope 0.1, linear head; modelzoo: slope 0.2, batch norm on the head, as in the reference."""
    num_classes: int = 0
    """Classes of the network; 0 takes the dataset's (the reference always has 1000)."""
    pre_trained: bool = False
    """Start from the weights in checkpoint_path."""
    checkpoint_path: Path | None = None
    """Weights to start from with pre_trained: our checkpoints or ModelZoo's (.ckpt), or Darknet's own (.weights)."""

    batch_size: int = 128
    """Images per device and step."""
    image_height: int = 224
    """Pixels, in training and evaluation; image_width must be equal."""
    image_width: int = 224
    image_sizes: tuple[int, ...] = ()
    """Progressive resizing: train at these sizes (pixels, never falling) one after the other, evaluate at image_height.
    Of n sizes and E epochs, epoch e (from 0) takes number floor(e n / E): equal shares, twice as long for a size named twice."""
    seed: int = 1
    """Of weights, order and augmentation."""
    feed: FeedOption = "auto"
    """How batches are made; auto takes the dataset's fastest."""
    normalization: Normalization = IMAGENET
    """Subtracted and divided by, per RGB channel, in grey levels 0 to 255."""
    augmentation: Augmentation = field(default_factory=Augmentation)
    lr_base_batch: int = 0
    """If set, lr_init and eta_min count for this global batch and scale linearly with the real one (Goyal et al. 2017)."""

    eval_every: int = 1
    """Epochs between evaluations on val_data_path; the last epoch is always evaluated."""
    checkpoint_every_steps: int = 0
    """Steps between checkpoints; 0 for one each epoch."""
    keep_checkpoint_max: int = 10
    """Newest checkpoints to keep, beside the best."""
    tolerate: int = 0
    """Damaged training images that may be replaced by others before the run ends with an error."""
    check_reads: bool = False
    """Compare every training image with its checksum before it is used; some 70 microseconds each."""
    log_every_steps: int = 1
    """Steps between lines of the log."""
    sink: bool = True
    """On Ascend, let the device fetch its batches by itself, whole stretches between checkpoints at a time."""

    def __post_init__(self) -> None:
        for part in (ScheduleConfig, OptimizerConfig, DeviceConfig):
            part.__post_init__(self)
        require_at_least(self, 1, "batch_size", "eval_every", "keep_checkpoint_max", "log_every_steps")
        require_at_least(self, 0, "lr_base_batch", "checkpoint_every_steps", "tolerate")
        rule = "resume needs run_dir, the folder of the run to go on with"
        _check(not self.resume or self.run_dir is not None, rule, None)
        _check(self.num_classes == 0 or self.num_classes >= 2, "num_classes must be 0 or at least 2", self.num_classes)
        _check(
            self.pre_trained == (self.checkpoint_path is not None),
            "pre_trained and checkpoint_path go together",
            (self.pre_trained, self.checkpoint_path and str(self.checkpoint_path)),
        )
        check_image_side("image_height", self.image_height)
        _check(self.image_width == self.image_height, "image_width must equal image_height", self.image_width)
        for side in self.image_sizes:
            check_image_side("image_sizes", side)
        _check(list(self.image_sizes) == sorted(self.image_sizes), "image_sizes must not fall", self.image_sizes)
        rule = f"image_sizes must be no more than epoch_size, {self.epoch_size}"
        _check(len(self.image_sizes) <= self.epoch_size, rule, self.image_sizes)
        _check(0 <= self.seed < 2**32, "seed must be in [0, 2**32)", self.seed)

    @property
    def training_sizes(self) -> tuple[int, ...]:
        """The image sizes of training, pixels, one at least."""
        return self.image_sizes or (self.image_height,)


def check_image_side(name: str, pixels: int) -> None:
    """Refuse an image side that the network's pools cannot halve evenly."""
    rule = f"{name} must be a positive multiple of {IMAGE_MULTIPLE}"
    _check(pixels >= IMAGE_MULTIPLE and pixels % IMAGE_MULTIPLE == 0, rule, pixels)


def _check(holds: bool, rule: str, received: object) -> None:
    if not holds:
        raise ValueError(f"{rule}, got {received!r}")

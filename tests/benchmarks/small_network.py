"""step_time.py with a network of one layer, so that 30 ms stand out on any machine; msrun can start it."""

from mindspore import Tensor, nn

from benchmarks import step_time
from benchmarks.instruments import step_parts


class OneLayer(nn.Cell):
    """Means of the pixels, then one dense layer; logits float32 [B, classes]."""

    def __init__(self, classes: int, **_: bool) -> None:
        super().__init__()
        self.dense = nn.Dense(3, classes)

    def construct(self, image: Tensor) -> Tensor:
        return self.dense(image.mean((2, 3)))


if __name__ == "__main__":
    step_parts.TinyDarkNet = OneLayer
    step_time.main()

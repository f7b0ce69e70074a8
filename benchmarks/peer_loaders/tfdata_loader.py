"""tf.data, as TensorFlow's own ImageNet pipelines have it: only the crop's part of the JPEG is decoded."""
# pyright: reportMissingImports=false

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.peer_loaders.protocol import Loader, ReadsFiles, Request, long_list

_SHUFFLE_IMAGES = 1000


def loader(variant: str) -> Loader:  # noqa: ARG001
    """The loader."""
    return _TfData()


class _TfData(ReadsFiles):
    gives = "float32 [B, S, S, 3]"

    def batches(self, request: Request) -> Iterator[Any]:
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(request.workers)
        tf.config.threading.set_inter_op_parallelism_threads(request.workers)

        def load(path: Any) -> Any:
            jpeg = tf.io.read_file(path)
            shape = tf.io.extract_jpeg_shape(jpeg)
            begin, size, _ = tf.image.sample_distorted_bounding_box(
                shape,
                tf.zeros([1, 0, 4]),
                aspect_ratio_range=(3 / 4, 4 / 3),
                area_range=(0.08, 1.0),
                max_attempts=10,
                use_image_if_no_bounding_boxes=True,
            )
            window = tf.stack([begin[0], begin[1], size[0], size[1]])
            image = tf.image.decode_and_crop_jpeg(jpeg, window, channels=3)
            image = tf.image.resize(image, [request.image_size, request.image_size])
            return tf.image.random_flip_left_right(image)

        paths = tf.data.Dataset.from_tensor_slices(list(map(str, long_list(request.images))))
        data = paths.repeat().shuffle(_SHUFFLE_IMAGES).map(load, num_parallel_calls=request.workers)
        options = tf.data.Options()
        options.threading.private_threadpool_size = request.workers
        yield from data.batch(request.batch_size, drop_remainder=True).prefetch(2).with_options(options)

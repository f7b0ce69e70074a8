"""An opened dataset: the same bytes that MindSpore reads, images by row, and damage is told."""

import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import mindspore.dataset as ds
import numpy as np
import pytest

from convert.dataset import Dataset
from convert.dataset.index import INDEX_NAME
from convert.dataset.manifest import load_manifest
from convert.errors import UserError
from convert.image import encode


@pytest.mark.parametrize("name", ["planes_dataset", "original_dataset"])
def test_the_bytes_equal_what_mindspore_reads(name, request):
    directory = request.getfixturevalue(name)
    dataset = Dataset(directory)
    files = [str(directory / shard.name) for shard in dataset.manifest.shards]
    seen = set()
    for row in ds.MindDataset(files, shuffle=False).create_dict_iterator(num_epochs=1, output_numpy=True):
        image_id = int(row["id"])
        seen.add(image_id)
        assert row["image"].tobytes() == dataset.payload(image_id).tobytes()
        assert int(row["label"]) == dataset.labels[image_id]
        assert (int(row["height"]), int(row["width"])) == (dataset.heights[image_id], dataset.widths[image_id])
        assert dataset.is_intact(image_id)
    assert seen == set(range(len(dataset)))


def test_payloads_are_views_that_cannot_be_written(planes_dataset):
    payload = Dataset(planes_dataset).payload(0)
    with pytest.raises(ValueError, match="read-only"):
        payload[0] = 1


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs Linux")
def test_an_open_dataset_holds_one_file_for_each_shard(planes_dataset, tmp_path):
    own = shutil.copytree(planes_dataset, tmp_path / "own").resolve()
    dataset = Dataset(own)
    for row in range(len(dataset)):
        dataset.payload(row)
    targets = [_target(link) for link in Path("/proc/self/fd").iterdir()]
    assert sorted(target.name for target in targets if target.parent == own) == sorted(
        shard.name for shard in dataset.manifest.shards
    )


def _target(link: Path) -> Path:
    """Where a file descriptor leads; other threads of the process may close theirs meanwhile."""
    try:
        return link.readlink()
    except FileNotFoundError:
        return Path()


def test_asking_for_pages_ahead_changes_nothing(planes_dataset):
    dataset = Dataset(planes_dataset)
    before = dataset.payload(3).tobytes()
    dataset.will_need(np.arange(len(dataset)))
    assert dataset.payload(3).tobytes() == before


@pytest.fixture
def damaged(planes_dataset, tmp_path):
    return shutil.copytree(planes_dataset, tmp_path / "damaged")


def test_a_missing_a_short_and_an_empty_shard_are_told(damaged):
    shard = damaged / load_manifest(damaged).shards[0].name
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-1])
    with pytest.raises(UserError, match=f"{shard.name} has {len(whole) - 1} bytes, the manifest says {len(whole)}"):
        Dataset(damaged)
    shard.write_bytes(b"")
    with pytest.raises(UserError, match=f"{shard.name} is empty"):
        Dataset(damaged)
    shard.unlink()
    with pytest.raises(UserError, match=f"{shard.name} is missing"):
        Dataset(damaged)


def test_a_shard_cut_short_after_opening_is_told_before_it_is_read(damaged):
    """Reading beyond its end would kill the process."""
    dataset = Dataset(damaged)
    rows = np.arange(len(dataset))
    dataset.check_present(rows)
    shard = damaged / dataset.manifest.shards[1].name
    os.truncate(shard, 4096)
    with pytest.raises(UserError, match=rf"{shard.name}: row \d+ \(n\d+/.*\) is gone, .* has 4096 now.*convert verify"):
        dataset.check_present(rows)
    dataset.check_present(rows[dataset._shards == 0])


def test_another_index_is_refused(damaged):
    index = damaged / INDEX_NAME
    index.write_bytes(index.read_bytes() + b" ")
    with pytest.raises(UserError, match="is not the index"):
        Dataset(damaged)
    index.unlink()
    with pytest.raises(UserError, match="is missing"):
        Dataset(damaged)


@pytest.mark.parametrize("name", ["planes_dataset", "original_dataset"])
def test_images_come_by_row_as_pixels_and_label(request, tree, name):
    directory = request.getfixturevalue(name)
    dataset = Dataset(str(directory))
    row = dataset.find(key="n01440764/n01440764_0.JPEG")
    rgb, label = dataset[row]
    assert rgb.dtype == np.uint8
    assert rgb.shape == (dataset.heights[row], dataset.widths[row], 3)
    assert (type(label), dataset.classes[label].wnid) == (int, "n01440764")
    source = encode.decode_rgb((tree / "train" / dataset.key(row)).read_bytes())
    even = source[: rgb.shape[0], : rgb.shape[1]]  # small enough: cut to even sides, not resized
    assert np.abs(rgb.astype(int) - even).mean() < 8
    assert dataset.find(id=int(dataset.ids[row])) == row
    assert dataset.describe(row).endswith(f": row {row} (n01440764/n01440764_0.JPEG)")


def test_rows_are_counted_as_a_list_counts_them(planes_dataset):
    dataset = Dataset(planes_dataset)
    assert np.array_equal(dataset[-1][0], dataset[len(dataset) - 1][0])
    for row in (len(dataset), -len(dataset) - 1):
        with pytest.raises(IndexError, match=rf"row {row} is not in \[-70, 70\)"):
            dataset[row]
    assert sum(1 for _ in dataset) == len(dataset)  # as Python iterates over what has rows: up to the IndexError


def test_a_pickled_dataset_opens_its_files_again(planes_dataset):
    dataset = Dataset(planes_dataset)
    sent = pickle.dumps(dataset)
    assert len(sent) < 1000
    again = pickle.loads(sent)
    assert again.payload(7).tobytes() == dataset.payload(7).tobytes()
    assert again.manifest == dataset.manifest


def test_naming_images_reads_nothing_again(planes_dataset, tmp_path):
    own = shutil.copytree(planes_dataset, tmp_path / "own")
    dataset = Dataset(own)
    names = [dataset.describe(row) for row in range(len(dataset))]
    for path in own.iterdir():
        path.unlink()
    assert [dataset.describe(row) for row in range(len(dataset))] == names
    assert len(dataset.rgb(3).shape) == 3  # the shards stay mapped


def test_an_image_can_be_taken_out_of_what_is_left(damaged):
    dataset = Dataset(damaged, map_shards=False)
    (damaged / dataset.manifest.shards[1].name).unlink()
    dataset = Dataset(damaged, map_shards=False)
    assert dataset.rgb(0).dtype == np.uint8
    with pytest.raises(UserError, match="is missing"):
        dataset.rgb(len(dataset) // 2)
    with pytest.raises(UserError, match="is missing"):
        dataset.addresses(np.array([0]))


def test_what_is_no_dataset_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"file is a file, and a dataset is a folder"):
        Dataset(tmp_path / "file")
    with pytest.raises(UserError, match="does not exist"):
        Dataset(tmp_path / "nowhere")


def test_importing_it_loads_no_heavy_library():
    program = "import sys; from convert.dataset import Dataset; print({'cv2', 'mindspore'} & sys.modules.keys())"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "set()\n"


def test_opening_it_starts_no_thread(planes_dataset):
    """A thread of Arrow's that is still ending when the interpreter exits aborts the process, now and then."""
    program = f"""if True:
        import os
        from convert.dataset import Dataset
        before = len(os.listdir("/proc/self/task"))
        Dataset({str(planes_dataset)!r})
        print(len(os.listdir("/proc/self/task")) - before)
    """
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "0\n"

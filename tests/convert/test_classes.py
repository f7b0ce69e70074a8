"""Class tables and the labels that follow from them."""

from __future__ import annotations

import pytest

from convert.dataset.classes import class_notes, load_imagenet1k, read_table, resolve_classes
from convert.errors import UserError


def write_table(path, entries):
    path.write_text("wnid\tdevkit_id\tname\n" + "".join(f"{e.wnid}\t{e.devkit_id}\t{e.name}\n" for e in entries))
    return path


def test_the_table_is_imagenet():
    table = load_imagenet1k()
    assert len(table) == 1000
    assert [entry.wnid for entry in table] == sorted(entry.wnid for entry in table)
    assert sorted(entry.devkit_id for entry in table) == list(range(1, 1001))
    assert table[0].wnid == "n01440764"
    assert table[65].wnid == "n01751748"
    assert table[0].name.startswith("tench")


def test_auto_takes_the_wnids_found_in_order():
    entries = resolve_classes("auto", ["n01751748", "n01440764", "n99999999"])
    assert [(entry.wnid, entry.name[:5]) for entry in entries] == [
        ("n01440764", "tench"),
        ("n01751748", "sea s"),
        ("n99999999", "n9999"),
    ]


def test_imagenet1k_keeps_the_labels_of_a_subset():
    entries = resolve_classes("imagenet1k", ["n01751748"])
    assert len(entries) == 1000
    assert entries[65].wnid == "n01751748"


def test_a_class_that_the_table_lacks_is_refused():
    with pytest.raises(UserError, match="n99999999"):
        resolve_classes("imagenet1k", ["n99999999"])


def test_devkit_order_is_recognised_and_refused(tmp_path):
    by_devkit = sorted(load_imagenet1k(), key=lambda entry: entry.devkit_id)
    path = write_table(tmp_path / "devkit.tsv", by_devkit)
    with pytest.raises(UserError, match="development kit"):
        read_table(path)
    assert read_table(path, force_order=True)[0].devkit_id == 1
    with pytest.raises(UserError, match="not in the order of its wnids"):
        read_table(write_table(tmp_path / "reversed.tsv", load_imagenet1k()[::-1]))


@pytest.mark.parametrize(
    "data",
    [
        b'wnid\tname\naa\t"Quoted\ncat\tCat"\n',
        b'\xef\xbb\xbfwnid\tname\r\naa\t"Quoted\r\ncat\tCat"\r\n\r\n',
        'wnid\tname\naa\t"Quoted\ncat\tCat"'.encode("utf-16"),
    ],
)
def test_every_line_of_a_table_is_a_class_whoever_wrote_it(data, tmp_path):
    (tmp_path / "table.tsv").write_bytes(data)
    assert [(row.wnid, row.name) for row in read_table(tmp_path / "table.tsv")] == [("aa", '"Quoted'), ("cat", 'Cat"')]


def test_a_table_in_another_unicode_form_is_the_same(tmp_path):
    (tmp_path / "table.tsv").write_text("wnid\nBa\u0308r\nElk\n")
    assert [entry.wnid for entry in resolve_classes(str(tmp_path / "table.tsv"), ["B\u00e4r"])] == ["B\u00e4r", "Elk"]


def test_what_surprises_about_classes_is_told():
    found = ["n01440764", "n01443537"]
    (note,) = class_notes("imagenet1k", resolve_classes("imagenet1k", found), found)
    assert note.startswith("998 of the 1,000 classes of imagenet1k have no images: n01484850 (great white shark")
    (note,) = class_notes("auto", resolve_classes("auto", ["cat"]), ["cat"])
    assert note.startswith("all images are of one class, cat")
    numbers = [str(number) for number in range(12)]
    (note,) = class_notes("auto", resolve_classes("auto", numbers), numbers)
    assert "label 2 is class 10 and not 2" in note
    assert class_notes("auto", resolve_classes("auto", ["cat", "dog"]), ["cat", "dog"]) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column 'wnid'"),
        ("a\tb\n1\t2\n", "no column 'wnid'"),
        ("wnid\tdevkit_id\nn1\tx\n", "bad row"),
        ("wnid\nn1\nn1\n", "twice"),
    ],
)
def test_bad_tables_are_refused(tmp_path, text, message):
    path = tmp_path / "table.tsv"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        read_table(path)


def test_a_missing_table_is_refused(tmp_path):
    with pytest.raises(UserError, match="cannot read the class table"):
        resolve_classes(str(tmp_path / "none.tsv"), [])

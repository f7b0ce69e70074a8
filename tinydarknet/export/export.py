"""The whole export: every wanted file is staged, reloaded and compared; then all of them are published, or none."""

from __future__ import annotations

import dataclasses
import shlex
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mindspore import Tensor

from convert.dataset.manifest import load_manifest
from convert.durable_files import publish
from convert.errors import UserError
from tinydarknet import device as devices
from tinydarknet.darknet_weights import load_any
from tinydarknet.export import om_file
from tinydarknet.export.card import ModelCard, describe, write_card
from tinydarknet.export.checks import Accuracy, Comparison, Expected, compare, measure_accuracy, require_equal
from tinydarknet.export.design import Design, InputKind, fold_batch_norms
from tinydarknet.export.mindir_file import input_cell, write_mindir
from tinydarknet.export.onnx_file import OPSET, build_onnx, quantize
from tinydarknet.export.options import ExportOptions, FileFormat
from tinydarknet.export.runners import Runner, open_mindir, open_onnx
from tinydarknet.export.samples import Planes, compared_images, dataset_images
from tinydarknet.model.checkpoint import Checkpoint, build_network
from tinydarknet.model.description import check_classes
from tinydarknet.model.inputs import Classifier

_NEEDS = {
    "air": "AIR is not written, MindSpore deprecates it (mindspore/train/serialization.py, export) and can make it from "
    "graphs of jit level O2 alone",
    "om": "OM can only be written with CANN's compiler atc",
}


def export_all(options: ExportOptions) -> None:
    """Write every wanted file, or none if one of them failed its comparison.

    Raises:
        UserError: unreadable checkpoint, missing packages, an export that computes something else, an int8 file that
            loses too much, a folder that cannot be written; or, after everything else was written, a format that this
            machine cannot write.
    """
    try:
        _export_all(options)
    except OSError as error:
        raise UserError(
            f"cannot write to {options.out_dir} ({error}): choose another --out-dir, or make room"
        ) from error


def _export_all(options: ExportOptions) -> None:
    checkpoint = load_any(options.checkpoint_path)
    model = checkpoint.description.model
    if options.val_data_path is not None:
        check_classes(
            model.classes, load_manifest(options.val_data_path), options.checkpoint_path, options.val_data_path
        )
    images = compared_images(options.image_size or model.image_size, options.data_path)
    options.out_dir.mkdir(parents=True, exist_ok=True)
    # MindSpore makes the folder it exports to private to its owner: let that be a temporary one
    with tempfile.TemporaryDirectory(prefix=".export-", dir=options.out_dir) as folder:
        exporter = _Exporter(options, checkpoint, images, Path(folder))
        for artefact in list(exporter.artefacts()):
            final = options.out_dir / artefact.staged.name
            publish(artefact.staged, final)
            if artefact.card is not None:
                write_card(final, artefact.card)
            print(f"wrote {final}: {artefact.note}")
    missing = [_NEEDS[name] for name in options.file_format if not exporter.can_write(name)]
    if missing:
        command = shlex.join(exporter.atc_command(options.out_dir))
        raise UserError(f"{', and '.join(missing)}: where CANN is installed, make an OM file by\n{command}")


@dataclass(frozen=True)
class _Artefact:
    """A finished file under its temporary name."""

    staged: Path
    note: str
    """What to say about it."""
    card: ModelCard | None


@dataclass(frozen=True)
class _Exporter:
    """Makes the files of one export, each staged in `folder` and compared."""

    options: ExportOptions
    checkpoint: Checkpoint
    images: Planes
    """To compare on."""
    folder: Path
    """For temporary names."""
    _expected: dict[InputKind, Expected] = field(default_factory=dict)

    def artefacts(self) -> Iterator[_Artefact]:
        """Every wanted file; for AIR what prepares atc's work."""
        formats: list[FileFormat] = ["om" if name == "air" else name for name in self.options.file_format]
        for name in dict.fromkeys(formats):
            if name == "onnx":
                yield from self._onnx()
            elif name == "om":
                yield from self._om()
            else:
                yield self._mindir()

    def can_write(self, file_format: FileFormat) -> bool:
        """Whether this machine can."""
        return {"air": False, "om": om_file.has_atc()}.get(file_format, True)

    def _onnx(self) -> Iterator[_Artefact]:
        design = self._design(self.options.input)
        artefact, accuracy = self._stage_onnx(design, self.options.onnx_filename)
        yield artefact
        if self.options.int8_data is not None:
            calibration, scored = self.options.int8_data
            before = accuracy or measure_accuracy(open_onnx(artefact.staged), design, scored)
            yield self._int8(fold_batch_norms(design), calibration, scored, before)

    def _int8(self, design: Design, calibration: Path, scored: Path, before: Accuracy) -> _Artefact:
        """Quantise a folded design whose float32 accuracy was `before`.

        Raises:
            UserError: it loses more than max_drop.
        """
        source, staged = self.folder / "float32.onnx", self.folder / self.options.int8_filename
        source.write_bytes(build_onnx(design).SerializeToString())
        quantize(source, staged, design, dataset_images(design.image_size, calibration))
        run = open_onnx(staged)
        comparison, after = self._compare(run, design), measure_accuracy(run, design, scored)
        drop = before.top1_fraction - after.top1_fraction
        change = f"float32 {before}, int8 {after}: top-1 {-100 * drop:+.2f} points"
        if drop > self.options.max_drop:
            raise UserError(
                f"{staged.name} loses more than --max-drop {self.options.max_drop:g} on {scored} ({change}): "
                "nothing was written; export without --int8, or calibrate on other images"
            )
        card = self._card(design, staged, "onnx", comparison, after)
        card = dataclasses.replace(card, precision="int8", float32_accuracy=dataclasses.asdict(before))
        return _Artefact(staged, f"{comparison}; {change}", card)

    def _mindir(self) -> _Artefact:
        design, staged = self._design(self.options.input), self.folder / self.options.mindir_filename
        write_mindir(design, staged)
        return self._verify(design, staged, "mindir", open_mindir(staged))[0]

    def _om(self) -> Iterator[_Artefact]:
        """The ONNX file and the AIPP configuration that atc takes, and the OM file where there is an atc."""
        design = self._design("rgb_normalized")
        onnx, aipp, om = self._atc_files(self.folder)
        artefact, _ = self._stage_onnx(design, onnx.name)
        yield artefact
        aipp.write_text(om_file.aipp_config(design.model.normalization, design.image_size))
        yield _Artefact(aipp, f"normalises uint8 pixels on the device, for {onnx.name}", None)
        if om_file.has_atc() and "om" in self.options.file_format:
            om_file.run_atc(self.atc_command(self.folder), om)
            on_device = dataclasses.replace(design, input="rgb_uint8")
            note = f"compiled from {onnx.name}; not compared itself, that takes an Ascend"
            yield _Artefact(om, note, self._card(on_device, om, "om"))

    def atc_command(self, folder: Path) -> list[str]:
        """What compiles the files in `folder`."""
        design = self._design("rgb_normalized")
        soc_version = self.options.soc_version or om_file.soc_version_here()
        files = self._atc_files(folder)
        return om_file.atc_command(*files, image_size=design.image_size, batch=design.batch, soc_version=soc_version)

    def _atc_files(self, folder: Path) -> tuple[Path, Path, Path]:
        """Names of atc's network, its AIPP configuration, and what it makes."""
        om = folder / self.options.om_filename
        return om.with_suffix(".atc.onnx"), om.with_suffix(".aipp.cfg"), om

    def _design(self, kind: InputKind) -> Design:
        """What the options ask for, with inputs of this kind."""
        options, model = self.options, self.checkpoint.description.model
        design = Design(
            model=model,
            weights=self.checkpoint.weights,
            folded=False,
            input=kind,
            output=options.output,
            image_size=options.image_size or model.image_size,
            batch=None if options.batch == "dynamic" else options.batch,
        )
        return fold_batch_norms(design) if options.fold_batch_norm else design

    def _stage_onnx(self, design: Design, name: str) -> tuple[_Artefact, Accuracy | None]:
        staged = self.folder / name
        staged.write_bytes(build_onnx(design).SerializeToString())
        return self._verify(design, staged, "onnx", open_onnx(staged))

    def _verify(
        self, design: Design, staged: Path, file_format: FileFormat, run: Runner
    ) -> tuple[_Artefact, Accuracy | None]:
        comparison = self._compare(run, design)
        require_equal(comparison, staged.name)
        scored = self.options.val_data_path
        accuracy = None if scored is None else measure_accuracy(run, design, scored)
        note = str(comparison) if accuracy is None else f"{comparison}; {accuracy}"
        return _Artefact(staged, note, self._card(design, staged, file_format, comparison, accuracy)), accuracy

    def _compare(self, run: Runner, design: Design) -> Comparison:
        """Hold a reloaded file against the checkpoint, at a batch of 1 and at the largest."""
        batches = (design.batch,) if design.batch else (1, len(self.images.labels))
        return compare(run, design.output, self._expect(design.input), batches)

    def _expect(self, kind: InputKind) -> Expected:
        """What the checkpoint's own network says, with its batch norms; computed once for each kind of input."""
        if kind not in self._expected:
            model = self.checkpoint.description.model
            inputs = self.images.inputs(kind, model.normalization)
            network = Classifier(input_cell(kind, model), build_network(self.checkpoint)).set_train(False)
            self._expected[kind] = Expected(inputs, network(*map(Tensor, inputs)).asnumpy(), self.images.origin)
        return self._expected[kind]

    def _card(
        self,
        design: Design,
        staged: Path,
        file_format: FileFormat,
        comparison: Comparison | None = None,
        accuracy: Accuracy | None = None,
    ) -> ModelCard:
        return describe(
            design,
            staged,
            file_format,
            run=self.checkpoint.description.run,
            opset=OPSET if file_format == "onnx" else None,
            comparison=None if comparison is None else dataclasses.asdict(comparison),
            accuracy=None if accuracy is None else dataclasses.asdict(accuracy),
            versions=devices.versions(),
        )

"""The whole export: every wanted file is staged, reloaded and compared; then all of them are published, or none."""

from __future__ import annotations

import dataclasses
import shlex
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mindspore import Tensor

from convert.dataset.manifest import load_manifest
from convert.durable_files import publish, sha256_file
from convert.errors import UserError
from tinydarknet import device as devices
from tinydarknet.darknet_weights import load_any
from tinydarknet.export import ascend, mindir_file
from tinydarknet.export.card import ModelCard, describe, write_card
from tinydarknet.export.checks import Accuracy, Comparison, Expected, compare, measure_accuracy, require_equal
from tinydarknet.export.design import Design, InputKind, fold_batch_norms
from tinydarknet.export.mindir_file import name_plainly, write_with_mindspore
from tinydarknet.export.onnx_file import OPSET, build_onnx, quantize
from tinydarknet.export.options import ExportOptions, FileFormat
from tinydarknet.export.runners import Runner, open_mindir, open_onnx
from tinydarknet.export.samples import Planes, compared_images, dataset_images
from tinydarknet.model.checkpoint import Checkpoint, build_network
from tinydarknet.model.description import check_classes
from tinydarknet.model.inputs import Classifier


@dataclass(frozen=True)
class Artefact:
    """A finished file under its temporary name."""

    staged: Path
    note: str
    """What to say about it."""
    card: ModelCard | None


@dataclass(frozen=True)
class Job:
    """What every writer needs."""

    options: ExportOptions
    target: str
    """The device's kind: Ascend, GPU or CPU."""
    checkpoint: Checkpoint
    images: Planes
    """To compare on."""
    folder: Path
    """For temporary names."""
    _expected: dict[InputKind, Expected] = field(default_factory=dict)

    def design(self, kind: InputKind) -> Design:
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

    def compare(self, run: Runner, design: Design) -> Comparison:
        """Hold a reloaded file against the checkpoint, at a batch of 1 and at the largest."""
        batches = (design.batch,) if design.batch else (1, len(self.images.labels))
        return compare(run, design.output, self._expect(design.input), batches)

    def card(
        self,
        design: Design,
        staged: Path,
        file_format: FileFormat,
        comparison: Comparison | None = None,
        accuracy: Accuracy | None = None,
    ) -> ModelCard:
        """The card of a staged file."""
        return describe(
            design,
            run=self.checkpoint.description.run,
            file=staged.name,
            sha256=sha256_file(staged),
            file_format=file_format,
            opset=OPSET if file_format == "onnx" else None,
            comparison=None if comparison is None else dataclasses.asdict(comparison),
            accuracy=None if accuracy is None else dataclasses.asdict(accuracy),
            versions=devices.versions(),
        )

    def _expect(self, kind: InputKind) -> Expected:
        """What the checkpoint's own network says, with its batch norms; computed once for each kind of input."""
        if kind not in self._expected:
            model = self.checkpoint.description.model
            inputs = self.images.inputs(kind, model.normalization)
            network = Classifier(mindir_file.input_cell(kind, model), build_network(self.checkpoint)).set_train(False)
            logits = network(*map(Tensor, inputs)).asnumpy()
            self._expected[kind] = Expected(inputs, logits, self.images.origin)
        return self._expected[kind]


_NEEDS = {"air": "AIR can only be written on Ascend", "om": "OM can only be written with CANN's compiler atc"}


def export_all(options: ExportOptions, target: str) -> None:
    """Write every wanted file, or none if one of them failed its comparison.

    Raises:
        UserError: unreadable checkpoint, missing packages, an export that computes something else, an int8 file that
            loses too much, a folder that cannot be written; or, after everything else was written, a format that this
            machine cannot write.
    """
    try:
        _export_all(options, target)
    except OSError as error:
        raise UserError(
            f"cannot write to {options.out_dir} ({error}): choose another --out-dir, or make room"
        ) from error


def _export_all(options: ExportOptions, target: str) -> None:
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
        job = Job(options, target, checkpoint, images, Path(folder))
        writers = dict.fromkeys(_writer(file_format, target) for file_format in options.file_format)
        artefacts = [artefact for writer in writers for artefact in writer(job)]
        for artefact in artefacts:
            final = options.out_dir / artefact.staged.name
            publish(artefact.staged, final)
            if artefact.card is not None:
                write_card(final, artefact.card)
            print(f"wrote {final}: {artefact.note}")
    missing = [_NEEDS[name] for name in options.file_format if not _can_write(name, target)]
    if missing:
        command = shlex.join(_atc_command(job, options.out_dir))
        raise UserError(
            f"{' and '.join(missing)}, this is {target}: where CANN is installed, make an OM file by\n{command}"
        )


def _can_write(file_format: FileFormat, target: str) -> bool:
    return {"air": target == "Ascend", "om": ascend.has_atc()}.get(file_format, True)


def _writer(file_format: FileFormat, target: str) -> Callable[[Job], Iterator[Artefact]]:
    """What writes a format; for AIR elsewhere than on Ascend, what prepares atc's work."""
    if file_format == "air" and target != "Ascend":
        return _write_om
    return {"onnx": _write_onnx, "mindir": _write_mindir, "air": _write_air, "om": _write_om}[file_format]


def _write_onnx(job: Job) -> Iterator[Artefact]:
    design = job.design(job.options.input)
    artefact, accuracy = _stage_onnx(job, design, job.options.onnx_filename)
    yield artefact
    if job.options.int8_data is not None:
        calibration, scored = job.options.int8_data
        before = accuracy or measure_accuracy(open_onnx(artefact.staged), design, scored)
        yield _stage_int8(job, fold_batch_norms(design), calibration, scored, before)


def _write_mindir(job: Job) -> Iterator[Artefact]:
    design, staged = job.design(job.options.input), job.folder / job.options.mindir_filename
    write_with_mindspore(design, staged, "mindir")
    name_plainly(staged, design.output)
    yield _verify(job, design, staged, "mindir", open_mindir(staged))[0]


def _stage_onnx(job: Job, design: Design, name: str) -> tuple[Artefact, Accuracy | None]:
    staged = job.folder / name
    staged.write_bytes(build_onnx(design).SerializeToString())
    return _verify(job, design, staged, "onnx", open_onnx(staged))


def _verify(
    job: Job, design: Design, staged: Path, file_format: FileFormat, run: Runner
) -> tuple[Artefact, Accuracy | None]:
    comparison = job.compare(run, design)
    require_equal(comparison, staged.name)
    scored = job.options.val_data_path
    accuracy = None if scored is None else measure_accuracy(run, design, scored)
    note = str(comparison) if accuracy is None else f"{comparison}; {accuracy}"
    return Artefact(staged, note, job.card(design, staged, file_format, comparison, accuracy)), accuracy


def _stage_int8(job: Job, design: Design, calibration: Path, scored: Path, before: Accuracy) -> Artefact:
    """Quantise a folded design whose float32 accuracy was `before`.

    Raises:
        UserError: it loses more than max_drop.
    """
    source, staged = job.folder / "float32.onnx", job.folder / job.options.int8_filename
    source.write_bytes(build_onnx(design).SerializeToString())
    quantize(source, staged, design, dataset_images(design.image_size, calibration))
    run = open_onnx(staged)
    comparison, after = job.compare(run, design), measure_accuracy(run, design, scored)
    drop = before.top1_fraction - after.top1_fraction
    change = f"float32 {before}, int8 {after}: top-1 {-100 * drop:+.2f} points"
    if drop > job.options.max_drop:
        raise UserError(
            f"{staged.name} loses more than --max-drop {job.options.max_drop:g} on {scored} ({change}): "
            "nothing was written; export without --int8, or calibrate on other images"
        )
    card = job.card(design, staged, "onnx", comparison, after)
    card = dataclasses.replace(card, precision="int8", float32_accuracy=dataclasses.asdict(before))
    return Artefact(staged, f"{comparison}; {change}", card)


def _write_air(job: Job) -> Iterator[Artefact]:
    """Not run on Ascend."""
    design, staged = job.design(job.options.input), job.folder / job.options.air_filename
    write_with_mindspore(design, staged, "air")
    note = "not compared, MindSpore cannot reload AIR"
    yield Artefact(staged, note, job.card(design, staged, "air"))


def _write_om(job: Job) -> Iterator[Artefact]:
    """The ONNX file and the AIPP configuration that atc takes, and the OM file where there is an atc."""
    design = job.design("rgb_normalized")
    onnx, aipp, om = _atc_files(job.options, job.folder)
    artefact, _ = _stage_onnx(job, design, onnx.name)
    yield artefact
    aipp.write_text(ascend.aipp_config(design.model.normalization, design.image_size))
    yield Artefact(aipp, f"normalises uint8 pixels on the device, for {onnx.name}", None)
    if ascend.has_atc() and "om" in job.options.file_format:
        ascend.run_atc(_atc_command(job, job.folder), om)
        on_device = dataclasses.replace(design, input="rgb_uint8")
        note = f"compiled from {onnx.name}; not compared itself, that takes an Ascend"
        yield Artefact(om, note, job.card(on_device, om, "om"))


def _atc_files(options: ExportOptions, folder: Path) -> tuple[Path, Path, Path]:
    """Names of atc's network, its AIPP configuration, and what it makes."""
    om = folder / options.om_filename
    return om.with_suffix(".atc.onnx"), om.with_suffix(".aipp.cfg"), om


def _atc_command(job: Job, folder: Path) -> list[str]:
    design = job.design("rgb_normalized")
    return ascend.atc_command(
        *_atc_files(job.options, folder),
        image_size=design.image_size,
        batch=design.batch,
        soc_version=job.options.soc_version,
    )

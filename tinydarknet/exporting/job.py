"""One run of the export command: the checkpoint, the images it is compared on, and what is known of each staged file."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path

from mindspore import Tensor

from convert.files import sha256_file
from tinydarknet import device as devices
from tinydarknet.exporting import cells
from tinydarknet.exporting.card import ModelCard
from tinydarknet.exporting.describing import describe
from tinydarknet.exporting.design import Design, InputKind
from tinydarknet.exporting.folding import fold_batch_norms
from tinydarknet.exporting.onnx_graph import OPSET
from tinydarknet.exporting.options import ExportOptions, FileFormat
from tinydarknet.exporting.running import Runner
from tinydarknet.exporting.samples import Planes
from tinydarknet.exporting.scoring import Accuracy
from tinydarknet.exporting.verifying import Comparison, Expected, compare
from tinydarknet.model.checkpoint import Checkpoint, build_network
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
            network = Classifier(cells.input_cell(kind, model), build_network(self.checkpoint)).set_train(False)
            logits = network(*map(Tensor, inputs)).asnumpy()
            self._expected[kind] = Expected(inputs, logits, self.images.origin)
        return self._expected[kind]

# Everything a person does here, by name. `make help` lists it.
#
#   make demo                        the whole path on a built-in sample: no ImageNet, no accelerator
#   make demo IMAGENET=dir           the same on a small part of your photographs
#   make mindrecord IMAGENET=dir     dir holds train/ and val/
#   make train train-8p eval export report bench     on ImageNet once IMAGENET is given, else on the sample
#   make report RUN=dir              a page about a training run
#   make train ARGS="--epoch-size 90 --lr-init 0.05"  passes options on

SHELL := /bin/bash
COMMA := ,
.DEFAULT_GOAL := help

PYTHON ?= $(shell for python in python3 python3.12 python3.11 python3.10; do \
	$$python -c 'import sys, venv, ensurepip; sys.exit(not (3, 10) <= sys.version_info < (3, 13))' 2>/dev/null \
	&& { echo $$python; break; }; done)

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
CLIENTS_VENV := .venv-clients
CLIENTS_READY := $(CLIENTS_VENV)/ready
PEERS_VENV := .venv-peers
PEERS_READY := $(PEERS_VENV)/peers.json
# a host with an Ascend driver gets what CANN's Python parts need, which wants older pins in places
ON_ASCEND := $(wildcard /dev/davinci_manager)
EXTRAS := dev$(if $(ON_ASCEND),$(COMMA)ascend)
RESULTS := benchmarks/results
PUBLISHED := $(RESULTS)/published
# msrun starts "python" from PATH
export PATH := $(CURDIR)/$(BIN):$(PATH)

IMAGENET ?=
DATA ?= data
RUNS ?= runs
ARGS ?=
ENCODING ?= yuv420
RANKS ?= 8
# one more than there are cores: some tests wait for processes to end
TEST_WORKERS ?= $(shell echo $$(($$(nproc) + 1)))

ifeq ($(IMAGENET),)
NAME := sample
SOURCE := $(DATA)/sample-images
CLASSES := auto
# a recipe that suits 600 images and no accelerator
RECIPE := --device-target CPU --image-height 64 --image-width 64 --batch-size 32 --epoch-size 14 --lr-init 0.05 \
	--lr-scheduler cosine_annealing --T-max 14 --warmup-epochs 1
RECIPE_8P := $(subst --batch-size 32,--batch-size 8,$(RECIPE))
else
NAME := imagenet
SOURCE := $(IMAGENET)
CLASSES := imagenet1k
RECIPE :=
RECIPE_8P :=
endif

DATASET := $(DATA)/$(NAME)
RUN ?= $(RUNS)/$(NAME)
CHECKPOINT ?= $(RUN)/checkpoints/best.ckpt

# a run folder that holds a run is resumed
resume = $(if $(wildcard $(1)/config.json),--resume)

.PHONY: help setup demo test test-fast test-clients test-aarch64 ascend-check lint fmt mindrecord train train-8p eval export report bench bench-peers bench-clients bench-learning bench-publish bench-report

help:  ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

setup: $(READY)  ## install everything into .venv, if it is not there

demo: $(READY)  ## the whole path on a built-in sample, under 6 minutes on 2 cores: convert, train, evaluate, export, time
	$(BIN)/python scripts/demo.py $(if $(IMAGENET),--imagenet $(IMAGENET))

test: $(READY)  ## run the tests, some minutes on 2 cores (ARGS="--durations 20" lists the slowest)
	$(BIN)/python -m pytest -m 'not slow' -n $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

test-fast: $(READY)  ## run the tests that start neither MindSpore nor another process, under 45 s
	$(BIN)/python -m pytest -m 'not slow' --fast -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

test-clients: $(CLIENTS_READY) $(READY)  ## train other frameworks' networks from the feed, in an environment of their own (some 3 GB)
	$(CLIENTS_VENV)/bin/python -m pytest --confcutdir tests/clients tests/clients

test-aarch64: $(READY)  ## run the tests of kernels, images, planes and order as on Arm, by qemu (Debian, qemu-user-static)
	scripts/test_aarch64.sh $(ARGS)

ascend-check: $(READY)  ## try everything that needs an Ascend card, and what can be tried without; a page in RUNS/ascend-check
	$(BIN)/python -m tinydarknet.ascend_check --out $(RUNS)/ascend-check $(ARGS)

lint: $(READY)  ## check style and types; changes nothing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright --level error

fmt: $(READY)  ## rewrite the code in the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

mindrecord: $(READY) $(if $(IMAGENET),,$(DATA)/sample-images)  ## convert IMAGENET=dir (train/ and val/), or the sample, to MindRecord
	$(BIN)/python -m convert run $(SOURCE)/train $(DATASET)/train --classes $(CLASSES) --encoding $(ENCODING)
	$(BIN)/python -m convert run $(SOURCE)/val $(DATASET)/val --classes $(CLASSES) --encoding $(ENCODING)

train: mindrecord  ## train on one device
	$(BIN)/python -m tinydarknet.train --data-path $(DATASET)/train --val-data-path $(DATASET)/val --run-dir $(RUN) $(call resume,$(RUN)) $(RECIPE) $(ARGS)

train-8p: mindrecord  ## train on eight devices (RANKS=n for another number)
	RANKS=$(RANKS) LOG_DIR=$(RUN)-$(RANKS)p/ranks scripts/run_distribute_train.sh --data-path $(DATASET)/train --val-data-path $(DATASET)/val --run-dir $(RUN)-$(RANKS)p $(call resume,$(RUN)-$(RANKS)p) $(RECIPE_8P) $(ARGS)

eval: $(READY)  ## evaluate CHECKPOINT (by default the run's best) on the validation split; tables and figures in RUN/evaluation
	$(BIN)/python -m tinydarknet.evaluate --val-data-path $(DATASET)/val --checkpoint-path $(CHECKPOINT) --report-dir $(RUN)/evaluation $(ARGS)

export: $(READY)  ## export CHECKPOINT to ONNX and MINDIR, each compared with the checkpoint before it is kept
	$(BIN)/python -m tinydarknet.export --checkpoint-path $(CHECKPOINT) --file-format onnx mindir --out-dir $(RUN)/export $(ARGS)

report: $(READY)  ## write RUN/report.html: loss, accuracy, speed, dataset and options of a training run
	$(BIN)/python -m tinydarknet.report --runs $(RUN) $(ARGS)

bench: mindrecord  ## measure the conversion, the feeds and the training step; results in benchmarks/results
	$(BIN)/python benchmarks/convert_rate.py --source $(SOURCE)/train --json $(RESULTS)/convert_rate.jsonl
	$(BIN)/python benchmarks/feed_rate.py --data $(DATASET)/train --json $(RESULTS)/feed_rate.jsonl
	$(BIN)/python benchmarks/step_time.py --data $(DATASET)/train --json $(RESULTS)/step_time.jsonl

bench-peers: $(PEERS_READY) $(if $(IMAGENET),,$(DATA)/sample-images)  ## measure other toolkits' loaders beside the feeds, in an environment of their own (some GB)
	$(BIN)/python benchmarks/peers.py --source $(SOURCE)/train --json $(RESULTS)/peers.jsonl

bench-clients: $(CLIENTS_READY) $(if $(IMAGENET),,$(DATA)/sample-images)  ## measure what reaches a training loop as tensors, beside torchvision's and MindSpore's own loaders
	$(CLIENTS_VENV)/bin/python benchmarks/clients.py --images $(SOURCE)/train --json $(RESULTS)/clients.jsonl

bench-learning: $(PEERS_READY) $(if $(IMAGENET),,$(DATA)/sample-images)  ## train from every feed and in PyTorch, three seeds of each, on photographs in IMAGENET=dir: hours on 2 cores
	$(BIN)/python benchmarks/learning.py --source $(SOURCE) --json $(RESULTS)/learning.jsonl --folder $(DATA)/learning $(ARGS)

bench-publish: $(PEERS_READY) $(CLIENTS_READY) $(if $(IMAGENET),,$(DATA)/sample-images)  ## measure everything (about 10 minutes) and render the documents from it
	$(BIN)/python -m convert run $(SOURCE)/train $(DATA)/bench/planes --classes $(CLASSES)
	$(BIN)/python -m convert run $(SOURCE)/train $(DATA)/bench/original --classes $(CLASSES) --encoding original
	$(BIN)/python benchmarks/peers.py --source $(SOURCE)/train --json $(RESULTS)/peers.jsonl
	$(BIN)/python benchmarks/feed_rate.py --data $(DATA)/bench/original $(DATA)/bench/planes --json $(RESULTS)/feed_rate.jsonl
	$(BIN)/python benchmarks/convert_rate.py --source $(SOURCE)/train --json $(RESULTS)/convert_rate.jsonl
	$(BIN)/python benchmarks/convert_rate.py --source $(SOURCE)/train --encodings original --check scan --json $(RESULTS)/convert_rate_scan.jsonl
	$(BIN)/python benchmarks/convert_rate.py --source $(SOURCE)/train --scaling --workers 2 --json $(RESULTS)/convert_scaling.jsonl
	$(BIN)/python benchmarks/step_time.py --data $(DATA)/bench/planes --seconds 20 --json $(RESULTS)/step_time.jsonl
	$(BIN)/python benchmarks/step_time.py --data $(DATA)/bench/planes --seconds 20 --image-size 96 --json $(RESULTS)/step_time_96px.jsonl
	$(BIN)/python benchmarks/step_time.py --data $(DATA)/bench/planes --seconds 20 --image-size 96 --batch-size 16 --ranks 2 --json $(RESULTS)/step_time_ranks.jsonl
	$(BIN)/python benchmarks/scaling.py --data $(DATA)/bench/planes --json $(RESULTS)/scaling.jsonl
	$(CLIENTS_VENV)/bin/python benchmarks/clients.py --images $(SOURCE)/train --json $(RESULTS)/clients.jsonl
	mkdir -p $(PUBLISHED)  # only now: measured results name the revision of an unchanged tree
	cp $(addprefix $(RESULTS)/,peers.jsonl clients.jsonl feed_rate.jsonl convert_rate.jsonl convert_rate_scan.jsonl convert_scaling.jsonl step_time.jsonl step_time_96px.jsonl step_time_ranks.jsonl scaling.jsonl) $(PUBLISHED)
	$(BIN)/python benchmarks/report.py --results $(PUBLISHED)

bench-report: $(READY)  ## render the documents again from the published results; measures nothing
	$(BIN)/python benchmarks/report.py --results $(PUBLISHED)

# what fits MindSpore's numpy; of torch the CPU build, where pip finds one. Its torchvision is taken without its own torch.
$(CLIENTS_READY): pyproject.toml constraints.txt tests/clients/constraints.txt
	$(PYTHON) -m venv $(CLIENTS_VENV)
	$(CLIENTS_VENV)/bin/python -m pip install --no-compile --quiet --disable-pip-version-check --constraint constraints.txt --constraint tests/clients/constraints.txt \
		--editable '.[mindspore]' torch torchvision timm mindcv jax pandas duckdb pytest basedpyright
	touch $@

$(PEERS_READY): $(READY)
	$(BIN)/python -m benchmarks.peer_loaders.install $(PEERS_VENV)

$(DATA)/sample-images: $(READY)
	$(BIN)/python -m convert sample $@

$(READY): pyproject.toml constraints.txt constraints-ascend.txt
	@if [ -z "$(PYTHON)" ]; then echo "error: no Python 3.10 to 3.12 with venv was found: install one (on Debian also python3-venv), or name it: make PYTHON=/path/to/python3.11" >&2; exit 1; fi
	$(PYTHON) -m venv $(VENV)
	$(if $(ON_ASCEND),cat constraints-ascend.txt <(grep -vFf <(sed -n 's/==.*/==/p' constraints-ascend.txt) constraints.txt),cat constraints.txt) >$(VENV)/pins.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint $(VENV)/pins.txt --editable '.[$(EXTRAS)]'
	touch $@

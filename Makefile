# Every target sets up .venv by itself. PYTHON chooses the interpreter (3.11).
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.DEFAULT_GOAL := help
.PHONY: help setup export report test test-fast test-all test-kotlin test-web check format train benchmark parity docs release clean web \
        arm64 oldest swift peers benchmark-peers compress compare verify rebuild archives \
        publish-archives

help:  ## this list
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 18

# Our own bytecode is kept too, whatever the environment says: tests start hundreds of processes.
unexport PYTHONDONTWRITEBYTECODE

setup: $(READY)  ## make .venv with the pinned packages (about a minute, 6 GB on Linux)

PINNED := --quiet --constraint constraints.txt
PIP := $(BIN)/python -m pip --disable-pip-version-check

# uv unpacks several packages at once, pip one after another, and must be told to compile them as pip
# does. pip installs if another index is configured for it, which uv would not ask, and wherever uv fails.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	{ ! $(PIP) config list | grep -q index-url && $(PIP) install $(PINNED) uv \
		&& $(BIN)/uv pip install $(PINNED) --compile-bytecode --python $(BIN)/python --editable '.[dev]'; } \
		|| $(PIP) install $(PINNED) --editable '.[dev]'
	touch $@

export: $(READY)  ## convert the released checkpoint and prove every file: build/export/assets
	$(BIN)/python -m export all

report: $(READY)  ## build/export/report.html: the last export, or the release, as one page
	$(BIN)/python -m export report

# Two workers with half of the tests each; the first to finish takes tests from the other. A thread
# each for NumPy and PyTorch: threads of both on the same processors wait for one another, and tests of
# compression took more than twice as long.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal
IN_BROWSER := tests/browser

test: $(READY)  ## the tests that matter; ends with what it leaves to CI, and why
	$(PYTEST) --ignore $(IN_BROWSER) -m 'not ci'

test-fast: $(READY)  ## the fast ones among them
	$(PYTEST) --ignore $(IN_BROWSER) -m 'not slow and not ci'

test-all: $(READY)  ## all tests except those in a browser, as CI runs them
	$(PYTEST) --ignore $(IN_BROWSER)

test-kotlin: $(READY)  ## compile and test the Kotlin of android_assets (kotlin, junit4 from Debian)
	$(BIN)/python -m tests.kotlin

test-web: $(READY)  ## the tests of pages in a browser (chromium and npm from Debian)
	npm ci --silent --prefix $(IN_BROWSER)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile $(IN_BROWSER)

check: $(READY)  ## format, lint, types, import contracts, generated docs, all tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/cog --check -P -I . $(GENERATED)
	$(MAKE) test-all
	$(MAKE) test-web

format: $(READY)  ## format the code and fix what ruff can fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

train: $(READY)  ## train on synthetic phantoms; DATA=folder for your own images
	$(BIN)/python -m pipeline train --overwrite $(if $(DATA),--data $(DATA))

compress: $(READY)  ## compress CHECKPOINT=folder to int8, w4 and w3; DATA=folder of its images
	$(BIN)/python -m pipeline compress $(CHECKPOINT) $(if $(DATA),--data $(DATA))

compare: $(READY)  ## which topology? five of them under two protocols; DATA=folder of your images
	$(BIN)/python -m pipeline compare $(if $(DATA),--data $(DATA))

benchmark: $(READY)  ## time the published artifacts
	$(BIN)/python -m benchmarks

peers: $(READY)  ## fetch the other runtimes of the benchmark, each in its own environment (about 1.4 GB)
	$(BIN)/python -m benchmarks.peers install

benchmark-peers: $(READY)  ## time the published artifacts and the peers
	$(BIN)/python -m benchmarks peers || test $$? = 1  # a peer that fails is a row of the table

parity: $(READY)  ## the parity check of CI on the published files; DATA=folder for real images, STRICT=1
	$(BIN)/python -m export check $(if $(DATA),--data $(DATA)) $(if $(STRICT),--strict) \
		--json build/parity/parity.json --junit build/parity/parity.xml

verify: $(READY)  ## are the published folders complete, and do their files pass the golden pack?
	$(BIN)/python -m export verify android_assets --golden
	$(BIN)/python -m export verify ios_assets --golden
	$(BIN)/python -m export verify web_assets --golden

PORT ?= 8000
web: $(READY)  ## build the classifier's page in build/web and serve it on PORT (8000) of this machine
	$(BIN)/python -m export web --serve --port $(PORT)

rebuild: $(READY)  ## convert and prove again in build/rebuilt; the published files stay unchanged
	$(BIN)/python -m export all --strict --out build/rebuilt --build build/rebuilt

archives: $(READY)  ## dist/: the asset folders as zip files, and SHA256SUMS; TAG=v1.2.3 must be their version
	$(BIN)/python -m export archive $(if $(TAG),--tag $(TAG))

# gh refuses a tag that has a release, and with --verify-tag one that does not exist: no release is
# ever replaced.
publish-archives:  ## a GitHub release of dist/ for TAG, by gh; an existing one is never changed
	test -n "$(TAG)"
	cd dist && sha256sum --check --strict SHA256SUMS
	gh release create "$(TAG)" --verify-tag --title "$(TAG)" --notes "Assets of $(TAG)." dist/*

arm64: $(READY)  ## fetch the Arm builds of the runtimes (about 730 MB; emulated off Arm)
	$(BIN)/python -m export.runtimes install arm64

swift: $(READY)  ## fetch a Swift compiler for the tests of ios_assets (about 550 MB; none on a Mac)
	$(BIN)/python -m export.runtimes install swift

oldest: $(READY)  ## fetch the oldest onnxruntime that the manifest promises (about 200 MB)
	$(BIN)/python -m export.runtimes install oldest

GENERATED := README.md MODEL_CARD.md docs/manifest.md docs/commands.md docs/datasets.md docs/faults.md docs/preprocessing.md docs/report.md docs/topologies.md
docs: $(READY)  ## regenerate the generated parts of README and docs
	$(BIN)/cog -r -P -I . $(GENERATED)

release: $(READY)  ## publish assets proven on DATA, measure the README's figures, regenerate the docs
	$(BIN)/python -m export all --out . $(if $(DATA),--data $(DATA))
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks peers || test $$? = 1  # a peer that fails is a row of the table
	mkdir -p docs/results
	cp build/export/report.json docs/results/export.json
	cp build/benchmarks/results.json docs/results/benchmark.json
	cp build/benchmarks/peers.json docs/results/peers.json
	$(BIN)/python -m export web --json docs/results/web.json
	$(MAKE) test-web
	cp build/browser/golden.json docs/results/web_golden.json
	$(if $(DATA),$(BIN)/python -m export robustness --data $(DATA) \
		--out docs/results/robustness.json || test $$? = 1)
	$(MAKE) docs

# The four topologies without ImageNet weights learn little in few epochs: small images are enough.
FEW := --preset quick --epochs 1 --side 96 --threads 1
WHOLE := --preset released --consistency 0 --label-smoothing 0.1 --body-lr-factor 0.5 --epochs 40 \
	--finetune-lr 1e-3 --averaging 0.99 --least-recall 0.96
STUDY := build/study
study: $(READY)  ## everything that README and model card say about training, on DATA (over an hour)
	$(BIN)/python -m pipeline compare --data $(DATA) $(FEW) --out $(STUDY)/five
	$(BIN)/python -m pipeline compare --data $(DATA) --protocol paper --topologies \
		squeezenet1_1,squeezenet1_1_fire6 --preset released --consistency 0 --epochs 30 --threads 1 --out $(STUDY)/squeezenet
	$(BIN)/python -m pipeline compare --data $(DATA) --protocol paper --topologies squeezenet1_1 $(WHOLE) \
		--threads 1 --out $(STUDY)/whole
	$(BIN)/python -m pipeline ablate --data $(DATA) --threads 1 --out $(STUDY)/ablation
	$(BIN)/python -m benchmarks training --data $(DATA)
	$(BIN)/python -m benchmarks topologies
	$(BIN)/python -m benchmarks topologies --jobs 1 --images 150 --data $(DATA) \
		--checkpoints $(STUDY)/five/trials/*-strict-seed2 --out build/benchmarks/trained
	cp $(STUDY)/five/comparison.json docs/results/comparison.json
	cp $(STUDY)/squeezenet/comparison.json docs/results/comparison_squeezenet.json
	cp $(STUDY)/whole/comparison.json docs/results/comparison_whole.json
	cp $(STUDY)/ablation/ablation.json docs/results/ablation.json
	cp build/benchmarks/training.json build/benchmarks/topologies.json docs/results
	cp build/benchmarks/trained/topologies.json docs/results/topologies_trained.json
	$(MAKE) docs

clean:  ## remove build/, but not .venv
	rm -rf build

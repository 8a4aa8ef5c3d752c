# Every target starts from nothing: it makes .venv and installs the pinned versions first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := $(shell find pipeline train eval -name '*.py' -o -name '*.toml') setup.cfg setup.py pyproject.toml

# Where to take another build of PyTorch from, such as the one for CPUs alone, a tenth of the size:
# make demo TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=
PIP_INSTALL := $(BIN)/python -m pip install --quiet --constraint constraints.txt

.PHONY: demo proof test lint types bench gpu-report clean
.DELETE_ON_ERROR:

demo: $(VENV)/installed
	$(BIN)/python examples/demo.py --out demo

# make proof IMAGES=train TEST=val trains six networks on photographs of yours, in class folders,
# whose backgrounds lie: an hour on two cores. With TOY=1 it only sees that everything runs.
proof: $(VENV)/installed
	$(BIN)/python examples/proof.py $(if $(IMAGES),--images $(IMAGES)) $(if $(TEST),--test $(TEST)) \
	    --out proof $(if $(TOY),--tiny)

# A process a core; within one, the networks of the tests are so small that threads would wait
# for each other. A file stays together, since its tests share what they made.
test: lint types
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --dist loadfile --durations=20

lint: $(VENV)/tools $(VENV)/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/numpydoc lint --config . $(shell find pipeline train eval -name '*.py')
	$(BIN)/lint-imports

types: $(VENV)/tools $(VENV)/installed
	cd $(VENV) && bin/mypy --num-workers auto --config-file ../pyproject.toml

# make bench IMAGES=DIR times masks of your own JPEGs instead of scikit-image's photographs.
bench: $(VENV)/installed
	$(BIN)/python benchmarks/saliency.py $(if $(IMAGES),--images $(IMAGES))
	$(BIN)/python benchmarks/saliency.py $(if $(IMAGES),--images $(IMAGES)) --method consensus \
	    --refine grabcut
	$(BIN)/python benchmarks/loader.py $(if $(IMAGES),--images $(IMAGES))
	$(BIN)/python benchmarks/augment.py
	$(BIN)/python benchmarks/knn.py

# Where there is a GPU: its tests and benchmarks, under 25 minutes, to the page gpu-report.md.
# make gpu-report TOY=1 runs them all on a CPU, tiny.
gpu-report: $(VENV)/tools $(VENV)/installed
	$(BIN)/python benchmarks/gpu_report.py $(if $(TOY),--toy) $(if $(IMAGES),--images $(IMAGES))

# The libraries that dilo stands on, once for each change of what they are.
$(VENV)/libraries: setup.cfg constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) setuptools wheel
	$(if $(TORCH_INDEX),$(PIP_INSTALL) --index-url $(TORCH_INDEX) torch torchvision)
	$(PIP_INSTALL) --no-build-isolation '.[train,eval]'
	touch $@

# What testing it takes besides.
$(VENV)/tools: $(VENV)/libraries
	$(PIP_INSTALL) --no-build-isolation '.[dev]'
	rm -rf build dilo.egg-info
	touch $@

# The package itself, as a user gets it: a wheel, so that a file missing from
# setup.cfg is missing here too. Repeated after each change of a source file.
$(VENV)/installed: $(VENV)/libraries $(SOURCES)
	rm -rf build dist dilo.egg-info
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .
	$(BIN)/python -m pip install --quiet --no-deps --force-reinstall dist/dilo-*.whl
	rm -rf build dilo.egg-info
	touch $@

clean:
	rm -rf $(VENV) build dist demo dilo.egg-info

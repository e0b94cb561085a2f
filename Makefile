# Builds, installs and tests the extension (PGXS). `make help` lists the targets.
#
# Sources are found by name: a .cpp file in a room of src/, a topic file in sql/, a test in its folder. Only
# src/pg gets PostgreSQL's include path; the other rooms must stay buildable without it (see CMakeLists.txt).
# Another server version: `make PG_CONFIG=/usr/lib/postgresql/16/bin/pg_config`.

PG_CONFIG ?= pg_config
# Warnings are errors in tests only (scripts/cluster sets it): a newer compiler's must not keep anybody from building.
WERROR ?=
PG_MAJOR := $(shell $(PG_CONFIG) --version | sed -n 's/^PostgreSQL \([0-9]*\).*/\1/p')
ifeq ($(PG_MAJOR),)
ifeq ($(filter help lint format bootstrap test quickstart dist,$(MAKECMDGOALS)),)
$(error $(PG_CONFIG) doesn't run: install the server's development package (scripts/bootstrap) or set PG_CONFIG)
endif
endif

EXTENSION = mailer
EXTVERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" mailer.control)
MODULE_big = mailer
PGFILEDESC = "mailer - sends mail from SQL"

# Objects lie apart for each server version, so that building for 16 never links what was compiled for 15.
B := build/pg$(PG_MAJOR)
PG_SOURCES := $(shell find src/pg -name '*.cpp' | sort)
FENCED_SOURCES := $(filter-out $(PG_SOURCES),$(shell find src -name '*.cpp' | sort))
OBJS := $(patsubst src/%.cpp,$(B)/%.o,$(FENCED_SOURCES) $(PG_SOURCES))

TOPICS := $(sort $(wildcard sql/[0-9]*.sql))
INSTALL_SQL := sql/$(EXTENSION)--$(EXTVERSION).sql
DATA := $(wildcard sql/$(EXTENSION)--*--*.sql)
DATA_built = $(INSTALL_SQL)
DOCS := $(wildcard doc/*.md)
EXTRA_CLEAN = build/pg[0-9]* sql/$(EXTENSION)--*.*.*[0-9].sql.tmp

SHLIB_LINK = -Wl,--version-script=src/exports.map -Wl,--compress-debug-sections=zlib -L$(shell $(PG_CONFIG) --libdir) -lpq -lcurl -lcrypto -lidn2 -lunistring -lstdc++

# pg_regress wants sql/ and expected/ (specs/ and expected/) side by side, and before 16 has no option to say
# otherwise: links in the build folder put our folders where it looks, and its results land there too.
REGRESS_DIR := $(B)/regress
ISOLATION_DIR := $(B)/isolation
REGRESS := $(sort $(basename $(notdir $(wildcard test/regress/sql/*.sql))))
ISOLATION := $(sort $(basename $(notdir $(wildcard test/isolation/specs/*.spec))))
REGRESS_OPTS = --inputdir=$(REGRESS_DIR) --outputdir=$(REGRESS_DIR)
ISOLATION_OPTS = --inputdir=$(ISOLATION_DIR) --outputdir=$(ISOLATION_DIR)
REGRESS_PREP = test-links

# No bitcode. It would let the server inline our C functions into JIT-compiled expressions, which gains nothing
# for functions that write rows; and it would make clang of exactly the server's LLVM version a build
# requirement and compile every file twice.
override with_llvm = no

ifneq ($(PG_MAJOR),)
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)
endif

# C++ ----------------------------------------------------------------------------------------------------------

CCACHE := $(shell command -v ccache 2>/dev/null)
WARNINGS = -Wall -Wextra -Wpedantic -Wshadow $(if $(WERROR),-Werror)
# Everything is hidden but what the server looks up by name: two extensions that carry classes of the same name
# must not meet in one process. PostgreSQL before 16 leaves PGDLLEXPORT empty, so it gets its value here.
# Assertions are for the tests (CMake's programs, scripts/sanitize): here one would end all sessions of the server.
OPTIMIZE ?= -O2 -DNDEBUG
ROOM_FLAGS = $(CXXFLAGS) -std=c++20 $(OPTIMIZE) -fPIC -fvisibility=hidden -fvisibility-inlines-hidden $(WARNINGS) -Isrc -MMD -MP
PG_FLAGS = $(ROOM_FLAGS) -DMAILER_VERSION='"$(EXTVERSION)"' -Wno-register '-DPGDLLEXPORT=__attribute__((visibility("default")))'
PG_INCLUDES = $(patsubst -I%,-isystem %,$(filter-out -I.%,$(CPPFLAGS))) -isystem $(shell $(PG_CONFIG) --includedir)

$(B)/pg/%.o: src/pg/%.cpp $(B)/made-with
	@mkdir -p $(@D)
	$(CCACHE) $(CXX) $(PG_FLAGS) $(PG_INCLUDES) -c -o $@ $<

$(B)/%.o: src/%.cpp $(B)/made-with
	@mkdir -p $(@D)
	$(CCACHE) $(CXX) $(ROOM_FLAGS) -D_GNU_SOURCE -c -o $@ $<

# The simulations' library, for test/simulation alone: the same objects without the SQL functions and _PG_init, and a
# settings.o of its own. It is installed nowhere.
SIMULATION_DIR := test/simulation/module
SIMULATION_OBJS := $(patsubst $(SIMULATION_DIR)/%.cpp,$(B)/simulation/%.o,$(sort $(wildcard $(SIMULATION_DIR)/*.cpp)))
SIMULATION := $(B)/simulation/mailer_simulation.so
SHARED_OBJS = $(filter-out $(B)/pg/api/% $(B)/pg/server/module.o $(B)/pg/bridge/settings.o,$(OBJS))

$(B)/simulation/%.o: $(SIMULATION_DIR)/%.cpp $(B)/made-with
	@mkdir -p $(@D)
	$(CCACHE) $(CXX) $(PG_FLAGS) -I$(SIMULATION_DIR) $(PG_INCLUDES) -c -o $@ $<

$(SIMULATION): $(SIMULATION_OBJS) $(SHARED_OBJS) $(SIMULATION_DIR)/exports.map build/linked-for
	$(CXX) $(CXXFLAGS) -shared -o $@ $(SIMULATION_OBJS) $(SHARED_OBJS) $(LDFLAGS) $(LDFLAGS_SL) \
	    $(subst src/exports.map,$(SIMULATION_DIR)/exports.map,$(SHLIB_LINK))

-include $(OBJS:.o=.d) $(SIMULATION_OBJS:.o=.d)

# Rewritten only when it says something else: a server, a compiler flag, a source or topic file more or less.
MADE_WITH := $(shell $(PG_CONFIG) --version 2>/dev/null) $(EXTVERSION) $(WERROR) $(CXX) $(CXXFLAGS) $(OPTIMIZE)
$(B)/made-with: FORCE
	@mkdir -p $(@D)
	@echo "$(subst ",,$(MADE_WITH))" | cmp -s - $@ || echo "$(subst ",,$(MADE_WITH))" > $@
build/linked-for: FORCE
	@mkdir -p $(@D)
	@echo "$(B) $(OBJS)" | cmp -s - $@ || echo "$(B) $(OBJS)" > $@
build/topics: FORCE
	@mkdir -p $(@D)
	@echo "$(TOPICS)" | cmp -s - $@ || echo "$(TOPICS)" > $@
$(EXTENSION).so: build/linked-for src/exports.map

.PHONY: FORCE
FORCE:

# SQL ----------------------------------------------------------------------------------------------------------

$(INSTALL_SQL): $(TOPICS) mailer.control build/topics
	@{ \
	   for topic in $(TOPICS); do printf '\n-- %s\n\n' "$$topic"; cat "$$topic"; done; } > $@.tmp && mv $@.tmp $@

# Tests --------------------------------------------------------------------------------------------------------

.PHONY: test-links installcheck-regress installcheck-isolation
test-links:
	@mkdir -p $(REGRESS_DIR) $(ISOLATION_DIR) expected test/isolation/expected
	@ln -sfn $(CURDIR)/test/regress/sql $(REGRESS_DIR)/sql
	@ln -sfn $(CURDIR)/expected $(REGRESS_DIR)/expected
	@ln -sfn $(CURDIR)/test/isolation/specs $(ISOLATION_DIR)/specs
	@ln -sfn $(CURDIR)/test/isolation/expected $(ISOLATION_DIR)/expected

## installcheck-regress    only the pg_regress tests of `make installcheck`
installcheck-regress: test-links
	$(if $(REGRESS),$(pg_regress_installcheck) $(REGRESS_OPTS) $(REGRESS))

## installcheck-isolation  only the isolation tests of `make installcheck`
installcheck-isolation: test-links
	$(if $(ISOLATION),$(pg_isolation_regress_installcheck) $(ISOLATION_OPTS) $(ISOLATION))

# Convenience --------------------------------------------------------------------------------------------------

.PHONY: simulation
simulation: $(SIMULATION)

.PHONY: help bootstrap test quickstart lint format dist
## help                    this list
help:
	@echo "all                     build mailer.so and the SQL script for the server of PG_CONFIG ($(PG_CONFIG))"
	@echo "install                 install them into that server"
	@echo "installcheck            pg_regress and isolation tests against a running server (PGHOST, PGPORT)"
	@echo "clean                   remove what was built"
	@sed -n 's/^## //p' Makefile

## bootstrap               install what building and testing need (Debian)
bootstrap:
	scripts/bootstrap

## test                    everything, in private clusters: the same as scripts/test
test:
	scripts/test

## quickstart              from nothing to eight mails: the same as scripts/quickstart
quickstart:
	scripts/quickstart

## lint                    formatting, file lengths, leftover marks, version numbers
lint:
	scripts/lint

## format                  clang-format over src and test
format:
	clang-format -i $$(git ls-files 'src/*.cpp' 'src/*.hpp' 'test/*.cpp' 'test/*.hpp')

## dist                    the archive for PGXN, from the committed tree and with the SQL script in it
dist: $(INSTALL_SQL)
	@mkdir -p build
	git archive --format zip -o build/$(EXTENSION)-$(EXTVERSION).zip \
	    --prefix=$(EXTENSION)-$(EXTVERSION)/sql/ --add-file=$(INSTALL_SQL) --prefix=$(EXTENSION)-$(EXTVERSION)/ HEAD

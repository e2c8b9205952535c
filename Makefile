# SPDX-License-Identifier: ISC
# Builds build/posternd and build/postern; `make help` lists the rest.

CC      = gcc
AR      = ar
PKG_CONFIG = pkg-config
PREFIX  = /usr/local
SBINDIR = $(PREFIX)/sbin
BINDIR  = $(PREFIX)/bin
LIBDIR  = $(PREFIX)/lib/postern
MANDIR  = $(PREFIX)/share/man
BASHDIR = $(PREFIX)/share/bash-completion/completions
ZSHDIR  = $(PREFIX)/share/zsh/site-functions
UNITDIR = $(PREFIX)/lib/systemd/system
DOCDIR  = $(PREFIX)/share/doc/postern
EXAMPLEDIR = $(DOCDIR)/examples
SYSCONFDIR = /etc/postern
BUILD   = build
VERSION := $(shell cat conf/VERSION)

WARN := -Wall -Wextra -Wpedantic -Wshadow -Wpointer-arith -Wcast-qual -Wcast-align -Wwrite-strings \
	-Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition -Wredundant-decls -Wundef -Wvla \
	-Wformat=2 -Wimplicit-fallthrough -Wswitch-enum -Wconversion -Wno-sign-conversion -Werror
HARD := -O2 -g -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 -fstack-protector-strong -fstack-clash-protection \
	-fPIE -fno-common -fno-strict-overflow -fno-delete-null-pointer-checks
LINK := -pie -Wl,-z,relro,-z,now,-z,noexecstack,-z,separate-code,-z,defs,--as-needed
SAN  := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
ifneq ($(findstring clang,$(CC)),)
WARN += -Wcomma -Wassign-enum -Wconditional-uninitialized -Wunreachable-code-aggressive
HARD += -ftrivial-auto-var-init=pattern
else
WARN += -Wlogical-op -Wduplicated-cond -Wduplicated-branches -Wjump-misses-init -Walloca -Wformat-overflow=2
HARD += -ftrivial-auto-var-init=zero -fzero-call-used-regs=used-gpr
endif

# libunbound's own file asks for what only a static link needs: it is named below.
PKGS := libssl libcrypto libbsd-overlay libseccomp sqlite3 jansson libconfuse libevent_core libcap libidn2 libgsasl
PATHS := -DPOSTERN_SBINDIR='"$(SBINDIR)"' -DPOSTERN_SYSCONFDIR='"$(SYSCONFDIR)"' \
	-DPOSTERN_LIBDIR='"$(LIBDIR)"' \
	-DPOSTERN_VERSION='"$(VERSION)"'
CPPFLAGS = -std=c11 -D_GNU_SOURCE -MMD -MP -I. $(PATHS) $(shell $(PKG_CONFIG) --cflags $(PKGS) 2>/dev/null)
LIBS = $(shell $(PKG_CONFIG) --libs $(PKGS) 2>/dev/null) -lunbound

# Every file below common/, agent/ and master/ but the two mains is in one
# archive, which the programs and the tests link.
MAINS := master/main.c master/control/postern.c
SRCS  := $(filter-out $(MAINS),$(sort $(shell find common agent master -name '*.c')))
# ATTACKS=1 makes a posternd whose workers can be told to attack their cage
# (tests/confine); no other build has that code.
ifdef ATTACKS
SRCS += tests/confine/attack.c
LINK += -Wl,--wrap=session_init
endif
# DEBUG=1 makes filters that name a forbidden call before the process ends.
ifdef DEBUG
CPPFLAGS += -DPOSTERN_DEBUG
endif
OBJS  := $(SRCS:%.c=$(BUILD)/obj/%.o)
UNIT  := $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard tests/unit/*.c))
FUZZ  := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
PAGES := master/posternd.8 master/posternd-internals.7 master/postern.conf.5 master/control/postern.1 master/control/postern-sendmail.1 master/intake/postern-job.5 \
	master/operator/postern-control.5 master/control/postern-transcript.5 master/metrics/postern-metrics.5

.PHONY: all libraries help deps demo check quick words check-mutants unit unit-sanitized session session-sanitized session-faults interop confine chaos chaos-upgrade fuzz faults bench $(BENCHES:%=bench-%) lint layers layers-test man-lint format install deb deb-lint deb-reproducible deb-check system-check debian13-check arch-build arch-check clean FORCE

all: $(BUILD)/posternd $(BUILD)/postern

help:
	@echo "make           build $(BUILD)/posternd and $(BUILD)/postern"
	@echo "make deps      install the Debian packages that are missing"
	@echo "make demo      deliver to a private Dovecot and Postfix, step by step"
	@echo "make check     all tests; or one kind: unit session interop confine chaos fuzz faults"
	@echo "make session-sanitized session-faults   session tests with both sanitizers; and one call fails"
	@echo "make check-mutants   plant faults one by one; which test finds each"
	@echo "make bench     speed and memory, figures only; or bench-run bench-queued bench-postfix bench-isolation bench-turns bench-night bench-checks"
	@echo "make DEBUG=1 BUILD=build/debug   filters that name what they forbid"
	@echo "make lint      layers, words, gcc -fanalyzer, clang-tidy, cppcheck, mandoc"
	@echo "make layers    who takes which names of whom, and how much there is, held against tests/layers.table"
	@echo "make words     phrases that read badly, and references that lead nowhere, held against tests/words.table"
	@echo "make install   programs, manuals, units, examples, configuration, users (DESTDIR, PREFIX, UNITDIR, DOCDIR)"
	@echo "make deb       $(DEB), a package for the Debian that it is made on; make deb-check tries it in a fresh root"
	@echo "make deb-reproducible   two packages from two folders are the same, octet for octet"
	@echo "make system-check   the first hour in a fresh Debian 12 under a live systemd: minutes, and root"
	@echo "make debian13-check   built and tested in a fresh Debian 13, by its gcc and clang: minutes, and root"
	@echo "make arch-check   arm64 and riscv64, cross-built and run in emulated machines"
	@echo "make clean     remove what was built; build/peers stays"

$(BUILD)/posternd: $(BUILD)/obj/master/main.o $(BUILD)/libpostern.a
	@echo "link $@"
	@$(CC) $(LINK) $(LDFLAGS) -o $@ $^ $(LIBS)

$(BUILD)/postern: $(BUILD)/obj/master/control/postern.o $(BUILD)/libpostern.a
	@echo "link $@"
	@$(CC) $(LINK) $(LDFLAGS) -o $@ $^ $(LIBS)

# q, not r: two files of one name stand in it.
$(BUILD)/libpostern.a: $(OBJS)
	@rm -f $@
	@$(AR) qcsD $@ $^

# The paths and the version are compiled in: another PREFIX builds anew.
$(BUILD)/paths: FORCE
	@mkdir -p $(@D)
	@echo "$(PREFIX) $(SBINDIR) $(LIBDIR) $(SYSCONFDIR) $(VERSION)" | cmp -s - $@ || \
	    echo "$(PREFIX) $(SBINDIR) $(LIBDIR) $(SYSCONFDIR) $(VERSION)" >$@

$(BUILD)/obj/master/main.o $(BUILD)/obj/master/metrics/render.o $(patsubst %.c,$(BUILD)/obj/%.o,$(filter master/control/%,$(SRCS) $(MAINS))): $(BUILD)/paths

libraries:
	@$(PKG_CONFIG) --exists $(PKGS) || { echo "libraries are missing: make deps"; exit 1; }

$(BUILD)/obj/%.o: %.c Makefile | libraries
	@mkdir -p $(@D)
	@echo "cc $<"
	@$(CC) $(CPPFLAGS) $(WARN) $(HARD) $(CFLAGS) -c -o $@ $<

$(BUILD)/unit: $(UNIT) $(BUILD)/libpostern.a
	@echo "link $@"
	@$(CC) $(LINK) $(LDFLAGS) -o $@ $^ $(LIBS) -lcriterion

deps:
	@sh conf/deps.sh

demo:
	@sh conf/deps.sh check
	@$(MAKE) --no-print-directory all
	@sh tests/interop/demo.sh

check:
	@sh conf/deps.sh check
	@sh tests/check.sh

unit: $(BUILD)/unit
	$(BUILD)/unit -j2

# What shows within a minute or two that a change is sound: no set-up, no real server.
quick: all unit layers words
	python3 tests/session/run.py --seed 1 -j 2 -k s_00

session: all
	python3 tests/session/run.py $(SESSION_OPTIONS)

interop: all
	python3 tests/interop/all.py

confine: all
	@$(MAKE) --no-print-directory ATTACKS=1 BUILD=$(BUILD)/attacks all
	@$(MAKE) --no-print-directory $(BUILD)/filters $(BUILD)/inject
	python3 tests/confine/run.py
	python3 tests/confine/sizes.py
	python3 tests/confine/acts.py

$(BUILD)/filters $(BUILD)/inject: $(BUILD)/%: tests/confine/%.c $(BUILD)/libpostern.a
	@echo "link $@"
	@$(CC) $(CPPFLAGS) $(WARN) $(HARD) $(LINK) -o $@ $^ $(LIBS)

chaos: all
	python3 tests/chaos/run.py $(CHAOS_SEED)

# So many upgrades under load; what was lost or came twice.
UPGRADES = 50
chaos-upgrade: all
	python3 tests/chaos/upgrade_load.py $(UPGRADES) $(CHAOS_SEED)

# One after the other, for each wants the machine for itself; see tests/bench/*.py.
BENCHES := run queued postfix isolation turns night checks

bench:
	@for name in $(BENCHES); do $(MAKE) --no-print-directory bench-$$name || exit 1; done

bench-run bench-queued bench-postfix bench-turns bench-night bench-checks: all
	python3 tests/bench/$(@:bench-%=%).py

bench-isolation: all
	@$(MAKE) --no-print-directory ATTACKS=1 BUILD=$(BUILD)/attacks all
	python3 tests/bench/isolation.py

# Debian 12's; Debian 13 has none of that number, but its own (conf/deps.sh too).
LLVM := $(if $(shell grep '^VERSION_ID="13' /etc/os-release 2>/dev/null),,-14)

# libFuzzer with both sanitizers; FUZZ_SECONDS for each target.  All targets
# link one archive, built by a make of its own that knows what is old in it.
FUZZ_SECONDS = 60
FUZZ_CC = clang$(LLVM)
FUZZ_LIB = $(BUILD)/fuzz/lib/libpostern.a
PARALLEL = $(if $(findstring --jobserver,$(MAKEFLAGS)),,-j$(shell nproc))

$(FUZZ_LIB): FORCE
	@echo "sanitised library"
	@$(MAKE) --no-print-directory -s $(PARALLEL) CC=$(FUZZ_CC) BUILD=$(@D) \
	    HARD="$(SAN) -fsanitize=fuzzer-no-link -fPIE" $@ >/dev/null

$(BUILD)/fuzz/%: tests/fuzz/fuzz_%.c $(FUZZ_LIB)
	@echo "fuzz target $*"
	@$(FUZZ_CC) $(CPPFLAGS) $(SAN) -fsanitize=fuzzer -o $@ $< $(FUZZ_LIB) $(LIBS)

fuzz:
	@$(MAKE) --no-print-directory $(PARALLEL) $(FUZZ:%=$(BUILD)/fuzz/%)
	@sh tests/fuzz/run.sh $(BUILD)/fuzz $(FUZZ_SECONDS) $(FUZZ)

# The n-th call of ours fails, under both sanitizers; see tests/faults/faults.h.
# FAULTS_ALL=1 takes each n, FAULTS_SEED= the same ones again, FAULTS_ONLY= some
# scenarios.
FAULTS := $(filter-out %/program.c,$(wildcard tests/faults/*.c))
FAULTS_OPTIONS = $(if $(FAULTS_ALL),-a) $(FAULTS_SEED:%=-s %) $(FAULTS_ONLY)
WRAPPED = $(shell awk -f tests/faults/wrapped.awk tests/faults/wrapped.def)

$(BUILD)/faults: $(FAULTS) tests/faults/faults.h tests/faults/calls.h tests/faults/wrapped.def $(FUZZ_LIB)
	@echo "link $@"
	@$(FUZZ_CC) $(filter-out -MMD -MP,$(CPPFLAGS)) -Wall -Wextra -Werror $(SAN) -fsanitize=fuzzer-no-link $(WRAPPED) \
	    -o $@ $(FAULTS) $(FUZZ_LIB) $(LIBS)

faults: $(BUILD)/faults
	$(BUILD)/faults $(FAULTS_OPTIONS)

# The unit tests with both sanitizers, and leaks; but for those in unit.sh.
unit-sanitized: $(FUZZ_LIB)
	@$(MAKE) --no-print-directory -s $(PARALLEL) CC=$(FUZZ_CC) WARN= BUILD=$(BUILD)/fuzz/lib \
	    HARD="$(SAN) -fsanitize=fuzzer-no-link -fPIE" LDFLAGS="$(SAN)" $(BUILD)/fuzz/lib/unit
	sh tests/faults/unit.sh $(BUILD)/fuzz/lib/unit

# The programs with both sanitizers, without walls, for the session tests; see
# tests/faults/program.c.  A sample of the cases, and another in which a call
# fails; SESSION_OPTIONS="--seed N" repeats them, SANITIZED_SAMPLE=0 is all.
SANITIZED := $(BUILD)/sanitized
PROGRAM := tests/faults/program.c tests/faults/calls.c
SANITIZED_SAMPLE = 120
FAULTS_SAMPLE = 16
UNWALLED = $(shell awk -f tests/faults/wrapped.awk tests/faults/wrapped.def tests/faults/walls.def)
SYMBOLIZER = $(shell command -v llvm-symbolizer$(LLVM) || command -v llvm-symbolizer)

$(SANITIZED)/posternd: master/main.c
$(SANITIZED)/postern: master/control/postern.c
$(SANITIZED)/posternd $(SANITIZED)/postern: $(PROGRAM) tests/faults/calls.h tests/faults/wrapped.def tests/faults/walls.def $(FUZZ_LIB)
	@mkdir -p $(@D)
	@echo "link $@"
	@$(FUZZ_CC) $(filter-out -MMD -MP,$(CPPFLAGS)) -Wall -Wextra -Werror $(SAN) -fsanitize=fuzzer-no-link $(UNWALLED) \
	    -DSYMBOLIZER='"$(SYMBOLIZER)"' -o $@ $(filter %.c,$^) $(FUZZ_LIB) $(LIBS)

session-sanitized: $(SANITIZED)/posternd $(SANITIZED)/postern
	BUILD=$(SANITIZED) python3 tests/session/run.py --slower 6 --sample $(SANITIZED_SAMPLE) $(SESSION_OPTIONS)

session-faults: $(SANITIZED)/posternd $(SANITIZED)/postern
	BUILD=$(SANITIZED) python3 tests/session/faults.py --sample $(FAULTS_SAMPLE) $(SESSION_OPTIONS)

# Faults that are planted, and the tests that find them: by hand and every night.
# MUTANTS= names some of tests/mutants.
check-mutants: all $(BUILD)/unit
	@sh tests/mutate.sh $(MUTANTS)

FORCE:

# gcc 12 takes memory that is kept in a list or a tree for lost: no leaks from
# it (the fuzz targets count them).  What cppcheck is not to know: the roles have
# one thread, so readdir() and getpwnam() are safe.
ANALYZER = -fanalyzer -Wnull-dereference -Wno-analyzer-malloc-leak
CPPCHECK = --quiet -j2 --error-exitcode=1 --inline-suppr --enable=warning,portability \
	--library=posix --library=conf/cppcheck.cfg -D_GNU_SOURCE -I. \
	--include=/usr/include/bsd/sys/queue.h --include=/usr/include/bsd/sys/tree.h \
	--suppress=readdirCalled --suppress=getpwnamCalled --suppress=getgrnamCalled --suppress=getgrgidCalled \
	--suppress=getpwuidCalled

lint: layers layers-test words man-lint
	@sh conf/deps.sh lint
	@$(MAKE) --no-print-directory CC=gcc BUILD=$(BUILD)/analyzer CFLAGS="$(ANALYZER)" all
	cppcheck $(CPPCHECK) common agent master
	@echo "clang-tidy$(LLVM)"
	@printf '%s\n' $(SRCS) $(MAINS) | \
	    xargs -P $(shell nproc) -I FILE clang-tidy$(LLVM) --quiet FILE -- $(CPPFLAGS) 2>/dev/null

# Which folder takes what of which, by nm; tests/layers.py has options that print
# the names.
layers: all
	@python3 tests/layers.py --build $(BUILD)

layers-test:
	@python3 tests/layers_test.py

# Phrases that read badly, which may only become fewer; tests/words.py --list.
words:
	@python3 tests/words_test.py 2>/dev/null || python3 tests/words_test.py
	@python3 tests/words.py

man-lint:
	mandoc -Tlint -W warning $(PAGES)
	LC_ALL=C.UTF-8 sh conf/man-quotes.sh $(PAGES)

format:
	clang-format-14 -i $(shell find common agent master tests -name '*.[ch]')

install: all
	install -d $(DESTDIR)$(SBINDIR) $(DESTDIR)$(BINDIR) $(DESTDIR)$(SYSCONFDIR) \
	    $(DESTDIR)$(MANDIR)/man1 $(DESTDIR)$(MANDIR)/man5 $(DESTDIR)$(MANDIR)/man7 $(DESTDIR)$(MANDIR)/man8
	install -m 755 $(BUILD)/posternd $(DESTDIR)$(SBINDIR)/posternd
	install -m 755 $(BUILD)/postern $(DESTDIR)$(BINDIR)/postern
	install -d $(DESTDIR)$(LIBDIR)
	for name in sendmail mailq newaliases; do \
	    ln -sf $(BINDIR)/postern $(DESTDIR)$(LIBDIR)/$$name || exit 1; done
	install -m 644 master/control/postern.1 master/control/postern-sendmail.1 $(DESTDIR)$(MANDIR)/man1/
	install -m 644 master/postern.conf.5 master/intake/postern-job.5 \
	    master/operator/postern-control.5 master/control/postern-transcript.5 \
	    master/metrics/postern-metrics.5 $(DESTDIR)$(MANDIR)/man5/
	install -m 644 master/posternd-internals.7 $(DESTDIR)$(MANDIR)/man7/
	install -m 644 master/posternd.8 $(DESTDIR)$(MANDIR)/man8/
	install -d $(DESTDIR)$(BASHDIR) $(DESTDIR)$(ZSHDIR)
	install -m 644 conf/completion/postern.bash $(DESTDIR)$(BASHDIR)/postern
	ln -sf postern $(DESTDIR)$(BASHDIR)/posternd
	install -m 644 conf/completion/_postern $(DESTDIR)$(ZSHDIR)/_postern
	test -e $(DESTDIR)$(SYSCONFDIR)/postern.conf || \
	    install -m 644 conf/postern.conf $(DESTDIR)$(SYSCONFDIR)/postern.conf
	install -m 644 conf/bounce.template $(DESTDIR)$(SYSCONFDIR)/bounce.template.default
	install -d $(DESTDIR)$(UNITDIR) $(DESTDIR)$(EXAMPLEDIR)
	for unit in postern.service postern.socket; do \
	    sed -e 's|/usr/local/sbin/|$(SBINDIR)/|' -e 's|/usr/local/bin/|$(BINDIR)/|' conf/$$unit \
		>$(DESTDIR)$(UNITDIR)/$$unit && \
	    chmod 644 $(DESTDIR)$(UNITDIR)/$$unit || exit 1; done
	install -m 644 conf/examples/* conf/grafana/* conf/prometheus/* $(DESTDIR)$(EXAMPLEDIR)/
	install -m 755 conf/users.sh $(DESTDIR)$(LIBDIR)/users
	@if [ -z "$(DESTDIR)" ]; then sh conf/users.sh; \
	    if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi; \
	    else echo "install: DESTDIR is set: create the users with $(LIBDIR)/users on the target"; fi

# A build of its own, for the paths are others; VERSION= makes another version.  The
# folder is not to be seen in it: the build ID is made of the debug information too,
# which has the name by which the shell knows the folder.
DEB = $(BUILD)/deb/postern_$(VERSION)_$(shell dpkg --print-architecture 2>/dev/null).deb

deb:
	@sh conf/deps.sh deb
	@PWD='$(CURDIR)' $(MAKE) --no-print-directory -s PREFIX=/usr BUILD=$(BUILD)/deb \
	    CFLAGS="$(CFLAGS) '-ffile-prefix-map=$(CURDIR)=/usr/src/postern'" all
	@MAKE="$(MAKE)" sh conf/debian/build.sh $(BUILD)/deb $(VERSION) $(DEB)

deb-lint: deb
	@sh conf/debian/check.sh $(DEB)

# Built twice, from copies of the tree in two folders: minutes.
deb-reproducible:
	@sh conf/deps.sh deb
	@MAKE="$(MAKE)" sh conf/debian/reproducible.sh

# In a fresh root, with the upgrade to a higher version: minutes, and root.
deb-check: deb-lint
	@sh conf/deps.sh root
	@$(MAKE) --no-print-directory deb VERSION=$(VERSION).999 DEB=$(BUILD)/deb/next/postern.deb
	python3 tests/interop/package.py $(DEB) $(BUILD)/deb/next/postern.deb

# The README's first hour, by the package and by make install, in a container with
# a systemd of its own; build/system.transcript has all that was typed and said.
system-check:
	@sh conf/deps.sh system
	@$(MAKE) --no-print-directory deb
	python3 tests/system/run.py $(DEB)

# The same source in a Debian 13 of its own: a quarter of an hour, and root.
debian13-check:
	@sh conf/deps.sh root
	python3 tests/system/debian13.py

# Other architectures, with Debian's cross compilers and packages; arch-build builds
# for those whose packages root.sh has fetched, or for all with ARCHS named.
ARCHS = $(patsubst $(BUILD)/arch/%/complete,%,$(wildcard $(BUILD)/arch/*/complete))
arch-build:
	@[ -n "$(ARCHS)" ] || echo "skipped: no packages of another architecture are here (make arch-check)"
	@for arch in $(ARCHS); do sh tests/arch/build.sh $$arch && echo "$$arch: built without warnings" || exit 1; done

# Builds them and runs both in emulated machines: minutes, and root for what is missing.
arch-check:
	@for arch in arm64 riscv64; do sh tests/arch/run.sh $$arch || exit 1; done

clean:
	rm -rf $(BUILD)/deb $(BUILD)/obj $(BUILD)/attacks $(BUILD)/analyzer $(BUILD)/debug $(BUILD)/fuzz $(SANITIZED) $(BUILD)/libpostern.a \
	    $(BUILD)/posternd $(BUILD)/postern $(BUILD)/unit $(BUILD)/filters $(BUILD)/inject $(BUILD)/faults

-include $(OBJS:.o=.d) $(UNIT:.o=.d) $(MAINS:%.c=$(BUILD)/obj/%.d)

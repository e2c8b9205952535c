# SPDX-License-Identifier: ISC
# Builds build/posternd and build/postern; `make help` lists the rest.

CC      ?= cc
PREFIX  ?= /usr/local
SBINDIR ?= $(PREFIX)/sbin
BINDIR  ?= $(PREFIX)/bin
MANDIR  ?= $(PREFIX)/share/man
SYSCONFDIR ?= /etc/postern
BUILD   ?= build

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

PKGS := libssl libcrypto libbsd-overlay libseccomp sqlite3 libunbound jansson libconfuse libidn2 libevent_core libcap
PATHS := -DPOSTERN_SBINDIR='"$(SBINDIR)"' -DPOSTERN_SYSCONFDIR='"$(SYSCONFDIR)"'
CPPFLAGS += -std=c11 -D_GNU_SOURCE -MMD -MP -I. $(PATHS) $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
LIBS := $(shell pkg-config --libs $(PKGS) 2>/dev/null)

# Every file below common/, agent/ and master/ but the two mains is in one
# archive, which the programs and the unit tests link.
MAINS := master/main.c master/control/postern.c
SRCS  := $(filter-out $(MAINS),$(wildcard common/*.c agent/*.c master/*.c master/*/*.c))
OBJS  := $(SRCS:%.c=$(BUILD)/obj/%.o)
UNIT  := $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard tests/unit/*.c))

.PHONY: all unit clean
all: $(BUILD)/posternd $(BUILD)/postern

$(BUILD)/posternd: $(BUILD)/obj/master/main.o $(BUILD)/libpostern.a
	$(CC) $(LINK) $(LDFLAGS) -o $@ $^ $(LIBS)

$(BUILD)/postern: $(BUILD)/obj/master/control/postern.o $(BUILD)/libpostern.a
	$(CC) $(LINK) $(LDFLAGS) -o $@ $^ $(LIBS)

$(BUILD)/libpostern.a: $(OBJS)
	@rm -f $@
	@ar qcs $@ $^

$(BUILD)/obj/%.o: %.c Makefile
	@mkdir -p $(@D)
	@echo "cc $<"
	@$(CC) $(CPPFLAGS) $(WARN) $(HARD) $(CFLAGS) -c -o $@ $<

$(BUILD)/unit: $(UNIT) $(BUILD)/libpostern.a
	$(CC) $(LINK) $(LDFLAGS) -o $@ $^ $(LIBS) -lcriterion

unit: $(BUILD)/unit
	$(BUILD)/unit -j2

clean:
	rm -rf $(BUILD)/obj $(BUILD)/libpostern.a $(BUILD)/posternd $(BUILD)/postern $(BUILD)/unit

-include $(OBJS:.o=.d) $(UNIT:.o=.d) $(MAINS:%.c=$(BUILD)/obj/%.d)

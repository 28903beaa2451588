# Volley. `make help` lists the targets and variables; `make run` and `make test` install what they need themselves.
#
# A new .c or .asm file in one of the rooms is built and linked without a change here.

ROOMS := lib boot apic smp mm mm/shootdown dev kernel bench tests

# One file of user/ is one program of ring 3; user/lib is linked to each. They travel beside the kernel, as multiboot2 modules.
PROGRAMS := $(sort $(patsubst user/%.c,%,$(wildcard user/*.c)))

# ---- tools: the host's gcc, or CROSS_COMPILE=x86_64-elf- and the like, or CC=clang ----
ifeq ($(origin CC),default)
CC := $(CROSS_COMPILE)gcc
endif
LD      := $(CROSS_COMPILE)ld
NM      := $(CROSS_COMPILE)nm
OBJDUMP := $(CROSS_COMPILE)objdump
export STRIP := $(CROSS_COMPILE)strip
NASM    ?= nasm
STB_DIR ?= /usr/include/stb
FONT_DIR ?= /usr/share/consolefonts
CLANG   := $(findstring clang,$(CC))

# ---- where the output goes: one directory for each kind of build ----
B := build$(if $(CLANG),/$(notdir $(CC)))$(if $(filter 1,$(DEBUG)),/debug)

# ---- flags ----
# What only the debug build checks as it runs: undefined behaviour (kernel/ubsan.c; not null pointers, because per-CPU variables begin at
# address 0 of GS), and the frames of functions with arrays (kernel/canary.c).
CHECKS := $(if $(filter 1,$(DEBUG)),-fsanitize=undefined -fno-sanitize=null -fstack-protector-strong \
	-mstack-protector-guard=global,-fno-stack-protector)
# Freestanding, no red zone (interrupts use the stack), no vector registers (nothing saves them), at -2 GiB.
CFLAGS := -std=gnu17 -ffreestanding -mcmodel=kernel -mno-red-zone -mgeneral-regs-only -fno-pic \
	-fno-asynchronous-unwind-tables -fcf-protection=none -fno-omit-frame-pointer $(CHECKS) \
	-O2 -g -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Werror \
	-ffile-prefix-map=$(CURDIR)/= -I. -isystem $(B)/include \
	$(if $(CLANG),-target x86_64-unknown-none) $(if $(filter 1,$(DEBUG)),-DVOLLEY_DEBUG)
# Ring 3: ordinary compiled code, vector registers and red zone too, in the low 2 GiB; each function a section of its own, so that a
# program has only what it calls.
USER_CFLAGS := -std=gnu17 -ffreestanding -fno-pic -fno-stack-protector -fno-asynchronous-unwind-tables -fcf-protection=none \
	-fno-omit-frame-pointer -ffunction-sections -fdata-sections -O2 -g -Wall -Wextra -Wshadow -Wstrict-prototypes \
	-Wmissing-prototypes -Wvla -Werror -ffile-prefix-map=$(CURDIR)/= -I. $(if $(CLANG),-target x86_64-unknown-none)
NASMFLAGS := -f elf64 -g -F dwarf --reproducible -Werror -I$(B)/
LDFLAGS := -nostdlib -static -z max-page-size=4096 -z noexecstack --orphan-handling=error --build-id=none

# Where nobody waits for the code: text, records, firmware tables, codes for the screen. Optimised for size; the kernel's image has a limit.
SMALL := lib/format lib/json lib/deflate% dev/keymap dev/qr% kernel/acpi% kernel/cpu_% kernel/machine% kernel/fault_% kernel/export% \
	kernel/elf% kernel/features kernel/line_edit kernel/profile_report kernel/smbios% mm/opt \
	kernel/%_command kernel/%commands kernel/cost_measure kernel/idle_choose kernel/trace dev/screen dev/terminal boot/mb2% bench/axes \
	bench/runner bench/progress bench/policies bench/shootdown bench/bringup bench/targets bench/sample bench/effort bench/syscall bench/told \
	bench/opt% kernel/cost kernel/profile kernel/backtrace kernel/panic dev/% mm/frame_init mm/kmap_check \
	kernel/patch kernel/stop_point smp/bringup lib/log lib/param kernel/console kernel/shell kernel/cmdline kernel/start_cpus \
	kernel/main kernel/pti kernel/gdt bench/seed kernel/process kernel/remote_flush kernel/iommu kernel/mtrr kernel/amd_c1e kernel/firmware kernel/clock_choose

SOURCES := $(sort $(wildcard $(ROOMS:%=%/*.c) $(ROOMS:%=%/*.asm)))
OBJECTS := $(SOURCES:%=$(B)/%.o)
KERNEL  := $(B)/volley.elf
ISO     := $(B)/volley.iso
USER_LIB := $(patsubst %,$(B)/%.o,$(sort $(wildcard user/lib/*.c user/lib/*.asm)))
USER_ELF := $(PROGRAMS:%=$(B)/user/%.elf)

.PHONY: all kernel iso usb run bench report test test-long fuzz debug adversary mutants lint help clean FORCE
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules

all: iso

# ---- what one calls ----
help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 14
	@printf '%s\n' '' 'Variables, with their defaults:' \
	'  SMP=host cores, 2..8  MEM=512M  ARGS="kernel command line" (make run: bench=default)' \
	'  SET=quick|seed|full: what make bench measures  RUNS="A.jsonl B.jsonl" for make report' \
	'  EMULATOR=qemu|bochs  FIRMWARE=bios|uefi  MEDIUM=cd|usb|disk  ACCEL=tcg|kvm  TCG=multi|single  CPU=max' \
	'  DEV=/dev/sdX, the stick for make usb' \
	'  OUT=file for the JSON Lines  TIMEOUT=seconds until a silent machine is stopped (another after eight times as many)' \
	'  QEMU_EXTRA="more arguments"' \
	'  CC=gcc|clang  CROSS_COMPILE=x86_64-elf-  DEBUG=1 for more assertions  V=1 shows the commands'

kernel: ## the kernel build/volley.elf, with .map .sym .asm beside it, and the programs build/user/NAME.elf
iso: ## the boot medium build/volley.iso (the default)

usb: iso ## write the boot medium to the USB stick DEV=/dev/sdX: looks, asks, writes, reads back (as root)
	@tools/usb "$(DEV)" $(ISO)

# One make at a time builds in a directory, as two would write the same files; the inner one here has the lock.
ifeq ($(LOCKED),$(B))
kernel: $(KERNEL) $(B)/programs
iso: $(ISO)
else
kernel iso:
	@mkdir -p $(B) && { flock -n -o $(B)/lock true || echo '  waiting for another make in $(B)' >&2; } && \
	flock -o $(B)/lock $(MAKE) --no-print-directory LOCKED=$(B) $@
endif

# tools/run reads its settings from the environment, where make puts the variables of its command line.
run bench debug: export KERNEL := $(KERNEL)
run: export ARGS ?= bench=default

# What `make bench` measures. quick ends within a minute at 4 CPUs in QEMU; seed is Bochs, exact, under the model of the machine
# that the published table is of; full takes as long as it takes. The boot medium's menu has the same two.
SET ?= quick
ARGS_quick := $(shell cat iso/quick)
ARGS_seed  := cost=haswell unsafe=yes bench=seed
ARGS_full  := $(shell cat iso/full)
ifeq ($(ARGS_$(SET)),)
$(error SET=$(SET): allowed are quick, seed and full)
endif
bench: export ARGS ?= $(ARGS_$(SET))
bench: export OUT ?= $(B)/bench.jsonl
ifeq ($(SET),seed)
bench: export EMULATOR ?= bochs
bench: export SMP ?= 4
endif
ifeq ($(SET),full)
bench: export TIMEOUT ?= 86400
endif
BUILD_KERNEL = @$(MAKE) --no-print-directory $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc)) kernel

run: ## boot in an emulator, run the default benchmark, stay at the prompt
	@tools/setup
	$(BUILD_KERNEL)
	@tools/run

bench: ## a set of benchmarks (SET=) without a terminal, results to build/bench.jsonl
	@tools/setup
	$(BUILD_KERNEL)
	@tools/run </dev/null

report: ## build/report/index.html: tables and plots of RUNS="build/bench.jsonl ..."; two are compared
	@tools/setup
	@tools/report-html $(RUNS)

test: ## lint, host tests, boot matrix; ends with "N passed, N failed, N skipped"
	@tools/setup
	@tools/test-all

test-long: ## the same and what takes longer
	@tools/setup
	@tools/test-all --long

fuzz: ## feed the parsers what libFuzzer makes up, until stopped
	@tools/setup
	@tools/fuzz --seconds 0

debug: kernel ## QEMU waits, GDB attaches with symbols
	@DEBUGGER=1 tools/run

adversary: ## the real mm and smp code on a simulated machine: SEED=1 RANDOM=10000 STEPS=schedules BOUND=2 (tests/sim/)
	@tools/adversary --seed $(or $(SEED),1) --random $(or $(RANDOM),10000) --bound $(or $(BOUND),2) \
	--steps $(or $(STEPS),0) $(WORDS)

mutants: ## plant each bug of tests/mutants/, demand that a test notices it, and write docs/mutants.md
	@tools/mutants --table

lint: ## formatting, room arrows, warnings under gcc and clang, static analysis
	@tools/lint

clean: ## remove build/
	rm -rf build

# ---- compile ----
Q := $(if $(V),,@)
say = $(if $(V)$(findstring s,$(firstword -$(MAKEFLAGS))),,@printf '  %-4s %s\n' $(1) $@)

$(B)/%.c.o: %.c $(B)/flags $(B)/include/stb/stb_sprintf.h
	$(call say,CC)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(if $(filter $(SMALL),$*),-Os) -MMD -MP -c $< -o $@

# All includes, as there are few: what NASM 2.16 says about dependencies leaves them out.
$(B)/%.asm.o: %.asm $(wildcard $(ROOMS:%=%/*.inc)) $(B)/flags $(B)/asm-offsets.inc
	$(call say,NASM)
	@mkdir -p $(@D)
	$(Q)$(NASM) $(NASMFLAGS) $< -o $@

# ---- ring 3 ----
$(B)/user/%.c.o: private CFLAGS = $(USER_CFLAGS)

$(B)/user/%.elf: $(B)/user/%.c.o $(USER_LIB) user/user.ld $(B)/flags
	$(call say,LD)
	$(Q)$(LD) $(LDFLAGS) --gc-sections -T user/user.ld $(filter %.o,$^) -o $@

# What tools/mkiso puts on the boot medium: those that there are now, and not what a removed source has left behind.
$(B)/programs: $(USER_ELF)
	@printf '%s\n' $(PROGRAMS) >$@

# The commit, in the one file that shows it.
# `make usb` may run as root in a user's clone, which git refuses to read unless it is told that this is meant.
COMMIT := $(shell git -c safe.directory='$(CURDIR)' describe --always --dirty=+ --exclude='*' 2>/dev/null || echo unknown)
$(B)/kernel/machine.c.o: private CFLAGS += -DVOLLEY_COMMIT='"$(COMMIT)"'
$(B)/kernel/machine.c.o: $(B)/commit
$(B)/commit: FORCE
	@mkdir -p $(@D)
	@echo '$(COMMIT)' | cmp -s - $@ || echo '$(COMMIT)' >$@

# The one header from outside, alone in its directory, so that no header of the host can be included by mistake.
$(B)/include/stb/stb_sprintf.h: $(STB_DIR)/stb_sprintf.h
	@mkdir -p $(@D)
	@cp $< $@

$(STB_DIR)/stb_sprintf.h:
	@echo '$@ is missing: run tools/setup, or say where it is with STB_DIR=folder' >&2; exit 1

# The fonts of the screen, unpacked: dev/fonts.asm takes them in whole.
$(B)/dev/fonts.asm.o: $(B)/font16.psf $(B)/font32.psf
$(B)/font16.psf: FONT := Uni2-Terminus16
$(B)/font32.psf: FONT := Uni2-Terminus32x16
$(B)/font%.psf:
	@mkdir -p $(@D)
	@test -f $(FONT_DIR)/$(FONT).psf.gz || { echo '$(FONT_DIR)/$(FONT).psf.gz is missing: run tools/setup, or say where it is with FONT_DIR=folder' >&2; exit 1; }
	$(Q)gzip -dc $(FONT_DIR)/$(FONT).psf.gz >$@

$(B)/asm-offsets.inc: tools/asm-offsets.c tools/asm-offsets $(B)/flags
	$(call say,GEN)
	$(Q)$(CC) $(filter-out -g,$(CFLAGS)) -MMD -MP -MT $@ -MF $(B)/asm-offsets.d -S $< -o $(B)/asm-offsets.s
	$(Q)tools/asm-offsets <$(B)/asm-offsets.s >$@

# Changes only when a tool, a flag or the list of sources does; then everything is built again.
FLAGS_NOW = $(CC) $(CFLAGS) | $(USER_CFLAGS) | $(NASM) $(NASMFLAGS) | $(LD) $(LDFLAGS) | $(SMALL) | $(SOURCES) | $(PROGRAMS) $(USER_LIB)
$(B)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(FLAGS_NOW)' | cmp -s - $@ || echo '$(FLAGS_NOW)' >$@

# ---- link twice: the second time with the symbol table of the first (tools/gen-symtab) ----
$(KERNEL): $(OBJECTS) $(B)/flags linker.ld tools/gen-symtab
	$(call say,LD)
	$(Q)tools/gen-symtab --empty >$(B)/symbols0.asm
	$(Q)$(NASM) $(NASMFLAGS) $(B)/symbols0.asm -o $(B)/symbols0.o
	$(Q)$(LD) $(LDFLAGS) -T linker.ld $(OBJECTS) $(B)/symbols0.o -o $(B)/volley.first
	$(Q)tools/gen-symtab $(B)/volley.first $(NM) >$(B)/symbols.asm
	$(Q)$(NASM) $(NASMFLAGS) $(B)/symbols.asm -o $(B)/symbols.o
	$(Q)$(LD) $(LDFLAGS) -T linker.ld -Map=$(B)/volley.map $(OBJECTS) $(B)/symbols.o -o $@.new
	$(Q)tools/gen-symtab --check $(B)/volley.first $@.new $(NM)
	$(Q)$(NM) -n $@.new >$(B)/volley.sym
	$(Q)$(OBJDUMP) -d --no-show-raw-insn $@.new >$(B)/volley.asm
	$(Q)mv $@.new $@

# A menu that waits long enough to be read, and goes on by itself.
$(ISO): $(KERNEL) $(B)/programs $(wildcard iso/*) tools/mkiso tools/fixed-time.c
	$(call say,ISO)
	$(Q)tools/mkiso $< $@ 10

-include $(patsubst %.o,%.d,$(filter %.c.o,$(OBJECTS) $(USER_LIB)) $(PROGRAMS:%=$(B)/user/%.c.o)) $(B)/asm-offsets.d

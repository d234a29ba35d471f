# Builds xmpp_gateway.so for the SIP servers of this machine, tests it, shows it, measures it.
#
#   make                        for every host found
#   make HOST=kamailio          build/kamailio/xmpp_gateway.so, for the Kamailio that is installed
#   make HOST=opensips          build/opensips-VERSION/xmpp_gateway.so, for the tree OPENSIPS_SRC, or without it for each tree found; what
#                               is installed is build/opensips/, a copy of the last (the newest) of them
#   make install [DESTDIR=...]  what is built: modules, documentation, examples
#   make demo [KEEP=1]          a conversation between a SIP client and an XMPP client; installs what is missing
#   make test                   all tests, on every host found; installs what is missing
#   make test-asan              end-to-end tests against modules that AddressSanitizer watches: Kamailio, and one OpenSIPS
#   make fuzz [FUZZ_SECONDS=60] [FUZZ=...]   each parser, or those named, against inputs that coverage guides
#   make test-long              what holds for every address, over a million generated ones a property; minutes
#   make bench [ARGS=...]       throughput and latency against the bare host (ARGS=--help for its options); without ARGS, of the
#                               XML parser too
#   make test-calls             10 000 calls that ring and are busy, on every host found: no lamp stays lit; minutes
#   make clean
#
# Variables, all optional:
#   KAMAILIO_SRC      source tree of the installed Kamailio (else apt fetches its source package)
#   KAMAILIO_MODULES  folder of its modules (else the usual ones)
#   OPENSIPS_MODULES  folder of OpenSIPS's modules, for install (else the usual ones)
#   OPENSIPS_SRC      source tree of OpenSIPS (else those under /usr/src and /usr/local/src)
#   FEATURES          features of the crate
#   CARGO             cargo
#   RUNNERS           how many end-to-end tests run at once (else 4: they wait more than they work)

ifneq ($(wildcard ../../Makefile.modules),)
# Inside an OpenSIPS source tree this is the Makefile of a module.
NAME=xmpp_gateway.so
include src/host/opensips/module.mk
else

CARGO ?= cargo
BUILD ?= build
PREFIX ?= /usr
DOCS ?= $(PREFIX)/share/doc/xmpp_gateway
PYTHON ?= /usr/bin/python3
RUNNERS ?= 4
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)

ifdef KAMAILIO_MODULES
KAMAILIO_FOUND := $(KAMAILIO_MODULES)
else
KAMAILIO_FOUND := $(firstword $(patsubst %/tm.so,%,$(wildcard \
	/usr/lib64/kamailio/modules/tm.so /usr/lib/kamailio/modules/tm.so \
	/usr/local/lib64/kamailio/modules/tm.so /usr/local/lib/kamailio/modules/tm.so \
	/usr/lib/*/kamailio/modules/tm.so)))
endif
ifdef OPENSIPS_SRC
OPENSIPS_FOUND := $(OPENSIPS_SRC)
else
OPENSIPS_FOUND := $(shell ls -d $(patsubst %/core_cmds.c,%,$(wildcard \
	/usr/src/opensips*/core_cmds.c /usr/local/src/opensips*/core_cmds.c)) /dev/null | grep -v '^/dev/null$$' | sort -V)
endif

ifdef HOST
ifeq ($(filter kamailio opensips,$(HOST)),)
$(error HOST is "$(HOST)"; it takes kamailio or opensips)
endif
HOSTS := $(HOST)
else
HOSTS := $(if $(KAMAILIO_FOUND),kamailio) $(if $(OPENSIPS_FOUND),opensips)
endif

OPENSIPS_MODULES ?= $(or $(firstword $(wildcard /usr/lib/*/opensips/modules /usr/lib64/opensips/modules /usr/lib/opensips/modules \
	/usr/local/lib64/opensips/modules)),/usr/local/lib64/opensips/modules)

# $(call prefix,modules): where the host that has its modules there has its share/.
prefix = $(if $(findstring /lib,$(1)),$(firstword $(subst /lib, ,$(1))),$(PREFIX))

KAMAILIO_DOCS := $(call prefix,$(KAMAILIO_FOUND))/share/doc/kamailio
KAMAILIO_SHARE := $(call prefix,$(KAMAILIO_FOUND))/share/kamailio
OPENSIPS_SHARE := $(call prefix,$(OPENSIPS_MODULES))/share

# $(call need,test,sentence)
need = $(1) || { echo $(2) >&2; exit 1; }
need_cargo = $(call need,command -v $(CARGO) >/dev/null,"xmpp_gateway is written in Rust: $(CARGO) was looked for in PATH and not \
found; install Rust 1.89 or newer$(comma) or set CARGO")
comma := ,

# One build at a time: the hosts share cargo's folder.
.NOTPARALLEL:
.PHONY: all kamailio opensips install demo test test-long test-calls test-asan fuzz bench clean

all: $(HOSTS)
ifeq ($(strip $(HOSTS)),)
	@echo "No SIP server found: install Kamailio (tm.so was looked for in kamailio/modules under /usr/lib, /usr/lib64," \
	"/usr/local/lib), set KAMAILIO_MODULES, or set OPENSIPS_SRC to a source tree of OpenSIPS" >&2; exit 1
endif

# $(call build,host,folder): cargo's product to its place, in one step that a running server survives.
build = XMPP_GATEWAY_HOST=$(1) $(CARGO) rustc --release --lib --crate-type cdylib $(if $(FEATURES),--features $(FEATURES)) \
	&& mkdir -p $(BUILD)/$(2) && cp $(TARGET_DIR)/release/libxmpp_gateway.so $(BUILD)/$(2)/xmpp_gateway.so.new \
	&& mv $(BUILD)/$(2)/xmpp_gateway.so.new $(BUILD)/$(2)/xmpp_gateway.so

kamailio:
	@$(need_cargo)
	@$(call need,test -f "$(KAMAILIO_FOUND)/tm.so","No Kamailio found: tm.so was looked for in $(or $(KAMAILIO_FOUND),kamailio/modules \
	under /usr/lib$(comma) /usr/lib64$(comma) /usr/local/lib); install Kamailio$(comma) or set KAMAILIO_MODULES to the folder of its modules")
ifdef KAMAILIO_SRC
	@$(call need,test -f "$(KAMAILIO_SRC)/src/core/sr_module.h","KAMAILIO_SRC is $(KAMAILIO_SRC)$(comma) where src/core/sr_module.h was \
	looked for and not found; it takes the source tree of the installed Kamailio")
else
	src/host/kamailio/headers.sh build/kamailio/src
endif
	$(call build,kamailio,kamailio)

opensips:
	@$(need_cargo)
ifdef OPENSIPS_SRC
	@$(call need,test -f "$(OPENSIPS_SRC)/core_cmds.c" -a -f "$(OPENSIPS_SRC)/Makefile.defs","OPENSIPS_SRC is $(OPENSIPS_SRC)$(comma) where \
	core_cmds.c and Makefile.defs were looked for and not found; it takes the source tree of the running OpenSIPS")
else ifeq ($(OPENSIPS_FOUND),)
	@echo "No OpenSIPS found: set OPENSIPS_SRC to the source tree of the running build (opensips*/core_cmds.c was looked for" \
	"under /usr/src and /usr/local/src)" >&2; exit 1
endif
	set -e; for tree in $(OPENSIPS_FOUND); do \
		version=$$(sed -n 's/^VERSION_\(MAJOR\|MINOR\|SUBMINOR\) *= *\([0-9]*\).*/\2/p' $$tree/Makefile.defs | paste -sd.); \
		export OPENSIPS_SRC=$$tree; $(call build,opensips,opensips-$$version); \
		mkdir -p $(BUILD)/opensips; cp $(BUILD)/opensips-$$version/xmpp_gateway.so $(BUILD)/opensips/xmpp_gateway.so; \
	done

# Modules beside those of the host; what is read, where each host puts its own, and all of it under DOCS.
install:
	@$(call need,[ -f build/kamailio/xmpp_gateway.so ] || [ -f build/opensips/xmpp_gateway.so ],"Nothing is built: \
	build/kamailio/xmpp_gateway.so and build/opensips/xmpp_gateway.so were looked for; run make first")
	@if [ -f build/kamailio/xmpp_gateway.so ]; then $(call need,[ -n "$(KAMAILIO_FOUND)" ],"No Kamailio found: set KAMAILIO_MODULES to \
	the folder of its modules"); fi
	if [ -f build/kamailio/xmpp_gateway.so ]; then set -e; \
		install -D -m 644 build/kamailio/xmpp_gateway.so "$(DESTDIR)$(KAMAILIO_FOUND)/xmpp_gateway.so"; \
		install -D -m 644 -t "$(DESTDIR)$(KAMAILIO_DOCS)/xmpp_gateway" module-docs/kamailio/*; \
		install -D -m 644 -t "$(DESTDIR)$(KAMAILIO_DOCS)/examples/xmpp_gateway" cfg-examples/kamailio/*; \
		install -D -m 644 -t "$(DESTDIR)$(KAMAILIO_SHARE)/db_sqlite" db/sqlite/*; \
		install -D -m 644 -t "$(DESTDIR)$(KAMAILIO_SHARE)/mysql" db/mysql/*; \
		install -D -m 644 -t "$(DESTDIR)$(KAMAILIO_SHARE)/postgres" db/postgres/*; fi
	if [ -f build/opensips/xmpp_gateway.so ]; then set -e; \
		install -D -m 644 build/opensips/xmpp_gateway.so "$(DESTDIR)$(OPENSIPS_MODULES)/xmpp_gateway.so"; \
		install -D -m 644 module-docs/opensips/README.md "$(DESTDIR)$(OPENSIPS_SHARE)/doc/opensips/README.xmpp_gateway"; \
		install -D -m 644 -t "$(DESTDIR)$(OPENSIPS_SHARE)/opensips/examples" cfg-examples/opensips/*; \
		for database in sqlite mysql postgres; do \
			install -D -m 644 -t "$(DESTDIR)$(OPENSIPS_SHARE)/opensips/$$database" db/$$database/*; done; fi
	install -d "$(DESTDIR)$(DOCS)"
	cp -R module-docs cfg-examples db README.md LICENSE "$(DESTDIR)$(DOCS)/"

demo:
	tests/e2e/install.sh
	$(MAKE) kamailio
	$(PYTHON) tests/e2e/demo.py

# Without a host first: what fails there needs no server to be understood. Databases of the servers are in memory where that is possible: on a
# disk that others keep busy, SQLite makes a host wait for longer than it does. A test that fails is run once more and named at the end: on a
# machine with much to do a wait of seconds may not be long enough. A server that crashed fails the run all the same.
test:
	tests/e2e/install.sh
	XMPP_GATEWAY_CASES=3500 $(CARGO) test --quiet
	$(MAKE) all
	folder=$$(mktemp -d $(if $(wildcard /dev/shm/.),-p /dev/shm)); trap 'rm -rf "$$folder"' EXIT; cd tests/e2e && \
	$(PYTHON) -m pytest -q -n $(RUNNERS) --dist loadgroup --reruns 1 --basetemp="$$folder/e2e" $(ARGS)

test-long:
	XMPP_GATEWAY_CASES=1000000 $(CARGO) test --release --quiet --lib address::properties

test-calls:
	tests/e2e/install.sh
	$(MAKE) all
	cd tests/e2e && XMPP_GATEWAY_CALLS=10000 $(PYTHON) -m pytest -q test_many_calls.py $(ARGS)

# Rust of any channel knows AddressSanitizer; RUSTC_BOOTSTRAP lets a stable one be asked for it. The hosts are not built with it, so its
# runtime (that of gcc, which is the same) is loaded ahead of them. It sees the module's heap, stack and statics, and each call of the C
# library with what does not belong to the caller; what lies in a pool of a host is one block to it.
ASAN_OPENSIPS := $(lastword $(OPENSIPS_FOUND))
ASAN_TESTS ?= test_messages.py test_presence_to_sip.py test_presence_to_xmpp.py test_subscription.py test_notify.py test_bad_stanza.py \
	test_hostile_server.py test_hostile_sip.py
machine = $(shell $(CARGO) -vV | sed -n 's/^host: //p')

# $(call build_asan,host)
build_asan = OPENSIPS_SRC=$(ASAN_OPENSIPS) XMPP_GATEWAY_HOST=$(1) RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address $(CARGO) rustc --release \
	--lib --crate-type cdylib --config profile.release.lto=false --config profile.release.codegen-units=16 --target $(machine) \
	--target-dir $(TARGET_DIR)/asan && install -D $(TARGET_DIR)/asan/$(machine)/release/libxmpp_gateway.so build/asan/$(1)/xmpp_gateway.so

test-asan:
	tests/e2e/install.sh
	@$(need_cargo)
	$(if $(KAMAILIO_SRC),,$(if $(filter kamailio,$(HOSTS)),src/host/kamailio/headers.sh build/kamailio/src))
	set -e; $(foreach host,$(HOSTS),$(call build_asan,$(host));)
	reports=$$(mktemp -d) && cd tests/e2e && SANITIZER=$$(realpath $$(gcc -print-file-name=libasan.so)) SANITIZER_REPORTS=$$reports \
	OPENSIPS_SRC=$(ASAN_OPENSIPS) KAMAILIO_GATEWAY=$(CURDIR)/build/asan/kamailio/xmpp_gateway.so \
	OPENSIPS_GATEWAY=$(CURDIR)/build/asan/opensips/xmpp_gateway.so $(PYTHON) -m pytest -q -k "not ejabberd" $(ASAN_TESTS) $(ARGS)

# libFuzzer with the coverage that stable Rust can count. What is found stays in fuzz/artifacts, what was learnt in fuzz/corpus.
FUZZ_SECONDS ?= 60
FUZZ ?= framer stanza message cpim imdn pidf winfo dialog_info dialog_event sip_uri jid header datagram \
	bosh host_meta accounts sasl
FUZZ_FLAGS := -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
	-Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares
FUZZ_OPTIONS := -timeout=60 -rss_limit_mb=1024 -print_final_stats=1 -verbosity=0

fuzz:
	@$(need_cargo)
	rm -rf fuzz/seeds
	XMPP_GATEWAY_SEEDS=$(CURDIR)/fuzz/seeds $(CARGO) test --quiet --test golden --test stream --test phone_documents
	@set -e; RUSTFLAGS="$(FUZZ_FLAGS)" $(CARGO) build --release --manifest-path fuzz/Cargo.toml --target-dir $(TARGET_DIR)/fuzz --target $(machine); \
	found=; for target in $(FUZZ); do \
		mkdir -p fuzz/corpus/$$target fuzz/seeds/$$target fuzz/artifacts/$$target; \
		case $$target in framer|stanza|imdn|pidf|winfo|dialog_info|dialog_event|bosh|host_meta) words=xml;; *) words=sip;; esac; \
		echo "fuzz: $$target for $(FUZZ_SECONDS) s"; \
		$(TARGET_DIR)/fuzz/$(machine)/release/$$target -max_total_time=$(FUZZ_SECONDS) $(FUZZ_OPTIONS) -dict=fuzz/$$words.dict \
			-artifact_prefix=fuzz/artifacts/$$target/ fuzz/corpus/$$target fuzz/seeds/$$target \
			|| found="$$found $$target"; \
	done; \
	[ -z "$$found" ] || { echo "fuzz: faults in$$found; the inputs are in fuzz/artifacts" >&2; exit 1; }

# The module with the entry points of the benchmark is never the one that is installed.
bench:
	tests/e2e/install.sh
	$(MAKE) all BUILD=build/bench FEATURES=bench
	$(if $(ARGS),,$(CARGO) bench --bench parse)
	$(CARGO) bench --bench gateway -- $(ARGS)

clean:
	rm -rf build
	$(CARGO) clean

endif

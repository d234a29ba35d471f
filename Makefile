# Builds xmpp_gateway.so for the SIP servers of this machine.
#
#   make                        for every host found
#   make HOST=kamailio          build/kamailio/xmpp_gateway.so, for the Kamailio that is installed
#   make HOST=opensips          build/opensips/xmpp_gateway.so, for the tree OPENSIPS_SRC
#   make install [DESTDIR=...]  what is built: modules, documentation, examples
#   make clean
#
# Variables, all optional:
#   KAMAILIO_SRC      source tree of the installed Kamailio (else apt fetches its source package)
#   KAMAILIO_MODULES  folder of its modules (else the usual ones)
#   OPENSIPS_SRC      source tree of OpenSIPS (else one under /usr/src or /usr/local/src)
#   FEATURES          features of the crate
#   CARGO             cargo

CARGO ?= cargo
PREFIX ?= /usr
DOCS ?= $(PREFIX)/share/doc/xmpp_gateway
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
OPENSIPS_FOUND := $(firstword $(patsubst %/sr_module.h,%,$(wildcard /usr/src/opensips*/sr_module.h /usr/local/src/opensips*/sr_module.h)))
endif

ifdef HOST
HOSTS := $(HOST)
else
HOSTS := $(if $(KAMAILIO_FOUND),kamailio) $(if $(OPENSIPS_FOUND),opensips)
endif

# One build at a time: the hosts share cargo's folder.
.NOTPARALLEL:
.PHONY: all kamailio opensips install clean

all: $(HOSTS)
ifeq ($(strip $(HOSTS)),)
	@echo "No SIP server found: install Kamailio (tm.so was looked for in kamailio/modules under /usr/lib, /usr/lib64," \
	"/usr/local/lib), set KAMAILIO_MODULES, or set OPENSIPS_SRC to a source tree of OpenSIPS" >&2; exit 1
endif

build = XMPP_GATEWAY_HOST=$(1) $(CARGO) rustc --release --lib --crate-type cdylib $(if $(FEATURES),--features $(FEATURES)) \
	&& mkdir -p build/$(1) && cp $(TARGET_DIR)/release/libxmpp_gateway.so build/$(1)/xmpp_gateway.so.new \
	&& mv build/$(1)/xmpp_gateway.so.new build/$(1)/xmpp_gateway.so

kamailio:
ifndef KAMAILIO_SRC
	src/host/kamailio/headers.sh build/kamailio/src
endif
	$(call build,kamailio)

opensips:
	$(call build,opensips)

install:
	@[ -f build/kamailio/xmpp_gateway.so ] || [ -f build/opensips/xmpp_gateway.so ] || \
		{ echo "Nothing is built: build/kamailio/xmpp_gateway.so and build/opensips/xmpp_gateway.so were looked for; run make first" >&2; exit 1; }
	if [ -f build/kamailio/xmpp_gateway.so ]; then \
		install -D -m 644 build/kamailio/xmpp_gateway.so "$(DESTDIR)$(KAMAILIO_FOUND)/xmpp_gateway.so"; fi
	if [ -f build/opensips/xmpp_gateway.so ]; then \
		install -D -m 644 build/opensips/xmpp_gateway.so "$(DESTDIR)$(or $(OPENSIPS_MODULES),$(firstword $(wildcard \
		/usr/lib/*/opensips/modules /usr/lib64/opensips/modules /usr/lib/opensips/modules /usr/local/lib64/opensips/modules)),\
		/usr/local/lib64/opensips/modules)/xmpp_gateway.so"; fi
	install -d "$(DESTDIR)$(DOCS)"
	cp -R module-docs cfg-examples README.md LICENSE "$(DESTDIR)$(DOCS)/"

clean:
	rm -rf build
	$(CARGO) clean

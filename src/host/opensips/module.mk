# The Makefile of an OpenSIPS module: the project's own Makefile becomes this one when it stands at modules/xmpp_gateway of an
# OpenSIPS source tree. The tree's make enters it without a target ("make modules") or with one of those at the end.

CARGO ?= cargo
CARGO_FOUND := $(shell command -v $(CARGO) 2>/dev/null)
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)

# The tree's make exports what it compiles C with; cargo and the build script must see none of it. The definitions are the
# exception: they are handed over as the tree has them now, command line included. Called by hand there are none, and the build
# script asks the tree.
CLEAN_ENVIRONMENT := env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL -u CC -u CFLAGS -u LD -u LDFLAGS -u LIBS -u OS -u ARCH -u DEFS -u NAME
ifneq ($(MAKELEVEL),0)
HANDED_OVER = OPENSIPS_DEFS="$$(for d in $(DEFS); do printf '%s\n' "$$d"; done)"
endif

.PHONY: all static dep clean proper distclean realclean maintainer-clean mantainer-clean install_module_custom \
	install_module_dbschema

# Cargo knows what has changed.
all:
ifeq ($(CARGO_FOUND),)
	@echo "xmpp_gateway is written in Rust: $(CARGO) was looked for in PATH and not found; install Rust, set CARGO, or leave" \
	"the module out with exclude_modules" >&2; exit 1
endif
	@echo "Building xmpp_gateway.so"
	@$(HANDED_OVER) XMPP_GATEWAY_HOST=opensips OPENSIPS_SRC=../.. $(CLEAN_ENVIRONMENT) $(CARGO) rustc --quiet --release --lib --crate-type cdylib
	@cp $(TARGET_DIR)/release/libxmpp_gateway.so xmpp_gateway.so.new
	@mv xmpp_gateway.so.new xmpp_gateway.so

static:
	@echo "xmpp_gateway cannot be linked into the server: take it out of static_modules" >&2; exit 1

dep install_module_custom install_module_dbschema:
	@:

clean:
	@rm -f xmpp_gateway.so xmpp_gateway.so.new

proper distclean realclean maintainer-clean mantainer-clean: clean
	@rm -rf $(TARGET_DIR)

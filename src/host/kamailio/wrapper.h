/* What the gateway includes of Kamailio, what of it is a macro, and the functions of shim.c. */

#ifndef XMPP_GATEWAY_WRAPPER_H
#define XMPP_GATEWAY_WRAPPER_H

#include <stddef.h>

#include "core/sr_module.h"
#include "core/mod_fix.h"
#include "core/kemi.h"
#include "core/data_lump_rpl.h"
#include "core/dprint.h"
#include "core/pt.h"
#include "core/script_cb.h"
#include "core/globals.h"
#include "core/rpc.h"
#include "core/usr_avp.h"
#include "core/cfg/cfg_struct.h"
#include "core/parser/msg_parser.h"
#include "core/parser/parse_content.h"
#include "core/parser/parse_cseq.h"
#include "core/parser/parse_from.h"
#include "core/parser/parse_to.h"
#include "core/parser/contact/parse_contact.h"
#include "lib/srdb1/db.h"
#include "modules/sl/sl.h"
#include "modules/tm/tm_load.h"
#include "modules/pua/pua_bind.h"
#include "modules/presence/bind_presence.h"
#include "modules/presence/subscribe.h"
#include "modules/dialog/dlg_load.h"
#include "modules/dialog/dlg_hash.h"
#include "modules/usrloc/usrloc.h"
#include "core/pvar.h"
#include "core/timer_ticks.h"

/* Macros whose value only the C compiler can tell. */
static const unsigned int XMPP_GATEWAY_PARAM_USE_FUNC = PARAM_USE_FUNC;
static const unsigned int XMPP_GATEWAY_TICKS_A_SECOND = TIMER_TICKS_HZ;
static const hdr_flags_t XMPP_GATEWAY_HDR_EOH_F = HDR_EOH_F;
static const unsigned int XMPP_GATEWAY_AFTER_REQUESTS = POST_SCRIPT_CB | REQUEST_CB | FAILURE_CB;

/* The LOG macro, with a text that is never a format. */
void xmpp_gateway_log(int level, const char *text, int length);
/* shm_malloc and shm_free, whose arguments differ with the debug flags. */
void *xmpp_gateway_shm_malloc(size_t size);
void xmpp_gateway_shm_free(void *block);
/* pkg_malloc and pkg_free: for what another module frees in the same process. */
void *xmpp_gateway_pkg_malloc(size_t size);
void xmpp_gateway_pkg_free(void *block);
/* The cfg_update macro: settings that were changed at runtime. */
str *xmpp_gateway_body_copy(const char *text, int length);
void xmpp_gateway_cfg_update(void);
/* FAKED_REPLY is a pointer made of a number. */
int xmpp_gateway_is_reply(const struct sip_msg *reply);
/* What the Content-Length header holds; -1 without one. */
long xmpp_gateway_content_length(const struct sip_msg *msg);

#endif

/*
 * What the module sees of OpenSIPS: input of bindgen and first line of shim.c.
 * opensips_defs.h holds the definitions of the tree's own make (build.rs).
 */
#ifndef XMPP_GATEWAY_WRAPPER_H
#define XMPP_GATEWAY_WRAPPER_H

#include "opensips_defs.h"

#ifndef MOD_NAME
#define MOD_NAME xmpp_gateway
#endif

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "version.h"
#include "str.h"
#include "sr_module.h"
#include "sr_module_deps.h"
#include "data_lump_rpl.h"
#include "dprint.h"
#include "globals.h"
#include "pt.h"
#include "ipc.h"
#include "status_report.h"
#include "route.h"
#include "script_cb.h"
#include "mi/mi.h"
#include "mi/item.h"
#include "db/db.h"
#include "usr_avp.h"
#include "mem/mem.h"
#include "mem/shm_mem.h"
#include "parser/msg_parser.h"
#include "parser/hf.h"
#include "parser/parse_from.h"
#include "parser/parse_to.h"
#include "parser/parse_cseq.h"
#include "parser/parse_content.h"
#include "parser/contact/parse_contact.h"
#include "modules/signaling/signaling.h"
#include "modules/tm/tm_load.h"
#include "modules/pua/pua_bind.h"
#include "modules/presence/bind_presence.h"
#include "modules/presence/subscribe.h"
#include "modules/dialog/dlg_load.h"
#include "modules/usrloc/usrloc.h"
#include "flags.h"
#include "pvar.h"

/* Macros with casts: bindgen evaluates them only as the value of a constant. */
static const modparam_t HOST_USE_FUNC_PARAM = USE_FUNC_PARAM;

/* Macros and inline functions of the host, as functions (shim.c). */
int host_prints(int level);
void host_log(int level, const char *function, const char *text, int length);
void *host_shm_malloc(unsigned long size);
void host_shm_free(void *block);
void *host_pkg_malloc(unsigned long size);
void host_pkg_free(void *block);
int host_parse_all_headers(struct sip_msg *msg);
int host_parse_contact(struct sip_msg *msg);
int host_body(struct sip_msg *msg, str *body);
int host_is_reply(const struct sip_msg *reply);
int host_load_tm(struct tm_binds *tm);
int host_load_pua(pua_api_t *pua);
int host_load_signaling(struct sig_binds *signaling);
int host_load_presence(presence_api_t *presence);
int host_load_dialog(struct dlg_binds *dialog);
int host_load_usrloc(usrloc_api_t *usrloc);
int host_callee_leg(const struct dlg_cell *dialog);
unsigned int host_time_left(const struct dlg_cell *dialog);
int host_wake_descriptor(void);
int host_own_socket(void);
str *host_body_copy(const char *text, int length);
void host_prefer_socket(dlg_t *dialog, str *socket);

#endif

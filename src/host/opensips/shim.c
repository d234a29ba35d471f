/*
 * The macros and inline functions of OpenSIPS that Rust cannot see, one function each and nothing more.
 */
#include "wrapper.h"

/* The level is a variable of shared memory that an operator changes at run time; the macro reads it. */
int host_prints(int level)
{
	return is_printable(level);
}

/* LM_GEN takes the function's name from the compiler: here it is that of the Rust module. */
#undef __DP_FUNC
#define __DP_FUNC function

void host_log(int level, const char *function, const char *text, int length)
{
	LM_GEN(level, "%.*s\n", length, text);
}

/* Signatures change with the memory debugging flags. */
void *host_shm_malloc(unsigned long size)
{
	return shm_malloc(size);
}

void host_shm_free(void *block)
{
	shm_free(block);
}

void *host_pkg_malloc(unsigned long size)
{
	return pkg_malloc(size);
}

void host_pkg_free(void *block)
{
	pkg_free(block);
}

/* A macro over parse_headers_aux in some versions, a function in others. */
int host_parse_all_headers(struct sip_msg *msg)
{
	return parse_headers(msg, HDR_EOH_F, 0);
}

/* Spares Rust to write into the message: only this header is not parsed when it is found. */
int host_parse_contact(struct sip_msg *msg)
{
	return msg->contact == NULL ? 0 : parse_contact(msg->contact);
}

/* Inline: honours Content-Length and what other modules changed in the body. */
int host_body(struct sip_msg *msg, str *body)
{
	return get_body(msg, body);
}

/* tm and pua say "no reply came" with NULL or with a pointer that is none. */
int host_is_reply(const struct sip_msg *reply)
{
	return reply != NULL && reply != FAKED_REPLY;
}

/* Inline: find_export and a call. */
int host_load_tm(struct tm_binds *tm)
{
	return load_tm_api(tm);
}

int host_load_pua(pua_api_t *pua)
{
	return load_pua_api(pua);
}

/* Optional to us: the inline function complains where it is not there. */
int host_load_signaling(struct sig_binds *signaling)
{
	load_sig_f load = (load_sig_f)find_export("load_sig", 0);

	return load == NULL ? -1 : load(signaling);
}

/* presence brings no such function; it is optional to us. */
int host_load_presence(presence_api_t *presence)
{
	bind_presence_t bind = (bind_presence_t)find_export("bind_presence", 0);

	return bind == NULL ? -1 : bind(presence);
}

/* Optional to us, as signaling. */
int host_load_usrloc(usrloc_api_t *usrloc)
{
	bind_usrloc_t bind = (bind_usrloc_t)find_export("ul_bind_usrloc", 0);

	return bind == NULL ? -1 : bind(usrloc);
}

/* Optional to us, as signaling. */
int host_load_dialog(struct dlg_binds *dialog)
{
	load_dlg_f load = (load_dlg_f)find_export("load_dlg", 0);

	return load == NULL ? -1 : load(dialog);
}

/* The leg that answered, else the first one; -1 where there is none yet. */
int host_callee_leg(const struct dlg_cell *dialog)
{
	int leg = callee_idx(dialog);

	return leg < dialog->legs_no[DLG_LEGS_USED] ? leg : -1;
}

/* For how many seconds it stands, if nothing comes. One from the database, or from another node, has no lifetime: it is in the timer only. And the
 * timer does not know yet of one that begins, or has just been given another lifetime. */
unsigned int host_time_left(const struct dlg_cell *dialog)
{
	unsigned int end = dialog->tl.timeout, now = get_ticks();

	if (end == 0 || (dialog->lifetime_dirty && dialog->lifetime != 0))
		return dialog->lifetime;
	return end > now ? end - now : 0;
}

/* The process table differs between versions: ask for the one field. */
int host_wake_descriptor(void)
{
	return IPC_FD_READ_SELF;
}

/* A body as presence frees it: the text by xmlFree(), which is free(), and what holds it by pkg_free(). */
str *host_body_copy(const char *text, int length)
{
	str *copy = pkg_malloc(sizeof *copy);

	if (copy == NULL)
		return NULL;
	copy->s = malloc(length);
	if (copy->s == NULL) {
		pkg_free(copy);
		return NULL;
	}
	memcpy(copy->s, text, length);
	copy->len = length;
	return copy;
}

/* Whether its type is const differs between versions. Preferred, not forced: where the transport is another, the host chooses. */
void host_prefer_socket(dlg_t *dialog, str *socket)
{
	dialog->pref_sock = parse_sock_info(socket);
}

/* The socket that this process reads SIP from; -1 if it reads none, or more than one. */
int host_own_socket(void)
{
	return bind_address ? bind_address->socket : -1;
}

/* Kamailio's macros as functions: bindgen sees no macros. One function each, nothing else. */

#include "wrapper.h"

#include <stdlib.h>
#include <string.h>

#include "core/mem/mem.h"
#include "core/mem/shm.h"

void xmpp_gateway_log(int level, const char *text, int length)
{
	LOG_FN(DEFAULT_FACILITY, level, MOD_NAME ": ", "%.*s\n", length, text);
}

void *xmpp_gateway_shm_malloc(size_t size)
{
	return shm_malloc(size);
}

void xmpp_gateway_shm_free(void *block)
{
	shm_free(block);
}

void *xmpp_gateway_pkg_malloc(size_t size)
{
	return pkg_malloc(size);
}

/* A body as presence frees it: the text by xmlFree(), which is free(), and what holds it by pkg_free(). */
str *xmpp_gateway_body_copy(const char *text, int length)
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

void xmpp_gateway_pkg_free(void *block)
{
	pkg_free(block);
}

void xmpp_gateway_cfg_update(void)
{
	cfg_update();
}

int xmpp_gateway_is_reply(const struct sip_msg *reply)
{
	return reply != NULL && reply != FAKED_REPLY;
}

long xmpp_gateway_content_length(const struct sip_msg *msg)
{
	return msg->content_length ? get_content_length(msg) : -1;
}

/*
 * Preloaded into a SIP host: whoever has sent a SUBSCRIBE sleeps before he learns of it, so that its NOTIFY is there first.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

ssize_t sendto(int socket, const void *data, size_t length, int flags, const struct sockaddr *to, socklen_t to_length)
{
	static const char method[] = "SUBSCRIBE ";
	static const struct timespec pause = { 0, 200 * 1000 * 1000 };
	ssize_t (*send)(int, const void *, size_t, int, const struct sockaddr *, socklen_t) = dlsym(RTLD_NEXT, "sendto");
	ssize_t sent = send(socket, data, length, flags, to, to_length);

	if (length > sizeof(method) && memcmp(data, method, sizeof(method) - 1) == 0)
		nanosleep(&pause, NULL);
	return sent;
}

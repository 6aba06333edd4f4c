/* Sockets of the Internet protocols, over the loopback interface. */
#define SUITE "net"
#include "bench.h"

#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* A socket; the loopback interface is up then. */
static int inet_socket(int type)
{
	struct ifreq request = { .ifr_name = "lo" };
	int fd = socket(AF_INET, type, 0);

	NEED(fd);
	if (ioctl(fd, SIOCGIFFLAGS, &request) == 0 && !(request.ifr_flags & IFF_UP)) {
		request.ifr_flags |= IFF_UP;
		NEED(ioctl(fd, SIOCSIFFLAGS, &request));
	}
	return fd;
}

/* Connected loopback sockets, or the row is skipped. */
static void inet_pair(int type, int fds[2])
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(at);
	int server = inet_socket(type);

	NEED(bind(server, (struct sockaddr *)&at, len));
	NEED(getsockname(server, (struct sockaddr *)&at, &len));
	if (type == SOCK_STREAM)
		NEED(listen(server, 1));
	fds[1] = socket(AF_INET, type, 0);
	NEED(connect(fds[1], (struct sockaddr *)&at, len));
	fds[0] = server;
	if (type == SOCK_STREAM) {
		fds[0] = accept(server, NULL, NULL);
		NEED(fds[0]);
		close(server);
	}
}

BENCH("TCP loopback 1 B send+recv", 100, 15)
{
	int fds[2];

	inet_pair(SOCK_STREAM, fds);
	bench_write_read(n, fds[1], fds[0]);
}

BENCH("UDP loopback 1 B", 100, 15)
{
	int fds[2];

	inet_pair(SOCK_DGRAM, fds);
	bench_write_read(n, fds[1], fds[0]);
}

/* One write of 64K, and reads until all of it came. */
BENCH("TCP loopback 64K", 20, 15)
{
	static char bytes[65536];
	int fds[2], size = 1 << 20;

	inet_pair(SOCK_STREAM, fds);
	NEED(setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)));
	bench_start();
	for (unsigned i = 0; i < n; i++) {
		ssize_t sent = 0, got = 0;

		while (got < (ssize_t)sizeof(bytes)) {
			if (sent < (ssize_t)sizeof(bytes))
				sent += send(fds[1], bytes, sizeof(bytes) - (size_t)sent, 0);
			ssize_t more = recv(fds[0], bytes, sizeof(bytes), 0);

			NEED(more);
			got += more;
		}
	}
	bench_stop();
	close(fds[0]);
	close(fds[1]);
}

BENCH("TCP connect+accept+close", 30, 15)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(at);
	int server = inet_socket(SOCK_STREAM);

	NEED(bind(server, (struct sockaddr *)&at, len));
	NEED(getsockname(server, (struct sockaddr *)&at, &len));
	NEED(listen(server, 8));
	bench_start();
	for (unsigned i = 0; i < n; i++) {
		int client = socket(AF_INET, SOCK_STREAM, 0);

		NEED(connect(client, (struct sockaddr *)&at, len));
		int accepted = accept(server, NULL, NULL);

		NEED(accepted);
		close(client);
		close(accepted);
	}
	bench_stop();
	close(server);
}

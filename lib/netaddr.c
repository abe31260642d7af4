#include "lib/netaddr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

struct net4 {
	uint32_t net;
	int bits;
};

/* IANA's special-purpose registry: everything here is not "globally reachable", or is a relay. */
static const struct net4 special4[] = {
	{ 0x00000000, 8 },  /* 0.0.0.0/8 this network */
	{ 0x0a000000, 8 },  /* 10.0.0.0/8 private */
	{ 0x64400000, 10 }, /* 100.64.0.0/10 carrier NAT */
	{ 0x7f000000, 8 },  /* 127.0.0.0/8 loopback */
	{ 0xa9fe0000, 16 }, /* 169.254.0.0/16 link local, cloud metadata */
	{ 0xac100000, 12 }, /* 172.16.0.0/12 private */
	{ 0xc0000000, 24 }, /* 192.0.0.0/24 protocol assignments */
	{ 0xc0000200, 24 }, /* 192.0.2.0/24 documentation */
	{ 0xc0586300, 24 }, /* 192.88.99.0/24 6to4 relay */
	{ 0xc0a80000, 16 }, /* 192.168.0.0/16 private */
	{ 0xc6120000, 15 }, /* 198.18.0.0/15 benchmarks */
	{ 0xc6336400, 24 }, /* 198.51.100.0/24 documentation */
	{ 0xcb007100, 24 }, /* 203.0.113.0/24 documentation */
	{ 0xe0000000, 4 },  /* 224.0.0.0/4 multicast */
	{ 0xf0000000, 4 },  /* 240.0.0.0/4 reserved, broadcast */
};

struct net6 {
	uint8_t net[16];
	int bits;
};

/* Only 2000::/3 is handed out at all; these parts of it are special. */
static const struct net6 special6[] = {
	{ { 0x20, 0x01, 0x00, 0x00 }, 23 }, /* 2001::/23 protocol assignments, Teredo, benchmarks, ORCHID */
	{ { 0x20, 0x01, 0x0d, 0xb8 }, 32 }, /* 2001:db8::/32 documentation */
	{ { 0x20, 0x02 }, 16 },             /* 2002::/16 6to4: any IPv4 address */
	{ { 0x3f, 0xff }, 20 },             /* 3fff::/20 documentation */
};

static bool
within6(const uint8_t *a, const struct net6 *n)
{
	int whole = n->bits / 8, rest = n->bits % 8;

	if (memcmp(a, n->net, (size_t)whole) != 0)
		return false;
	return rest == 0 || (a[whole] & (0xff << (8 - rest) & 0xff)) == n->net[whole];
}

static bool
public4(uint32_t a)
{
	size_t i;

	for (i = 0; i < sizeof special4 / sizeof special4[0]; i++)
		if ((a & (0xffffffffu << (32 - special4[i].bits))) == special4[i].net)
			return false;
	return true;
}

static bool
public6(const uint8_t *a)
{
	size_t i;

	/* Leaves out ::/128, ::1, IPv4-mapped and -compatible, 64:ff9b::/96 and 64:ff9b:1::/48 (NAT64), 100::/64,
	 * fc00::/7, fe80::/10, fec0::/10, ff00::/8 and all that nobody owns. */
	if ((a[0] & 0xe0) != 0x20)
		return false;
	for (i = 0; i < sizeof special6 / sizeof special6[0]; i++)
		if (within6(a, &special6[i]))
			return false;
	return true;
}

bool
netaddr_is_public(const struct sockaddr *a)
{
	if (a->sa_family == AF_INET)
		return public4(ntohl(((const struct sockaddr_in *)(const void *)a)->sin_addr.s_addr));
	if (a->sa_family == AF_INET6)
		return public6(((const struct sockaddr_in6 *)(const void *)a)->sin6_addr.s6_addr);
	return false;
}

bool
netaddr_is_loopback(const struct sockaddr *a)
{
	const struct in6_addr *six;

	if (a->sa_family == AF_INET)
		return ntohl(((const struct sockaddr_in *)(const void *)a)->sin_addr.s_addr) >> 24 == 127;
	if (a->sa_family != AF_INET6)
		return false;
	six = &((const struct sockaddr_in6 *)(const void *)a)->sin6_addr;
	return IN6_IS_ADDR_LOOPBACK(six) || (IN6_IS_ADDR_V4MAPPED(six) && six->s6_addr[12] == 127);
}

void
netaddr_print(const struct sockaddr *a, char out[64])
{
	const void *bytes = a->sa_family == AF_INET ?
	    (const void *)&((const struct sockaddr_in *)(const void *)a)->sin_addr :
	    (const void *)&((const struct sockaddr_in6 *)(const void *)a)->sin6_addr;

	if ((a->sa_family != AF_INET && a->sa_family != AF_INET6) || inet_ntop(a->sa_family, bytes, out, 64) == NULL)
		snprintf(out, 64, "address family %d", a->sa_family);
}

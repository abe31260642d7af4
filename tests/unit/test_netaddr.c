#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "lib/netaddr.h"
#include "tests/t.h"

static bool
is_public(const char *text)
{
	struct sockaddr_in four = { .sin_family = AF_INET };
	struct sockaddr_in6 six = { .sin6_family = AF_INET6 };

	if (inet_pton(AF_INET, text, &four.sin_addr) == 1)
		return netaddr_is_public((struct sockaddr *)&four);
	CHECK_INT(inet_pton(AF_INET6, text, &six.sin6_addr), 1);
	return netaddr_is_public((struct sockaddr *)&six);
}

TEST(netaddr_knows_the_public_internet)
{
	static const char *const open[] = { "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0",
		"126.255.255.255", "128.0.0.0", "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.0",
		"192.0.3.0", "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0", "203.0.112.255", "203.0.114.0",
		"223.255.255.255", "2606:4700::1111", "2a00:1450::1", "2001:4860:4860::8888", "2001:200::1", "2003::1" };
	size_t i;

	for (i = 0; i < sizeof open / sizeof open[0]; i++)
		if (!is_public(open[i]))
			t_check(false, open[i], __FILE__, __LINE__);
}

TEST(netaddr_knows_what_is_not)
{
	static const char *const closed[] = { "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.0",
		"100.127.255.255", "127.0.0.1", "127.255.255.255", "169.254.169.254", "172.16.0.1", "172.31.255.255",
		"192.0.0.1", "192.0.2.1", "192.88.99.1", "192.168.0.1", "198.18.0.1", "198.19.255.255", "198.51.100.1",
		"203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "::", "::1", "::ffff:127.0.0.1",
		"::ffff:8.8.8.8", "::8.8.8.8", "64:ff9b::808:808", "64:ff9b:1::1", "100::1", "2001::1", "2001:0:1::1",
		"2001:10::1", "2001:20::1", "2001:db8::1", "2002:7f00:1::", "3fff::1", "fc00::1", "fdff::1", "fe80::1", "fec0::1",
		"ff02::1", "4000::1", "1::1" };
	struct sockaddr_un local = { .sun_family = AF_UNIX };
	size_t i;

	for (i = 0; i < sizeof closed / sizeof closed[0]; i++)
		if (is_public(closed[i]))
			t_check(false, closed[i], __FILE__, __LINE__);
	CHECK(!netaddr_is_public((struct sockaddr *)&local));
}

TEST(netaddr_knows_loopback_and_prints)
{
	struct sockaddr_in four = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f010203) };
	struct sockaddr_in6 six = { .sin6_family = AF_INET6 };
	char text[64];

	CHECK(netaddr_is_loopback((struct sockaddr *)&four));
	netaddr_print((struct sockaddr *)&four, text);
	CHECK_STR(text, "127.1.2.3");
	inet_pton(AF_INET6, "::ffff:127.0.0.1", &six.sin6_addr);
	CHECK(netaddr_is_loopback((struct sockaddr *)&six));
	inet_pton(AF_INET6, "::ffff:10.0.0.1", &six.sin6_addr);
	CHECK(!netaddr_is_loopback((struct sockaddr *)&six));
	six.sin6_addr = in6addr_loopback;
	CHECK(netaddr_is_loopback((struct sockaddr *)&six));
	netaddr_print((struct sockaddr *)&six, text);
	CHECK_STR(text, "::1");
}

#include "tests/t.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/mem.h"
#include "lib/notify.h"

TEST(notify_reaches_the_socket_of_the_environment_and_minds_its_absence)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	char dir[] = "/tmp/at-rund-notify-XXXXXX", got[64] = "";
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

	CHECK(mkdtemp(dir) != NULL);
	snprintf(sa.sun_path, sizeof sa.sun_path, "%s/s", dir);
	CHECK(bind(fd, (struct sockaddr *)&sa, sizeof sa) == 0);
	unsetenv("NOTIFY_SOCKET");
	notify_send("READY=1");
	setenv("NOTIFY_SOCKET", sa.sun_path, 1);
	notify_send("STATUS=here");
	CHECK_INT(recv(fd, got, sizeof got - 1, MSG_DONTWAIT), 11);
	CHECK_STR(got, "STATUS=here");
	setenv("NOTIFY_SOCKET", "not-a-path", 1);
	notify_send("READY=1");
	unsetenv("NOTIFY_SOCKET");
	close(fd);
	unlink(sa.sun_path);
	rmdir(dir);
}

TEST(notify_watchdog_is_half_of_what_systemd_waits_and_only_ours)
{
	char pid[16];

	CHECK_INT(notify_watchdog_ms(), 0);
	setenv("WATCHDOG_USEC", "30000000", 1);
	CHECK_INT(notify_watchdog_ms(), 15000);
	snprintf(pid, sizeof pid, "%d", (int)getpid());
	setenv("WATCHDOG_PID", pid, 1);
	CHECK_INT(notify_watchdog_ms(), 15000);
	setenv("WATCHDOG_PID", "1", 1);
	CHECK_INT(notify_watchdog_ms(), 0);
	unsetenv("WATCHDOG_PID");
	setenv("WATCHDOG_USEC", "-3", 1);
	CHECK_INT(notify_watchdog_ms(), 0);
	unsetenv("WATCHDOG_USEC");
}

/*
 * The inmate: tries one door from inside a wall and says what happened.
 *
 *     inmate DOOR [ARGUMENT]        prints "refused: why" or "OPEN: how" as its last line
 *
 * It is built static, so that it runs wherever it is put.  Bombs are bounded: they reach the limit of a job, not the
 * machine's.  Nothing here speaks to an address it was not given.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int
refused(const char *what)
{
	printf("refused: %s: %s\n", what, strerror(errno));
	return 0;
}

static int
opened(const char *how)
{
	printf("OPEN: %s\n", how);
	return 1;
}

static int
verdict(bool open, const char *what)
{
	return open ? opened(what) : refused(what);
}

/* --- files --- */

static int
door_read(const char *path)
{
	char byte[64];
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return refused(path);
	if (read(fd, byte, sizeof byte) >= 0 || errno == EISDIR)
		return opened(path);
	return refused(path);
}

static int
door_write(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	return verdict(fd >= 0, path);
}

/* Writes in a file that exists, without changing it: opening is enough. */
static int
door_overwrite(const char *path)
{
	return verdict(open(path, O_WRONLY | O_CLOEXEC) >= 0, path);
}

static int
door_device(const char *path)
{
	return verdict(mknod(path, S_IFBLK | 0600, makedev(8, 0)) == 0, path);
}

/* Is there a file in /proc whose text holds the argument?  Host paths, the scheduler's name. */
static int
search_proc(const char *file, const char *want)
{
	DIR *d = opendir("/proc");
	const struct dirent *x;
	size_t len = strlen(want);

	while (d != NULL && (x = readdir(d)) != NULL) {
		static char text[65536];
		char path[300];
		ssize_t n, k;
		int fd;

		if (x->d_name[0] < '0' || x->d_name[0] > '9' || atol(x->d_name) == getpid() || atol(x->d_name) == getppid())
			continue;
		snprintf(path, sizeof path, "/proc/%s/%s", x->d_name, file);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		n = fd >= 0 ? read(fd, text, sizeof text) : -1;
		if (fd >= 0)
			close(fd);
		for (k = 0; k + (ssize_t)len <= n; k++)
			if (memcmp(text + k, want, len) == 0)
				return opened(path);
	}
	errno = ENOENT;
	return refused(want);
}

static int
door_commands(const char *want)
{
	return search_proc("cmdline", want);
}

static int
door_environments(const char *want)
{
	return search_proc("environ", want);
}

static int
door_mounts(const char *want)
{
	static char text[65536];
	FILE *f = fopen("/proc/self/mountinfo", "re");
	size_t n = f != NULL ? fread(text, 1, sizeof text - 1, f) : 0;

	text[n] = '\0';
	errno = ENOENT;
	return verdict(strstr(text, want) != NULL, want);
}

static int
door_lock(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	return verdict(fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0, "lock a file that all may read");
}

static int
door_ask_lock(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct flock l = { .l_type = F_WRLCK };

	return verdict(fd >= 0 && fcntl(fd, F_GETLK, &l) == 0, "ask for others' locks");
}

/* --- the network; addresses are the test's own --- */

static int
door_connect(const char *where)
{
	char host[64];
	const char *colon = strrchr(where, ':');
	struct sockaddr_in a = { .sin_family = AF_INET };
	struct timeval limit = { 2, 0 };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(host, sizeof host, "%.*s", (int)(colon - where), where);
	a.sin_port = htons((uint16_t)atoi(colon + 1));
	if (inet_pton(AF_INET, host, &a.sin_addr) != 1)
		return opened("not an address");
	if (fd >= 0)
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
	return verdict(fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof a) == 0, where);
}

static int
door_mapped(const char *where)
{
	char host[80];
	const char *colon = strrchr(where, ':');
	struct sockaddr_in6 a = { .sin6_family = AF_INET6 };
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(host, sizeof host, "::ffff:%.*s", (int)(colon - where), where);
	a.sin6_port = htons((uint16_t)atoi(colon + 1));
	if (inet_pton(AF_INET6, host, &a.sin6_addr) != 1)
		return opened("not an address");
	return verdict(fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof a) == 0, host);
}

/* --- a name, asked for by hand: a static program has no resolver --- */

static uint32_t
resolve(const char *name)
{
	static unsigned char q[600] = { 0, 77, 1, 0, 0, 1 };
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(53) };
	struct timeval patience = { 2, 0 };
	char text[1000] = "", *server;
	int fd = open("/etc/resolv.conf", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : 0;
	size_t at = 12, k;
	uint32_t address = 0;

	server = strstr(text, "nameserver ");
	if (n <= 0 || server == NULL)
		return 0;
	server += 11;
	server[strcspn(server, " \n")] = '\0';
	inet_pton(AF_INET, server, &to.sin_addr);
	while (*name != '\0') {
		k = strcspn(name, ".");
		q[at++] = (unsigned char)k;
		memcpy(q + at, name, k);
		at += k;
		name += k + (name[k] == '.');
	}
	memcpy(q + at, "\0\0\1\0\1", 5);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	if (fd < 0 || sendto(fd, q, at + 5, 0, (struct sockaddr *)&to, sizeof to) < 0)
		return 0;
	n = recv(fd, q, sizeof q, 0);
	if (n > (ssize_t)at + 5 + 12 && q[7] > 0)
		memcpy(&address, q + n - 4, 4);
	return address;
}

static int
door_name(const char *where)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	struct timeval patience = { 3, 0 };
	char name[200], answer[200];
	const char *colon = strrchr(where, ':');
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(name, sizeof name, "%.*s", (int)(colon - where), where);
	to.sin_port = htons((uint16_t)atoi(colon + 1));
	to.sin_addr.s_addr = resolve(name);
	errno = ENOENT;
	if (to.sin_addr.s_addr == 0)
		return refused("there is no such name");
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0 || write(fd, "GET / HTTP/1.0\r\n\r\n", 18) < 0)
		return refused(where);
	return verdict(read(fd, answer, sizeof answer) > 0, where);
}

static int
connect_unix(const struct sockaddr_un *a, size_t n, const char *what)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int dgram = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool ok = fd >= 0 && connect(fd, (const struct sockaddr *)a, (socklen_t)n) == 0;

	return verdict(ok || (dgram >= 0 && connect(dgram, (const struct sockaddr *)a, (socklen_t)n) == 0), what);
}

static int
door_abstract(const char *name)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	snprintf(a.sun_path + 1, sizeof a.sun_path - 1, "%s", name);
	return connect_unix(&a, offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name), name);
}

static int
door_socket(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
	return connect_unix(&a, sizeof a, path);
}

static int
door_family(const char *number)
{
	static const int types[] = { SOCK_STREAM, SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET };
	size_t i;

	for (i = 0; i < 4; i++)
		if (socket(atoi(number), types[i] | SOCK_CLOEXEC, 0) >= 0)
			return opened("socket of that family");
	return refused("socket of that family");
}

static int
door_raw(const char *unused)
{
	(void)unused;
	return verdict(socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP) >= 0, "raw socket");
}

/* --- the kernel --- */

static int
call(const char *what, long nr, long a, long b, long c, long d, long e)
{
	long r = syscall(nr, a, b, c, d, e, 0L);

	return verdict(r >= 0, what);
}

static int
door_syscall(const char *name)
{
	static char space[256];
	long p = (long)space;

	if (strcmp(name, "io_uring_setup") == 0)
		return call(name, SYS_io_uring_setup, 4, p, 0, 0, 0);
	if (strcmp(name, "keyctl") == 0)
		return call(name, SYS_keyctl, 0 /* get keyring */, -3, 1, 0, 0);
	if (strcmp(name, "add_key") == 0)
		return call(name, SYS_add_key, (long)"user", (long)"inmate", p, 4, -3);
	if (strcmp(name, "bpf") == 0)
		return call(name, SYS_bpf, 0, p, 120, 0, 0);
	if (strcmp(name, "perf_event_open") == 0)
		return call(name, SYS_perf_event_open, p, 0, -1, -1, 0);
	if (strcmp(name, "userfaultfd") == 0)
		return call(name, SYS_userfaultfd, 1 /* user mode only */, 0, 0, 0, 0);
	if (strcmp(name, "personality") == 0)
		return call(name, SYS_personality, 0xffffffff, 0, 0, 0, 0);
	if (strcmp(name, "unshare_user") == 0)
		return call(name, SYS_unshare, CLONE_NEWUSER, 0, 0, 0, 0);
	if (strcmp(name, "unshare_net") == 0)
		return call(name, SYS_unshare, CLONE_NEWNET, 0, 0, 0, 0);
	if (strcmp(name, "chroot") == 0)
		return call(name, SYS_chroot, (long)"/tmp", 0, 0, 0, 0);
	if (strcmp(name, "name_to_handle_at") == 0) {
		*(unsigned *)(void *)space = 128;
		return call(name, SYS_name_to_handle_at, AT_FDCWD, (long)"/tmp", p, p + 200, 0);
	}
	if (strcmp(name, "memfd_create") == 0)
		return call(name, SYS_memfd_create, (long)"x", 0, 0, 0, 0);
	if (strcmp(name, "clone3") == 0) {
		long pid;

		*(uint64_t *)(void *)space = CLONE_NEWUSER;
		pid = syscall(SYS_clone3, space, 64);
		if (pid == 0)
			_exit(0);
		return verdict(pid > 0, "clone3 with a new user namespace");
	}
	if (strcmp(name, "setns") == 0)
		return call(name, SYS_setns, (long)open("/proc/1/ns/net", O_RDONLY | O_CLOEXEC), 0, 0, 0, 0);
	if (strcmp(name, "pidfd_getfd") == 0)
		return call(name, SYS_pidfd_getfd, syscall(SYS_pidfd_open, getppid(), 0), 0, 0, 0, 0);
	if (strcmp(name, "fsopen") == 0)
		return call(name, SYS_fsopen, (long)"tmpfs", 0, 0, 0, 0);
	errno = EINVAL;
	return opened("no such door");
}

static int
door_mount(const char *unused)
{
	(void)unused;
	mkdir("/tmp/inmate-mount", 0700);
	return verdict(mount("none", "/tmp/inmate-mount", "tmpfs", 0, NULL) == 0, "mount");
}

static int
door_clone(const char *unused)
{
	long pid = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);

	(void)unused;
	if (pid == 0)
		_exit(0);
	return verdict(pid > 0, "clone with a new user namespace");
}

static int
door_ptrace(const char *unused)
{
	(void)unused;
	return verdict(ptrace(PTRACE_SEIZE, getppid(), NULL, NULL) == 0, "trace the parent");
}

/* The first process inside holds the way out; whoever ends it ends itself with it. */
static int
door_kill_gate(const char *unused)
{
	struct timespec moment = { 0, 100000000 };
	int sent = kill(1, SIGKILL);

	(void)unused;
	if (sent != 0)
		return refused("kill the first process");
	nanosleep(&moment, NULL);
	errno = EPERM;
	return verdict(access("/proc/1", F_OK) != 0, "kill the first process");
}

static int
door_memory_of(const char *unused)
{
	static char from[16];
	struct iovec mine = { from, sizeof from }, theirs = { (void *)(long)from, sizeof from };
	char path[64];
	int fd;

	(void)unused;
	snprintf(path, sizeof path, "/proc/%d/mem", (int)getppid());
	fd = process_vm_readv(getppid(), &mine, 1, &theirs, 1, 0) >= 0 || errno == EFAULT ? 0 : -1;
	return verdict(fd >= 0, "read the parent's memory");
}

/* A system call of another architecture: the filter must know that numbers mean other things there. */
static int
door_foreign(const char *unused)
{
#ifdef __x86_64__
	int status = 0;
	pid_t pid = fork();

	(void)unused;
	if (pid == 0) {
		long r;

		__asm__ volatile("int $0x80" : "=a"(r) : "a"(20L) : "memory"); /* getpid of i386 */
		_exit(r > 0 ? 42 : 1);
	}
	waitpid(pid, &status, 0);
	errno = EPERM;
	return verdict(WIFEXITED(status) && WEXITSTATUS(status) == 42, "32-bit system call");
#else
	(void)unused;
	errno = ENOSYS;
	return refused("no other architecture here");
#endif
}

static int
door_setuid(const char *unused)
{
	(void)unused;
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
		return opened("setuid programs gain rights");
	return verdict(setresuid(0, 0, 0) == 0 && geteuid() == 0, "become root");
}

static int
door_capabilities(const char *unused)
{
	static char text[8192];
	FILE *f = fopen("/proc/self/status", "re");
	const char *p;

	(void)unused;
	text[f != NULL ? fread(text, 1, sizeof text - 1, f) : 0] = '\0';
	p = strstr(text, "CapPrm:");
	errno = EPERM;
	return verdict(p == NULL || strtoull(p + 7, NULL, 16) != 0, "capabilities");
}

static int
door_terminal(const char *unused)
{
	char c = 'x';
	int fd = open("/dev/tty", O_RDWR | O_CLOEXEC);

	(void)unused;
	return verdict(ioctl(0, TIOCSTI, &c) == 0 || (fd >= 0 && ioctl(fd, TIOCSTI, &c) == 0), "type into the terminal");
}

/* --- bombs --- */

static int
door_forks(const char *number)
{
	int i, max = atoi(number);
	pid_t me = getpid();

	for (i = 0; i < max; i++) {
		pid_t pid = fork();

		if (pid < 0)
			return refused("fork");
		if (pid == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0); /* they hold the output open */
			if (getppid() != me)
				_exit(0);
			sleep(30);
			_exit(0);
		}
	}
	sleep(3); /* who counts from outside has this long */
	return opened("so many processes");
}

static int
door_memory(const char *mebibytes)
{
	int i, max = atoi(mebibytes);

	for (i = 0; i < max; i++) {
		char *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (p == MAP_FAILED)
			return refused("map");
		memset(p, i + 1, 1 << 20);
	}
	sleep(3);
	return opened("so much memory");
}

/* Quicker than anybody who looks from time to time: the kernel itself has to say no, or to kill. */
static int
door_memory_at_once(const char *mebibytes)
{
	size_t n = (size_t)atoi(mebibytes) << 20;

	if (mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0) == MAP_FAILED)
		return refused("map");
	sleep(3);
	return opened("so much memory");
}

static int
door_descriptors(const char *number)
{
	int i, max = atoi(number);

	for (i = 0; i < max; i++)
		if (open("/dev/null", O_RDONLY | O_CLOEXEC) < 0)
			return refused("open");
	return opened("so many descriptors");
}

static int
fill(const char *path, long bytes)
{
	static char block[65536];
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	long n;

	signal(SIGXFSZ, SIG_IGN);
	if (fd < 0)
		return -1;
	for (n = 0; n < bytes; n += (long)sizeof block)
		if (write(fd, block, sizeof block) != (ssize_t)sizeof block)
			return -1;
	return 0;
}

static int
door_disk(const char *mebibytes)
{
	long each = 8L << 20, n = (atol(mebibytes) << 20) / each, i;
	char path[64];

	for (i = 0; i < n; i++) {
		snprintf(path, sizeof path, "%s/bomb.%ld", getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp", i);
		if (fill(path, each) != 0) {
			int e = errno;

			for (; i >= 0; i--) {
				snprintf(path, sizeof path, "%s/bomb.%ld", getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp", i);
				unlink(path);
			}
			errno = e;
			return refused("write");
		}
	}
	return opened("so many bytes");
}

static int
door_files(const char *number)
{
	int i, max = atoi(number);
	char path[64];

	for (i = 0; i < max; i++) {
		snprintf(path, sizeof path, "%s/i.%d", getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp", i);
		if (mknod(path, S_IFREG | 0600, 0) != 0)
			return refused("create");
	}
	sleep(3);
	return opened("so many files");
}

static int
door_burn(const char *seconds)
{
	clock_t end = clock() + atoi(seconds) * CLOCKS_PER_SEC;

	while (clock() < end)
		;
	return opened("so much CPU time");
}

static int
door_linger(const char *seconds)
{
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	sleep((unsigned)atoi(seconds));
	return opened("outlived its deadline");
}

/* Leaves a daemon behind: its own session, no output, its parent gone.  The test looks for it from outside. */
static int
door_daemon(const char *mark)
{
	if (fork() == 0) {
		setsid();
		if (fork() == 0) {
			signal(SIGTERM, SIG_IGN);
			close(0);
			close(1);
			close(2);
			execl("/proc/self/exe", "inmate", "linger", "120", mark, (char *)NULL);
		}
		_exit(0);
	}
	wait(NULL);
	printf("left: %s\n", mark);
	return 0;
}

static const struct door {
	const char *name;
	int (*fn)(const char *argument);
} doors[] = {
	{ "abstract", door_abstract }, { "ask-lock", door_ask_lock }, { "burn", door_burn },
	{ "capabilities", door_capabilities }, { "clone", door_clone }, { "commands", door_commands },
	{ "connect", door_connect }, { "daemon", door_daemon }, { "descriptors", door_descriptors },
	{ "device", door_device }, { "disk", door_disk }, { "environments", door_environments }, { "family", door_family },
	{ "files", door_files }, { "foreign", door_foreign }, { "forks", door_forks },
	{ "kill-gate", door_kill_gate }, { "linger", door_linger },
	{ "lock", door_lock }, { "mapped", door_mapped }, { "memory", door_memory },
	{ "memory-at-once", door_memory_at_once }, { "memory-of", door_memory_of },
	{ "mount", door_mount }, { "mounts", door_mounts }, { "name", door_name }, { "overwrite", door_overwrite },
	{ "ptrace", door_ptrace },
	{ "raw", door_raw }, { "read", door_read }, { "setuid", door_setuid }, { "socket", door_socket },
	{ "syscall", door_syscall }, { "terminal", door_terminal }, { "write", door_write },
};

int
main(int argc, char **argv)
{
	size_t i;

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (i = 0; argc > 1 && i < sizeof doors / sizeof doors[0]; i++)
		if (strcmp(doors[i].name, argv[1]) == 0)
			return doors[i].fn(argc > 2 ? argv[2] : "");
	fprintf(stderr, "inmate: no such door\n");
	return 2;
}

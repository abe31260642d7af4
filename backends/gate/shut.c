/*
 * Two shells of different make.  Around the command: its own limits, no rights, Landlock, and the list of system calls that all
 * walls share (backends/seccomp.c), read from a file so that nothing of libseccomp is needed here.  Around the gate itself:
 * the few calls that its loop makes, for whoever runs inside speaks to it.
 *
 * Landlock says again what the wall's mounts say: all may be read, little may be written, and further than that no signal and no
 * abstract socket leads.  The kernel's ABI decides how much of it there is; without REFER (ABI 1) a file could not even be moved
 * from one directory to another, so there it is left away.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "backends/gate/gate.h"

#define FILTER_MAX 4096 /* instructions, what the kernel takes */
#define WRITE_MAX  64

/* Debian 12's headers end at ABI 3. */
#define FS_ALL_1     ((1ULL << 13) - 1)
#define FS_REFER     (1ULL << 13)
#define FS_TRUNCATE  (1ULL << 14)
#define FS_READ      (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define FS_OF_FILE   (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | FS_TRUNCATE)
#define SCOPE_ALL    3ULL /* abstract sockets, signals: ABI 6 */

struct ruleset {
	uint64_t fs, net, scoped;
};

static struct sock_fprog filter;
static const char *writable[WRITE_MAX];
static size_t writable_count;
static long files;

/* --- what was asked for --- */

bool
shut_filter(const char *path)
{
	size_t room = FILTER_MAX * sizeof *filter.filter;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	filter.filter = malloc(room);
	n = fd >= 0 && filter.filter != NULL ? read(fd, filter.filter, room) : -1;
	if (fd >= 0)
		close(fd);
	if (n > 0 && n % (ssize_t)sizeof *filter.filter != 0)
		errno = EINVAL;
	if (n <= 0 || n % (ssize_t)sizeof *filter.filter != 0)
		return false;
	filter.len = (unsigned short)((size_t)n / sizeof *filter.filter);
	return true;
}

bool
shut_write(const char *path)
{
	if (writable_count == WRITE_MAX)
		return false;
	writable[writable_count++] = path;
	return true;
}

bool
shut_files(const char *number)
{
	char *end;

	files = strtol(number, &end, 10);
	return *end == '\0' && files > 0;
}

/* --- the command --- */

static bool
limit_files(void)
{
	struct rlimit r;

	if (files <= 0 || getrlimit(RLIMIT_NOFILE, &r) != 0)
		return true;
	r.rlim_cur = r.rlim_max = r.rlim_max < (rlim_t)files ? r.rlim_max : (rlim_t)files;
	return setrlimit(RLIMIT_NOFILE, &r) == 0;
}

static bool
drop_rights(void)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct none[2];
	int cap;

	memset(none, 0, sizeof none);
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	for (cap = 0; cap < 64; cap++)
		prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
	return syscall(SYS_capset, &head, none) == 0;
}

static void
allow(int ruleset, const char *path, uint64_t access)
{
	struct landlock_path_beneath_attr rule = { .allowed_access = access, .parent_fd = open(path, O_PATH | O_CLOEXEC) };
	struct stat st;

	if (rule.parent_fd < 0)
		return; /* what is not there needs no permission */
	if (fstat(rule.parent_fd, &st) == 0 && !S_ISDIR(st.st_mode))
		rule.allowed_access &= FS_OF_FILE;
	syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
	close(rule.parent_fd);
}

static bool
landlock(void)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	struct ruleset r = { FS_ALL_1 | FS_REFER, 0, SCOPE_ALL };
	bool done;
	size_t i;
	int fd;

	if (writable_count == 0 || abi < 2)
		return true;
	r.fs |= abi >= 3 ? FS_TRUNCATE : 0;
	/* A kernel knows as much of the struct as its ABI says, and wants no more of it. */
	fd = (int)syscall(SYS_landlock_create_ruleset, &r, abi >= 6 ? sizeof r : sizeof r.fs, 0);
	if (fd < 0)
		return false;
	allow(fd, "/", FS_READ);
	allow(fd, "/dev", FS_READ | LANDLOCK_ACCESS_FS_WRITE_FILE | (r.fs & FS_TRUNCATE));
	for (i = 0; i < writable_count; i++)
		allow(fd, writable[i], r.fs);
	done = syscall(SYS_landlock_restrict_self, fd, 0) == 0;
	close(fd);
	return done;
}

const char *
shut_command(void)
{
	if (!limit_files())
		return "limit the open files";
	/* Without user id 0 execve takes capabilities as well, for none is ambient any more. */
	if (!drop_rights() && (geteuid() == 0 || getuid() == 0))
		return "give up rights";
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return "forbid new rights";
	if (!landlock())
		return "take Landlock's rules on";
	if (filter.len > 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0) != 0)
		return "take the filter of system calls on";
	return NULL;
}

/* --- the gate itself --- */

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#elif defined(__riscv) && __riscv_xlen == 64
#define ARCH AUDIT_ARCH_RISCV64
#endif

#if defined(ARCH) && !defined(__SANITIZE_ADDRESS__)

static const int calls[] = {
	SYS_read, SYS_write, SYS_close, SYS_recvfrom, SYS_recvmsg, SYS_sendto, SYS_sendmsg, SYS_splice, SYS_accept4,
	SYS_epoll_ctl, SYS_epoll_pwait, SYS_ppoll, SYS_socket, SYS_bind, SYS_listen, SYS_connect, SYS_getsockname, SYS_setsockopt,
	SYS_shutdown, SYS_ioctl, SYS_pipe2, SYS_fcntl, SYS_clock_gettime, SYS_kill, SYS_wait4, SYS_brk, SYS_mmap, SYS_munmap, SYS_mremap,
	SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_rt_sigaction, SYS_getpid, SYS_gettid, SYS_tgkill, SYS_futex, SYS_restart_syscall,
	SYS_exit, SYS_exit_group,
#ifdef SYS_epoll_wait
	SYS_epoll_wait,
#endif
#ifdef SYS_poll
	SYS_poll,
#endif
};
#define CALLS (sizeof calls / sizeof calls[0])

bool
shut_gate(void)
{
	struct sock_filter p[CALLS + 6];
	struct sock_fprog prog = { 0, p };
	size_t i, n = 0;

	p[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
	p[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0);
	p[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	p[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (i = 0; i < CALLS; i++) /* past those that follow and the refusal, to the last statement */
		p[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)calls[i], (uint8_t)(CALLS - i), 0);
	p[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS);
	p[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	prog.len = (unsigned short)n;
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog, 0, 0) == 0;
}

#else

bool
shut_gate(void)
{
	return true;
}

#endif

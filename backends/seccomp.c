/*
 * An allow-list, because default lists lag behind the kernel: what a kernel learns tomorrow is absent here today.
 *
 * Three kinds of answers.  Allowed, some only with certain arguments: sockets of the three families that the network
 * namespace holds, no new namespaces, terminal-free ioctls, no questions after other people's file locks.  Refused by
 * intent: EPERM, so that a program's message is honest.  Everything else: ENOSYS, what libraries know how to meet; clone3
 * must be among it, for its flags lie in memory where a filter cannot look, and libc falls back to clone.
 */
#include "backends/seccomp.h"

#include <asm/termbits.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/err.h"

static const char *const allowed[] = {
	/* files */
	"access", "chdir", "chmod", "chown", "close", "close_range", "copy_file_range", "creat", "dup", "dup2", "dup3",
	"faccessat", "faccessat2", "fadvise64", "fallocate", "fchdir", "fchmod", "fchmodat", "fchmodat2", "fchown",
	"fchownat", "fdatasync", "fgetxattr", "flistxattr", "fstat", "fstatfs", "fsync", "ftruncate", "futimesat",
	"getcwd", "getdents", "getdents64", "getxattr", "inotify_add_watch", "inotify_init", "inotify_init1",
	"inotify_rm_watch", "lchown", "lgetxattr", "link", "linkat", "listxattr", "llistxattr", "lseek", "lstat", "mkdir",
	"mkdirat", "mknod", "mknodat", "newfstatat", "open", "openat", "openat2", "pread64", "preadv", "preadv2",
	"pwrite64", "pwritev", "pwritev2", "read", "readahead", "readlink", "readlinkat", "readv", "rename", "renameat",
	"renameat2", "rmdir", "sendfile", "splice", "stat", "statfs", "statx", "symlink", "symlinkat", "sync",
	"sync_file_range", "syncfs", "tee", "truncate", "umask", "unlink", "unlinkat", "utime", "utimensat", "utimes",
	"vmsplice", "write", "writev", "cachestat",
	/* memory */
	"brk", "madvise", "membarrier", "mincore", "mlock", "mlock2", "mlockall", "mmap", "mprotect", "mremap", "msync",
	"munlock", "munlockall", "munmap", "pkey_alloc", "pkey_free", "pkey_mprotect", "map_shadow_stack",
	/* processes and threads */
	"arch_prctl", "capget", "execve", "execveat", "exit", "exit_group", "fork", "futex", "futex_wait", "futex_waitv",
	"futex_wake", "futex_requeue", "get_robust_list", "get_thread_area", "getcpu", "getegid", "geteuid", "getgid",
	"getgroups", "getpgid", "getpgrp", "getpid", "getppid", "getpriority", "getresgid", "getresuid", "getrlimit",
	"getrusage", "getsid", "gettid", "getuid", "kill", "pause", "pidfd_open", "pidfd_send_signal", "prctl", "prlimit64",
	"restart_syscall", "riscv_flush_icache", "rseq", "rt_sigaction", "rt_sigpending", "rt_sigprocmask",
	"rt_sigqueueinfo", "rt_sigreturn", "rt_sigsuspend", "rt_sigtimedwait", "rt_tgsigqueueinfo", "sched_getaffinity",
	"sched_getattr", "sched_getparam", "sched_get_priority_max", "sched_get_priority_min", "sched_getscheduler",
	"sched_rr_get_interval", "sched_setaffinity", "sched_setattr", "sched_setparam", "sched_setscheduler",
	"sched_yield", "seccomp", "set_robust_list", "set_tid_address", "setfsgid", "setfsuid", "setgid", "setgroups",
	"setpgid", "setpriority", "setregid", "setresgid", "setresuid", "setreuid", "setrlimit", "setsid", "setuid",
	"sigaltstack", "sysinfo", "tgkill", "times", "tkill", "uname", "vfork", "wait4", "waitid",
	/* time */
	"alarm", "clock_getres", "clock_gettime", "clock_nanosleep", "getitimer", "gettimeofday", "nanosleep", "setitimer",
	"time", "timer_create", "timer_delete", "timer_getoverrun", "timer_gettime", "timer_settime", "timerfd_create",
	"timerfd_gettime", "timerfd_settime",
	/* waiting, pipes, sockets that exist already */
	"accept", "accept4", "bind", "connect", "epoll_create", "epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_pwait2",
	"epoll_wait", "eventfd", "eventfd2", "getpeername", "getrandom", "getsockname", "getsockopt", "listen", "pipe",
	"pipe2", "poll", "ppoll", "pselect6", "recvfrom", "recvmmsg", "recvmsg", "select", "sendmmsg", "sendmsg", "sendto",
	"setsockopt", "shutdown", "signalfd", "signalfd4",
	/* Landlock only ever takes away. */
	"landlock_add_rule", "landlock_create_ruleset", "landlock_restrict_self",
};

/* Named here so that the answer is "not permitted" and not "unknown"; the list above is what protects. */
static const char *const refused[] = {
	"acct", "add_key", "adjtimex", "bpf", "chroot", "clock_adjtime", "clock_settime", "delete_module", "finit_module",
	"fsconfig", "fsmount", "fsopen", "fspick", "init_module", "ioperm", "iopl", "kcmp", "kexec_file_load", "kexec_load",
	"keyctl", "lookup_dcookie", "mount", "mount_setattr", "move_mount", "name_to_handle_at", "open_by_handle_at",
	"open_tree", "perf_event_open", "personality", "pidfd_getfd", "pivot_root", "process_madvise", "process_mrelease",
	"process_vm_readv", "process_vm_writev", "ptrace", "quotactl", "quotactl_fd", "reboot", "request_key", "setdomainname",
	"sethostname", "setns", "settimeofday", "swapoff", "swapon", "syslog", "umount", "umount2", "unshare", "uselib",
	"userfaultfd", "vhangup",
};

static const int families[] = { AF_UNIX, AF_INET, AF_INET6 };

static const unsigned long ioctls[] = { FIONREAD, FIONBIO, FIOASYNC, FIOCLEX, FIONCLEX, TCGETS, TIOCGWINSZ, TIOCGPGRP,
	TIOCOUTQ, SIOCGIFCONF, SIOCGIFFLAGS, SIOCGIFINDEX, SIOCGIFNAME };

/* F_GETLK and leases would tell of the locks of other instances on files that all may read. */
static const int fcntls[] = { F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_SETLK, F_SETLKW,
	F_OFD_SETLK, F_OFD_SETLKW, F_GETPIPE_SZ, F_GET_SEALS, F_GETOWN, F_SETOWN };

#define NEW_NAMESPACES ((scmp_datum_t)(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER \
	| CLONE_NEWPID | CLONE_NEWNET | 0x80 /* CLONE_NEWTIME */))
#ifdef __s390__
#define CLONE_FLAGS 1 /* which argument they are */
#else
#define CLONE_FLAGS 0
#endif
#define LOW32 0xffffffffu
#define COUNT(a) (sizeof(a) / sizeof(a)[0])

/* Names of other architectures or newer kernels than the library knows are nothing to allow. */
static int
add(scmp_filter_ctx f, uint32_t action, const char *name)
{
	int nr = seccomp_syscall_resolve_name(name);

	return nr == __NR_SCMP_ERROR || nr < 0 ? 0 : seccomp_rule_add(f, action, nr, 0);
}

static int
add_arg(scmp_filter_ctx f, uint32_t action, const char *name, unsigned arg, scmp_datum_t mask, scmp_datum_t value)
{
	struct scmp_arg_cmp is = SCMP_CMP64(arg, SCMP_CMP_MASKED_EQ, mask, value);
	int nr = seccomp_syscall_resolve_name(name);

	return nr == __NR_SCMP_ERROR || nr < 0 ? 0 : seccomp_rule_add_array(f, action, nr, 1, &is);
}

static int
add_conditional(scmp_filter_ctx f)
{
	int rc = add_arg(f, SCMP_ACT_ALLOW, "clone", CLONE_FLAGS, NEW_NAMESPACES, 0);
	size_t i;

	for (i = 0; rc == 0 && i < COUNT(families); i++)
		rc = add_arg(f, SCMP_ACT_ALLOW, "socket", 0, LOW32, (scmp_datum_t)families[i]);
	if (rc == 0)
		rc = add_arg(f, SCMP_ACT_ALLOW, "socketpair", 0, LOW32, AF_UNIX);
	for (i = 0; rc == 0 && i < COUNT(ioctls); i++)
		rc = add_arg(f, SCMP_ACT_ALLOW, "ioctl", 1, LOW32, ioctls[i]);
	for (i = 0; rc == 0 && i < COUNT(fcntls); i++)
		rc = add_arg(f, SCMP_ACT_ALLOW, "fcntl", 1, LOW32, (scmp_datum_t)fcntls[i]);
	return rc;
}

static int
fill(scmp_filter_ctx f)
{
	size_t i;
	int rc = seccomp_attr_set(f, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);

	if (rc == 0)
		rc = seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a tree: twenty comparisons less a call */
	for (i = 0; rc == 0 && i < COUNT(allowed); i++)
		rc = add(f, SCMP_ACT_ALLOW, allowed[i]);
	for (i = 0; rc == 0 && i < COUNT(refused); i++)
		rc = add(f, SCMP_ACT_ERRNO(EPERM), refused[i]);
	return rc == 0 ? add_conditional(f) : rc;
}

/* --- the same for container engines --- */

static const unsigned long gates[] = { SIOCSIFFLAGS, SIOCSIFADDR, SIOCSIFNETMASK };
static const char *const gate_calls[] = { "capset" };

static void
profile_names(struct buf *b, const char *const *names, size_t n, const char *action)
{
	size_t i;

	buf_str(b, "{\"names\":[");
	for (i = 0; i < n; i++)
		buf_fmt(b, "%s\"%s\"", i > 0 ? "," : "", names[i]);
	buf_fmt(b, "],\"action\":\"%s\"", action);
}

static void
profile_arg(struct buf *b, const char *name, unsigned arg, scmp_datum_t mask, scmp_datum_t value)
{
	buf_char(b, ',');
	profile_names(b, &name, 1, "SCMP_ACT_ALLOW");
	buf_fmt(b, ",\"args\":[{\"index\":%u,\"value\":%llu,\"valueTwo\":%llu,\"op\":\"SCMP_CMP_MASKED_EQ\"}]}", arg,
	    (unsigned long long)mask, (unsigned long long)value);
}

static const char *
profile_arch(void)
{
#if defined __x86_64__
	return "SCMP_ARCH_X86_64";
#elif defined __aarch64__
	return "SCMP_ARCH_AARCH64";
#elif defined __arm__
	return "SCMP_ARCH_ARM";
#elif defined __riscv
	return "SCMP_ARCH_RISCV64";
#elif defined __s390x__
	return "SCMP_ARCH_S390X";
#elif defined __powerpc64__
	return "SCMP_ARCH_PPC64LE";
#else
	return NULL; /* engines then take their own */
#endif
}

void
seccomp_profile(struct buf *out)
{
	size_t i;

	buf_fmt(out, "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":%d,", ENOSYS);
	if (profile_arch() != NULL)
		buf_fmt(out, "\"architectures\":[\"%s\"],", profile_arch());
	buf_str(out, "\"syscalls\":[");
	profile_names(out, allowed, COUNT(allowed), "SCMP_ACT_ALLOW");
	buf_str(out, "},");
	profile_names(out, refused, COUNT(refused), "SCMP_ACT_ERRNO");
	buf_fmt(out, ",\"errnoRet\":%d}", EPERM);
	profile_arg(out, "clone", CLONE_FLAGS, NEW_NAMESPACES, 0);
	for (i = 0; i < COUNT(families); i++)
		profile_arg(out, "socket", 0, LOW32, (scmp_datum_t)families[i]);
	profile_arg(out, "socketpair", 0, LOW32, AF_UNIX);
	for (i = 0; i < COUNT(ioctls); i++)
		profile_arg(out, "ioctl", 1, LOW32, ioctls[i]);
	for (i = 0; i < COUNT(fcntls); i++)
		profile_arg(out, "fcntl", 1, LOW32, (scmp_datum_t)fcntls[i]);
	/* The gate's, which runs under it too and lays the filter itself on what it starts. */
	for (i = 0; i < COUNT(gates); i++)
		profile_arg(out, "ioctl", 1, LOW32, gates[i]);
	buf_char(out, ',');
	profile_names(out, gate_calls, COUNT(gate_calls), "SCMP_ACT_ALLOW");
	buf_char(out, '}');
	buf_str(out, "]}\n");
}

static int
seal(int fd)
{
	return fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
}

int
seccomp_text_fd(const char *name, const void *text, unsigned long n, struct err *e)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return err_errno(e, "memory file %s", name);
	if (write(fd, text, n) != (ssize_t)n || seal(fd) != 0) {
		err_errno(e, "write memory file %s", name);
		close(fd);
		return -1;
	}
	return fd;
}

int
seccomp_filter_fd(struct err *e)
{
	static int made = -1;
	scmp_filter_ctx f = NULL;
	int fd = -1, rc;

	if (made >= 0)
		return made;
	f = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
	fd = memfd_create("seccomp", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (f == NULL || fd < 0) {
		err_errno(e, "seccomp filter");
		goto out;
	}
	rc = fill(f);
	if (rc == 0)
		rc = seccomp_export_bpf(f, fd);
	if (rc != 0 || seal(fd) != 0) {
		err_set(e, ERR_INTERNAL, "seccomp filter: %s", strerror(rc != 0 ? -rc : errno));
		goto out;
	}
	made = fd;
	fd = -1;
out:
	if (f != NULL)
		seccomp_release(f);
	if (fd >= 0)
		close(fd);
	return made;
}

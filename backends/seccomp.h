/*
 * Which system calls code behind a wall may make: one allow-list in code, for every wall that wants it.  What is not in
 * it does not exist (ENOSYS, so that libraries fall back), what is refused by intent answers EPERM or what fits.
 */
#ifndef BACKENDS_SECCOMP_H
#define BACKENDS_SECCOMP_H

struct buf;
struct err;

/* A descriptor of the compiled filter, made once for the process and sealed; borrowed.  -1: libseccomp says why. */
int seccomp_filter_fd(struct err *e);

/* The same rules as the JSON profile that container engines read. */
void seccomp_profile(struct buf *out);

/* A sealed, close-on-exec file in memory with this text; the caller closes it. */
int seccomp_text_fd(const char *name, const void *text, unsigned long n, struct err *e);

#endif

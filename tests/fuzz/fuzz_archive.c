/* archive_unpack into a directory of its own: whatever comes, nothing appears beside it and limits hold. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/archive.h"
#include "lib/bundle.h"
#include "lib/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static char parent[64], code[96];

static void
leave(void)
{
	rmdir(parent);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static const struct archive_limits limits = { 65536, 16, "bytes", "entries" };
	struct stat st;
	int fd = memfd_create("blob", MFD_CLOEXEC);

	if (parent[0] == '\0') {
		snprintf(parent, sizeof parent, "%s/fuzz-archive-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
		if (mkdtemp(parent) == NULL)
			abort();
		snprintf(code, sizeof code, "%s/code", parent);
		atexit(leave);
	}
	if (fd < 0 || write(fd, p, n) != (ssize_t)n)
		abort();
	archive_unpack(fd, parent, "code", "main.js", &limits, NULL);
	if (bundle_remove(code, NULL) != 0)
		abort();
	/* Empty again: two links are the directory's own. */
	if (stat(parent, &st) != 0 || (st.st_nlink != 2 && st.st_nlink != 1))
		abort();
	close(fd);
	return 0;
}

/* bin/python3 of the fake nixpkgs: static, for it begins without a loader; starts ../libexec/python3 with that of ../glibc. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int
main(int argc, char **argv)
{
	char self[4096], libs[4096], path[4200], loader[4200], program[4200], **to = calloc((size_t)argc + 8, sizeof *to);
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
	int fd, i, k = 0;

	if (n <= 0 || to == NULL)
		return 120;
	self[n] = '\0';
	/* libs holds the folder above bin until it is read. */
	snprintf(libs, sizeof libs, "%s", self);
	*strrchr(libs, '/') = '\0';
	*strrchr(libs, '/') = '\0';
	snprintf(program, sizeof program, "%s/libexec/python3", libs);
	snprintf(path, sizeof path, "%s/glibc", libs);
	fd = open(path, O_RDONLY);
	n = read(fd, libs, sizeof libs - 1);
	close(fd);
	if (n <= 0)
		return 121;
	libs[n] = '\0';
	snprintf(loader, sizeof loader, "%s/ld.so", libs);
	to[k++] = loader;
	to[k++] = (char *)"--library-path";
	to[k++] = libs;
	to[k++] = (char *)"--argv0";
	to[k++] = self;
	to[k++] = program;
	for (i = 1; i < argc; i++)
		to[k++] = argv[i];
	execv(loader, to);
	return 122;
}

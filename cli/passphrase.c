#include "cli/passphrase.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "lib/err.h"
#include "lib/mem.h"
#include "lib/strongbox.h"

enum { LINE_MAX_BYTES = 1024 };

/* A line of fd without its end.  NULL: nothing there, or too long. */
static char *
line_of(int fd)
{
	char line[LINE_MAX_BYTES], c, *out = NULL;
	size_t n = 0;

	while (read(fd, &c, 1) == 1 && c != '\n' && n < sizeof line)
		line[n++] = c;
	while (n > 0 && n < sizeof line && line[n - 1] == '\r')
		n--;
	if (n > 0 && n < sizeof line)
		out = mem_strn(line, n);
	strongbox_wipe(line, sizeof line);
	return out;
}

static char *
ask(int tty, const char *what)
{
	struct termios was, quiet;
	char *p;

	if (tcgetattr(tty, &was) != 0)
		return NULL;
	quiet = was;
	quiet.c_lflag &= ~(tcflag_t)ECHO;
	tcsetattr(tty, TCSAFLUSH, &quiet);
	dprintf(tty, "%s: ", what);
	p = line_of(tty);
	dprintf(tty, "\n");
	tcsetattr(tty, TCSAFLUSH, &was);
	return p;
}

static char *
from_terminal(bool fresh, struct err *e)
{
	int tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
	char *p, *again = NULL;

	if (tty < 0) {
		err_set(e, ERR_INPUT, "no terminal to ask for the passphrase: name a file with --passphrase-file");
		return NULL;
	}
	p = ask(tty, "Passphrase");
	if (p == NULL)
		err_set(e, ERR_INPUT, "no passphrase was given");
	else if (fresh && ((again = ask(tty, "The same again")) == NULL || strcmp(p, again) != 0)) {
		err_set(e, ERR_INPUT, "the two passphrases differ");
		passphrase_free(p);
		p = NULL;
	}
	passphrase_free(again);
	close(tty);
	return p;
}

char *
passphrase_get(const char *file, bool fresh, struct err *e)
{
	char *p;
	int fd;

	if (file == NULL)
		return from_terminal(fresh, e);
	fd = open(file, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		err_errno(e, "read %s", file);
		return NULL;
	}
	p = line_of(fd);
	close(fd);
	if (p == NULL)
		err_set(e, ERR_INPUT, "%s: expected a passphrase of 1 to %d bytes on the first line", file, LINE_MAX_BYTES - 1);
	return p;
}

void
passphrase_free(char *p)
{
	if (p != NULL)
		strongbox_wipe(p, strlen(p));
	free(p);
}

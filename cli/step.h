/* One step of something that takes a while: a command with its talk in a log, and a line for whoever watches. */
#ifndef CLI_STEP_H
#define CLI_STEP_H

struct cli;
struct err;

/*
 * Runs argv (NULL at the end) with both outputs appended to the file log.  On a terminal a line shows `what`, how long it
 * has taken and the command's last words; elsewhere `what` is said once.  On failure e has the log's last telling line.
 */
int step_run(const struct cli *c, const char *what, const char *const argv[], int timeout_ms, const char *log, struct err *e);

#endif

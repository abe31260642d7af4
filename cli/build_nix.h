/* The files of a runtime's image out of packages of Nix. */
#ifndef CLI_BUILD_NIX_H
#define CLI_BUILD_NIX_H

struct cli;
struct conf;
struct err;
struct runtime;

/*
 * Makes DIR/root: the closure of the runtime's packages in nix/store, their programs in usr/bin, and an etc.  While it works
 * DIR/nix holds the links that keep the garbage collector away.  log: where the commands talk to.
 */
int build_nix(struct cli *c, const struct conf *conf, const struct runtime *r, const char *dir, const char *log, struct err *e);

#endif

/*
 * Expressions of Nix about the packages of a runtime.  Text only: cli/build_nix.c has them evaluated, with the nixpkgs of
 * build.nixpkgs; runtime.c evaluates definitions without one.
 */
#ifndef BACKENDS_NIX_H
#define BACKENDS_NIX_H

#include <stddef.h>

struct buf;
struct runtime;

/* A string of Nix, quoted. */
void nix_string(struct buf *out, const char *s, size_t n);
/*
 * The list of the runtime's packages.  Of a .nix definition its guest.environment.systemPackages, evaluated with the real
 * `pkgs`, so that python3.withPackages and its like are what they say; of a .ini the names in `nix`, each a path of
 * attributes (python312Packages.pytorch).
 */
void nix_packages(const struct runtime *r, const char *nixpkgs, struct buf *out);

#endif

/*
 * A runtime's image, made by `at-rund build`: HOME/images/NAME/ holds
 *
 *     image.json   what it is: its digest, what it was made from, when
 *     image.tar    the OCI image, for engines that have forgotten it
 *     root/        the same files, for the wall `sandbox`
 *
 * This file reads; cli/build.c makes.
 */
#ifndef BACKENDS_IMAGE_H
#define BACKENDS_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

struct buf;
struct conf;
struct err;
struct runtime;

#define IMAGE_FORMAT 4 /* of what build makes: a change of it makes every image outdated */

struct image {
	char *id;       /* "sha256:…", by which engines know it */
	char *key;      /* what it was made from, image_key() of the definition then */
	char *program;  /* absolute, inside */
	char *version;  /* of the program, NULL: it did not say */
	char *root;     /* directory of its files */
	int64_t built_ms, bytes;
};

/* ERR_NOTFOUND: it was not built, and the command that does. */
int image_load(struct image *m, const struct conf *c, const char *runtime, struct err *e);
void image_clear(struct image *m);
/* Is it made with Nix: there is a nixpkgs, and the definition names packages of it? */
bool image_with_nix(const struct conf *c, const struct runtime *r);
/* Everything of a definition that its image depends on, hashed. */
void image_key(const struct conf *c, const struct runtime *r, struct buf *out);
/* HOME/images/NAME, allocated. */
char *image_dir(const struct conf *c, const char *runtime);

#endif

/*
 * Secrets that somebody shows again, such as the operator's page asks for: "PREFIX_12_6f0a...", the number of a row and 192 random
 * bits.  Kept is only their hash; so many bits need no slow one.
 */
#ifndef LIB_PASS_H
#define LIB_PASS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PASS_SECRET 48 /* hex digits */
#define PASS_HASH   64

/* Tokens for the operator's page: what stands before them, and what is hashed with them. */
#define PASS_PAGE    "atrp"
#define PASS_PAGE_OF "page-token"

void pass_new(char secret[PASS_SECRET + 1]);
/* SHA-256 in hex of "what:secret", so that one secret has several hashes that say nothing of each other. */
void pass_hash(const char *what, const char *secret, char hash[PASS_HASH + 1]);
/* Equal?  It takes the same time wherever they differ; n bytes of both are there. */
bool pass_same(const char *a, const char *b, size_t n);
/* Strict: the prefix, a positive number without leading zero, lower case hex digits, and nothing more. */
bool pass_parse(const char *text, const char *prefix, int64_t *id, char secret[PASS_SECRET + 1]);

#endif

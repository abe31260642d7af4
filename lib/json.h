/*
 * JSON from strangers.  cJSON alone takes invalid UTF-8, cuts strings at \u0000, keeps duplicate keys and
 * (by default) ignores trailing text and letter case; json_parse refuses all of that before a tree exists.
 *
 * cJSON trees are read into a struct in the file that parsed them and freed there (HOUSE 2), so only .c files
 * that parse include this header.
 */
#ifndef LIB_JSON_H
#define LIB_JSON_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;

/* Nesting of AT Protocol data is at most 32 (facts B.6); one more for our own envelopes. */
#define JSON_DEPTH 33

/*
 * The tree of exactly the n bytes at p, or NULL and ERR_INPUT with the offset.  Refused: anything RFC 8259 refuses,
 * bytes that are not UTF-8, \u0000 and lone surrogates, nesting over max_depth, a key twice in one object, numbers
 * outside a double.  The caller frees it with cJSON_Delete.
 */
cJSON *json_parse(const char *p, size_t n, size_t max_depth, struct err *e);

/* Members by exact name; NULL when obj is not an object, or has none of that name and type. */
const cJSON *json_member(const cJSON *obj, const char *key); /* of any type but null */
const cJSON *json_object(const cJSON *obj, const char *key);
const cJSON *json_array(const cJSON *obj, const char *key);
const char *json_string(const cJSON *obj, const char *key);

/* 0 and *out when the member is there as a whole number in min..max, or is absent (then *out is kept);
 * otherwise ERR_INPUT that names the key. */
int json_int(const cJSON *obj, const char *key, int64_t min, int64_t max, int64_t *out, struct err *e);
int json_bool(const cJSON *obj, const char *key, bool *out, struct err *e);
/* As above for a string of at most max bytes; *out is borrowed from the tree. */
int json_text(const cJSON *obj, const char *key, size_t max, const char **out, struct err *e);

/* Appends the tree as compact JSON text. */
void json_print(const cJSON *item, struct buf *out);

#endif

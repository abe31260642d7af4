/*
 * The data model's two spellings (facts B.7): DAG-CBOR, which is hashed and signed, and JSON, which people and programs
 * read.  In JSON a link is {"$link":"bafy..."} and bytes are {"$bytes":"base64"}; such objects have that key alone,
 * $type is a text and not empty, and {"$type":"blob"} has ref, mimeType and size.
 */
#ifndef LIB_DATA_H
#define LIB_DATA_H

#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;

/* Appends the JSON text of bytes that passed cbor_check.  ERR_INPUT for what has no JSON spelling of its own: a map with
 * a key $link or $bytes; out is then cut back to what it was. */
int data_json(const uint8_t *p, size_t n, struct buf *out, struct err *e);

/* Appends the DAG-CBOR of a JSON object.  ERR_INPUT with the reason: not an object, not JSON, a fraction, a number beyond
 * 2^53 - 1, a bad $link, $bytes, $type or blob, over a limit of lib/cbor.h; out is then cut back. */
int data_cbor(const char *json, size_t n, struct buf *out, struct err *e);

#endif

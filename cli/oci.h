/* An OCI image of one layer as one file, which `podman load` and `docker load` both read. */
#ifndef CLI_OCI_H
#define CLI_OCI_H

#include <stddef.h>
#include <stdint.h>

struct err;

#define OCI_ID_LEN 71 /* "sha256:" and 64 digits */

struct oci {
	const char *layer; /* a tar of the files */
	const char *name;  /* "localhost/at-rund/python"; its tag is made of the digest */
	const char *runtime;
	int64_t date;      /* seconds; the same layer and date are the same image */
};

/* Writes `to` (made anew) and tells the image's id and the layer's bytes. */
int oci_write(const struct oci *o, const char *to, char id[OCI_ID_LEN + 1], int64_t *bytes, struct err *e);

#endif

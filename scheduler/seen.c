/*
 * A table with open addressing.  An entry is a hash of issuer and nonce: the issuer chooses its own nonces, so it can make a
 * clash only with itself.
 */
#include "scheduler/seen.h"

#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/cid.h"
#include "lib/err.h"
#include "lib/mem.h"

#define LEAST 256u
#define MOST  (1u << 20) /* slots: 32 MiB */

struct entry {
	uint8_t id[16];
	int64_t row; /* 0: free */
	int64_t until_at;
};

struct seen {
	struct entry *slot;
	uint32_t slots, used;
	int64_t tidied_at;
};

struct seen *
seen_new(void)
{
	return mem_alloc(sizeof(struct seen));
}

void
seen_free(struct seen *s)
{
	if (s == NULL)
		return;
	free(s->slot);
	free(s);
}

static void
id_of(const char *issuer, const char *nonce, uint8_t id[16])
{
	struct cid_hash h;
	struct cid c;

	cid_hash_init(&h);
	cid_hash_update(&h, issuer, strlen(issuer) + 1);
	cid_hash_update(&h, nonce, strlen(nonce));
	cid_hash_final(&h, CID_RAW, &c);
	memcpy(id, c.digest, 16);
}

/* Where it stands, or the free place where it would. */
static struct entry *
place(const struct seen *s, const uint8_t id[16])
{
	uint32_t at;

	memcpy(&at, id, sizeof at);
	for (at &= s->slots - 1;; at = (at + 1) & (s->slots - 1))
		if (s->slot[at].row == 0 || memcmp(s->slot[at].id, id, 16) == 0)
			return &s->slot[at];
}

/* Anew, without what is over, in twice the room when that is needed. */
static void
make_room(struct seen *s, int64_t now)
{
	struct seen old = *s;
	uint32_t i, live = 0;

	for (i = 0; i < old.slots; i++)
		live += old.slot[i].row != 0 && old.slot[i].until_at > now;
	s->slots = old.slots == 0 ? LEAST : old.slots;
	while (live * 2 >= s->slots && s->slots < MOST)
		s->slots *= 2;
	s->slot = mem_array(s->slots, sizeof *s->slot);
	s->used = live;
	s->tidied_at = now;
	for (i = 0; i < old.slots; i++)
		if (old.slot[i].row != 0 && old.slot[i].until_at > now)
			*place(s, old.slot[i].id) = old.slot[i];
	free(old.slot);
}

bool
seen_before(const struct seen *s, const char *issuer, const char *nonce, int64_t row)
{
	const struct entry *x;
	uint8_t id[16];

	if (s->used == 0)
		return false;
	id_of(issuer, nonce, id);
	x = place(s, id);
	return x->row != 0 && x->row != row;
}

int
seen_add(struct seen *s, const char *issuer, const char *nonce, int64_t row, int64_t until_at, int64_t now, struct err *e)
{
	struct entry *x;
	uint8_t id[16];

	/* At its largest it is not gone through for each call. */
	if (s->used >= s->slots / 4 * 3 && (s->slots < MOST || now - s->tidied_at > 1000))
		make_room(s, now);
	if (s->used >= s->slots / 4 * 3)
		return err_named(e, ERR_BUSY, "NotEnoughResources", "more than %u tokens are in use at once", s->used);
	id_of(issuer, nonce, id);
	x = place(s, id);
	s->used += x->row == 0;
	memcpy(x->id, id, sizeof id);
	x->row = row;
	x->until_at = until_at;
	return 0;
}

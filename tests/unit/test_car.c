#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/car.h"
#include "lib/cbor.h"
#include "lib/err.h"
#include "tests/repo.h"
#include "tests/t.h"

/* Three blocks of our own; the first is the root. */
static struct cid
three(struct repo_blocks *b)
{
	struct cid root = repo_block_add(b, "\x01", 1);

	repo_block_add(b, "\x02", 1);
	repo_block_add(b, "", 0);
	return root;
}

static void
refused(const struct buf *car, const char *name, const char *why)
{
	struct car *c = NULL;
	struct err e = ERR_INIT;

	CHECK_INT(car_open(&c, (const uint8_t *)car->data, car->len, &e), -1);
	CHECK(c == NULL);
	CHECK_INT(e.kind, ERR_REMOTE);
	CHECK_STR(e.name, name);
	if (strstr(e.text, why) == NULL)
		CHECK_STR(e.text, why);
}

TEST(car_finds_blocks_in_any_order_and_more_than_once)
{
	struct repo_blocks b = REPO_BLOCKS_INIT;
	struct cid root = three(&b), other;
	struct buf out = BUF_INIT;
	struct err e = ERR_INIT;
	struct car *c = NULL;
	size_t i, n;

	car_put_head(&out, &root);
	for (i = 0; i < 6; i++) {
		const struct repo_block *at = &b.block[(5 - i) % 3];

		car_put_block(&out, &at->id, at->bytes.data, at->bytes.len);
	}
	CHECK_INT(car_open(&c, (uint8_t *)out.data, out.len, &e), 0);
	CHECK_INT(car_roots(c), 1);
	CHECK(cid_equal(car_root(c, 0), &root));
	CHECK_INT(car_blocks(c), 3);
	for (i = 0; i < 3; i++) {
		const uint8_t *p = car_block(c, &b.block[i].id, &n);

		CHECK(p != NULL && n == b.block[i].bytes.len);
		CHECK(memcmp(p, b.block[i].bytes.data, n) == 0);
	}
	cid_of_bytes(&other, CID_DAG_CBOR, "\x03", 1);
	CHECK(car_block(c, &other, &n) == NULL);
	cid_of_bytes(&other, CID_RAW, "\x01", 1);
	CHECK(car_block(c, &other, &n) == NULL); /* the codec is part of the name */
	car_free(c);
	buf_clear(&out);
	repo_blocks_clear(&b);
}

TEST(car_refuses_each_flipped_bit_or_names_another_root)
{
	struct repo_blocks b = REPO_BLOCKS_INIT;
	struct cid root = three(&b);
	struct buf out = BUF_INIT;
	size_t i;
	int bit, opened = 0;

	repo_car(&b, &root, NULL, &out);
	for (i = 0; i < out.len; i++)
		for (bit = 0; bit < 8; bit++) {
			struct car *c = NULL;

			out.data[i] = (char)(out.data[i] ^ 1 << bit);
			if (car_open(&c, (uint8_t *)out.data, out.len, NULL) == 0) {
				opened++;
				CHECK(car_roots(c) == 1 && !cid_equal(car_root(c, 0), &root));
			}
			car_free(c);
			out.data[i] = (char)(out.data[i] ^ 1 << bit);
		}
	/* The 32 bytes of the root's hash. */
	CHECK_INT(opened, 32 * 8);
	buf_clear(&out);
	repo_blocks_clear(&b);
}

TEST(car_refuses_each_cut_that_is_not_between_blocks)
{
	struct repo_blocks b = REPO_BLOCKS_INIT;
	struct cid root = three(&b);
	struct buf out = BUF_INIT;
	size_t n, opened = 0;

	repo_car(&b, &root, NULL, &out);
	for (n = 0; n < out.len; n++) {
		struct car *c = NULL;

		opened += car_open(&c, (uint8_t *)out.data, n, NULL) == 0;
		car_free(c);
	}
	CHECK_INT(opened, 3);
	buf_clear(&out);
	repo_blocks_clear(&b);
}

TEST(car_lengths_are_short_and_end)
{
	struct repo_blocks b = REPO_BLOCKS_INIT;
	struct cid root = three(&b);
	struct buf out = BUF_INIT;
	size_t head;

	car_put_head(&out, &root);
	head = out.len;
	buf_add(&out, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 13);
	refused(&out, "CarMalformed", "over 9 bytes");
	out.len = head;
	buf_add(&out, "\xff\xff\xff", 3);
	refused(&out, "CarMalformed", "inside a length");
	out.len = head;
	buf_add(&out, "\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 9);
	refused(&out, "CarMalformed", "beyond the end");
	out.len = head;
	buf_add(&out, "\xa5\x00", 2);
	refused(&out, "CarMalformed", "shortest");
	out.len = head;
	buf_add(&out, "\x00", 1);
	refused(&out, "CarMalformed", "no CID");
	out.len = head;
	buf_add(&out, "\x05" "abcde", 6);
	refused(&out, "CarMalformed", "no CID");
	out.len = 0;
	refused(&out, "CarMalformed", "no bytes");
	buf_clear(&out);
	repo_blocks_clear(&b);
}

static void
head_refused(const struct buf *head, const char *why)
{
	struct buf out = BUF_INIT;

	buf_char(&out, (char)head->len);
	buf_add(&out, head->data, head->len);
	refused(&out, "CarMalformed", why);
	buf_clear(&out);
}

TEST(car_heads_of_another_shape_are_refused)
{
	struct buf h = BUF_INIT;

	buf_str(&h, "\xa0");
	head_refused(&h, "not a map of roots");
	buf_reset(&h);
	cbor_put_map(&h, 2);
	cbor_put_text(&h, "roots", 5);
	cbor_put_list(&h, 0);
	cbor_put_text(&h, "version", 7);
	cbor_put_number(&h, 2);
	head_refused(&h, "version 1");
	buf_reset(&h);
	cbor_put_map(&h, 2);
	cbor_put_text(&h, "roots", 5);
	cbor_put_list(&h, 1);
	cbor_put_number(&h, 1);
	cbor_put_text(&h, "version", 7);
	cbor_put_number(&h, 1);
	head_refused(&h, "not a link");
	buf_reset(&h);
	cbor_put_map(&h, 2);
	cbor_put_text(&h, "roots", 5);
	cbor_put_null(&h);
	cbor_put_text(&h, "version", 7);
	cbor_put_number(&h, 1);
	head_refused(&h, "not a list");
	buf_reset(&h);
	cbor_put_map(&h, 2);
	cbor_put_text(&h, "rootz", 5);
	cbor_put_list(&h, 0);
	cbor_put_text(&h, "version", 7);
	cbor_put_number(&h, 1);
	head_refused(&h, "no roots");
	buf_clear(&h);
}

TEST(car_sizes_are_capped)
{
	struct repo_blocks b = REPO_BLOCKS_INIT;
	struct cid root = three(&b);
	struct buf out = BUF_INIT, big = BUF_INIT;
	struct car *c = NULL;
	struct cid id;
	uint32_t i;

	memset(buf_room(&big, CAR_BLOCK_BYTES_MAX + 1), 7, CAR_BLOCK_BYTES_MAX + 1);
	cid_of_bytes(&id, CID_DAG_CBOR, big.data, CAR_BLOCK_BYTES_MAX);
	car_put_head(&out, &root);
	car_put_block(&out, &id, big.data, CAR_BLOCK_BYTES_MAX);
	CHECK_INT(car_open(&c, (uint8_t *)out.data, out.len, NULL), 0);
	car_free(c);
	cid_of_bytes(&id, CID_DAG_CBOR, big.data, CAR_BLOCK_BYTES_MAX + 1);
	car_put_block(&out, &id, big.data, CAR_BLOCK_BYTES_MAX + 1);
	refused(&out, "CarTooLarge", "a block of");

	buf_reset(&out);
	car_put_head(&out, &root);
	for (i = 0; i <= CAR_BLOCKS_MAX; i++) {
		cid_of_bytes(&id, CID_RAW, &i, sizeof i);
		car_put_block(&out, &id, &i, sizeof i);
	}
	refused(&out, "CarTooLarge", "over 1024 blocks");

	buf_room(&out, CAR_BYTES_MAX);
	memset(out.data, 0, CAR_BYTES_MAX + 1);
	out.len = CAR_BYTES_MAX + 1;
	refused(&out, "CarTooLarge", "limit");
	buf_clear(&out);
	buf_clear(&big);
	repo_blocks_clear(&b);
}

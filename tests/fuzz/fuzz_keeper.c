/* The keeper's two sides: questions with boxes and claims in them, answers with what was in a box, and boxes that open. */
#include <sodium.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/keyring.h"
#include "scheduler/keeper.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static uint8_t secrets[2][SECRET_KEY_BYTES] = { { 1, 2, 3 }, { 4, 5, 6 } };

static const struct keyring *
ring(void)
{
	static struct keyring k;
	uint8_t whole[crypto_sign_SECRETKEYBYTES];
	int u;

	if (k.n > 0)
		return &k;
	if (sodium_init() < 0)
		abort();
	for (u = 0; u < SECRET_USE_COUNT; u++) {
		struct keyring_key *x = &k.key[k.n++];

		*x = (struct keyring_key){ .use = (enum secret_use)u, .number = 1, .secret_key = secrets[u] };
		if (u == SECRET_USE_SECRETS)
			crypto_scalarmult_base(x->public_key, x->secret_key);
		else
			crypto_sign_seed_keypair(x->public_key, whole, x->secret_key);
		secret_key_print(x->use, x->public_key, x->text);
	}
	return &k;
}

/* Whatever it says, the scheduler can read it. */
static void
ask(const struct buf *question)
{
	struct keeper_answer a;
	struct buf out = BUF_INIT;

	keeper_serve(ring(), question->data, question->len, 1, &out);
	if (keeper_answer_parse(out.data, out.len, &a, NULL) != 0)
		abort();
	keeper_answer_clear(&a);
	buf_clear(&out);
}

/* A stranger seals what he likes. */
static void
open_box(const uint8_t *data, size_t n)
{
	const struct keyring_key *k = keyring_find(ring(), SECRET_USE_SECRETS, NULL);
	struct secret_context c = { "a", "b", "r", k->text, 1 };
	struct buf box = BUF_INIT, message = BUF_INIT, question = BUF_INIT;

	if (n > SECRET_PLAIN_MAX)
		return;
	crypto_box_seal((unsigned char *)buf_room(&box, n + crypto_box_SEALBYTES), data, n, k->public_key);
	box.len = n + crypto_box_SEALBYTES;
	keeper_ask_open(&message, 1, &c, box.data, box.len);
	buf_add(&question, message.data + 4, message.len - 4);
	ask(&question);
	buf_clear(&box);
	buf_clear(&message);
	buf_clear(&question);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const char *message;
	struct keeper_answer a;
	struct buf question = BUF_INIT;
	size_t message_n;

	buf_add(&question, data, n);
	ask(&question);
	open_box(data, n);
	(void)keeper_message_next(question.data, n, &message, &message_n, NULL);
	if (keeper_answer_parse(question.data, n, &a, NULL) == 0)
		keeper_answer_clear(&a);
	buf_clear(&question);
	return 0;
}

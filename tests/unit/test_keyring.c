#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/err.h"
#include "lib/keyring.h"
#include "lib/mem.h"
#include "tests/t.h"

static char *
fresh(void)
{
	static int n;

	return mem_fmt("%s/keys-%d", t_tmpdir(), ++n);
}

static char *
below(const char *dir, const char *name)
{
	return mem_fmt("%s/%s", dir, name);
}

TEST(the_first_start_makes_keys_that_only_their_owner_reads)
{
	char *dir = fresh(), *file = below(dir, "secrets-1.key");
	struct err e = ERR_INIT;
	struct keyring *k, *again;
	struct stat st;

	CHECK(keyring_load(dir, NULL, false, &e) == NULL);
	CHECK_STR(e.name, "NoKeys");
	k = keyring_load(dir, NULL, true, &e);
	CHECK(k != NULL && k->n == 2);
	CHECK(stat(dir, &st) == 0 && (st.st_mode & 07777) == 0700);
	CHECK(stat(file, &st) == 0 && (st.st_mode & 07777) == 0600);
	again = keyring_load(dir, NULL, true, &e);
	CHECK(again != NULL);
	CHECK_STR(keyring_find(again, SECRET_USE_SECRETS, NULL)->text, keyring_find(k, SECRET_USE_SECRETS, NULL)->text);
	CHECK_STR(keyring_find(again, SECRET_USE_RECEIPTS, NULL)->text, keyring_find(k, SECRET_USE_RECEIPTS, NULL)->text);
	CHECK(k->key[0].made_at > INT64_C(1700000000000));
	keyring_free(k);
	keyring_free(again);
	free(dir);
	free(file);
}

TEST(a_key_file_that_others_can_read_is_refused_with_the_mending_command)
{
	char *dir = fresh(), *file = below(dir, "secrets-1.key"), *want;
	struct err e = ERR_INIT;

	keyring_free(keyring_load(dir, NULL, true, &e));
	chmod(file, 0640);
	CHECK(keyring_load(dir, NULL, true, &e) == NULL);
	CHECK_STR(e.name, "KeyFileOpen");
	want = mem_fmt("chmod 600 %s", file);
	CHECK(strstr(e.text, want) != NULL);
	free(want);
	chmod(file, 0600);
	chmod(dir, 0750);
	CHECK(keyring_load(dir, NULL, true, &e) == NULL);
	want = mem_fmt("chmod 700 %s", dir);
	CHECK(strstr(e.text, want) != NULL);
	free(want);
	chmod(dir, 0700);
	unlink(file);
	CHECK(symlink("/dev/null", file) == 0);
	CHECK(keyring_load(dir, NULL, true, &e) == NULL);
	free(dir);
	free(file);
}

TEST(a_damaged_key_file_is_named)
{
	static const char *const texts[] = { "", "key AAAA\n", "made 2026-01-01T00:00:00Z\n", "made never\nkey AAAA\n" };
	char *dir = fresh(), *file = below(dir, "receipts-1.key");
	size_t i;

	keyring_free(keyring_load(dir, NULL, true, NULL));
	for (i = 0; i < sizeof texts / sizeof *texts; i++) {
		struct err e = ERR_INIT;
		FILE *f = fopen(file, "w");

		fputs(texts[i], f);
		fclose(f);
		CHECK(keyring_load(dir, NULL, true, &e) == NULL);
		CHECK(strstr(e.text, file) != NULL);
	}
	free(dir);
	free(file);
}

TEST(a_rotation_keeps_two_keys_for_secrets)
{
	char *dir = fresh(), first[SECRET_KEY_TEXT + 1];
	struct err e = ERR_INIT;
	struct keyring *k = keyring_load(dir, NULL, true, &e);
	int number = 0;

	memcpy(first, keyring_find(k, SECRET_USE_SECRETS, NULL)->text, sizeof first);
	keyring_free(k);
	CHECK_INT(keyring_rotate(dir, SECRET_USE_SECRETS, &number, &e), 0);
	CHECK_INT(number, 2);
	k = keyring_load(dir, NULL, false, &e);
	CHECK_INT(k->n, 3);
	CHECK_INT(keyring_find(k, SECRET_USE_SECRETS, NULL)->number, 2);
	CHECK_INT(keyring_find(k, SECRET_USE_SECRETS, first)->number, 1);
	keyring_free(k);
	CHECK_INT(keyring_rotate(dir, SECRET_USE_SECRETS, &number, &e), 0);
	k = keyring_load(dir, NULL, false, &e);
	CHECK_INT(k->n, 3);
	CHECK_INT(keyring_find(k, SECRET_USE_SECRETS, NULL)->number, 3);
	CHECK(keyring_find(k, SECRET_USE_SECRETS, first) == NULL);
	keyring_free(k);
	CHECK_INT(keyring_rotate(dir, SECRET_USE_RECEIPTS, &number, &e), 0);
	k = keyring_load(dir, NULL, false, &e);
	CHECK_INT(k->n, 3);
	keyring_free(k);
	free(dir);
}

TEST(a_key_is_revoked_but_never_the_newest)
{
	char *dir = fresh(), first[SECRET_KEY_TEXT + 1];
	struct err e = ERR_INIT;
	struct keyring *k = keyring_load(dir, NULL, true, &e);
	int number = 0;

	memcpy(first, keyring_find(k, SECRET_USE_SECRETS, NULL)->text, sizeof first);
	keyring_free(k);
	CHECK_INT(keyring_revoke(dir, first, &e), -1);
	CHECK_STR(e.name, "NewestKey");
	CHECK_INT(keyring_revoke(dir, "z6LSnobody", &e), -1);
	CHECK_STR(e.name, "UnknownKey");
	CHECK_INT(keyring_rotate(dir, SECRET_USE_SECRETS, &number, &e), 0);
	CHECK_INT(keyring_revoke(dir, first, &e), 0);
	k = keyring_load(dir, NULL, false, &e);
	CHECK(k != NULL && keyring_find(k, SECRET_USE_SECRETS, first) == NULL);
	keyring_free(k);
	free(dir);
}

TEST(credentials_of_systemd_are_taken_before_the_directory)
{
	char *dir = fresh(), *lent = fresh(), *from, *to;
	struct err e = ERR_INIT;
	struct keyring *k = keyring_load(lent, NULL, true, &e);
	char text[SECRET_KEY_TEXT + 1];

	memcpy(text, keyring_find(k, SECRET_USE_SECRETS, NULL)->text, sizeof text);
	keyring_free(k);
	/* The mask of the ACL by which systemd lends them. */
	chmod(lent, 0550);
	from = below(lent, "receipts-1.key");
	chmod(from, 0440);
	free(from);
	CHECK(keyring_from_credentials(lent) && !keyring_from_credentials(dir) && !keyring_from_credentials(NULL));
	k = keyring_load(dir, lent, true, &e);
	CHECK(k != NULL);
	CHECK_STR(keyring_find(k, SECRET_USE_SECRETS, NULL)->text, text);
	CHECK(access(dir, F_OK) != 0);
	keyring_free(k);
	/* LoadCredential=keys:DIR gives each file a name of its own. */
	chmod(lent, 0700);
	from = below(lent, "secrets-1.key");
	to = below(lent, "keys_secrets-1.key");
	CHECK(rename(from, to) == 0);
	k = keyring_load(dir, lent, true, &e);
	CHECK(k != NULL);
	CHECK_STR(keyring_find(k, SECRET_USE_SECRETS, NULL)->text, text);
	keyring_free(k);
	chmod(to, 0604);
	CHECK(keyring_load(dir, lent, true, &e) == NULL);
	CHECK_STR(e.name, "KeyFileOpen");
	free(dir);
	free(lent);
	free(from);
	free(to);
}

TEST(what_a_key_signed_is_verified_by_its_public_half)
{
	char *dir = fresh();
	struct keyring *k = keyring_load(dir, NULL, true, NULL);
	const struct keyring_key *key = keyring_find(k, SECRET_USE_RECEIPTS, NULL);
	uint8_t sig[KEYRING_SIGNATURE];

	keyring_sign(key, "text", 4, sig);
	CHECK(keyring_verify(key->public_key, "text", 4, sig));
	CHECK(!keyring_verify(key->public_key, "texs", 4, sig));
	sig[3] ^= 1;
	CHECK(!keyring_verify(key->public_key, "text", 4, sig));
	keyring_free(k);
	free(dir);
}

TEST(what_root_makes_belongs_to_whose_runner_it_is)
{
	char *home, *dir, *file;
	struct err e = ERR_INIT;
	struct stat st;
	int number = 0;

	if (geteuid() != 0)
		SKIP("only root can make something for another user");
	home = fresh();
	CHECK(mkdir(home, 0755) == 0 && chown(home, 4242, 4343) == 0);
	dir = below(home, "keys");
	keyring_free(keyring_load(dir, NULL, true, &e));
	CHECK(stat(dir, &st) == 0 && st.st_uid == 4242 && st.st_gid == 4343);
	CHECK_INT(keyring_rotate(dir, SECRET_USE_SECRETS, &number, &e), 0);
	file = below(dir, "secrets-2.key");
	CHECK(stat(file, &st) == 0 && st.st_uid == 4242 && (st.st_mode & 07777) == 0600);
	/* And root may read them there, but not what a third one put among them. */
	keyring_free(keyring_load(dir, NULL, false, &e));
	CHECK_STR(e.text, "");
	CHECK(chown(file, 4444, 4343) == 0);
	CHECK(keyring_load(dir, NULL, false, &e) == NULL);
	CHECK_STR(e.name, "KeyFileOpen");
	free(home);
	free(dir);
	free(file);
}

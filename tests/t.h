/*
 * The test kit: cmocka underneath, a few lines on top, so that a case registers itself and its name is the claim.
 *
 *     TEST(a_job_is_claimed_once)
 *     {
 *             struct store *s = t_store();
 *             CHECK(t_something(s));
 *     }
 *
 * A program of tests ends with "N passed, N failed, N skipped".  Arguments pick cases whose name contains one of them.
 */
#ifndef TESTS_T_H
#define TESTS_T_H

#include <stdbool.h>
#include <stddef.h>

struct store;

struct t_case {
	const char *name, *file;
	void (*run)(void **);
	struct t_case *next;
};
void t_register(struct t_case *c);

#define TEST(name)                                                                            \
	static void t_run_##name(void **);                                                    \
	static struct t_case t_case_##name = { #name, __FILE__, t_run_##name, NULL };         \
	__attribute__((constructor)) static void t_reg_##name(void)                           \
	{                                                                                     \
		t_register(&t_case_##name);                                                   \
	}                                                                                     \
	static void t_run_##name(void **t_state __attribute__((unused)))

#define CHECK(cond)     t_check((cond), #cond, __FILE__, __LINE__)
#define CHECK_STR(a, b) t_check_str((a), (b), #a, __FILE__, __LINE__)
#define CHECK_INT(a, b) t_check_int((long long)(a), (long long)(b), #a, __FILE__, __LINE__)
/* For cases that differ only in data: for (T_EACH(row, table)) ...  row points at one element after the other. */
#define T_EACH(row, table) row = (table); row < (table) + sizeof(table) / sizeof *(table); row++
/* Leaves the case: it cannot be tried here, and this is why. */
#define SKIP(...) t_skip(__VA_ARGS__)

void t_check(bool ok, const char *what, const char *file, int line);
void t_check_str(const char *a, const char *b, const char *what, const char *file, int line);
void t_check_int(long long a, long long b, const char *what, const char *file, int line);
void t_skip(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
/* A line of report ("did_syntax_valid.txt: 14 cases"). */
void t_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* A fresh directory, removed when the program ends.  The string lives until then. */
const char *t_tmpdir(void);
/* A fresh ledger with the real schema, closed when the program ends. */
struct store *t_store(void);
/* Path of the ledger that t_store made last. */
const char *t_store_path(void);
/* A whole file, NUL-terminated; NULL when it is not there.  Caller frees. */
char *t_read_file(const char *path, size_t *n);
/* Path of a file below ../shared/vectors (or AT_RUND_VECTORS); the string lives until the next call. */
const char *t_vector(const char *name);

#endif

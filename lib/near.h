/* "Did you mean …?": how far apart two words are when one of them was typed by hand. */
#ifndef LIB_NEAR_H
#define LIB_NEAR_H

#include <stdbool.h>

/* Insertions, deletions, changes and swapped neighbours that lie between a and b; words over 63 bytes are cut. */
int near_distance(const char *a, const char *b);
/* Whether a distance is small enough to offer: a third of the word, at least one and at most three. */
bool near_enough(const char *typed, int distance);
/* The nearest of words (NULL-terminated) that is near enough, or NULL. */
const char *near_word(const char *typed, const char *const *words);

#endif

/*
 * Whose is a token that came with no call of a bundle?  The door asks in the table proof, and is answered there.
 */
#ifndef SCHEDULER_PROOFS_H
#define SCHEDULER_PROOFS_H

/* Somebody has asked, or may have: looked for with the next turn. */
void proofs_look(void);
/* Answers what can be answered, in a transaction of its own. */
void proofs_turn(void);
/* An answer about a person came. */
void proofs_person(const char *name);
void proofs_close(void);

#endif

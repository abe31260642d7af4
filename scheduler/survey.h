/*
 * Looks what there is at this moment, for those meters that are not counted where things happen.
 */
#ifndef SCHEDULER_SURVEY_H
#define SCHEDULER_SURVEY_H

/* Before the values are told: with the heartbeat. */
void survey(void);

#endif
